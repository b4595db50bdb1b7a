"""Shapes that depend on data cut a plan there, and what stands before, between and behind them is compiled: the answers
are onnxruntime's, the bits are the reference's."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import onnxruntime as ort
import pytest
from onnx import ModelProto, NodeProto, TensorProto, helper, numpy_helper

import qglow
from qglow.graph import Array, DType, Graph, Node, TensorType, float_type
from qglow.graph.infer import DataDependent
from qglow.pipeline import float_graph
from qglow.reference import evaluate, retype
from qglow.runtime.native import NativePlan
from qglow.runtime.plans import OFTEN, ReferencePlan, Rest, SplitPlan, StagedPlan
from qglow.runtime.step_profile import host_cost, host_nodes, host_steps, plan_of, time_steps

FLOATS = qglow.QuantConfig(exclude=("re:.*",))


def noise(*shape: int, seed: int = 0, scale: float = 1.0) -> Array:
    return np.random.default_rng([seed, *shape]).normal(0, scale, shape).astype(np.float32)


def model(
    nodes: Sequence[NodeProto], constants: Mapping[str, object], outputs: Sequence[str], opset: int = 18
) -> ModelProto:
    """Of an image `x` [1, 3, 16, 16]; outputs: name/rank, or name/rank:kind."""
    stored = [numpy_helper.from_array(np.asarray(a), n) for n, a in constants.items()]
    inputs = [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 3, 16, 16])]
    infos = []
    for text in outputs:
        value, _, kind = text.partition(":")
        name, _, rank = value.partition("/")
        infos.append(
            helper.make_tensor_value_info(
                name, getattr(TensorProto, kind or "FLOAT"), [f"{name}{k}" for k in range(int(rank))]
            )
        )
    graph = helper.make_graph(list(nodes), "g", inputs, infos, stored)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=9)


def op(kind: str, inputs: str, outputs: str, **attributes: object) -> NodeProto:
    reads, writes = (["" if n == "-" else n for n in names.split()] for names in (inputs, outputs))
    return helper.make_node(kind, reads, writes, name=f"{kind}_{writes[0]}", **attributes)


CONV = op("Conv", "x w", "h", pads=[1] * 4)
W = {"w": noise(8, 3, 3, 3, scale=0.3)}
BOXES = [
    op("Split", "h parts", "b0 s0 rest", axis=1),
    op("Sigmoid", "s0", "s1"),
    op("Reshape", "b0 sb", "b1"),
    op("Transpose", "b1", "boxes", perm=[0, 2, 1]),
    op("Reshape", "s1 ss", "scores"),
    op("NonMaxSuppression", "boxes scores most iou least", "chosen"),
]
OF_BOXES = {
    "parts": [4, 2, 2],
    "sb": [1, 4, -1],
    "ss": [1, 2, -1],
    "most": [5],
    "iou": np.float32([0.5]),
    "least": np.float32([0.6]),
}
PIXELS = [
    op("ReduceMax", "h axes", "r", keepdims=0),
    op("Greater", "r limit", "m"),
    op("NonZero", "m", "at"),
    op("Squeeze", "at zero", "k"),
    op("Gather", "h k", "hk", axis=2),
]
OF_PIXELS = {"axes": [0, 1, 3], "limit": np.float32(2.2), "zero": [0]}
MODELS: dict[str, ModelProto] = {
    "rows, then a convolution": model(
        [CONV, *PIXELS, op("Conv", "hk v", "y", pads=[1] * 4)], {**W, **OF_PIXELS, "v": noise(4, 8, 3, 3)}, ["y/4"]
    ),
    "rows twice": model(
        [
            CONV,
            *PIXELS,
            op("Conv", "hk v", "c", pads=[1] * 4),
            op("Greater", "c zero_f", "m2"),
            op("NonZero", "m2", "at2"),
            op("Transpose", "at2", "t2"),
            op("GatherND", "c t2", "d"),
            op("Unsqueeze", "d first", "e"),
            op("MatMul", "col e", "y"),
        ],
        {**W, **OF_PIXELS, "v": noise(4, 8, 3, 3), "zero_f": np.float32(0.5), "first": [0], "col": noise(3, 1)},
        ["y/2", "c/4"],
    ),
    "boxes, and their features": model(
        [
            CONV,
            *BOXES,
            op("Gather", "chosen two", "i", axis=1),
            op("Squeeze", "i one", "j"),
            op("Gather", "boxes j", "b", axis=1),
            op("Reshape", "b flat", "rows"),
            op("Gemm", "rows u", "z"),
            op("Relu", "z", "y"),
        ],
        {**W, **OF_BOXES, "two": [2], "one": [1], "flat": [-1, 4], "u": noise(4, 7)},
        ["y/2", "chosen/2:INT64"],
    ),
    "unique and compress": model(
        [
            CONV,
            op("ArgMax", "h", "a", axis=1),
            op("Unique", "a", "u"),
            op("ReduceMax", "h ax", "r", keepdims=0),
            op("Greater", "r limit", "m"),
            op("Compress", "h m", "c", axis=1),
            op("GlobalAveragePool", "c", "y"),
        ],
        {**W, "ax": [0, 2, 3], "limit": np.float32(2.6)},
        ["y/4", "u/1:INT64"],
    ),
    "one hot of a depth that is computed": model(
        [
            CONV,
            op("ArgMax", "h", "a", axis=1, keepdims=0),
            op("ReduceMax", "a", "top", keepdims=0),
            op("Add", "top one", "depth"),
            op("OneHot", "a depth values", "y", axis=-1),
        ],
        {**W, "one": np.int64(1), "values": np.float32([0, 1])},
        ["y/4"],
    ),
    "a size that is computed": model(
        [
            CONV,
            op("ReduceMax", "h", "top", keepdims=0),
            op("Cast", "top", "t", to=TensorProto.INT64),
            op("Reshape", "t first", "t1"),
            op("Concat", "ones t1 t1", "size", axis=0),
            op("Resize", "h - - size", "z"),
            op("Conv", "z v", "y"),
        ],
        {**W, "first": [1], "ones": [1, 8], "v": noise(2, 8, 1, 1)},
        ["y/4"],
    ),
    "a branch behind it": model(
        [
            CONV,
            *PIXELS,
            op("Shape", "k", "n"),
            op("Greater", "n four", "many"),
            op("Squeeze", "many zero", "c"),
            helper.make_node(
                "If",
                ["c"],
                ["y"],
                name="if",
                then_branch=helper.make_graph(
                    [op("Conv", "hk v", "a")], "t", [], [helper.make_tensor_value_info("a", 1, list("NCHW"))]
                ),
                else_branch=helper.make_graph(
                    [op("Conv", "h v", "b")], "e", [], [helper.make_tensor_value_info("b", 1, list("nchw"))]
                ),
            ),
        ],
        {**W, **OF_PIXELS, "four": [5], "v": noise(4, 8, 1, 1)},
        ["y/4"],
    ),
}
FEEDS = [{"x": noise(1, 3, 16, 16, seed=k)} for k in range(1, 6)]


def theirs(m: ModelProto, feeds: Mapping[str, Array]) -> list[Array]:
    options = ort.SessionOptions()
    options.log_severity_level = 4
    return list(
        ort.InferenceSession(m.SerializeToString(), options, providers=["CPUExecutionProvider"]).run(None, dict(feeds))
    )


@pytest.mark.parametrize("name", MODELS)
def test_answers_are_those_of_onnxruntime(name: str) -> None:
    m = MODELS[name]
    bundle = qglow.quantize(m, qglow.profile(m, FEEDS[:3]), FLOATS)
    session = qglow.InferenceSession(bundle, 1)
    for feeds in [*FEEDS, *FEEDS]:  # NOTE: again, when its shapes were seen
        got, want = session.run(None, feeds), theirs(m, feeds)
        law = evaluate(bundle.graph, feeds)
        for out, g, w in zip(bundle.graph.outputs, got, want, strict=True):
            assert (g.shape, g.dtype) == (w.shape, w.dtype)
            assert np.array_equal(g, law[out]) and np.allclose(g, w, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("name", ["rows, then a convolution", "boxes, and their features"])
def test_int8_on_both_sides(name: str) -> None:
    m = MODELS[name]
    bundle = qglow.quantize(
        m, qglow.profile(m, FEEDS[:3]), qglow.QuantConfig(min_agreement_sqnr_db=-300.0), check=False
    )
    session = qglow.InferenceSession(bundle, 1)
    assert sum(d["precision"] == "int8" and d["op"] in ("Conv", "Gemm") for d in bundle.manifest["decisions"]) >= 2
    for feeds in [*FEEDS, *FEEDS]:
        law = evaluate(bundle.graph, feeds)
        assert all(
            np.array_equal(g, law[o]) for o, g in zip(bundle.graph.outputs, session.run(None, feeds), strict=True)
        )


def test_both_sides_of_the_cut_are_compiled_and_the_host_is_named() -> None:
    m = MODELS["rows, then a convolution"]
    session = qglow.InferenceSession(float_graph(m), 1)
    plan = plan_of(session, FEEDS[0])
    assert (
        isinstance(plan, StagedPlan)
        and isinstance(plan.first, NativePlan)
        and [n.op for n in plan.stage.host] == ["NonZero"]
    )
    steps = time_steps(session, FEEDS[0], 1)
    assert [s.kind for s in steps if s.host].count("NonZero") == 1 and sum(s.kind == "float_conv2d" for s in steps) == 2
    assert (
        not {"Conv"} & set(host_steps(session, FEEDS[0]))
        and "NonZero" in host_cost(steps)
        and "NonZero" in host_nodes(session.graph)
    )
    values = plan.known(FEEDS[0])
    list(plan.hosted(values))
    rest = plan.following(values)
    assert isinstance(rest, SplitPlan) and isinstance(rest.first, Rest)
    known = rest.known(values)
    assert isinstance(rest.first.plan(values), ReferencePlan) and isinstance(rest.following(known), NativePlan)
    for _ in range(OFTEN):
        session.run(None, FEEDS[0])
    assert isinstance(plan.following(values), NativePlan)


REGIONS = model(
    [
        CONV, op("Greater", "h limit", "m"), op("NonZero", "m", "at"), op("Slice", "at starts ends", "four"),
        op("Transpose", "four", "t", perm=[1, 0]), op("Cast", "t", "boxes", to=TensorProto.FLOAT),
        op("Shape", "t", "n", end=1),
        op("ConstantOfShape", "n", "which", value=numpy_helper.from_array(np.array([0]))),
        op("RoiAlign", "h boxes which", "y", output_height=3, output_width=3, sampling_ratio=2),
    ],
    {**W, "limit": np.float32(3.0), "starts": [0, 0], "ends": [4, 5]}, ["y/4"],
)  # fmt: skip


def test_regions_that_come_again_are_sampled_by_a_kernel() -> None:
    """The reference takes long for each element of them, so that few elements are no reason to stay on it."""
    session = qglow.InferenceSession(float_graph(REGIONS), 1)
    reference = evaluate(session.graph, FEEDS[0])
    for _ in range(3):
        (got,) = session.run(None, FEEDS[0])
        assert got.size and np.array_equal(got, reference["y"])
    assert "RoiAlign" not in host_steps(session, FEEDS[0])


SUPPRESSION = model(
    [
        CONV, op("Greater", "h limit", "m"), op("NonZero", "m", "at"), op("Slice", "at starts ends", "four"),
        op("Transpose", "four", "t", perm=[1, 0]), op("Cast", "t", "corners", to=TensorProto.FLOAT),
        op("Unsqueeze", "corners zero", "boxes"), op("ReduceSum", "corners one", "sums", keepdims=0),
        op("Unsqueeze", "sums both", "scores"), op("NonMaxSuppression", "boxes scores most overlap", "y"),
    ],
    {**W, "limit": np.float32(3.0), "starts": [0, 0], "ends": [4, 1000], "zero": [0], "one": [1], "both": [0, 1],
     "most": [50], "overlap": np.float32(0.5)}, ["y/2"],
)  # fmt: skip


def test_boxes_are_compared_by_a_kernel_even_if_their_number_is_new() -> None:
    """The reference takes longer for them than it takes to compile the part."""
    session = qglow.InferenceSession(float_graph(SUPPRESSION), 1)
    for feeds in FEEDS:
        (got,) = session.run(None, feeds)
        assert got.size and np.array_equal(got, evaluate(session.graph, feeds)["y"])
        assert not {"NonMaxSuppression", "BoundedSuppression"} & set(host_steps(session, feeds))


def test_a_condition_behind_products_shares_them_with_what_it_decides() -> None:
    """The products in front of it are computed once, and by both sides alike."""
    unknown = TensorProto.FLOAT, None
    sides = [
        helper.make_graph([op(kind, "g h", out)], out, [], [helper.make_tensor_value_info(out, *unknown)])
        for kind, out in (("Add", "sum"), ("Sub", "difference"))
    ]
    m = model(
        [
            CONV, op("Conv", "h w2", "g"), op("ReduceMax", "g", "top", keepdims=0), op("Greater", "top limit", "c"),
            op("If", "c", "y", then_branch=sides[0], else_branch=sides[1]),
        ],
        {**W, "w2": noise(8, 8, 1, 1), "limit": np.float32(14.0)}, ["y/4", "top/0"],
    )  # fmt: skip
    session, seen = qglow.InferenceSession(float_graph(m), 1), set()
    for feeds in FEEDS:
        got, top = session.run(None, feeds)
        seen.add(bool(top > 14))
        theirs = ort.InferenceSession(m.SerializeToString()).run(["y"], feeds)[0]
        np.testing.assert_allclose(got, theirs, rtol=1e-4, atol=1e-4)
        assert np.array_equal(got, evaluate(session.graph, feeds)["y"])
        steps = [s.kind for s in time_steps(session, feeds, 1)]
        assert steps.count("float_conv2d") == 2
        assert isinstance(plan_of(session, feeds), SplitPlan)
    assert seen == {True, False}


def test_small_parts_without_products_stay_on_the_reference() -> None:
    tail = [op("Transpose", "at", "t"), op("Cast", "t", "y", to=TensorProto.FLOAT)]
    m = model(
        [CONV, op("Greater", "h limit", "m"), op("NonZero", "m", "at"), *tail], {**W, "limit": np.float32(3.0)}, ["y/2"]
    )
    session = qglow.InferenceSession(float_graph(m), 1)
    plan = plan_of(session, FEEDS[0])
    assert isinstance(plan, StagedPlan)
    for _ in range(3):
        session.run(None, FEEDS[0])
        values = plan.known(FEEDS[0])
        list(plan.hosted(values))
        assert isinstance(plan.following(values), ReferencePlan)


def test_an_op_that_is_not_declared_has_no_shape() -> None:
    """The shape that zeros happen to give is never taken for the op's."""
    g = Graph(
        "g",
        ("x",),
        ("y",),
        (Node("NonZero", ("x",), ("y",), {}, "n"),),
        {"x": float_type(4), "y": TensorType(DType.I64, (1, 0))},
    )
    with pytest.raises(DataDependent, match="'n' .*depends on the data of 'x'"):
        retype(g, {"x": (4,)})
    (got,) = qglow.InferenceSession(g).run(None, {"x": np.float32([0, 1, 0, 2])})
    assert got.tolist() == [[1, 3]]


EMPTY = {
    "flatten": [CONV, op("Flatten", "h", "y")],
    "transposed": [op("ConvTranspose", "x t", "y", strides=[2, 2])],
    "pool and softmax": [CONV, op("MaxPool", "h", "p", kernel_shape=[2, 2]), op("Softmax", "p", "y", axis=1)],
    "rows": [CONV, op("Resize", "h - twice", "r", mode="linear"), op("ReduceMean", "r axes", "y")],
}


@pytest.mark.parametrize("name", EMPTY)
def test_a_batch_of_none_has_the_shapes_of_onnxruntime(name: str) -> None:
    constants = {**W, "t": noise(3, 2, 2, 2), "twice": np.float32([1, 1, 2, 2]), "axes": [2, 3]}
    used = {i for n in EMPTY[name] for i in n.input}
    m = model(EMPTY[name], {k: v for k, v in constants.items() if k in used}, ["y/2" if name == "flatten" else "y/4"])
    m.graph.input[0].type.tensor_type.shape.dim[0].dim_param = "n"
    none = {"x": np.zeros((0, 3, 16, 16), np.float32)}
    (want,) = theirs(m, none)
    profile = qglow.profile(m, FEEDS[:2])
    for config in (FLOATS, qglow.QuantConfig(min_agreement_sqnr_db=-300.0)):
        (got,) = qglow.InferenceSession(qglow.quantize(m, profile, config, check=False), 1).run(None, none)
        assert (got.shape, got.dtype) == (want.shape, want.dtype)
