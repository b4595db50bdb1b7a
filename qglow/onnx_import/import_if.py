"""Which Ifs are taken apart, and the names that values of a branch have in the graph of the whole."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import onnx

BRANCHES = ("then_branch", "else_branch")


@dataclass(frozen=True, slots=True)
class Scope:
    """Names by the names that a branch gives its own values; all others keep theirs."""

    renamed: Mapping[str, str] = field(default_factory=dict)

    def name(self, value: str) -> str:
        return self.renamed.get(value, value)

    def inner(self, own: Mapping[str, str]) -> Scope:
        """The scope of a branch within this one."""
        return Scope({**self.renamed, **own})


def inlined(proto: onnx.NodeProto) -> bool:
    """Whether the node is an If of tensors alone. Lists and optional values have no place in a graph; onnx's reference
    runs these."""
    if proto.op_type != "If" or proto.domain not in ("", "ai.onnx"):
        return False
    branches = [a.g for a in proto.attribute if a.name in BRANCHES]
    return len(branches) == 2 and all(map(_of_tensors, branches))


def _of_tensors(graph: onnx.GraphProto) -> bool:
    infos = (*graph.value_info, *graph.output)
    if graph.sparse_initializer or any(i.type.WhichOneof("value") not in (None, "tensor_type") for i in infos):
        return False
    return not any(_makes_lists(n.op_type) or (n.op_type == "If" and not inlined(n)) for n in graph.node)


def _makes_lists(op: str) -> bool:
    return "Optional" in op or ("Sequence" in op and op != "ReverseSequence")


def without_claims(proto: onnx.ModelProto) -> onnx.ModelProto:
    """A model with branches without the shapes that it says its inner values have: exporters write down what one input
    made of them.

    What follows from the inputs is inferred again; a branch must not be decided by more.
    """
    if not any(n.op_type == "If" for n in proto.graph.node):
        return proto
    copy = onnx.ModelProto()
    copy.CopyFrom(proto)
    _forget(copy.graph)
    return copy


def _forget(graph: onnx.GraphProto) -> None:
    del graph.value_info[:]
    for n in graph.node:
        for a in n.attribute:
            if n.op_type == "If" and a.name in BRANCHES:
                _forget(a.g)
                for o in a.g.output:
                    o.type.tensor_type.ClearField("shape")
