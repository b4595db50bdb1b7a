"""Selects of a flat list of ONNX nodes back to Ifs: what only one side needs goes into its branch, so that it is not
computed otherwise."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import onnx
from onnx import helper

from ..errors import QGlowError
from ..graph.select_op import SELECT, needs
from .onnx_fallback import captures

MOST_NODES = 100_000  # a node that several branches share, and nothing else needs, is in each of them


def nested(
    nodes: Sequence[onnx.NodeProto], outputs: Sequence[str], elements: Mapping[str, int]
) -> list[onnx.NodeProto]:
    """The nodes that `outputs` need, without Selects. elements: ONNX element types by value, float where there is none.

    Raises QGlowError where they grow too many.
    """
    if not any(n.op_type == SELECT for n in nodes):
        return list(nodes)
    return _Nesting(nodes, elements).scope(outputs, 0)


class _Nesting:
    def __init__(self, nodes: Sequence[onnx.NodeProto], elements: Mapping[str, int]) -> None:
        self.nodes, self.elements, self.count = nodes, elements, 0
        self.of_node, self.of_value = needs(
            [((*n.input, *captures(n)), tuple(n.output), n.op_type == SELECT) for n in nodes]
        )

    def scope(self, wanted: Sequence[str], have: int) -> list[onnx.NodeProto]:
        """The nodes that compute `wanted`; `have`: bits of those that are computed outside already."""
        needed = 0
        for v in wanted:
            needed |= self.of_value.get(v, 0)
        mine, have = needed & ~have, have | needed
        made: list[onnx.NodeProto] = []
        group: list[int] = []
        for k in [k for k in range(mine.bit_length()) if mine >> k & 1]:
            if group and not self._joins(group, k):
                made.append(self._branches(group, have))
                group = []
            if self.nodes[k].op_type == SELECT:
                group.append(k)
            else:
                made.append(self.nodes[k])
        if group:
            made.append(self._branches(group, have))
        self.count += len(made)
        if self.count > MOST_NODES:
            raise QGlowError("the model cannot be exported: its branches share too many nodes")
        return made

    def _joins(self, group: list[int], k: int) -> bool:
        """Whether a node is a Select by the same condition that needs none of the group."""
        node = self.nodes[k]
        if node.op_type != SELECT or node.input[0] != self.nodes[group[0]].input[0]:
            return False
        sides = self.of_value.get(node.input[1], 0) | self.of_value.get(node.input[2], 0)
        return not any(sides >> g & 1 for g in group)

    def _branches(self, group: list[int], have: int) -> onnx.NodeProto:
        """One If of some Selects."""
        selects = [self.nodes[k] for k in group]
        graphs = []
        for slot, word in ((1, "then"), (2, "else")):
            nodes = self.scope([s.input[slot] for s in selects], have)
            infos = []
            for s in selects:
                out = f"{s.output[0]}.{word}"
                nodes.append(helper.make_node("Identity", [s.input[slot]], [out], name=f"{out}:Identity"))
                infos.append(
                    helper.make_tensor_value_info(out, self.elements.get(s.output[0], onnx.TensorProto.FLOAT), None)
                )
            graphs.append(helper.make_graph(nodes, f"{selects[0].name}.{word}", [], infos))
        outputs = [s.output[0] for s in selects]
        return helper.make_node(
            "If", selects[0].input[:1], outputs, name=selects[0].name, then_branch=graphs[0], else_branch=graphs[1]
        )
