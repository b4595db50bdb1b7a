"""Float products of more terms than a chain has: kernels equal the reference at its edges, and errors stay within the
law's bound."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from test_engines import every_thread_works, isa
from test_float_products import Floats

from qglow.graph import DType, GraphBuilder, TensorType
from qglow.instructions import lower_float_product
from qglow.instructions.lower_float_product import chain_boxes
from qglow.reference import evaluate, float_product
from qglow.reference.float_product import LONGEST, chain_ranges
from qglow.runtime import InferenceSession

__all__ = ["every_thread_works", "isa"]
SHORT = 128


@pytest.fixture
def short_chains(monkeypatch: pytest.MonkeyPatch) -> None:
    """Chains of at most SHORT terms, in the reference and in lowering: their edges at sizes that are quick."""
    monkeypatch.setattr(float_product, "LONGEST", SHORT)
    monkeypatch.setattr(lower_float_product, "LONGEST", SHORT)


@pytest.mark.parametrize("k", [SHORT, SHORT + 1, 3 * SHORT + 5])
def test_matrix_products(isa: str, k: int, short_chains: None) -> None:
    f = Floats()
    x, other = f.input(2, 3, k), f.input(3, 18)
    biased = f.op("MatMul", x, f.constant(k, 18), f.constant(18))
    rows = f.op("Add", f.op("Gemm", f.input(3, k), f.constant(18, k), f.constant(18), transB=1, alpha=0.3), other)
    of_two = f.op("MatMul", x, f.input(2, k, 5))
    shared = f.op("MatMul", x, f.input(k, 5))
    turned = f.op("MatMul", f.input(4, k), f.op("Transpose", f.input(2, 9, k), perm=(0, 2, 1)))
    number = f.op("MatMul", f.input(k), f.input(k))
    chains = -(-k // SHORT)
    steps = {"float_conv2d": 6 * chains, "float_pack": 4 * chains}
    f.check(f.op("Relu", biased), f.op("Relu", rows), of_two, shared, turned, number, kinds=steps)


@pytest.mark.parametrize(
    ("size", "kernel", "attributes"),
    [
        ((1, 21, 4, 3), (3, 3), {"pads": (1, 1, 1, 1)}),  # some rows a chain
        # some columns of a row
        ((1, 47, 5, 6), (2, 4), {"pads": (1, 0, 1, 2), "strides": (2, 1), "dilations": (1, 2)}),
        ((1, SHORT + 3, 2, 3), (2, 1), {}),  # some channels of a column
        ((1, SHORT + 3, 3, 1), (1, 1), {}),
        ((1, 45, 8, 1), (4, 1), {}),  # on its side
        ((1, 2 * SHORT + 6, 3, 3), (1, 1), {"group": 2}),
        ((2, 29, 9), (5,), {"pads": (2, 2)}),
        ((1, 2, 15, 13), (13, 11), {"group": 2}),  # depthwise
    ],
)
def test_convolutions(
    isa: str, size: tuple[int, ...], kernel: tuple[int, ...], attributes: dict[str, Any], short_chains: None
) -> None:
    f = Floats()
    x = f.input(*size)
    out = 2 if attributes.get("group") else 17
    y, z = f.conv(x, out, kernel, **attributes), f.conv(x, out, kernel, bias=False, **attributes)
    f.check(f.op("Relu", y), f.op("Add", y, f.op("Abs", z)), f.op("Relu", f.op("Add", z, y)))
    assert len(chain_ranges(1, 1, f.b.constants[f.b.nodes[0].inputs[1]][0].size)) > 1


def test_transposed_convolutions(isa: str, short_chains: None) -> None:
    f = Floats()
    y = f.op("ConvTranspose", f.input(1, 47, 3, 2), f.constant(47, 3, 3, 4), f.constant(3), strides=(1, 2))
    f.check(f.op("Relu", y), kinds={"float_conv2d": 6})


def test_chains_of_the_law_s_length() -> None:
    f = Floats()
    x, line = f.input(2, LONGEST + 1), f.input(1, 1400, 3, 3)
    f.check(
        f.op("MatMul", x, f.constant(LONGEST + 1, 3)),
        f.op("MatMul", x, f.input(LONGEST + 1, 3)),
        f.conv(line, 3, (3, 3)),
    )


@pytest.mark.parametrize(
    "sizes",
    [
        (1, 1, LONGEST),
        (1, 1, LONGEST + 1),
        (3, 3, 1000),
        (2, 4, 3000),
        (3, 2, 20000),
        (200, 91, 1),
        (91, 200, 1),
        (1, 20000, 1),
    ],
)
def test_chains_are_all_of_the_terms_in_order(sizes: tuple[int, int, int]) -> None:
    flat, ranges = np.arange(np.prod(sizes)).reshape(sizes), chain_ranges(*sizes)
    assert [a for a, _ in ranges] == [0, *(b for _, b in ranges[:-1])] and ranges[-1][1] == flat.size
    assert max(b - a for a, b in ranges) <= LONGEST and (len(ranges) > 1) == (flat.size > LONGEST)
    for (first, end), box in zip(ranges, chain_boxes(*sizes), strict=True):
        assert np.array_equal(flat[box].reshape(-1), np.arange(first, end))


@pytest.mark.parametrize("k", [100_000, 4_000_000])
def test_long_inner_products_stay_within_the_bound(k: int) -> None:
    f = Floats()
    y = f.op("MatMul", f.input(1, k), f.input(k, 1))
    session = InferenceSession(f.b.build("long", f.inputs, [y]))
    rng = np.random.default_rng(0)
    for a, b in ((rng.random(k), rng.random(k)), (np.full(k, 0.1), np.ones(k))):
        x, w = a.astype(np.float32).reshape(1, k), b.astype(np.float32).reshape(k, 1)
        found = session.run(None, dict(zip(f.inputs, (x, w), strict=True)))[0]
        exact = float(np.dot(x[0].astype(np.float64), w[:, 0].astype(np.float64)))
        assert abs(float(found[0, 0]) - exact) < (LONGEST + k / LONGEST) * 2.0**-24 * exact


def test_the_reference_of_float64_has_the_same_chains() -> None:
    rng = np.random.default_rng(1)
    x, w = rng.random((2, 2 * LONGEST + 1)), rng.random((2 * LONGEST + 1, 3))
    b = GraphBuilder()
    b.types |= {"x": TensorType(DType.F64, x.shape), "w": TensorType(DType.F64, w.shape)}
    y = b.add("MatMul", ("x", "w"), TensorType(DType.F64, (2, 3)), "y")
    found = evaluate(b.build("wide", ["x", "w"], [y]), {"x": x, "w": w})[y]
    parts = [np.cumsum(x[:, a:b, None] * w[None, a:b], 1)[:, -1] for a, b in chain_ranges(1, 1, len(w))]
    assert np.array_equal(found, (parts[0] + parts[1]) + parts[2])
