"""Softmax, layer normalization and products of two tensors: lengths around every vector edge."""

from __future__ import annotations

import numpy as np
import pytest
from test_engines import RNG, Small, every_thread_works, isa, u8

from qglow.graph import TensorType
from qglow.graph.types import DType
from qglow.reference.integer_mean import exponent_table

__all__ = ["every_thread_works", "isa"]
LENGTHS = [1, 2, 15, 31, 32, 33, 63, 64, 65, 127, 128, 197, 300]


@pytest.mark.parametrize("length", LENGTHS)
def test_softmax(isa: str, length: int) -> None:
    s = Small(u8(2, 5, length, scale=0.03), u8(7, length, scale=2.0, zero=3))
    outputs = []
    for x, scale in (("x0", 1 / 255), ("x1", 1e-7)):
        table = s.b.add_constant("t", exponent_table(s.b.types[x].quant.s), TensorType(DType.I32, (256,)))
        outputs.append(
            s.b.add("QSoftmax", (x, table), u8(*s.b.types[x].static_shape, scale=scale, zero=0), "s", axis=-1)
        )
    s.check(*outputs)


@pytest.mark.parametrize("length", LENGTHS)
def test_layer_normalization(isa: str, length: int) -> None:
    s = Small(u8(3, 4, length))
    g, b = (s.b.add_constant("c", RNG.normal(0, 30, length).astype(np.float32)) for _ in range(2))
    s.check(s.b.add("QLayerNormalization", ("x0", g, b), u8(3, 4, length, zero=128), "n", axis=-1, epsilon=1e-5))


@pytest.mark.parametrize(("m", "k", "n"), [(1, 1, 1), (3, 4, 16), (5, 7, 17), (16, 32, 33), (65, 64, 40), (2, 130, 64)])
@pytest.mark.parametrize("turned", [False, True])
def test_products_of_two_tensors(isa: str, m: int, k: int, n: int, turned: bool) -> None:
    """As attention has them: heads are parts of a row, and the second operand comes in either order."""
    s = Small(u8(1, m, 3 * k), u8(1, k, 3 * n, zero=128) if turned else u8(1, n, 3 * k, zero=128))
    a = heads(s, "x0", m, k, (0, 2, 1, 3))
    b = heads(s, "x1", k, n, (0, 2, 1, 3)) if turned else heads(s, "x1", n, k, (0, 2, 3, 1))
    y = s.b.add("MatMul", (a, b), u8(1, 3, m, n, scale=0.9), "product")
    y = s.b.add("Transpose", (y,), u8(1, m, 3, n, scale=0.9), "t", perm=(0, 2, 1, 3))
    shape = s.b.add_constant("shape", np.array([1, m, 3 * n], np.int64))
    s.check(s.b.add("Reshape", (y, shape), u8(1, m, 3 * n, scale=0.9), "r"))


def heads(s: Small, x: str, rows: int, width: int, perm: tuple[int, ...]) -> str:
    t = s.b.types[x]
    shape = s.b.add_constant("shape", np.array([1, rows, 3, width], np.int64))
    y = s.b.add("Reshape", (x, shape), TensorType(t.dtype, (1, rows, 3, width), t.quant), "r")
    turned = tuple((1, rows, 3, width)[p] for p in perm)
    return s.b.add("Transpose", (y,), TensorType(t.dtype, turned, t.quant), "t", perm=perm)
