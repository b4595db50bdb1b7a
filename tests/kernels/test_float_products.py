"""Float products: the bits of the law (reference/float_product.py) on every instruction set, around tile edges, on one
to three threads."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from test_engines import every_thread_works, isa

from qglow.graph import DType, GraphBuilder, Node, TensorType
from qglow.instructions.program import Instruction
from qglow.reference import FLOAT, evaluate
from qglow.runtime import InferenceSession
from qglow.runtime.native import NativePlan, Segment
from qglow.runtime.step_profile import plan_of

__all__ = ["every_thread_works", "isa"]
RNG = np.random.default_rng(0)


class Floats:
    """A graph of float ops; shapes are found by evaluating on zeros."""

    def __init__(self) -> None:
        self.b, self.inputs = GraphBuilder(), list[str]()

    def input(self, *shape: int) -> str:
        self.inputs.append(self.b.fresh("x"))
        self.b.types[self.inputs[-1]] = TensorType(DType.F32, shape)
        return self.inputs[-1]

    def constant(self, *shape: int) -> str:
        return self.b.add_constant("w", RNG.normal(0, 1, shape).astype(np.float32))

    def op(self, op: str, *inputs: str, **attributes: Any) -> str:
        zeros = [
            self.b.constants[i] if i in self.b.constants else np.zeros(self.b.types[i].static_shape, np.float32)
            for i in inputs
        ]
        made = FLOAT[op](Node(op, inputs, ("y",), attributes, "n"), list(zeros))[0]
        return self.b.add(op, inputs, TensorType(DType.F32, made.shape), op.lower(), **attributes)

    def conv(
        self, x: str, out: int, kernel: tuple[int, ...], group: int = 1, bias: bool = True, **attributes: Any
    ) -> str:
        w = self.constant(out, self.b.types[x].static_shape[1] // group, *kernel)
        return self.op("Conv", x, w, *([self.constant(out)] if bias else []), group=group, **attributes)

    def check(self, *outputs: str, kinds: dict[str, int] | None = None) -> None:
        graph = self.b.build("floats", self.inputs, outputs)
        feeds = {n: RNG.normal(0, 1, self.b.types[n].static_shape).astype(np.float32) for n in self.inputs}
        expected = evaluate(graph, feeds)
        for threads in (1, 2, 3):
            session = InferenceSession(graph, threads)
            for _ in range(2):
                for name, y in zip(outputs, session.run(None, feeds), strict=True):
                    assert np.array_equal(y, expected[name]), f"{name} differs on {threads} threads"
            plan = plan_of(session, feeds)
            assert isinstance(plan, NativePlan) and all(isinstance(s, Segment) for s in plan._steps)
        steps = [s.kind for s in plan.program.steps if isinstance(s, Instruction)]
        for kind, count in (kinds or {}).items():
            assert steps.count(kind) == count, f"{kind}: expected {count}, got {steps}"


@pytest.mark.parametrize("channels", [1, 3, 16, 33])
@pytest.mark.parametrize("out", [1, 8, 15, 16, 17, 31, 32, 33, 70])
def test_pointwise_convolutions(isa: str, channels: int, out: int) -> None:
    f = Floats()
    f.check(f.conv(f.input(2, channels, 3, 5), out, (1, 1)))


@pytest.mark.parametrize("width", [1, 2, 3, 5, 6, 7, 10, 13, 14, 15, 24, 25, 29])
def test_every_row_width(isa: str, width: int) -> None:
    f = Floats()
    x = f.input(1, 6, 4, width)
    f.check(f.conv(x, 20, (3, 3), pads=(1, 1, 1, 1)), f.conv(x, 9, (3, 3), pads=(1, 1, 1, 1), bias=False))


@pytest.mark.parametrize(
    ("kernel", "attributes"),
    [
        ((3, 3), {"strides": (2, 2), "pads": (1, 1, 1, 1)}),
        ((7, 7), {"strides": (2, 2), "pads": (3, 3, 3, 3)}),
        ((3, 3), {"dilations": (2, 2), "pads": (2, 2, 2, 2)}),
        ((1, 5), {"pads": (0, 2, 0, 2)}),
        ((5, 1), {"pads": (3, 0, 1, 0), "strides": (1, 2)}),
        ((2, 2), {"pads": (0, 0, 1, 1)}),
        ((3, 3), {"group": 3, "pads": (1, 1, 1, 1)}),
    ],
)
def test_convolution_geometry(isa: str, kernel: tuple[int, int], attributes: dict[str, Any]) -> None:
    f = Floats()
    f.check(f.conv(f.input(1, 9, 10, 9), 21, kernel, **attributes))


@pytest.mark.parametrize("channels", [1, 5, 15, 16, 17, 32, 40])
@pytest.mark.parametrize("stride", [1, 2])
def test_depthwise(isa: str, channels: int, stride: int) -> None:
    f = Floats()
    y = f.conv(f.input(1, channels, 9, 11), channels, (3, 3), channels, pads=(1, 1, 1, 1), strides=(stride, stride))
    z = f.conv(y, channels, (5, 2), channels, pads=(2, 2, 2, 2), dilations=(2, 1), bias=False)
    f.check(y, f.op("Relu", z), kinds={"float_depthwise2d": 2, "float_unary": 0})


@pytest.mark.parametrize("kernel", [(2, 2), (3, 4), (1, 1)])
def test_transposed_convolutions(isa: str, kernel: tuple[int, int]) -> None:
    f = Floats()
    x, strides = f.input(1, 6, 5, 4), (2, 3)
    y = f.op("ConvTranspose", x, f.constant(6, 9, *kernel), f.constant(9), strides=strides)
    line = f.op("ConvTranspose", f.input(2, 6, 9), f.constant(6, 4, 4), strides=(2,), group=2)
    f.check(f.op("Relu", y), line)


def test_sums_and_bounds_are_folded(isa: str) -> None:
    f = Floats()
    x = f.input(1, 7, 6, 5)
    stem = f.op("Relu", f.conv(x, 20, (3, 3), pads=(1, 1, 1, 1)))
    bounds = f.b.add_constant("low", np.float32(-0.5)), f.b.add_constant("high", np.float32(6))
    inner = f.op("Clip", f.conv(stem, 20, (3, 3), pads=(1, 1, 1, 1)), *bounds)
    block = f.op("Relu", f.op("Add", f.conv(inner, 20, (1, 1)), stem))
    f.check(
        f.op("Add", stem, f.conv(block, 20, (1, 1), bias=False)),
        kinds={"float_conv2d": 4, "float_unary": 0, "float_binary": 0},
    )


def test_a_sum_whose_other_operand_comes_later_is_not_folded(isa: str) -> None:
    f = Floats()
    x = f.input(1, 7, 6, 5)
    f.check(
        f.op("Add", f.conv(x, 20, (1, 1)), f.op("Sigmoid", f.conv(x, 20, (1, 1)))),
        kinds={"float_conv2d": 2, "float_binary": 1},
    )


def test_concatenated_in_place(isa: str) -> None:
    f = Floats()
    x = f.input(1, 7, 6, 5)
    left, right = f.op("Relu", f.conv(x, 20, (1, 1))), f.conv(x, 16, (3, 3), pads=(1, 1, 1, 1))
    f.check(f.conv(f.op("Concat", left, right, axis=1), 4, (3, 3), pads=(1, 1, 1, 1)), kinds={"copy": 0})


@pytest.mark.parametrize("rows", [1, 2, 14, 15, 29])
@pytest.mark.parametrize(("k", "columns"), [(1, 5), (7, 16), (16, 33), (40, 70)])
def test_matrix_products(isa: str, rows: int, k: int, columns: int) -> None:
    f = Floats()
    x = f.input(2, rows, k)
    flat = f.op("Gemm", f.input(rows, k), f.constant(columns, k), f.constant(columns), transB=1, alpha=0.3, beta=2.0)
    of_two = f.op("MatMul", x, f.input(2, k, columns))
    turned = f.op("MatMul", x, f.op("Transpose", f.input(2, columns, k), perm=(0, 2, 1)))
    biased = f.op("MatMul", x, f.constant(k, columns), f.constant(columns))
    f.check(f.op("Relu", f.op("MatMul", x, f.constant(k, columns))), biased, flat, of_two, turned)
