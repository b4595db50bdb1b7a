"""What QGLOW_VERIFY holds of a stage's graph beyond its invariants: its text, its types, and the meaning that a pass
must keep.

1. Level 2: the printed graph parses back to the same text.
2. Level 2: where shapes are static, the shape of every value is what its node makes of its inputs.
3. Level 3: on random inputs, a pass keeps every value that it leaves, and every output, to float precision.
"""

from __future__ import annotations

import numpy as np

from .errors import VerifyError
from .graph import Array, DType, Graph
from .graph.text import parse_graph, print_graph, print_type
from .graph.verify import show
from .reference import evaluate, retype

RELATIVE = 1e-4  # a few hundred float32 roundings, relative to the norm of a tensor


def check_text(graph: Graph, stage: str) -> None:
    text = print_graph(graph)
    again = print_graph(parse_graph(text, graph.constants))
    if again != text:
        pairs = zip(text.splitlines(), again.splitlines(), strict=False)
        line, got = next((p for p in pairs if p[0] != p[1]), ("the same number of lines", "another"))
        raise VerifyError(f"stage {stage}: the text does not parse back equal: expected {line!r}, got {got!r}")


def check_types(graph: Graph, stage: str) -> None:
    if not all(graph.types[i].is_static for i in graph.inputs):
        return
    made = retype(graph, {i: graph.types[i].static_shape for i in graph.inputs}, partly=True)
    for node in graph.nodes:
        for o in node.outputs:
            if not o or o not in made.types:
                continue
            want, got = made.types[o], graph.types[o]
            if got.shape is not None and want.shape is not None and not _agree(got.shape, want.shape):
                said = f"expected {print_type(want)} for {o!r}, got {print_type(got)}"
                raise VerifyError(f"stage {stage}: {show(node, graph)}: {said}")


def _agree(a: tuple[int | str, ...], b: tuple[int | str, ...]) -> bool:
    return len(a) == len(b) and all(
        x == y for x, y in zip(a, b, strict=True) if isinstance(x, int) and isinstance(y, int)
    )


def check_meaning(before: Graph, after: Graph, name: str, seed: int = 0) -> None:
    """Raises VerifyError, with the pass `name` and the first node whose value differs, where a pass changed what is
    computed."""
    feeds = random_feeds(before, seed)
    want: dict[str, Array] = {}
    got: dict[str, Array] = {}
    try:
        evaluate(before, feeds, keep=want.__setitem__, fast=True)
    except Exception:  # NOTE: an input that random numbers cannot stand for, a length or an index say
        return
    try:
        evaluate(after, feeds, keep=got.__setitem__, fast=True)
    except Exception as error:
        raise VerifyError(f"pass {name}: what it made cannot be evaluated: {type(error).__name__}: {error}") from error
    got |= {o: after.constants[o] for o in after.outputs if o in after.constants}
    missing = [o for o in before.outputs if o not in got]
    if missing:
        raise VerifyError(f"pass {name}: expected outputs {list(before.outputs)}, got none of {missing}")
    producers = after.producers()
    for value, array in got.items():
        if value in want and (fault := _difference(want[value], array)):
            where = show(producers[value], after) if value in producers else f"value {value!r}"
            raise VerifyError(f"pass {name}: {where}: {value!r} differs: {fault}")


def random_feeds(graph: Graph, seed: int = 0, size: int = 2) -> dict[str, Array]:
    """Normal noise for float inputs, small whole numbers for others; `size` for symbolic dimensions."""
    rng = np.random.default_rng(seed)
    feeds = {}
    for name in graph.inputs:
        t = graph.types[name]
        shape = tuple(d if isinstance(d, int) else size for d in t.shape or ())
        dtype = np.dtype(np.float32) if t.dtype is DType.STRING else t.dtype.numpy
        feeds[name] = (
            rng.normal(0, 1, shape).astype(dtype) if t.dtype.is_float else rng.integers(0, 3, shape).astype(dtype)
        )
    return feeds


def _difference(want: Array, got: Array) -> str | None:
    if want.shape != got.shape or want.dtype != got.dtype:
        return f"expected {want.dtype}{list(want.shape)}, got {got.dtype}{list(got.shape)}"
    if want.dtype.kind != "f":
        return None if np.array_equal(want, got) else "expected the same values, got others"
    finite = np.isfinite(want)
    if not np.array_equal(finite, np.isfinite(got)):
        return "expected the same values to be finite, got others"
    a, b = want[finite].astype(np.float64), got[finite].astype(np.float64)
    error, norm = float(np.linalg.norm(a - b)), float(np.linalg.norm(a))
    if error <= RELATIVE * norm + 1e-6 * np.sqrt(a.size):
        return None
    k = int(np.argmax(np.abs(a - b)))
    return f"expected {a[k]:.7g}, got {b[k]:.7g} at the worst place; error {error:.3g} of norm {norm:.3g}"
