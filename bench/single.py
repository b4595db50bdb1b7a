"""One operator as an ONNX model of its own: float for qglow to quantize, and already quantized for a peer."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper


@dataclass(frozen=True, slots=True)
class Gemm:
    """[m, k] times constant [k, n]."""

    m: int
    n: int
    k: int

    def __str__(self) -> str:
        return f"{self.m}x{self.n}x{self.k}"

    @property
    def ops(self) -> int:
        return 2 * self.m * self.n * self.k

    @property
    def moved(self) -> int:
        """Bytes of both operands and the result."""
        return self.m * self.k + self.k * self.n + self.m * self.n

    def model(self, quantized: bool) -> onnx.ModelProto:
        return _model("MatMul", [self.m, self.k], (self.k, self.n), 1, self.k, [self.m, self.n], quantized)


@dataclass(frozen=True, slots=True)
class Conv:
    """A padded square convolution of one picture. size: of the input."""

    size: int
    inputs: int
    outputs: int
    kernel: int = 1
    stride: int = 1
    groups: int = 1

    def __str__(self) -> str:
        tail = f" s{self.stride}" if self.stride > 1 else ""
        return f"{self.size}^2 {self.inputs}>{self.outputs} k{self.kernel}{tail}" + (
            f" g{self.groups}" if self.groups > 1 else ""
        )

    @property
    def out(self) -> int:
        return (self.size + 2 * (self.kernel // 2) - self.kernel) // self.stride + 1

    @property
    def fan(self) -> int:
        return self.inputs // self.groups * self.kernel**2

    @property
    def ops(self) -> int:
        return 2 * self.out**2 * self.outputs * self.fan

    @property
    def moved(self) -> int:
        """Bytes of the picture, the weights and the result."""
        return self.size**2 * self.inputs + self.outputs * self.fan + self.out**2 * self.outputs

    def model(self, quantized: bool) -> onnx.ModelProto:
        w = (self.outputs, self.inputs // self.groups, self.kernel, self.kernel)
        settings = {
            "kernel_shape": [self.kernel] * 2,
            "strides": [self.stride] * 2,
            "pads": [self.kernel // 2] * 4,
            "group": self.groups,
        }
        shapes = [1, self.inputs, self.size, self.size], [1, self.outputs, self.out, self.out]
        return _model("Conv", shapes[0], w, 0, self.fan, shapes[1], quantized, **settings)


Operator = Gemm | Conv


def _model(
    op: str, x: list[int], w: tuple[int, ...], axis: int, fan: int, y: list[int], quantized: bool, **settings: object
) -> onnx.ModelProto:
    """Float x -> op -> float y; quantized: u8 x, s8 weights per channel and u8 y between, with scales that use the
    range of the result."""
    rng = np.random.default_rng(0)
    weights = rng.integers(-127, 128, w, np.int8)
    scales = rng.uniform(0.5e-2, 1.5e-2, w[axis]).astype(np.float32)
    if quantized:
        nodes, constants = _quantized(op, settings, axis)
        constants |= {"w": weights, "w_scale": scales, "w_zero": np.zeros(w[axis], np.int8)}
        constants["y_scale"] = np.float32(0.01 * 74 * fan**0.5 / 40)
    else:
        nodes = [helper.make_node(op, ["x", "w"], ["y"], op, **settings)]
        constants = {"w": weights * scales.reshape([-1 if k == axis else 1 for k in range(len(w))])}
    graph = helper.make_graph(
        nodes, op, [helper.make_tensor_value_info("x", TensorProto.FLOAT, x)],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, y)],
        [numpy_helper.from_array(np.asarray(a), n) for n, a in constants.items()],
    )  # fmt: skip
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)


def _quantized(op: str, settings: dict[str, object], axis: int) -> tuple[list[onnx.NodeProto], dict[str, np.ndarray]]:
    steps = [
        ("QuantizeLinear", ["x", "x_scale", "zero"], ["xq"], {}),
        ("DequantizeLinear", ["xq", "x_scale", "zero"], ["xf"], {}),
        ("DequantizeLinear", ["w", "w_scale", "w_zero"], ["wf"], {"axis": axis}),
        (op, ["xf", "wf"], ["yf"], settings),
        ("QuantizeLinear", ["yf", "y_scale", "zero"], ["yq"], {}),
        ("DequantizeLinear", ["yq", "y_scale", "zero"], ["y"], {}),
    ]
    nodes = [helper.make_node(o, i, y, f"{o}_{k}", **s) for k, (o, i, y, s) in enumerate(steps)]
    return nodes, {"x_scale": np.asarray(np.float32(0.03)), "zero": np.asarray(np.uint8(128))}
