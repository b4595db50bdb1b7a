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
    """Whether the node is an If of tensors alone. Lists and optional values have no place in a graph; onnx's reference runs these."""
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
