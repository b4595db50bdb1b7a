"""16-bit activations: which values get them, that engines agree, and that accuracy rises where activations are the
noise."""

from __future__ import annotations

from collections import Counter
from typing import Any

import numpy as np
import onnxruntime as ort
import pytest

import qglow
from qglow.errors import ConfigError, VerifyError
from qglow.graph import Array, DType, Graph, GraphBuilder, float_type
from qglow.graph.text import parse_graph
from qglow.graph.verify import verify
from qglow.onnx_import.export_qdq import export_qdq
from qglow.quantization import QuantConfig
from qglow.reference import evaluate
from qglow.runtime import Bundle

Data = list[dict[str, Array]]


def net(weight_levels: int = 0) -> tuple[Graph, Data]:
    """Each family that has an int16 form, and a softmax, which has none. weight_levels: weights are multiples of their
    largest over so many, so that 8 bits hold them without an error; 0: any."""
    rng, b = np.random.default_rng(5), GraphBuilder()
    b.types["x"] = float_type(1, 4, 8, 8)
    b.fresh("x")

    def weights(*shape: int) -> str:
        w = rng.normal(0, 0.3, shape)
        if weight_levels:
            step = np.abs(w).max((1, 2, 3) if w.ndim == 4 else 0, keepdims=True) / weight_levels
            w = np.rint(w / step) * step
        return b.add_constant("w", w.astype(np.float32))

    def op(op: str, *inputs: str, shape: tuple[int, ...] = (1, 8, 8, 8), **attributes: object) -> str:
        return b.add(op, inputs, float_type(*shape), op.lower(), **attributes)

    def conv(x: str, channels: int, group: int = 1) -> str:
        return op("Conv", x, weights(8, channels // group, 3, 3),
            b.add_constant("b", rng.normal(0, 0.2, 8).astype(np.float32)),
                  group=group, pads=(1, 1, 1, 1))  # fmt: skip

    a = op("Relu", conv("x", 4))
    y = op("Tanh", conv(a, 8, 8))
    y = op("Clip", op("Add", y, a), b.add_constant("c", np.float32(-0.5)), b.add_constant("c", np.float32(1.5)))
    y = op("Mul", y, op("Sigmoid", op("GlobalAveragePool", y, shape=(1, 8, 1, 1)), shape=(1, 8, 1, 1)))
    y = op("Concat", y, a, shape=(1, 16, 8, 8), axis=1)
    y = op("MaxPool", y, shape=(1, 16, 4, 4), kernel_shape=(2, 2), strides=(2, 2))
    y = op("AveragePool", y, shape=(1, 16, 2, 2), kernel_shape=(2, 2), strides=(2, 2))
    rows = op("Reshape", y, b.add_constant("s", np.array([1, 4, 16])), shape=(1, 4, 16))
    y = op("MatMul", op("Softmax", rows, shape=(1, 4, 16), axis=-1), weights(16, 6), shape=(1, 4, 6))
    return b.build("g", ("x",), (y,)), [{"x": rng.uniform(-1, 1, (1, 4, 8, 8)).astype(np.float32)} for _ in range(24)]


def quantized(graph: Graph, data: Data, **config: Any) -> Bundle:
    return qglow.quantize(graph, qglow.profile(graph, data[:16]), QuantConfig(**config), check=False)


def activations(graph: Graph) -> dict[str, DType]:
    return {v: t.dtype for v, t in graph.types.items() if t.is_quantized and v not in graph.constants}


def sqnr_db(graph: Graph, bundle: Bundle, data: Data) -> float:
    real, got = (np.stack([evaluate(g, d)[g.outputs[0]] for d in data]) for g in (graph, bundle.graph))
    return float(10 * np.log10((real**2).sum() / ((real - got) ** 2).sum()))


def test_all_activations_are_int16_and_what_has_no_form_is_float() -> None:
    graph, data = net()
    bundle = quantized(graph, data, activations="int16")
    assert set(activations(bundle.graph).values()) == {DType.I16}
    assert all(
        t.quant is not None and t.quant.z == 0
        for v, t in bundle.graph.types.items()
        if t.dtype is DType.I16 and t.quant
    )
    decisions = {d["op"]: d for d in bundle.manifest["decisions"]}
    assert decisions["Softmax"]["precision"] == "float" and "no int16 form" in decisions["Softmax"]["reason"]
    wide = {op for op, d in decisions.items() if d["precision"] == "int16"}
    assert wide >= {
        "Conv",
        "Tanh",
        "Add",
        "GlobalAveragePool",
        "Mul",
        "Concat",
        "MaxPool",
        "AveragePool",
        "Reshape",
        "MatMul",
    }


@pytest.mark.parametrize("config", [
    {"activations": "int16"}, {"int16": ("op:Conv",)}, {"int16": ("add:Add",)}, {"int16": ("op:Sigmoid", "op:MaxPool")},
    {"activations": "int8", "int16": ("re:mul",)}, {"int16": ("x",)}, {"activations": "int16", "power_of_two": True},
    {"activations": "int16", "weights": "per_tensor", "calibration": "percentile", "float_outputs": False},
])  # fmt: skip
def test_kernels_give_the_bits_of_the_reference(config: dict[str, Any]) -> None:
    graph, data = net()
    bundle = quantized(graph, data, **config)
    assert DType.I16 in activations(bundle.graph).values()
    session = qglow.InferenceSession(bundle)
    interpreter = qglow.InferenceSession(bundle, backend="interpreter")
    for d in data[20:]:
        want = evaluate(bundle.graph, d)
        for engine in (session, interpreter):
            assert all(
                np.array_equal(a, want[o]) for a, o in zip(engine.run(None, d), bundle.graph.outputs, strict=True)
            )


def test_a_name_of_a_value_makes_that_value_alone_int16() -> None:
    graph, data = net()
    tanh = next(n.outputs[0] for n in graph.nodes if n.op == "Tanh")
    bundle = quantized(graph, data, int16=(tanh,))
    assert [v for v, k in activations(bundle.graph).items() if k is DType.I16 and "widened" not in v] == [tanh]


def test_mixed_graphs_widen_without_loss() -> None:
    """An int16 sum reads its 8-bit operand as int16 of the same scale."""
    graph, data = net()
    bundle = quantized(graph, data, int16=("op:Tanh",))
    add = next(n for n in bundle.graph.nodes if n.op == "Add")
    wide = next(
        n for n in bundle.graph.nodes if n.op == "Lookup" and n.outputs[0] in add.inputs and "widened" in n.outputs[0]
    )
    before, after = (bundle.graph.types[v] for v in (wide.inputs[0], wide.outputs[0]))
    assert before.quant is not None and after.quant is not None and before.quant.scale == after.quant.scale
    low, high = before.limits()
    table = bundle.graph.constants[wide.inputs[1]]
    assert np.array_equal(table, np.arange(low, high + 1) - before.quant.z)


@pytest.mark.parametrize("pattern", ["nothing", "op:Nothing"])
def test_unknown_names_are_refused(pattern: str) -> None:
    graph, data = net()
    with pytest.raises(ConfigError, match="int16 .* matches no node"):
        quantized(graph, data, int16=(pattern,))


def test_accuracy_rises_where_activations_are_the_noise() -> None:
    """Weights that 8 bits hold exactly: what is left is the noise of activations."""
    graph, data = net(weight_levels=127)
    eight, sixteen = (sqnr_db(graph, quantized(graph, data, activations=a), data[:16]) for a in ("uint8", "int16"))
    assert sixteen > eight + 30
    partly = sqnr_db(graph, quantized(graph, data, int16=("op:Conv", "op:Tanh", "op:Add")), data[:16])
    assert eight < partly < sixteen


@pytest.mark.parametrize("config", [{"activations": "int16"}, {"int16": ("op:Conv", "op:Add")}], ids=str)
def test_onnxruntime_computes_the_exported_model_alike(config: dict[str, Any]) -> None:
    """But for the last bits of softmax, and where its float product of a layer lies beside a tie: a step of 16 bits."""
    graph, data = net()
    bundle = quantized(graph, data, **config)
    options = ort.SessionOptions()
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
    model = export_qdq(bundle.graph)
    session = ort.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    for d in data[:4]:
        want = evaluate(bundle.graph, d)[bundle.graph.outputs[0]]
        assert np.abs(session.run(None, d)[0] - want).max() <= 1e-4 * np.abs(want).max()


def test_a_model_that_came_with_int16_keeps_its_integers() -> None:
    graph, data = net()
    bundle = quantized(graph, data, activations="int16")
    back = qglow.quantize(export_qdq(bundle.graph), None, check=False)
    assert set(activations(back.graph).values()) == {DType.I16}
    for d in data[:4]:
        assert np.array_equal(
            evaluate(back.graph, d)[back.graph.outputs[0]], evaluate(bundle.graph, d)[bundle.graph.outputs[0]]
        )


HOSTILE = [
    ("Softmax", "i16[1,8]<0.1, 0>", "i16[1,8]<0.1, 0>", '{"axis": -1}', "no int16"),
    ("Relu", "i16[1,8]<0.1, 0>", "i16[1,8]<0.1, 0>", "{}", "no int16"),
    ("MaxPool", "i16[1,1,8,8]<0.1, 3>", "i16[1,1,7,7]<0.1, 4>", '{"kernel_shape": [2, 2]}', "keep scale and zero"),
    ("GlobalAveragePool", "u8[1,1,8,8]<0.1, 3>", "i16[1,1,1,1]<0.1, 0>", "{}", "all int16"),
    ("GlobalAveragePool", "u16[1,1,8,8]<0.1, 0>", "u16[1,1,1,1]<0.1, 0>", "{}", "got u16"),
]


@pytest.mark.parametrize(("op", "x", "y", "attributes", "said"), HOSTILE)
def test_graphs_of_text_with_forms_that_there_are_not_are_refused(
    op: str, x: str, y: str, attributes: str, said: str
) -> None:
    text = f'graph "g"\ninput %x: {x}\n%y: {y} = {op}(%x) {attributes} "n"\noutput %y\n'
    with pytest.raises(VerifyError, match=said):
        verify(parse_graph(text))


def test_configuration_of_a_file(tmp_path: Any) -> None:
    path = tmp_path / "qglow.toml"
    path.write_text('[quantize]\nactivations = "uint8"\nint16 = ["op:Add"]\n')
    assert QuantConfig.load(path).int16 == ("op:Add",)
    graph, data = net()
    counts = Counter(
        activations(
            qglow.quantize(graph, qglow.profile(graph, data[:8]), QuantConfig.load(path), check=False).graph
        ).values()
    )
    assert counts[DType.I16] and counts[DType.U8]
