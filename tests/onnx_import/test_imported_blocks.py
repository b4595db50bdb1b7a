"""Block-wise weights of ONNX models, beside onnxruntime: at float accuracy exact weights, at level 4 within the
rounding of activations."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
import onnxruntime as ort
import pytest
from nbits_models import model, n_bits
from onnx import TensorProto, helper

import qglow
from qglow.errors import ModelError
from qglow.graph import DType, Graph, Node, Quant, TensorType, float_type
from qglow.onnx_import.export_float import export_float
from qglow.onnx_import.export_qdq import export_qdq
from qglow.pipeline import float_graph
from qglow.reference import evaluate
from qglow.reference.blockwise import packed_nibbles
from qglow.runtime.step_profile import host_steps

RNG = np.random.default_rng(0)


def db(want: Any, got: Any) -> float:
    want, got = want.astype(np.float64), got.astype(np.float64)
    return float(10 * np.log10((want**2).sum() / max(((want - got) ** 2).sum(), 1e-300)))


def run(proto: onnx.ModelProto, outputs: list[str] | None, feeds: dict[str, Any]) -> list[Any]:
    """onnxruntime's outputs, of the model as it is: it would make level 4 of what says nothing of a level."""
    options = ort.SessionOptions()
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.log_severity_level = 3
    return list(
        ort.InferenceSession(proto.SerializeToString(), options, providers=["CPUExecutionProvider"]).run(outputs, feeds)
    )


def both(proto: onnx.ModelProto, x: Any) -> tuple[Any, Any, Any]:
    """onnxruntime's output, ours, and our graph."""
    graph = float_graph(proto)
    want = run(proto, None, {"x": x})[0]
    got = evaluate(graph, {"x": x})["y"]
    assert got.dtype == want.dtype and got.shape == want.shape
    return want, got, graph


FORMS: list[dict[str, Any]] = [
    {}, {"zeros": ""}, {"zeros": "whole"}, {"zeros": "half"}, {"bits": 8}, {"bits": 8, "zeros": ""}, {"bias": True},
    {"lead": (2,)},
    {"size": 16}, {"size": 256, "k": 300}, {"k": 128, "zeros": "", "g_idx": "plain"},
    {"k": 128, "zeros": "", "g_idx": "mixed"},
    {"k": 128, "zeros": "whole", "g_idx": "mixed"}, {"dtype": np.float16}, {"k": 33, "size": 16},
]  # fmt: skip


@pytest.mark.parametrize("form", FORMS, ids=str)
def test_float_activations(form: dict[str, Any]) -> None:
    dtype = form.get("dtype", np.float32)
    x = RNG.normal(0, 1, (*form.get("lead", ()), 5, form.get("k", 100))).astype(dtype)
    want, got, graph = both(n_bits(**form), x)
    assert db(want, got) > (120 if dtype is np.float32 else 60)
    kept = form.get("g_idx") != "mixed" and form.get("zeros") != "half"
    assert ("BlockwiseMatMul" in [n.op for n in graph.nodes]) == kept
    assert all(n.attr("compute") == "float32" for n in graph.nodes if n.op == "BlockwiseMatMul")


@pytest.mark.parametrize(
    "form", [{}, {"zeros": ""}, {"bits": 8}, {"bits": 8, "zeros": "", "bias": True}, {"k": 128, "size": 128}], ids=str
)
def test_level_4_quantizes_rows(form: dict[str, Any]) -> None:
    """As far from the float product as onnxruntime is, and nearer to onnxruntime than to that."""
    x = RNG.normal(0, 1, (5, form.get("k", 100))).astype(np.float32)
    want, got, graph = both(n_bits(level=4, **form), x)
    exact = evaluate(float_graph(n_bits(**form)), {"x": x})["y"]
    assert [n.attr("compute") for n in graph.nodes] == ["int8"]
    assert db(exact, got) > 38 and abs(db(exact, got) - db(exact, want)) < 1 and db(want, got) > 60


@pytest.mark.parametrize("level", [0, 4])
def test_it_runs_without_a_profile_and_on_no_host(level: int) -> None:
    proto = n_bits(k=128, level=level, bias=True)
    bundle = qglow.quantize(proto)
    session = qglow.InferenceSession(bundle)
    x = {"x": RNG.normal(0, 1, (3, 128)).astype(np.float32)}
    assert np.array_equal(session.run(None, x)[0], session.run_all(x)["y"]) and not host_steps(session, x)
    assert [d["precision"] for d in bundle.manifest["decisions"]] == ["int4 blocks" if level == 4 else "float"]
    asked = qglow.quantize(proto, config=qglow.QuantConfig(weights="int4_block"))
    assert [d["precision"] for d in asked.manifest["decisions"]] == ["int4 blocks"]


def broken(**changes: Any) -> onnx.ModelProto:
    proto = n_bits(k=128)
    arrays = {t.name: t for t in proto.graph.initializer}
    for name, value in changes.items():
        attribute = next((a for a in proto.graph.node[0].attribute if a.name == name), None)
        if name in arrays:
            proto.graph.initializer.remove(arrays[name])
            if value is not None:
                proto.graph.initializer.append(onnx.numpy_helper.from_array(value, name))
            else:
                proto.graph.input.append(helper.make_tensor_value_info(name, arrays[name].data_type, arrays[name].dims))
        elif attribute is not None:
            attribute.i = value
        else:
            proto.graph.node[0].attribute.append(helper.make_attribute(name, value))
    return proto


@pytest.mark.parametrize("changes", [
    {"bits": 2}, {"bits": 5}, {"block_size": 48}, {"block_size": 8}, {"K": 96}, {"N": 47}, {"N": 0}, {"B": None},
    {"S": None},
    {"S": np.ones(7, np.float32)}, {"Z": np.ones(7, np.uint8)}, {"weight_prepacked": 1}, {"unknown": 3},
], ids=str)  # fmt: skip
def test_what_is_not_supported_is_refused_in_a_line(changes: dict[str, Any]) -> None:
    with pytest.raises(ModelError) as caught:
        qglow.quantize(broken(**changes))
    assert "MatMulNBits" in str(caught.value) and "\n" not in str(caught.value)


def test_columns_in_another_order_with_packed_zero_points_are_refused() -> None:
    """onnxruntime reads these zero points in another way, even where the order is the usual one."""
    with pytest.raises(ModelError, match="g_idx"):
        float_graph(n_bits(k=128, g_idx="plain"))


def test_scales_that_are_not_finite_are_floats_from_the_start() -> None:
    scales = np.full((48, 4), 0.1, np.float32)
    scales[3, 2] = np.inf
    graph = float_graph(broken(S=scales))
    assert [n.op for n in graph.nodes] == ["MatMul"]


def dequantized(kind: int, axis: int, op: str, turned: bool, points: bool, **attributes: Any) -> onnx.ModelProto:
    """A DequantizeLinear of opset 21 before a product of 96 columns by 48."""
    low, high = {TensorProto.INT4: (-8, 8), TensorProto.UINT4: (0, 16), TensorProto.INT8: (-128, 128)}[kind]
    shape = (96, 48) if axis == 0 else (48, 96)
    blocks = (3, 48) if axis == 0 else (48, 3)
    arrays: dict[str, Any] = {"w": helper.make_tensor("w", kind, shape, RNG.integers(low, high, shape).ravel())}
    arrays["s"] = RNG.normal(0, 0.1, blocks).astype(np.float32)
    if points:
        arrays["z"] = helper.make_tensor("z", kind, blocks, RNG.integers(low, high, blocks).ravel())
    nodes = [
        helper.make_node(
            "DequantizeLinear", ["w", "s", *(["z"] if points else [])], ["r"], name="dq", axis=axis, block_size=32
        )
    ]
    if turned:
        nodes.append(helper.make_node("Transpose", ["r"], ["t"], perm=[1, 0]))
    arrays["c"] = RNG.normal(0, 1, 48).astype(np.float32)
    nodes.append(
        helper.make_node(
            op, ["x", "t" if turned else "r", *(["c"] if op == "Gemm" else [])], ["y"], name="mm", **attributes
        )
    )
    return model(nodes, arrays, ("M", 96), ("M", 48))


@pytest.mark.parametrize(("axis", "op", "turned", "attributes"), [
    (0, "MatMul", False, {}), (1, "MatMul", True, {}), (1, "Gemm", False, {"transB": 1}), (0, "Gemm", False, {}),
])  # fmt: skip
@pytest.mark.parametrize("kind", [TensorProto.INT4, TensorProto.UINT4, TensorProto.INT8])
@pytest.mark.parametrize("points", [False, True])
def test_block_wise_dequantize_linear(
    axis: int, op: str, turned: bool, attributes: dict[str, Any], kind: int, points: bool
) -> None:
    proto = dequantized(kind, axis, op, turned, points, **attributes)
    want, got, graph = both(proto, RNG.normal(0, 1, (5, 96)).astype(np.float32))
    assert [n.op for n in graph.nodes] == ["BlockwiseMatMul"] and db(want, got) > 120
    assert graph.types[graph.nodes[0].inputs[1]].dtype is (DType.U8 if kind == TensorProto.INT8 else DType.U4)


def test_a_dequantize_linear_that_others_read_stays_for_them() -> None:
    proto = dequantized(TensorProto.INT4, 0, "MatMul", False, True)
    proto.graph.output.append(helper.make_tensor_value_info("r", TensorProto.FLOAT, [96, 48]))
    x = RNG.normal(0, 1, (5, 96)).astype(np.float32)
    want = run(proto, ["r", "y"], {"x": x})
    made = evaluate(float_graph(proto), {"x": x})
    assert np.array_equal(made["r"], want[0]) and db(want[1], made["y"]) > 120


def test_blocks_along_the_columns_are_floats() -> None:
    """A MatMul whose weights have blocks along N, not K."""
    proto = dequantized(TensorProto.INT4, 1, "Gemm", False, True, transB=1)
    proto.graph.node[1].CopyFrom(helper.make_node("MatMul", ["v", "r"], ["y"], name="mm"))
    proto.graph.input[0].CopyFrom(helper.make_tensor_value_info("v", TensorProto.FLOAT, ["M", 48]))
    proto.graph.output[0].CopyFrom(helper.make_tensor_value_info("y", TensorProto.FLOAT, ["M", 96]))
    x = RNG.normal(0, 1, (5, 48)).astype(np.float32)
    want = run(proto, None, {"v": x})[0]
    graph = float_graph(proto)
    assert "BlockwiseMatMul" not in [n.op for n in graph.nodes] and db(want, evaluate(graph, {"v": x})["y"]) > 120


@pytest.mark.parametrize("form", [
    {}, {"bits": 8, "bias": True}, {"zeros": "", "bias": True}, {"level": 4, "k": 128},
    {"level": 4, "bits": 8, "zeros": "", "k": 130},
], ids=str)  # fmt: skip
def test_export_gives_the_same_product_back(form: dict[str, Any]) -> None:
    graph = float_graph(n_bits(**form))
    x = RNG.normal(0, 1, (5, form.get("k", 100))).astype(np.float32)
    got = evaluate(graph, {"x": x})["y"]
    for exported in (export_qdq(graph), export_float(graph)):
        assert [n.op_type for n in exported.graph.node] == ["MatMulNBits"]
        assert db(got, run(exported, None, {"x": x})[0]) > (60 if form.get("level") else 120)
        assert np.array_equal(evaluate(float_graph(exported), {"x": x})["y"], got)


@pytest.mark.parametrize("bits", [4, 8])
def test_blocks_of_other_sizes_are_exported_as_floats(bits: int) -> None:
    k, n, names = 75, 20, ("x", "y.blocks", "s", "", "b")
    kind = DType.U4 if bits == 4 else DType.U8
    q = RNG.integers(0, 1 << bits, (n, k)).astype(np.uint8)
    constants = {"y.blocks": packed_nibbles(q) if bits == 4 else q, "s": RNG.normal(0, 0.1, (n, 2)).astype(np.float32)}
    constants["b"] = RNG.normal(0, 1, n).astype(np.float32)
    types = {
        "x": float_type("M", k),
        "y": float_type("M", n),
        "y.blocks": TensorType(kind, (n, k), Quant.blockwise(1, 48)),
    }
    types |= {"s": float_type(n, 2), "b": float_type(n)}
    node = Node("BlockwiseMatMul", names, ("y",), {"compute": "float32"}, "mm")
    graph = Graph("odd", ("x",), ("y",), (node,), types, constants)
    exported = export_qdq(graph)
    assert [n.op_type for n in exported.graph.node] == ["DequantizeLinear", "Transpose", "MatMul", "Add"]
    feeds = {"x": RNG.normal(0, 1, (5, k)).astype(np.float32)}
    want = evaluate(graph, feeds)["y"]
    assert db(want, run(exported, None, feeds)[0]) > 120
    assert np.array_equal(evaluate(float_graph(exported), feeds)["y"], want)
