"""Models that came quantized as NNCF writes them: a scale for each channel of an activation before depthwise
convolutions, products whose results go to functions without parameters, weights that stay floats."""

from __future__ import annotations

import numpy as np
import pytest
from onnx import TensorProto

import qglow
from qglow.graph import Graph
from qglow.pipeline import float_graph
from qglow.reference import evaluate
from tests.quantization.test_prequantized import FLOAT, Model, ops, same_numbers

SCALES = np.array([0.5, 2.0, 1.0, 0.25], np.float32) * 2.0**-4


def by_channel(m: Model, x: str, scales: np.ndarray, zero: int, kind: type = np.uint8) -> str:
    names = m.constant(scales), m.constant(np.full(len(scales), zero, kind))
    return str(m.op("DequantizeLinear", m.op("QuantizeLinear", x, *names, axis=1), *names, axis=1))


def depthwise(m: Model, x: str, unit: np.ndarray, twice: int = 1) -> str:
    """unit: the scales of x."""
    channels = 4 * twice
    w = m.constant(m.rng.integers(-127, 128, (channels, 1, 3, 3)).astype(np.int8))
    scale = 2.0 ** m.rng.integers(-9, -6, channels).astype(np.float32)
    wf = m.op("DequantizeLinear", w, m.constant(scale), m.constant(np.zeros(channels, np.int8)), axis=0)
    b = m.constant(m.rng.integers(-99, 99, channels).astype(np.int32))
    bf = m.op("DequantizeLinear", b, m.constant(scale * np.repeat(unit, twice).astype(np.float32)), axis=0)
    return str(m.op("Conv", x, wf, bf, group=4, pads=(1, 1, 1, 1)))


def net(first: str, scales: np.ndarray, zero: int, kind: type) -> Graph:
    m = Model()
    y = m.conv(m.qdq("x"))
    if first == "Clip":
        y = m.op("Clip", y, m.constant(np.float32(0)), m.constant(np.float32(256 * 2.0**-3)))
    elif first:
        y = m.op(first, y)
    y = m.qdq(depthwise(m, by_channel(m, y, scales, zero, kind), scales), 2.0**-2)
    return same_numbers(m.build((m.qdq(m.conv(y, unit=2.0**-2)), FLOAT)))


@pytest.mark.parametrize(("first", "zero", "kind"), [
    ("", 128, np.uint8), ("", 0, np.int8), ("Relu", 0, np.uint8), ("Relu", 0, np.int8), ("Clip", 0, np.uint8),
])  # fmt: skip
@pytest.mark.smoke
def test_a_scale_for_each_channel_is_taken_into_weights(first: str, zero: int, kind: type) -> None:
    assert ops(net(first, SCALES, zero, kind)) == ["Quantize", "Conv", "Conv", "Conv", "Dequantize"]


def test_a_bound_that_cuts_channels_at_different_integers_stays() -> None:
    graph = net("Clip", SCALES * 8, 0, np.uint8)
    assert "Clip" in ops(graph) and [n.op for n in graph.nodes].count("Conv") == 3


def test_channels_of_float_values_and_inputs_are_rounded_by_their_own_scales() -> None:
    scales = np.array([0.3, 0.11, 0.007, 1.9], np.float32)  # NOTE: no powers of two: quotients are rounded
    m = Model()
    y = m.op("Floor", m.op("Mul", by_channel(m, "x", scales, 3), m.constant(np.float32(8))))
    graph = same_numbers(m.build((by_channel(m, y, scales[::-1].copy(), 100), FLOAT)))
    assert {"Div", "Mul"} <= set(ops(graph)) and "QuantizeLinear" not in ops(graph)


def test_what_moves_sums_or_reads_channels_otherwise_is_float() -> None:
    m = Model()
    x = by_channel(m, m.conv(m.qdq("x")), SCALES, 128)
    y = m.op("Add", m.op("Transpose", x, perm=(0, 1, 3, 2)), by_channel(m, m.op("Sigmoid", x), SCALES, 7))
    y = m.op("MaxPool", by_channel(m, y, SCALES, 0), kernel_shape=(3, 3), pads=(1, 1, 1, 1))
    graph = same_numbers(m.build((m.qdq(m.conv(by_channel(m, y, SCALES, 1), bias=False)), FLOAT)))
    types = {n.op: graph.types[n.outputs[0]] for n in graph.nodes}
    assert not any(types[op].is_quantized for op in ("Add", "Transpose", "Sigmoid", "MaxPool"))


def test_a_product_whose_result_only_a_function_reads_gives_floats() -> None:
    m = Model()
    y = m.op("HardSwish", m.conv(m.qdq("x")))
    y = m.op("Relu", m.conv(m.qdq(y)))
    bundle = qglow.quantize(m.build((m.op("ReduceMax", y, axes=[2, 3], keepdims=1), FLOAT)))
    assert ops(bundle.graph) == ["Quantize", "Conv", "HardSwish", "Quantize", "Conv", "Relu", "ReduceMax"]


@pytest.mark.parametrize("op", ["Conv", "LSTM"])
def test_weights_that_the_model_leaves_floats_stay_floats(op: str) -> None:
    m = Model()
    x = m.qdq(m.op("Relu", m.conv(m.qdq("x"))), 2.0**-3, 0)
    if op == "Conv":
        y = m.op("Conv", x, m.constant(m.rng.normal(0, 0.3, (4, 4, 1, 1)).astype(np.float32)))
    else:
        x = m.op(
            "Squeeze", m.op("Slice", x, *(m.constant(np.array([k])) for k in (0, 1, 1))), m.constant(np.array([1]))
        )
        w, r = (m.constant(m.rng.normal(0, 0.3, (1, 12, n)).astype(np.float32)) for n in (6, 3))
        y = m.op("Identity", m.op("LSTM", x, w, r, hidden_size=3))
    bundle = qglow.quantize(m.build((m.qdq(y), TensorProto.FLOAT)))
    node = next(n for n in bundle.graph.nodes if n.op in (op, f"Q{op}") and n.inputs[0] != "x.q")
    assert node.op == op and not any(t.is_quantized for i in node.inputs if i for t in [bundle.graph.types[i]])
    assert "floats in the model" in str(bundle.manifest["decisions"])


@pytest.mark.parametrize("op", ["Conv", "Gemm"])
def test_a_normalization_after_stored_weights_changes_their_scales_alone(op: str) -> None:
    m = Model()
    q = m.rng.integers(-127, 128, (4, 4, 1, 1) if op == "Conv" else (4, 144)).astype(np.int8)
    x, w = m.qdq("x"), m.dq(m.constant(q), 2.0**-7, 0, np.int8)
    y = m.op("Conv", x, w) if op == "Conv" else m.op("Gemm", m.op("Flatten", x), w, transB=1)
    norm = m.rng.uniform(0.5, 2, 4), *m.rng.normal(0, 1, (2, 4)), m.rng.uniform(0.5, 2, 4)
    y = m.op("BatchNormalization", y, *(m.constant(a.astype(np.float32)) for a in norm))
    model = m.build((m.qdq(y, 0.25), FLOAT))
    bundle = qglow.quantize(model)
    product = next(n for n in bundle.graph.nodes if n.op == op)
    assert np.array_equal(bundle.graph.constants[product.inputs[1]], q)
    x0 = m.rng.normal(0, 2, (1, 4, 6, 6)).astype(np.float32)
    (want,) = evaluate(float_graph(model), {"x": x0}).values()
    (got,) = qglow.InferenceSession(bundle).run(None, {"x": x0})
    assert np.abs(got - want).max() <= 0.25 and (got != want).mean() < 0.02


@pytest.mark.parametrize("form", ["omitted", "named"])
def test_the_dtype_of_an_omitted_zero_point(form: str) -> None:
    """Integers that are read say it, or an attribute of what makes them: signed bytes are not unsigned ones."""
    m = Model()
    s, unit = m.constant(np.float32(2.0**-4)), m.constant(np.float32(2.0**-3))
    q = "x" if form == "omitted" else m.op("QuantizeLinear", "x", s, output_dtype=TensorProto.INT8)
    y = m.conv(m.op("DequantizeLinear", q, s))
    y = (
        m.qdq(y, 2.0**-3)
        if form == "omitted"
        else m.op("DequantizeLinear", m.op("QuantizeLinear", y, unit, output_dtype=3), unit)
    )
    model = m.build((y, FLOAT), kind=TensorProto.INT8 if form == "omitted" else FLOAT)
    model.opset_import[0].version, model.ir_version = 21, 10
    graph = same_numbers(model, np.int8 if form == "omitted" else np.float32)
    assert graph.types[next(n for n in graph.nodes if n.op == "Conv").inputs[0]].is_quantized


def test_a_model_of_integers_in_other_blocks_is_quantized_already() -> None:
    """Blocks along the columns of a matrix, which no block-wise product has."""
    m = Model()
    q = m.constant(m.rng.integers(-8, 8, (6, 32)).astype(np.int8))
    w = m.op("DequantizeLinear", q, m.constant(m.rng.uniform(0.1, 1, (6, 2)).astype(np.float32)), axis=1, block_size=16)
    model = m.build((m.op("MatMul", "x", w), FLOAT))
    model.opset_import[0].version, model.ir_version = 21, 10
    model.graph.output[0].type.tensor_type.shape.dim[3].dim_value = 32
    same_numbers(model)
