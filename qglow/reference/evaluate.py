"""Walk a graph and compute every value: the law that the compiled engines are held against, and (fast) the calibration
engine."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from math import isqrt

import numpy as np

from ..errors import LimitError, ModelError, QGlowError
from ..fallback import fallback_ops
from ..float_mode import in_usual_mode
from ..graph import Array, Graph, Node
from ..graph.epilogue import is_fused, parts
from ..graph.select_op import Uses, has_branches, side, truth, walk
from ..limits import ELEMENTS, check_memory, is_counted, spend
from ..ops import FROM_DATA, OPS
from ..ops.control import ONNX
from ..ops.traits import SEVERAL_ROUNDINGS, WEIGHTED
from .float_table import FLOAT, strict_meaning
from .growing import bytes_made
from .integer_table import INTEGER

Keep = Callable[[str, Array], None]
Compute = Callable[[list[Array | None]], list[Array]]


@in_usual_mode
def evaluate(
    graph: Graph, feeds: Mapping[str, Array], *, keep: Keep | None = None, fast: bool = False
) -> dict[str, Array]:
    """Outputs of the graph by name. `keep` is called with every input and every value as it is produced, sequences left
    out.

    fast: float products in the order of BLAS instead of the law's, several times as quick: for calibration and
    signal-to-noise ratios, which do not hang on last bits. Values are freed after their last use, so that memory is
    bounded by the widest cut of the graph. Of a Select the side that is not taken is not computed. Raises ModelError,
    naming the node, where a node cannot be evaluated on what it is given.
    """
    if has_branches(graph):
        return _evaluate_needed(graph, feeds, keep, fast)
    last, live = _last_uses(graph), 0
    values: dict[str, Array] = {**graph.constants, **feeds}
    if keep is not None:
        for name in graph.inputs:
            if name in feeds:
                keep(name, values[name])
    for index, node in enumerate(graph.nodes):
        results = evaluate_node(graph, node, [values[i] if i else None for i in node.inputs], fast, live)
        for name, array in zip(node.outputs, results, strict=False):
            if name:
                values[name] = array
                live += _own_bytes(array)
                if keep is not None and isinstance(array, np.ndarray):
                    keep(name, array)
        for name in last.get(index, ()):
            live -= _own_bytes(values.pop(name, None)) if name not in feeds else 0
    return {name: values[name] for name in graph.outputs}


def _own_bytes(value: object) -> int:
    """Bytes of an array that holds its own elements; 0 of a view."""
    return value.nbytes if isinstance(value, np.ndarray) and value.base is None else 0


def _evaluate_needed(graph: Graph, feeds: Mapping[str, Array], keep: Keep | None, fast: bool) -> dict[str, Array]:
    """`evaluate` of a graph with branches: what the outputs need, and nothing else."""
    values: dict[str, Array] = {**graph.constants, **feeds}
    uses, live = Uses(graph), 0

    def compute(node: Node) -> None:
        nonlocal live
        results = evaluate_node(graph, node, [values.get(i) for i in node.inputs], fast, live)
        for name, array in zip(node.outputs, results, strict=False):
            if name:
                values[name] = array
                live += _own_bytes(array)
                if keep is not None and isinstance(array, np.ndarray):
                    keep(name, array)
        for name in uses.after(node):
            if name not in graph.constants and name in values:
                live -= _own_bytes(values.pop(name)) if name not in feeds else 0

    def taken(node: Node) -> list[str]:
        try:
            return [side(node, truth(values[node.inputs[0]]))]
        except ValueError as error:
            raise ModelError(f"node {node.name!r} ({node.operator}): {error}") from error

    if keep is not None:
        for name in graph.inputs:
            if name in feeds:
                keep(name, values[name])
    walk(graph.outputs, graph.producers(), compute, taken, values)
    return {name: values[name] for name in graph.outputs}


@in_usual_mode
def evaluate_node(
    graph: Graph, node: Node, inputs: list[Array | None], fast: bool = False, live: int = 0
) -> list[Array]:
    """The outputs of one node. fast: see `evaluate`. live: bytes that are kept meanwhile. Raises LimitError, before
    anything is computed, where the outputs with these are beyond the limit of memory. Raises ModelError, naming the
    node, where it cannot be evaluated."""
    with np.errstate(all="ignore"):
        return _results(node, inputs, _meaning(graph, node, inputs, fast, live))


def bind_node(graph: Graph, node: Node, inputs: list[Array | None], fast: bool = False) -> Callable[[], list[Array]]:
    """`evaluate_node` of the same arrays each time, whose elements change: what follows from their shapes and dtypes is
    found once. The caller sees to the usual mode, and to numpy's warnings."""
    row = OPS.get(node.op)
    sizes = FROM_DATA if row is None else row.sized_by
    if sizes == FROM_DATA or any(node.input(k) and node.inputs[k] not in graph.constants for k in sizes):
        return partial(evaluate_node, graph, node, inputs, fast)
    return partial(_results, node, inputs, _meaning(graph, node, inputs, fast, 0))


def _meaning(graph: Graph, node: Node, inputs: list[Array | None], fast: bool, live: int) -> Compute:
    """What a node does with inputs of these shapes and dtypes, once there is memory for what it makes."""
    try:
        check_memory(
            live + bytes_made(node, inputs), f"node {node.name!r} ({node.operator}): its output, with what is kept,"
        )
        return _function(graph, node, inputs, fast)
    except QGlowError:
        raise
    except Exception as error:
        raise _refused(node, inputs, error) from error


def _results(node: Node, inputs: list[Array | None], compute: Compute) -> list[Array]:
    try:
        results = [np.asarray(a) if isinstance(a, np.generic) else a for a in compute(inputs)]
    except QGlowError:
        raise
    except Exception as error:
        raise _refused(node, inputs, error) from error
    if is_counted():
        spend(1 + _work(node, inputs, results) // ELEMENTS, f"node {node.name!r} ({node.operator})")
    if any(node.outputs[len(results) :]):
        raise ModelError(
            f"node {node.name!r} ({node.operator}): output {node.outputs[len(results)]!r} is not supported"
        )
    return results


def _refused(node: Node, inputs: list[Array | None], error: Exception) -> QGlowError:
    """The error that names the node."""
    if isinstance(error, MemoryError):
        return LimitError(f"node {node.name!r} ({node.operator}): there is not enough memory for its output")
    if isinstance(error, KeyError):
        return ModelError(f"node {node.name!r}: op {node.operator} has no meaning here (missing {error})")
    shapes = [tuple(a.shape) if isinstance(a, np.ndarray) else None for a in inputs]
    return ModelError(f"node {node.name!r} ({node.operator}) cannot be evaluated on inputs of shapes {shapes}: {error}")


def _work(node: Node, inputs: list[Array | None], results: list[Array]) -> int:
    """Elements that are written, and products: of a matrix product they are the root of the three sizes' product. What
    is no op of ours may be one."""
    written = sum(a.size for a in results if isinstance(a, np.ndarray))
    if node.op in OPS and not node.has(WEIGHTED) and node.op != ONNX:
        return written
    sizes = [a.size for a in inputs[:2] if isinstance(a, np.ndarray)]
    return written + (isqrt(sizes[0] * sizes[1] * written) if len(sizes) == 2 and written != max(sizes) else 0)


def _function(graph: Graph, node: Node, inputs: list[Array | None], fast: bool) -> Compute:
    if is_fused(node):
        return partial(_evaluate_parts, graph, node, fast)
    if is_quantized(graph, node):
        types = [graph.types[i] if i else None for i in node.inputs]
        made = [graph.types[o if o else node.outputs[0]] for o in node.outputs]
        return lambda given, law=INTEGER[node.op]: law(node, given, types, made)  # type: ignore[misc]
    if node.op not in FLOAT:
        return partial(fallback_ops().evaluate, node)
    halves = node.has(SEVERAL_ROUNDINGS) and any(a is not None and a.dtype == np.float16 for a in inputs)
    given = _widened(inputs) if halves else inputs
    law = FLOAT[node.op] if fast else strict_meaning(node.op, given)
    return partial(_in_single, law, node) if halves else partial(law, node)


def _widened(inputs: list[Array | None]) -> list[Array | None]:
    return [a.astype(np.float32) if a is not None and a.dtype == np.float16 else a for a in inputs]


def _in_single(law: Callable[..., list[Array]], node: Node, inputs: list[Array | None]) -> list[Array]:
    """float16 computed as float32, and rounded once."""
    return [a.astype(np.float16) if a.dtype == np.float32 else a for a in law(node, _widened(inputs))]


def _evaluate_parts(graph: Graph, node: Node, fast: bool, inputs: list[Array | None]) -> list[Array]:
    """A fused node means its parts, one after the other."""
    apart, between = parts(node, graph.types)
    graph, results = graph.with_(types={**graph.types, **between}), list[Array]()
    values = dict(zip(node.inputs, inputs, strict=True))
    for part in apart:
        given = [values[i] if i else None for i in part.inputs]
        results = _function(graph, part, given, fast)(given)
        values[part.outputs[0]] = results[0]
    return results


def is_quantized(graph: Graph, node: Node) -> bool:
    """Whether the node has its integer meaning: some value that it reads or writes carries quantization parameters."""
    return any(v and graph.types[v].is_quantized for v in (*node.inputs, *node.outputs))


def _last_uses(graph: Graph) -> dict[int, list[str]]:
    """For each node's index, the values that nothing reads after it."""
    last: dict[str, int] = {}
    for index, node in enumerate(graph.nodes):
        for name in (*node.inputs, *node.outputs):
            if name:
                last[name] = index
    held = set(graph.outputs) | set(graph.constants)
    frees: dict[int, list[str]] = {}
    for name, index in last.items():
        if name not in held:
            frees.setdefault(index, []).append(name)
    return frees
