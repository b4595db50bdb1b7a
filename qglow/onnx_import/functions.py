"""Local functions of a model, put in place of the nodes that call them, unless that makes far too many nodes."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import onnx
import onnx.inliner

from ..errors import LimitError, ModelError

MOST_NODES = 1 << 20
_Name = tuple[str, str, str]


def inlined(proto: onnx.ModelProto, where: str) -> onnx.ModelProto:
    """The model without functions. Raises LimitError before there are too many nodes, and ModelError where functions
    call themselves."""
    if not proto.functions:
        return proto
    functions = {(f.domain, f.name, f.overload): f for f in proto.functions}
    counts: dict[_Name, int] = {}
    for name in functions:
        _count(name, functions, counts, where)
    nodes = sum(_sizes(proto.graph.node, counts))
    if nodes > MOST_NODES:
        raise LimitError(
            f"{where}: its functions make {nodes:.3g} nodes, more than {MOST_NODES}; inline what is used before the "
            "export"
        )
    try:
        return onnx.inliner.inline_local_functions(proto)
    except Exception as error:
        raise ModelError(f"{where}: its functions cannot be inlined: {error}") from error


def _count(start: _Name, functions: Mapping[_Name, onnx.FunctionProto], counts: dict[_Name, int], where: str) -> None:
    """The nodes that a function, and those that it calls, make, into `counts`. NOTE: a stack of its own, for calls may
    be deep."""
    stack, opened = [start], set()
    while stack:
        name = stack[-1]
        missing = (
            [c for c in _calls(functions[name].node) if c in functions and c not in counts]
            if name not in counts
            else []
        )
        if not missing:
            counts.setdefault(stack.pop(), sum(_sizes(functions[name].node, counts)))
            continue
        if name in opened:
            raise ModelError(f"{where}: the function {name[1]!r} calls itself")
        opened.add(name)
        stack += missing


def _calls(nodes: Iterable[onnx.NodeProto]) -> set[_Name]:
    found = set()
    for n in nodes:
        found.add((n.domain, n.op_type, n.overload))
        for a in n.attribute:
            for g in (a.g, *a.graphs):
                found |= _calls(g.node)
    return found


def _sizes(nodes: Iterable[onnx.NodeProto], counts: Mapping[_Name, int]) -> Iterable[int]:
    for n in nodes:
        yield counts.get((n.domain, n.op_type, n.overload), 1)
        for a in n.attribute:
            for g in (a.g, *a.graphs):
                yield from _sizes(g.node, counts)
