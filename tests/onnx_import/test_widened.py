"""float16 and bfloat16 models are quantized as the same models of float32; inputs and outputs keep float16."""

from __future__ import annotations

from collections.abc import Sequence

import ml_dtypes
import numpy as np
import onnx
import onnxruntime as ort
import pytest
from onnx import TensorProto, helper, numpy_helper

import qglow
from qglow import onnx_backend
from qglow.errors import ModelError
from qglow.graph import DType
from qglow.pipeline import float_graph

HALF, BRAIN, FLOAT = TensorProto.FLOAT16, TensorProto.BFLOAT16, TensorProto.FLOAT
NUMPY = {HALF: np.dtype(np.float16), BRAIN: np.dtype(ml_dtypes.bfloat16), FLOAT: np.dtype(np.float32)}
RNG = np.random.default_rng(0)
W, B, F = RNG.normal(0, 0.2, (8, 3, 3, 3)), RNG.normal(size=8), RNG.normal(0, 0.3, (8, 5))
X = [RNG.normal(size=(2, 3, 10, 10)).astype(np.float16) for _ in range(4)]


def model_of(
    nodes: Sequence[onnx.NodeProto], inputs: dict[str, int], outputs: dict[str, int], constants: dict[str, np.ndarray],
    shape: Sequence[int | str] = (2, 3, 10, 10), opset: int = 17,
) -> onnx.ModelProto:  # fmt: skip
    given = [helper.make_tensor_value_info(n, t, shape) for n, t in inputs.items()]
    made = [helper.make_tensor_value_info(n, t, None) for n, t in outputs.items()]
    initializers = [numpy_helper.from_array(a, n) for n, a in constants.items()]
    graph = helper.make_graph(nodes, "g", given, made, initializers)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=8)


def convnet(kind: int, boundary: int) -> onnx.ModelProto:
    """A small net that computes in one dtype, with Casts where its inputs and outputs have another."""
    nodes = [helper.make_node("Cast", ["x"], ["x16"], to=kind)] if kind != boundary else []
    nodes += [
        helper.make_node("Conv", ["x16" if nodes else "x", "w", "b"], ["c"], name="conv"),
        helper.make_node("Clip", ["c", "low", "high"], ["r"], name="clip"),
        helper.make_node("GlobalAveragePool", ["r"], ["p"], name="pool"),
        helper.make_node("Flatten", ["p"], ["f"], name="flat"),
        helper.make_node("MatMul", ["f", "k"], ["s" if kind != boundary else "y"], name="dense"),
    ]
    nodes += [helper.make_node("Cast", ["s"], ["y"], to=boundary)] if kind != boundary else []
    dtype = NUMPY[kind]
    constants = {"w": W, "b": B, "k": F, "low": np.zeros(()), "high": np.full((), 6.0)}
    return model_of(
        nodes, {"x": boundary}, {"y": boundary}, {n: np.asarray(a).astype(dtype) for n, a in constants.items()}
    )


def noise_db(real: np.ndarray, got: np.ndarray) -> float:
    a, d = real.astype(np.float64), got.astype(np.float64) - real.astype(np.float64)
    return float(10 * np.log10((a * a).sum() / max((d * d).sum(), 1e-30)))


@pytest.mark.parametrize(("kind", "boundary"), [(HALF, HALF), (HALF, FLOAT), (BRAIN, FLOAT), (BRAIN, BRAIN)])
def test_a_convnet_is_int8_and_near_to_the_model(kind: int, boundary: int) -> None:
    model, dtype = convnet(kind, boundary), NUMPY[HALF if boundary == HALF else FLOAT]
    data = [{"x": x.astype(dtype)} for x in X]
    bundle = qglow.quantize(model, qglow.profile(model, data))
    told = {d["node"]: d["precision"] for d in bundle.manifest["decisions"]}
    assert [told[n] for n in ("conv", "clip", "pool", "dense")] == ["int8", "folded", "int8", "int8"]
    session = qglow.InferenceSession(bundle)
    # NOTE: onnxruntime computes with bfloat16 on few CPUs; the weights are the same numbers
    oracle = ort.InferenceSession(
        convnet(FLOAT if kind == BRAIN else kind, FLOAT if kind == BRAIN else boundary).SerializeToString()
    )
    for feeds in data:
        (got,), (real,) = session.run(None, feeds), oracle.run(None, feeds)
        assert got.dtype == dtype and got.shape == real.shape and noise_db(real, got) > 30


def test_every_place_that_names_a_dtype_is_float32_within() -> None:
    """Constants, branches, fills, old and new attributes; what comes out has the model's dtype and numbers."""
    zero = numpy_helper.from_array(np.zeros((), np.float16))
    one = helper.make_node("Constant", [], ["one"], value=numpy_helper.from_array(np.ones((), np.float16)))
    then = helper.make_graph([one, helper.make_node("Add", ["h", "one"], ["t"])], "t", [], [
        helper.make_tensor_value_info("t", HALF, None)])  # fmt: skip
    other = helper.make_graph([helper.make_node("Identity", ["h"], ["e"])], "e", [], [
        helper.make_tensor_value_info("e", HALF, None)])  # fmt: skip
    nodes = [
        helper.make_node("Cast", ["x"], ["h"], to=HALF),
        helper.make_node("Shape", ["x"], ["size"]),
        helper.make_node("ConstantOfShape", ["size"], ["fill"],
                         value=numpy_helper.from_array(np.full(1, 0.5, np.float16))),
        helper.make_node("Constant", [], ["zero"], value=zero),
        helper.make_node("If", ["c"], ["i"], then_branch=then, else_branch=other),
        helper.make_node("Add", ["i", "fill"], ["a"]),
        helper.make_node("Max", ["a", "zero"], ["m"]),
        helper.make_node("Identity", ["m"], ["y"]),
        helper.make_node("Sub", ["y", "fill"], ["z"]),
    ]  # fmt: skip
    model = model_of(nodes, {"x": FLOAT}, {"y": HALF, "z": HALF}, {}, (4,))
    model.graph.input.append(helper.make_tensor_value_info("c", TensorProto.BOOL, []))
    graph = float_graph(model)
    inner = {v: t.dtype for v, t in graph.types.items() if v not in graph.outputs}
    assert DType.F16 not in inner.values()
    session, oracle = qglow.InferenceSession(graph), ort.InferenceSession(model.SerializeToString())
    for c in (True, False):
        feeds = {"x": np.float32([-3, 0.25, 1, 2]), "c": np.array(c)}
        for got, real in zip(session.run(None, feeds), oracle.run(None, feeds), strict=True):
            assert got.dtype == real.dtype == np.float16 and np.array_equal(got, real)


def test_only_an_output_overflows() -> None:
    """300 x 300 is beyond float16; its root within the model is not."""
    nodes = [helper.make_node("Mul", ["x", "x"], ["y"]), helper.make_node("Sqrt", ["y"], ["z"])]
    session = qglow.InferenceSession(float_graph(model_of(nodes, {"x": HALF}, {"y": HALF, "z": HALF}, {}, (2,))))
    y, z = session.run(None, {"x": np.float16([300, 3])})
    assert y.dtype == z.dtype == np.float16 and y.tolist() == [np.inf, 9] and z.tolist() == [300, 3]


def test_an_output_without_a_declared_dtype_is_float16() -> None:
    model = model_of([helper.make_node("Relu", ["x"], ["y"])], {"x": HALF}, {}, {}, (2,))
    model.graph.output.append(onnx.ValueInfoProto(name="y"))
    (y,) = qglow.InferenceSession(float_graph(model)).run(None, {"x": np.float16([-1, 2])})
    assert y.dtype == np.float16 and y.tolist() == [0, 2]


def test_an_input_that_is_an_output() -> None:
    model = model_of([helper.make_node("Neg", ["x"], ["y"])], {"x": HALF}, {"x": HALF, "y": HALF}, {}, (2,))
    x, y = qglow.InferenceSession(float_graph(model)).run(None, {"x": np.float16([-1, 2])})
    assert x.dtype == y.dtype == np.float16 and x.tolist() == [-1, 2] and y.tolist() == [1, -2]


def test_a_function_may_name_a_dtype_by_any_attribute() -> None:
    cast = helper.make_node("Cast", ["a"], ["b"])
    cast.attribute.append(onnx.AttributeProto(name="to", ref_attr_name="wanted", type=onnx.AttributeProto.INT))
    function = helper.make_function("own", "F", ["a"], ["b"], [cast], [helper.make_opsetid("", 17)], ["wanted"])
    nodes = [helper.make_node("F", ["x"], ["h"], domain="own", wanted=HALF), helper.make_node("Neg", ["h"], ["y"])]
    model = model_of(nodes, {"x": FLOAT}, {"y": HALF}, {}, (2,))
    model.opset_import.append(helper.make_opsetid("own", 1))
    model.functions.append(function)
    (y,) = qglow.InferenceSession(float_graph(model)).run(None, {"x": np.float32([1.0002, 2])})
    assert y.dtype == np.float16 and np.array_equal(y, np.float16([-1.0002, -2]))


def test_the_backend_takes_and_gives_bfloat16() -> None:
    model = model_of([helper.make_node("Add", ["x", "x"], ["y"])], {"x": BRAIN}, {"y": BRAIN}, {}, (2,))
    (y,) = onnx_backend.run_model(model, [np.array([1.5, -2], ml_dtypes.bfloat16)])
    assert y.dtype == ml_dtypes.bfloat16 and y.astype(np.float32).tolist() == [3, -4]


def test_a_constant_that_holds_too_little_is_refused() -> None:
    model = model_of(
        [helper.make_node("Add", ["x", "w"], ["y"])], {"x": HALF}, {"y": HALF}, {"w": np.ones(2, np.float16)}, (2,)
    )
    model.graph.initializer[0].raw_data = b"\0\0"
    with pytest.raises(ModelError, match="'w'.*holds 2 bytes, expected 4"):
        float_graph(model)


def test_a_value_that_overflows_float16_alone_is_no_defect() -> None:
    """onnxruntime's value is infinite where the profiled one is 90000; what is behind is finite in both."""
    k = np.full((3, 4), 0.01, np.float16)
    nodes = [
        helper.make_node("Mul", ["x", "x"], ["large"]),
        helper.make_node("Min", ["large", "bound"], ["cut"]),
        helper.make_node("MatMul", ["cut", "k"], ["y"]),
    ]
    model = model_of(nodes, {"x": HALF}, {"y": HALF}, {"bound": np.float16(60000), "k": k}, (2, 3))
    data = [{"x": np.float16([[300, 2, 3], [1, -2, 5]])}]
    (y,) = qglow.InferenceSession(qglow.quantize(model, qglow.profile(model, data))).run(None, data[0])
    assert y.dtype == np.float16 and noise_db(np.float32([[600.13], [0.3]]).repeat(4, 1), y) > 30
