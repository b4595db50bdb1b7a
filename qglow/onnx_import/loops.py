"""The meaning of Loop and Scan, and of If over lists: their bodies are graphs like any other, imported and evaluated as
such.

1. A Loop runs its body while its trip count and its condition last; a condition that is not given is true at first, and
   what the body makes of it counts all the same, as in onnxruntime.
2. A Scan runs its body once for each index of its scanned inputs. In opset 8 it does so for each entry of a batch,
   which is the first axis of everything, along the second axis, for as many steps as the entry has; what is given of
   steps beyond is 0.
3. What the body gives behind the carried values is collected, one slice an iteration, along a new axis. Without an
   iteration it has the body's declared shape, where a size that is not known counts as 0.
4. A carried value that the body hands on as it is stays the array that it was: the body does not give it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import lru_cache
from itertools import count

import numpy as np
import onnx

from ..errors import ModelError
from ..fallback import RunBody, body_runner
from ..graph import Array, Graph
from ..graph.dead import remove_dead
from ..limits import TRIP, check_memory, counted, spend
from ..reference import evaluate
from .opsets import domain_of

Arrays = Sequence[Array]
Given = Sequence[Array | None]


def evaluate_loop(
    proto: onnx.NodeProto, inputs: Given, outer: Mapping[str, Array], opsets: tuple[str, ...]
) -> list[Array]:
    """Outputs of a Loop. inputs: trip count, condition, carried values; outer: the values that the body captures."""
    carried = [a for a in inputs[2:] if a is not None]
    body = Body(_graph_of(proto, "body"), outer, opsets, proto.name, 2, 1, len(carried))
    trips = count() if inputs[0] is None else range(int(inputs[0].ravel()[0]))
    lasts = inputs[1] is None or bool(inputs[1].ravel()[0])
    slices = Slices(len(body.graph.outputs) - 1 - len(carried), proto)
    with counted():
        for trip in trips:
            if not lasts:
                break
            condition, *made = body([np.array(trip, np.int64), np.array(lasts), *carried])
            lasts = bool(condition.ravel()[0])
            carried, rest = made[: len(carried)], made[len(carried) :]
            slices.add(rest)
    names = body.graph.outputs[1 + len(carried) :]
    return [*carried, *(body.stacked(name, collected, 0) for name, collected in zip(names, slices.values, strict=True))]


def evaluate_scan(
    proto: onnx.NodeProto, inputs: Given, outer: Mapping[str, Array], opsets: tuple[str, ...]
) -> list[Array]:
    """Outputs of a Scan. inputs: carried values, scanned inputs, in opset 8 after lengths; outer: the values that the
    body captures."""
    if dict(map(domain_of, opsets)).get("", 9) == 8:
        return _scan_batch(proto, inputs, outer, opsets)
    return _scan(proto, inputs, outer, opsets)


def _scan_batch(
    proto: onnx.NodeProto, inputs: Given, outer: Mapping[str, Array], opsets: tuple[str, ...]
) -> list[Array]:
    lengths, given = inputs[0], [a for a in inputs[1:] if a is not None]
    single = onnx.NodeProto()
    single.CopyFrom(proto)
    for a in single.attribute:
        a.name = "scan_input_directions" if a.name == "directions" else a.name
    scanned = next(a.i for a in proto.attribute if a.name == "num_scan_inputs")
    states, steps = len(given) - scanned, given[-1].shape[1]
    if any(a.name == "directions" and any(a.ints) for a in proto.attribute) and lengths is not None:
        raise ValueError("lengths of sequences that are read backwards are not supported")
    entries = []
    for k in range(len(given[0])):
        length = steps if lengths is None else int(lengths[k])
        if not 1 <= length <= steps:
            raise ValueError(f"expected lengths of 1 to {steps}, got {length}")
        made = _scan(single, [*(a[k] for a in given[:states]), *(a[k][:length] for a in given[states:])], outer, opsets)
        rest = [np.concatenate([a, np.zeros((steps - length, *a.shape[1:]), a.dtype)]) for a in made[states:]]
        entries.append([*made[:states], *rest])
    return [np.stack(values) for values in zip(*entries, strict=True)]


def _scan(proto: onnx.NodeProto, inputs: Given, outer: Mapping[str, Array], opsets: tuple[str, ...]) -> list[Array]:
    attributes = {
        a.name: onnx.helper.get_attribute_value(a) for a in proto.attribute if a.type != onnx.AttributeProto.GRAPH
    }
    scanned = int(attributes["num_scan_inputs"])
    given = [a for a in inputs if a is not None]
    carried, sequences = given[: len(given) - scanned], given[len(given) - scanned :]
    body = Body(_graph_of(proto, "body"), outer, opsets, proto.name, 0, 0, len(carried))
    names = body.graph.outputs[len(carried) :]
    sides, axes = (attributes.get(f"scan_input_{k}") or [0] * scanned for k in ("directions", "axes"))
    out_sides, out_axes = (attributes.get(f"scan_output_{k}") or [0] * len(names) for k in ("directions", "axes"))
    moved = [
        np.moveaxis(s, axis, 0)[:: -1 if side else 1] for s, axis, side in zip(sequences, axes, sides, strict=True)
    ]
    if len({len(m) for m in moved}) != 1:
        raise ValueError(f"expected scanned inputs of one length, got {[len(m) for m in moved]}")
    slices = Slices(len(names), proto)
    with counted():
        for k in range(len(moved[0])):
            made = body([*carried, *(m[k] for m in moved)])
            carried = made[: len(carried)]
            slices.add(made[len(carried) :])
    ordered = [c[::-1] if side else c for c, side in zip(slices.values, out_sides, strict=True)]
    return [*carried, *(body.stacked(n, c, axis) for n, c, axis in zip(names, ordered, out_axes, strict=True))]


def evaluate_if(
    proto: onnx.NodeProto, inputs: Given, outer: Mapping[str, Array], opsets: tuple[str, ...]
) -> list[Array]:
    """Outputs of an If in whose branches are lists: the branch that is taken is a graph of ours. Raises ModelError
    where it cannot be."""
    if inputs[0] is None or inputs[0].size != 1:
        raise ValueError(
            f"expected a condition of one element, got {None if inputs[0] is None else list(inputs[0].shape)}"
        )
    branch = _graph_of(proto, "then_branch" if inputs[0].ravel()[0] else "else_branch")
    return Body(branch, outer, opsets, proto.name)([])


def repeats(proto: onnx.NodeProto) -> bool:
    """Whether a node is a loop, or one is in its subgraphs."""
    if proto.op_type in ("Loop", "Scan", "SequenceMap"):
        return True
    graphs = [g for a in proto.attribute for g in (a.g, *a.graphs)]
    return any(repeats(n) for g in graphs for n in g.node)


class Slices:
    """What the trips of a loop give to be collected, by output."""

    def __init__(self, outputs: int, proto: onnx.NodeProto) -> None:
        self.values: list[list[Array]] = [[] for _ in range(outputs)]
        self._bytes, self._what = 0, f"node {proto.name!r} ({proto.op_type})"

    def add(self, values: Arrays) -> None:
        """Raises LimitError where the trips are more work, or what is collected, and stacked at the end, is larger than
        the limits."""
        spend(TRIP, self._what)
        self._bytes += 2 * sum(a.nbytes for a in values)
        check_memory(self._bytes, f"{self._what}: what its trips give")
        for collected, value in zip(self.values, values, strict=True):
            collected.append(value)


class Body:
    """A subgraph that is evaluated again and again, with the values that it captures."""

    def __init__(
        self, proto: onnx.GraphProto, outer: Mapping[str, Array], opsets: tuple[str, ...], where: str,
        first_in: int = 0, first_out: int = 0, carried: int = 0,
    ) -> None:  # fmt: skip
        """first_in, first_out: the places of the first carried value among the inputs and outputs. carried: how many
        there are."""
        dtypes = tuple((n, int(onnx.helper.np_dtype_to_tensor_dtype(a.dtype))) for n, a in outer.items())
        body = _imported(proto.SerializeToString(deterministic=True), dtypes, opsets, where)
        self.graph, self.outer = body.graph, {n: a for n, a in outer.items() if n in body.graph.inputs}
        pairs = ((first_in + k, first_out + k) for k in range(carried))
        self._same = {o: k for k, o in pairs if body.source(o) == self.graph.inputs[k]}
        self._computed = body.giving(tuple(o for k, o in enumerate(self.graph.outputs) if k not in self._same))
        self._changing = [k for k in range(len(self.graph.inputs)) if k not in self._same.values()]
        self._run: RunBody | None = None

    def __call__(self, values: Arrays) -> list[Array]:
        """What it gives for its own inputs, trip after trip."""
        names = self.graph.inputs
        if self._run is None:
            fixed = {names[k]: values[k] for k in self._same.values()} | self.outer
            self._run = (body_runner() or _by_reference)(self._computed, fixed)
        made = self._run({names[k]: values[k] for k in self._changing if k < len(values)})
        return [
            values[self._same[k]] if k in self._same else np.asarray(made[o]) for k, o in enumerate(self.graph.outputs)
        ]

    def stacked(self, name: str, slices: Arrays, axis: int) -> Array:
        """Slices along a new axis."""
        if slices:
            return np.stack(slices, axis)
        t = self.graph.types[name]
        one = np.empty([d if isinstance(d, int) else 0 for d in t.shape or ()], t.dtype.numpy)
        return np.take(np.stack([one], axis), np.empty(0, np.int64), axis)


def _by_reference(graph: Graph, fixed: dict[str, Array]) -> RunBody:
    return lambda feeds: evaluate(graph, {**fixed, **feeds})


def _graph_of(proto: onnx.NodeProto, name: str) -> onnx.GraphProto:
    return next(a.g for a in proto.attribute if a.name == name)


class _Imported:
    """A subgraph as a graph of ours; the same object each time, and so are the graphs that it gives."""

    def __init__(self, graph: Graph) -> None:
        self.graph = graph
        self._sources = {n.outputs[0]: n.inputs[0] for n in graph.nodes if n.op == "Identity"}
        self._giving: dict[tuple[str, ...], Graph] = {graph.outputs: graph}

    def source(self, output: int) -> str:
        """The value that an output is, behind any Identity."""
        value = self.graph.outputs[output]
        while value in self._sources:
            value = self._sources[value]
        return value

    def giving(self, outputs: tuple[str, ...]) -> Graph:
        """The graph of some of its outputs."""
        if outputs not in self._giving:
            self._giving[outputs] = remove_dead(self.graph.with_(outputs=outputs))
        return self._giving[outputs]


@lru_cache(maxsize=64)
def _imported(data: bytes, outer: tuple[tuple[str, int], ...], opsets: tuple[str, ...], where: str) -> _Imported:
    """The graph of a subgraph, whose captured values are inputs after its own."""
    from .load import imported  # NOTE: load imports this: a graph may hold bodies, and a body is a graph

    graph = onnx.GraphProto.FromString(data)
    graph.input.extend(onnx.helper.make_tensor_value_info(n, dtype, None) for n, dtype in outer)
    imports = [onnx.helper.make_opsetid(*domain_of(o)) for o in opsets]
    try:
        return _Imported(imported(onnx.helper.make_model(graph, opset_imports=imports), f"the body of node {where!r}"))
    except ModelError as error:
        raise ModelError(f"node {where!r}: {error}") from error
