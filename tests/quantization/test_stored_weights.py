"""Weights of a model that came quantized: its own integers with their zero points, to the bits that onnxruntime
computes from them."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
import onnxruntime as ort
import pytest
from onnx import TensorProto, helper, numpy_helper

import qglow
from qglow.instructions.interpret import run_program
from qglow.instructions.lower import lower
from qglow.instructions.program import HostCall
from qglow.instructions.verify import verify_program
from qglow.reference import evaluate, retype
from qglow.runtime.step_profile import host_steps

Array = np.ndarray
RNG = np.random.default_rng(0)
POOL = {"x_s": np.float32(0.02), "x_z": np.uint8(77), "y_s": np.float32(0.5), "y_z": np.uint8(100)}


def model(
    nodes: list[onnx.NodeProto],
    shape: tuple[int, ...],
    out: int,
    constants: dict[str, Any],
    kind: int = TensorProto.UINT8,
) -> onnx.ModelProto:
    inputs = [helper.make_tensor_value_info("x", kind, shape)]
    outputs = [helper.make_tensor_value_info("y", kind, [f"y{k}" for k in range(out)])]
    stored = [numpy_helper.from_array(np.asarray(a), n) for n, a in (POOL | constants).items()]
    return helper.make_model(
        helper.make_graph(nodes, "g", inputs, outputs, stored),
        opset_imports=[helper.make_opsetid("", 19)],
        ir_version=9,
    )


def oracle(proto: onnx.ModelProto, x: Array) -> Array:
    options = ort.SessionOptions()
    options.log_severity_level, options.graph_optimization_level = 4, ort.GraphOptimizationLevel.ORT_DISABLE_ALL
    return ort.InferenceSession(proto.SerializeToString(), options, providers=["CPUExecutionProvider"]).run(
        None, {"x": x}
    )[0]


def all_engines(proto: onnx.ModelProto, x: Array, host: bool = False) -> tuple[qglow.Bundle, Array]:
    """The answer, on which reference, program and session agree; with no host step but those at the graph's own
    ends."""
    bundle = qglow.quantize(proto, check=False)
    want = evaluate(bundle.graph, {"x": x})["y"]
    program = verify_program(lower(retype(bundle.graph, {"x": x.shape}), "avx512_vnni"))
    assert host or {s.node.op for s in program.steps if isinstance(s, HostCall)} <= {
        "QuantizeLinear",
        "DequantizeLinear",
    }
    assert np.array_equal(run_program(program, {"x": x})["y"], want)
    assert np.array_equal(qglow.InferenceSession(bundle, 2).run(None, {"x": x})[0], want)
    return bundle, want


def pixels(*shape: int) -> Array:
    return RNG.integers(0, 256, shape).astype(np.uint8)


CONVS: list[tuple[tuple[int, ...], tuple[int, ...], dict[str, Any]]] = [
    ((8, 3, 3, 3), (1, 3, 9, 9), {"pads": [1, 1, 1, 1]}),
    ((8, 4, 3, 3), (2, 8, 9, 9), {"group": 2, "pads": [1, 1, 1, 1], "strides": [2, 2]}),
    ((8, 1, 3, 3), (1, 8, 7, 7), {"group": 8, "pads": [1, 0, 1, 2]}),
    ((16, 8, 1, 1), (1, 8, 6, 6), {}),
    ((4, 3, 5), (2, 3, 20), {"pads": [2, 2], "dilations": [2]}),
]


@pytest.mark.parametrize("zero", [0, 1, 90, 128, 255])
@pytest.mark.parametrize("kind", [np.uint8, np.int8])
def test_convolutions(zero: int, kind: type) -> None:
    """Extreme integers among them; a zero point of 0 takes differences of up to 255."""
    for w_shape, shape, attributes in CONVS:
        w = RNG.integers(0, 256, w_shape)
        w.reshape(-1)[:2] = 0, 255
        shift = 128 if kind is np.int8 else 0
        constants = {
            "w": (w - shift).astype(kind),
            "w_s": np.float32(0.01),
            "w_z": kind(zero - shift),
            "b": RNG.integers(-3000, 3000, w_shape[0]).astype(np.int32),
        }
        node = helper.make_node(
            "QLinearConv", ["x", "x_s", "x_z", "w", "w_s", "w_z", "y_s", "y_z", "b"], ["y"], **attributes
        )
        proto, x = model([node], shape, len(shape), constants), pixels(*shape)
        bundle, got = all_engines(proto, x)
        assert np.array_equal(got, oracle(proto, x))
        (conv,) = (n for n in bundle.graph.nodes if n.op == "Conv")
        kept, q = bundle.graph.constants[conv.inputs[1]], bundle.graph.types[conv.inputs[1]].quant
        assert q is not None and np.array_equal(kept.astype(int) - q.zero_point[0], w - zero)


@pytest.mark.parametrize("zero", [0, 90, 200])
@pytest.mark.parametrize("shape", [(5, 24), (3, 5, 24)])
def test_matrix_products(zero: int, shape: tuple[int, ...]) -> None:
    constants = {"w": pixels(24, 10), "w_s": np.float32(0.01), "w_z": np.uint8(zero)}
    node = helper.make_node("QLinearMatMul", ["x", "x_s", "x_z", "w", "w_s", "w_z", "y_s", "y_z"], ["y"])
    proto, x = model([node], shape, len(shape), constants), pixels(*shape)
    assert np.array_equal(all_engines(proto, x)[1], oracle(proto, x))


def rounded(name: str, scale: float, zero: int, constants: dict[str, Any]) -> list[onnx.NodeProto]:
    constants |= {f"{name}_s": np.float32(scale), f"{name}_z": np.uint8(zero)}
    parameters = [f"{name}_s", f"{name}_z"]
    return [
        helper.make_node("QuantizeLinear", [name, *parameters], [f"{name}_q"]),
        helper.make_node("DequantizeLinear", [f"{name}_q", *parameters], [f"{name}_d"]),
    ]


QDQ: dict[str, tuple[str, tuple[int, ...], tuple[int, ...], int, dict[str, Any]]] = {
    "conv": ("Conv", (8, 3, 3, 3), (1, 3, 9, 9), 0, {"pads": [1] * 4}),
    "transposed": ("ConvTranspose", (6, 4, 3, 3), (1, 6, 5, 5), 1, {"strides": [2, 2]}),
    "transposed in groups": ("ConvTranspose", (6, 2, 2, 2), (1, 6, 5, 5), -1, {"strides": [2, 2], "group": 2}),
    "gemm": ("Gemm", (10, 24), (5, 24), 0, {"transB": 1}),
    "matmul": ("MatMul", (24, 10), (5, 24), 1, {}),
}


@pytest.mark.parametrize("by_channel", [False, True])
@pytest.mark.parametrize("name", QDQ)
def test_zero_points_in_models_with_quantize_nodes(name: str, by_channel: bool) -> None:
    """Beside the same in float; a sum that lies between two steps may be rounded to either."""
    op, w_shape, shape, axis, attributes = QDQ[name]
    if by_channel and axis < 0:
        pytest.skip("one scale for each output channel is not a scale an index of an axis there")
    constants: dict[str, Any] = {"w": pixels(*w_shape)}
    size = w_shape[axis]
    constants["w_z"] = np.resize([0, 40, 90, 128, 150, 255], size).astype(np.uint8) if by_channel else np.uint8(90)
    constants["w_s"] = np.resize([0.003, 0.004], size).astype(np.float32) if by_channel else np.float32(0.003)
    more = {"axis": axis} if by_channel else {}
    weight = helper.make_node("DequantizeLinear", ["w", "w_s", "w_z"], ["w_d"], **more)
    nodes = [
        *rounded("x", 0.03, 128, constants),
        weight,
        helper.make_node(op, ["x_d", "w_d"], ["h"], **attributes),
        *rounded("h", 0.5, 128, constants),
    ]
    proto = model(
        [*nodes, helper.make_node("Identity", ["h_d"], ["y"])], shape, len(shape), constants, TensorProto.FLOAT
    )
    x = RNG.normal(0, 1, shape).astype(np.float32)
    bundle, got = all_engines(proto, x)
    assert op in {n.op for n in bundle.graph.nodes if bundle.graph.types[n.inputs[0]].is_quantized}
    steps = np.abs(got - oracle(proto, x)) / 0.5
    assert steps.max() <= 1.001 and (steps > 0.5).mean() < 0.01


def test_weights_that_two_nodes_share() -> None:
    constants: dict[str, Any] = {"w": pixels(8, 8, 1, 1), "w_z": np.uint8(200), "w_s": np.float32(0.003)}
    weight = helper.make_node("DequantizeLinear", ["w", "w_s", "w_z"], ["w_d"])
    nodes = [*rounded("x", 0.03, 128, constants), weight]
    for a, b in (("x", "g"), ("g", "h")):
        nodes += [helper.make_node("Conv", [f"{a}_d", "w_d"], [b]), *rounded(b, 0.3, 120, constants)]
    proto = model([*nodes, helper.make_node("Identity", ["h_d"], ["y"])], (1, 8, 5, 5), 4, constants, TensorProto.FLOAT)
    x = RNG.normal(0, 1, (1, 8, 5, 5)).astype(np.float32)
    steps = np.abs(all_engines(proto, x)[1] - oracle(proto, x)) / 0.3
    assert steps.max() <= 1.001 and (steps > 0.5).mean() < 0.03


@pytest.mark.parametrize(
    ("w", "more", "reason"),
    [
        (np.full((4, 4, 1, 1), 3000, np.int16), {}, "its weights have more than 8 bits"),
        (
            pixels(4, 4, 1, 1),
            {"axis": 1},
            "its weights have a scale for each index of axis 1, not for each output channel",
        ),
    ],
)
def test_weights_that_cannot_be_kept_leave_their_product_in_float(w: Array, more: dict[str, int], reason: str) -> None:
    parameters = (4,) if more else ()
    constants: dict[str, Any] = {
        "w": w,
        "w_z": np.zeros(parameters, w.dtype),
        "w_s": np.full(parameters, 1e-3, np.float32),
    }
    weight = helper.make_node("DequantizeLinear", ["w", "w_s", "w_z"], ["w_d"], **more)
    nodes = [
        *rounded("x", 0.03, 128, constants),
        weight,
        helper.make_node("Conv", ["x_d", "w_d"], ["h"]),
        *rounded("h", 0.5, 128, constants),
    ]
    proto = model([*nodes, helper.make_node("Identity", ["h_d"], ["y"])], (1, 4, 3, 3), 4, constants, TensorProto.FLOAT)
    proto.opset_import[0].version = 21
    proto.ir_version = 10
    x = RNG.normal(0, 1, (1, 4, 3, 3)).astype(np.float32)
    bundle, got = all_engines(proto, x)
    assert reason in {d["reason"] for d in bundle.manifest["decisions"] if d["op"] == "Conv"}
    assert np.array_equal(got, oracle(proto, x))


TURNED: dict[str, tuple[tuple[int, ...], int | None, list[tuple[str, Any]], bool]] = {
    "transposed": ((7, 16), 0, [("Transpose", [1, 0])], True),
    "transposed, per tensor": ((7, 16), None, [("Transpose", [1, 0])], True),
    "reshaped": ((4, 4, 7), 2, [("Reshape", [16, 7])], True),
    "transposed and reshaped": ((7, 4, 4), 0, [("Transpose", [1, 2, 0]), ("Reshape", [16, 7])], True),
    "a scale a row": ((7, 16), 1, [("Transpose", [1, 0])], False),
    "a scale for four rows": ((4, 4, 7), 0, [("Reshape", [16, 7])], False),
}


@pytest.mark.parametrize("before", [False, True])
@pytest.mark.parametrize("name", TURNED)
def test_integers_are_found_behind_what_moves_them(name: str, before: bool) -> None:
    """Moved after they are dequantized, or, with one scale for all, before; the largest is 90, which a new scale would
    not keep."""
    shape, axis, moves, kept = TURNED[name]
    if before and axis is not None:
        pytest.skip("the axis of the scales would be another")
    count = 1 if axis is None else shape[axis]
    w = np.random.default_rng(1).integers(-90, 91, shape).astype(np.int8)
    constants = {
        "w": w,
        "w_s": np.linspace(0.004, 0.02, count).astype(np.float32),
        "w_z": np.arange(count).astype(np.int8),
    }
    constants |= {n: a.reshape(()) for n, a in constants.items() if n != "w" and axis is None}
    dequantize = helper.make_node(
        "DequantizeLinear", ["raw", "w_s", "w_z"], ["real"], **({} if axis is None else {"axis": axis})
    )
    turns, value = [], "w" if before else "real"
    for k, (op, how) in enumerate(moves):
        last = k == len(moves) - 1
        out = ("raw" if before else "v") if last else f"{op}.{k}"
        constants |= {f"how{k}": np.array(how)} if op == "Reshape" else {}
        turns.append(
            helper.make_node(op, [value, f"how{k}"], [out])
            if op == "Reshape"
            else helper.make_node(op, [value], [out], perm=how)
        )
        value = out
    if before:
        dequantize.output[0] = "v"
    else:
        dequantize.input[0] = "w"
    nodes = [
        helper.make_node("DequantizeLinear", ["x", "x_s", "x_z"], ["xr"]),
        *([*turns, dequantize] if before else [dequantize, *turns]),
    ]
    nodes += [
        helper.make_node("MatMul", ["xr", "v"], ["h"]),
        helper.make_node("QuantizeLinear", ["h", "y_s", "y_z"], ["y"]),
    ]
    proto, x = model(nodes, (5, 16), 2, constants), pixels(5, 16)
    bundle = qglow.quantize(proto, check=False)
    product = next(n for n in bundle.graph.nodes if n.op == "MatMul")
    assert bundle.graph.types[product.inputs[0]].is_quantized == kept
    assert np.abs(qglow.InferenceSession(bundle, 1).run(None, {"x": x})[0].astype(int) - oracle(proto, x)).max() <= (
        0 if kept else 1
    )


def test_weights_that_the_model_rounds_itself() -> None:
    """Floats behind QuantizeLinear and DequantizeLinear, as after training with them: its integers, those cut off among
    them."""
    w = np.random.default_rng(2).normal(size=(16, 7)).astype(np.float32)
    constants = {"w": w, "w_s": np.float32(0.01), "w_z": np.int8(0)}
    nodes = [helper.make_node("DequantizeLinear", ["x", "x_s", "x_z"], ["xr"])]
    nodes += [helper.make_node("QuantizeLinear", ["w", "w_s", "w_z"], ["q"])]
    nodes += [
        helper.make_node("DequantizeLinear", ["q", "w_s", "w_z"], ["v"]),
        helper.make_node("MatMul", ["xr", "v"], ["h"]),
    ]
    proto, x = (
        model([*nodes, helper.make_node("QuantizeLinear", ["h", "y_s", "y_z"], ["y"])], (5, 16), 2, constants),
        pixels(5, 16),
    )
    _, got = all_engines(proto, x)
    assert np.array_equal(got, oracle(proto, x))


def test_large_weights_stay_integers() -> None:
    """A matrix of more elements than a constant may grow to, turned and read back from its integers."""
    stored = RNG.integers(0, 256, (2100, 2048), np.uint8)
    nodes = [
        helper.make_node("DequantizeLinear", ["x", "x_s", "x_z"], ["r"]),
        helper.make_node("DequantizeLinear", ["w", "w_s", "w_z"], ["v"]),
        helper.make_node("Transpose", ["v"], ["t"], perm=[1, 0]),
        helper.make_node("MatMul", ["r", "t"], ["m"]),
        helper.make_node("QuantizeLinear", ["m", "y_s", "y_z"], ["y"]),
    ]
    proto = model(nodes, (2, 2048), 2, {"w": stored, "w_s": np.float32(0.001), "w_z": np.uint8(121)})
    x = RNG.integers(0, 256, (2, 2048), np.uint8)
    bundle, got = all_engines(proto, x)
    assert [d["precision"] for d in bundle.manifest["decisions"] if d["op"] == "MatMul"] == ["int8"]
    assert np.abs(got.astype(int) - oracle(proto, x)).max() <= 1


def test_integers_that_stand_for_infinities_are_made_by_kernels() -> None:
    """A mask of the lowest float: its last step overflows, so that it stays as it is, in QDQ form."""
    constants = {"s": np.float32(3.4028235e38 / 254), "z": np.uint8(255), "one": np.float32(1)}
    nodes = [
        helper.make_node("QuantizeLinear", ["x", "s", "z"], ["q"]),
        helper.make_node("DequantizeLinear", ["q", "s", "z"], ["r"]),
        helper.make_node("Add", ["r", "one"], ["y"]),
    ]
    proto = model(nodes, (2, 7), 2, constants, TensorProto.FLOAT)
    proto.graph.output[0].type.tensor_type.elem_type = TensorProto.FLOAT
    low = np.float32(-3.4028235e38)
    x = np.float32([[low, 0, np.nan, np.inf, -np.inf, -1e36, 5], [1e36, 2e38, -2e38, -3e37, -0.0, low / 3, -1]])
    session = qglow.InferenceSession(qglow.quantize(proto, check=False), 1)
    (got,) = session.run(None, {"x": x})
    assert not host_steps(session, {"x": x})
    assert np.array_equal(got, oracle(proto, x), equal_nan=True) and np.isneginf(got).any()
