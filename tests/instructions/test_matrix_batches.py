"""Products of two tensors with whatever batches, vectors and broadcasting numpy's matmul knows: compiled, and equal to
the reference."""

from __future__ import annotations

import numpy as np
import pytest

from qglow import InferenceSession
from qglow.graph import DType, Graph, GraphBuilder, Quant, TensorType
from qglow.instructions.lower import lower
from qglow.instructions.program import HostCall
from qglow.reference import evaluate

Shape = tuple[int, ...]
SHAPES: list[tuple[Shape, Shape]] = [
    ((2, 3, 5, 4), (2, 3, 4, 6)), ((3, 2, 5, 4), (1, 1, 4, 6)), ((1, 1, 5, 4), (3, 2, 4, 6)), ((5, 4), (3, 4, 6)),
    ((3, 5, 4), (4, 6)),
    ((2, 1, 5, 4), (1, 3, 4, 6)), ((1, 3, 5, 4), (2, 1, 4, 6)), ((2, 1, 5, 4), (2, 3, 4, 6)), ((4,), (4, 6)),
    ((3, 5, 4), (4,)),
    ((4,), (4,)), ((2, 4), (3, 2, 4, 6)), ((4,), (2, 4, 6)), ((2, 3, 5, 1), (2, 3, 1, 6)), ((2, 3, 1, 4), (2, 3, 4, 1)),
    ((2, 2, 2, 2, 3, 4), (2, 2, 2, 2, 4, 3)),
    ((2, 1, 2, 1, 3, 4), (1, 2, 1, 2, 4, 3)), ((70, 1, 3, 4), (70, 2, 4, 3)), ((1, 70, 3, 4), (2, 70, 4, 3)),
]  # fmt: skip


def product(a: Shape, b: Shape, kind: DType, turned: bool, out: DType | None = None) -> Graph:
    """a @ b; turned: both come from a transposition, and one follows, as around attention. out: the kind of the
    product."""
    g, out = GraphBuilder(), out or kind

    def typed(kind: DType, *shape: int, zero: int = 128) -> TensorType:
        return TensorType(kind, shape, Quant.per_tensor(0.02, zero) if kind is DType.U8 else None)

    def order(rank: int) -> list[int]:
        return [0, 2, 1, 3] if rank == 4 and turned else list(range(rank))

    inputs = []
    for name, shape, zero in (("a", a, 90), ("b", b, 128)):
        stored = [shape[k] for k in order(len(shape))]
        g.types[name] = typed(kind, *stored, zero=zero)
        inputs.append(
            g.add("Transpose", (name,), typed(kind, *shape, zero=zero), f"{name}t", perm=tuple(order(len(shape))))
        )
    shape = np.matmul(np.zeros(a), np.zeros(b)).shape
    y = g.add("MatMul", inputs, typed(out, *shape, zero=100), "y")
    moved = [shape[k] for k in order(len(shape))]
    z = g.add("Transpose", (y,), typed(out, *moved, zero=100), "z", perm=tuple(order(len(shape))))
    return g.build("product", ("a", "b"), (z,))


@pytest.mark.parametrize("turned", [False, True])
@pytest.mark.parametrize(("a", "b"), SHAPES, ids=str)
def test_products_are_native_and_exact(a: Shape, b: Shape, turned: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("QGLOW_VERIFY", "2")
    rng = np.random.default_rng(0)
    for kind, out in ((DType.U8, DType.U8), (DType.U8, DType.F32), (DType.F32, DType.F32)):
        graph = product(a, b, kind, turned, out)
        assert not any(isinstance(s, HostCall) for s in lower(graph, "generic").steps)
        noise = {n: rng.normal(0, 1, graph.types[n].static_shape) for n in graph.inputs}
        feeds = {
            n: v.astype(np.float32) if kind is DType.F32 else (v * 40 + 128).clip(0, 255).astype(np.uint8)
            for n, v in noise.items()
        }
        want = evaluate(graph, feeds)["z"]
        for threads in (1, 2):
            assert np.array_equal(InferenceSession(graph, threads).run(None, feeds)[0], want)


@pytest.mark.parametrize("zero", [0, 127, 255])
def test_a_second_operand_of_any_zero_point(zero: int) -> None:
    graph = product((2, 3, 5, 4), (2, 3, 4, 6), DType.U8, False)
    types = {
        **graph.types,
        **{n: TensorType(DType.U8, graph.types[n].shape, Quant.per_tensor(0.02, zero)) for n in ("b", "bt")},
    }
    graph = graph.with_(types=types)
    feeds = {
        n: np.random.default_rng(1).integers(0, 256, graph.types[n].static_shape).astype(np.uint8) for n in graph.inputs
    }
    assert not any(isinstance(s, HostCall) for s in lower(graph, "generic").steps)
    assert np.array_equal(InferenceSession(graph, 1).run(None, feeds)[0], evaluate(graph, feeds)["z"])
