"""Sequences, block-wise quantization, training, and what else has a meaning on the host, beside onnxruntime or the
formulas of ONNX."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import onnx
import onnxruntime as ort
import pytest
from onnx import TensorProto, helper, numpy_helper

import qglow
from qglow import onnx_backend
from qglow.errors import ModelError, QGlowError
from qglow.pipeline import float_graph

Feeds = Mapping[str, np.ndarray]
Node = onnx.NodeProto
node = helper.make_node
RNG = np.random.default_rng(5)
A, B, C = (RNG.normal(size=(3, 4)).astype(np.float32) for _ in range(3))
AB = node("SequenceConstruct", ["a", "b"], ["s"])


def model(
    nodes: Sequence[Node], feeds: Feeds, outputs: Mapping[str, tuple[int, int]], opset: int = 17, **constants: Any
) -> onnx.ModelProto:
    """outputs: element type and rank, by name."""
    kind = helper.np_dtype_to_tensor_dtype
    ins = [helper.make_tensor_value_info(n, kind(a.dtype), a.shape) for n, a in feeds.items()]
    outs = [helper.make_tensor_value_info(n, e, [f"{n}{k}" for k in range(rank)]) for n, (e, rank) in outputs.items()]
    fixed = [numpy_helper.from_array(np.asarray(v), n) for n, v in constants.items()]
    graph = helper.make_graph(list(nodes), "g", ins, outs, fixed)
    opsets = [helper.make_opsetid(d, opset if not d else 1) for d in dict.fromkeys(n.domain for n in nodes)]
    return helper.make_model(graph, opset_imports=opsets, ir_version=10 if opset > 17 else 8)


def ours(m: onnx.ModelProto, feeds: Feeds) -> list[np.ndarray]:
    return list(onnx_backend.prepare(m).run(feeds))


def theirs(m: onnx.ModelProto, feeds: Feeds) -> list[np.ndarray]:
    return list(ort.InferenceSession(m.SerializeToString(), providers=["CPUExecutionProvider"]).run(None, dict(feeds)))


def same(m: onnx.ModelProto, feeds: Feeds) -> list[np.ndarray]:
    got, expected = ours(m, feeds), theirs(m, feeds)
    for a, b in zip(got, expected, strict=True):
        assert a.dtype == b.dtype and a.shape == b.shape and np.array_equal(a, b)
    return got


def agree_or_refuse(m: onnx.ModelProto, feeds: Feeds, refused: bool) -> None:
    if not refused:
        same(m, feeds)
        return
    with pytest.raises(ModelError):
        ours(m, feeds)
    with pytest.raises(Exception, match="ONNXRuntimeError"):
        theirs(m, feeds)


@pytest.mark.parametrize("shape", [(), (1,)])
@pytest.mark.parametrize("place", range(-3, 4))
def test_places_in_a_sequence(place: int, shape: tuple[int, ...]) -> None:
    p, feeds = np.full(shape, place, np.int64), {"a": A, "b": B}
    inserted = [AB, node("SequenceInsert", ["s", "c", "p"], ["t"]), node("ConcatFromSequence", ["t"], ["y"], axis=0)]
    agree_or_refuse(model(inserted, {**feeds, "c": C}, {"y": (1, 2)}, p=p), {**feeds, "c": C}, not -2 <= place <= 2)
    taken = [AB, node("SequenceAt", ["s", "p"], ["y"])]
    agree_or_refuse(model(taken, feeds, {"y": (1, 2)}, p=p), feeds, not -2 <= place < 2)
    erased = [AB, node("SequenceErase", ["s", "p"], ["t"]), node("ConcatFromSequence", ["t"], ["y"], axis=1)]
    agree_or_refuse(model(erased, feeds, {"y": (1, 2)}, p=p), feeds, not -2 <= place < 2)


def test_sequences_begin_empty_and_end_at_the_back() -> None:
    nodes = [
        node("SequenceEmpty", [], ["e"]), node("SequenceInsert", ["e", "a", "zero"], ["s"]),
        node("SequenceInsert", ["s", "b"], ["t"]),
        node("SequenceErase", ["t"], ["u"]), node("SequenceAt", ["u", "zero"], ["y"]),
        node("SequenceLength", ["t"], ["n"]),
    ]  # fmt: skip
    feeds = {"a": A, "b": B}
    y, n = same(model(nodes, feeds, {"y": (1, 2), "n": (7, 0)}, zero=np.int64(0)), feeds)
    assert np.array_equal(y, A) and n == 2
    y[:] = 0
    assert np.any(A)  # what a caller gets is its own


@pytest.mark.parametrize("new", [0, 1])
@pytest.mark.parametrize("axis", range(-3, 3))
def test_concat_from_sequence(axis: int, new: int) -> None:
    feeds = {"a": A, "b": B}
    m = model([AB, node("ConcatFromSequence", ["s"], ["y"], axis=axis, new_axis=new)], feeds, {"y": (1, 2 + new)})
    agree_or_refuse(m, feeds, not new and not -2 <= axis < 2)


@pytest.mark.parametrize("sizes", [None, 1, 2, 3, 5, [1, 3], [0, 4], [4, 0], [2], [1, 1, 3]], ids=str)
@pytest.mark.parametrize("axis", [1, -1])
def test_split_to_sequence(sizes: Any, axis: int) -> None:
    constants = {} if sizes is None else {"sizes": np.array(sizes, np.int64)}
    for keep in (1,) if sizes is not None else (0, 1):
        nodes = [
            node("SplitToSequence", ["a", *constants], ["s"], axis=axis, keepdims=keep),
            node("SequenceLength", ["s"], ["n"]),
            node("SequenceAt", ["s", "last"], ["y"]),
        ]
        m = model(nodes, {"a": A}, {"n": (7, 0), "y": (1, 1 + keep)}, last=np.int64(-1), **constants)
        agree_or_refuse(m, {"a": A}, sizes in ([2], [1, 1, 3]))


BRANCH = helper.make_graph(
    [node("SequenceAt", ["s", "zero"], ["t"])], "b", [], [helper.make_tensor_value_info("t", 1, [3, 4])]
)
OTHER = helper.make_graph([node("Identity", ["a"], ["o"])], "o", [], [helper.make_tensor_value_info("o", 1, [3, 4])])


@pytest.mark.parametrize(
    ("nodes", "complaint"),
    [
        ([AB, node("Relu", ["s"], ["y"])], "'s' is a sequence"),
        ([node("SequenceAt", ["a", "zero"], ["y"])], "'a' is not made by"),
        (
            [AB, node("SequenceInsert", ["s", "s"], ["t"]), node("SequenceAt", ["t", "zero"], ["y"])],
            "'s' is a sequence",
        ),
        ([AB, node("Identity", ["s"], ["t"]), node("SequenceAt", ["t", "zero"], ["y"])], "'s' is a sequence"),
        ([AB, node("If", ["c"], ["y"], then_branch=BRANCH, else_branch=OTHER)], "'s' is a sequence"),
        ([node("SequenceConstruct", ["a", "b"], ["y"])], "'y' is a sequence"),
    ],
)
def test_nothing_else_reads_a_sequence(nodes: Sequence[Node], complaint: str) -> None:
    m = model(nodes, {"a": A, "b": B, "c": np.array(True)}, {"y": (1, 2)}, zero=np.int64(0))
    with pytest.raises(ModelError, match=f"{complaint}|Type Error|type case mismatch|incompatible"):
        float_graph(m)


def test_sequences_between_int8_layers() -> None:
    def weights(*shape: int) -> np.ndarray:
        return RNG.normal(size=shape).astype(np.float32)

    nodes = [
        node("Conv", ["x", "w"], ["c"]), node("Relu", ["c"], ["r"]),
        node("SplitToSequence", ["r", "two"], ["s"], axis=1),
        node("SequenceAt", ["s", "one"], ["t"]), node("Conv", ["t", "v"], ["y"]),
    ]  # fmt: skip
    x = weights(1, 3, 8, 8)
    m = model(
        nodes, {"x": x}, {"y": (1, 4)}, w=weights(4, 3, 3, 3), v=weights(2, 2, 3, 3), one=np.int64(1), two=np.int64(2)
    )
    graph, (expected,) = float_graph(m), theirs(m, {"x": x})
    bundle = qglow.quantize(graph, qglow.profile(graph, [{"x": x}, {"x": weights(1, 3, 8, 8)}]))
    assert sum(bundle.graph.types[n.outputs[0]].is_quantized or n.op == "Conv" for n in bundle.graph.nodes) >= 2
    (y,) = qglow.InferenceSession(bundle, 1).run(None, {"x": x})
    assert np.linalg.norm(y - expected) < 0.05 * np.linalg.norm(expected)


DTYPES = {
    np.int8: TensorProto.INT8,
    np.uint8: TensorProto.UINT8,
    np.int16: TensorProto.INT16,
    np.uint16: TensorProto.UINT16,
}


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(
    ("axis", "size", "shape"), [(1, 2, (3, 2)), (1, 3, (3, 2)), (0, 2, (2, 4)), (-1, 4, (3, 1)), (1, 2, (3, 3))]
)
def test_blocks(dtype: type, axis: int, size: int, shape: tuple[int, int]) -> None:
    limits, kind = np.iinfo(dtype), DTYPES[dtype]
    scale = RNG.uniform(0.001, 0.02, shape).astype(np.float32)
    zero = RNG.integers(limits.min, limits.max, shape).astype(dtype)
    q = RNG.integers(limits.min, limits.max, (3, 4)).astype(dtype)
    for given in ({"s": scale}, {"s": scale, "z": zero}):
        plain = {"axis": axis, "block_size": size}
        kinds = plain if "z" in given else {**plain, "output_dtype": kind}
        m = model([node("QuantizeLinear", ["a", *given], ["y"], **kinds)], {"a": A}, {"y": (kind, 2)}, 21, **given)
        agree_or_refuse(m, {"a": A}, shape == (3, 3))
        m = model([node("DequantizeLinear", ["q", *given], ["y"], **plain)], {"q": q}, {"y": (1, 2)}, 21, **given)
        agree_or_refuse(m, {"q": q}, shape == (3, 3))


@pytest.mark.parametrize(
    "x", [np.zeros((2, 2), np.float32), -np.ones(3, np.float32), np.ones(3, np.float32), A, A * np.float32(1e-30)]
)
def test_quantization_by_the_range(x: np.ndarray) -> None:
    same(
        model(
            [node("DynamicQuantizeLinear", ["x"], ["y", "s", "z"])],
            {"x": x},
            {"y": (2, x.ndim), "s": (1, 0), "z": (2, 0)},
        ),
        {"x": x},
    )


@pytest.mark.parametrize("op", ["ReduceMax", "ReduceMin"])
@pytest.mark.parametrize("dtype", ["f2", "f4", "f8", "i1", "u1", "i4", "i8"])
def test_extremes_of_nothing(op: str, dtype: str) -> None:
    x = np.zeros((2, 0, 4), dtype)
    for keep in (0, 1):
        kind = (helper.np_dtype_to_tensor_dtype(x.dtype), 2 + keep)
        (y,) = same(
            model([node(op, ["x", "axes"], ["y"], keepdims=keep)], {"x": x}, {"y": kind}, 20, axes=np.array([1])),
            {"x": x},
        )
        assert y.size == 8


@pytest.mark.parametrize("lengths", [None, [5, 2, 3], [6, 1, 1]], ids=str)
@pytest.mark.parametrize("backwards", [0, 1])
def test_scan_over_a_batch(lengths: list[int] | None, backwards: int) -> None:
    value = helper.make_tensor_value_info
    inner = [node("Add", ["u", "v"], ["w"]), node("Identity", ["w"], ["o"])]
    body = helper.make_graph(inner, "b", [value(n, 1, [2]) for n in "uv"], [value(n, 1, [2]) for n in "wo"])
    feeds = {"s": np.float32([[1, 2]] * 3), "x": RNG.normal(size=(3, 5, 2)).astype(np.float32)}
    given = {} if lengths is None else {"lengths": np.array(lengths, np.int64)}
    scan = node("Scan", [*(given or [""]), "s", "x"], ["f", "y"], num_scan_inputs=1, body=body, directions=[backwards])
    m = model([scan], feeds, {"f": (1, 2), "y": (1, 3)}, 8, **given)
    if lengths is not None and backwards:
        with pytest.raises(ModelError, match="read backwards"):
            ours(m, feeds)
    else:
        agree_or_refuse(m, feeds, lengths == [6, 1, 1])


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("step", [0, 3])
def test_optimizers_follow_the_formulas_in_the_dtype_of_the_tensors(dtype: type, step: int) -> None:
    r, (x, g, v, h) = 0.1, RNG.uniform(0.1, 1, (4, 2, 3)).astype(dtype)
    wide = [a.astype(np.float64) for a in (x, g, v, h)]
    reg = 0.01 * wide[0] + wide[1]
    new_v, new_h = 0.9 * wide[2] + 0.1 * reg, 0.8 * wide[3] + 0.2 * reg**2
    rate = r * np.sqrt(1 - 0.8**step) / (1 - 0.9**step) if step else r
    adam = [0.5 * (wide[0] - rate * new_v / (np.sqrt(new_h) + 0.1)), new_v, new_h]
    moved = 0.9 * wide[2] + (0.8 if step else 1) * reg
    adagrad = [wide[0] - r / (1 + 0.5 * step) * reg / (np.sqrt(wide[2] + reg**2) + 0.1), wide[2] + reg**2]
    cases = [
        ("Adam", {"alpha": 0.9, "beta": 0.8, "epsilon": 0.1, "norm_coefficient_post": 0.5}, [x, g, v, h], adam),
        ("Adagrad", {"decay_factor": 0.5, "epsilon": 0.1}, [x, g, v], adagrad),
        ("Momentum", {"alpha": 0.9, "beta": 0.8, "mode": "standard"}, [x, g, v], [wide[0] - r * moved, moved]),
        (
            "Momentum",
            {"alpha": 0.9, "beta": 0.8, "mode": "nesterov"},
            [x, g, v],
            [wide[0] - r * (reg + 0.9 * moved), moved],
        ),
    ]
    for op, attributes, values, expected in cases:
        feeds = {"r": np.asarray(r, dtype), "t": np.array(step, np.int64), **dict(zip("xgvh", values, strict=False))}
        outs = {f"y{k}": (helper.np_dtype_to_tensor_dtype(np.dtype(dtype)), 2) for k in range(len(expected))}
        made = node(op, [*feeds], [*outs], domain="ai.onnx.preview.training", norm_coefficient=0.01, **attributes)
        for a, e in zip(ours(model([made], feeds, outs), feeds), expected, strict=True):
            assert a.dtype == dtype and np.allclose(a, e, rtol=1e-6, atol=1e-7), op


@pytest.mark.parametrize(("dtype", "stored"), [("f4", "f4"), ("f2", "f4"), ("f8", "f8")])
def test_batch_normalization_in_training(dtype: str, stored: str) -> None:
    x = RNG.normal(3, 2, (4, 3, 5)).astype(dtype)
    scale, bias = RNG.normal(size=(2, 3)).astype(dtype)
    mean, var = RNG.uniform(0.5, 1, (2, 3)).astype(stored)
    feeds = {"x": x, "scale": scale, "bias": bias, "mean": mean, "var": var}
    kinds = [helper.np_dtype_to_tensor_dtype(a.dtype) for a in (x, mean)]
    made = node("BatchNormalization", [*feeds], ["y", "m", "v"], training_mode=1, momentum=0.75, epsilon=0.01)
    y, m, v = ours(model([made], feeds, {"y": (kinds[0], 3), "m": (kinds[1], 1), "v": (kinds[1], 1)}), feeds)
    wide = x.astype(np.float64)
    average, spread = wide.mean((0, 2)), wide.var((0, 2))
    expected = (wide - average[:, None]) / np.sqrt(spread + 0.01)[:, None] * scale[:, None] + bias[:, None]
    limit = 5e-3 if dtype == "f2" else 1e-5
    assert [a.dtype for a in (y, m, v)] == [x.dtype, mean.dtype, var.dtype] and np.allclose(
        y, expected, rtol=limit, atol=limit
    )
    assert np.allclose(m, 0.75 * mean + 0.25 * average, rtol=1e-5) and np.allclose(
        v, 0.75 * var + 0.25 * spread, rtol=1e-5
    )


def test_a_dropout_that_is_told_when_it_runs() -> None:
    x = np.ones((200, 50), np.float32)
    feeds = {"x": x, "r": np.array(0.25, np.float32), "t": np.array(False)}
    m = model([node("Dropout", [*feeds], ["y", "mask"], seed=3)], feeds, {"y": (1, 2), "mask": (9, 2)})
    y, mask = same(m, feeds)
    assert np.array_equal(y, x) and mask.all()
    y, mask = ours(m, {**feeds, "t": np.array(True)})
    assert np.array_equal(y, mask * np.float32(1 / 0.75)) and abs(mask.mean() - 0.75) < 0.02
    with pytest.raises(ModelError, match=r"a ratio of 1\.0"):
        ours(m, {**feeds, "t": np.array(True), "r": np.array(1, np.float32)})


@pytest.mark.parametrize(("op", "attributes", "shapes", "out"), [
    ("Einsum", {"equation": "ij,jk,kl->il"}, [(2, 3), (4, 5), (5, 6)], ["a", "d"]), ("Det", {}, [(2, 3)], []),
    ("Add", {}, [(2, 3), (2, 5)], ["a", "b"]),
])  # fmt: skip
def test_errors_name_the_operator_of_the_model(
    op: str, attributes: dict[str, str], shapes: list[tuple[int, ...]], out: list[str]
) -> None:
    """Also of a node that is kept as data; `op:` patterns know it by that name too."""
    inputs = [helper.make_tensor_value_info(f"x{k}", 1, ["a", f"b{k}"]) for k in range(len(shapes))]
    only = node(op, [i.name for i in inputs], ["y"], name="n", **attributes)
    graph = helper.make_graph([only], "g", inputs, [helper.make_tensor_value_info("y", 1, out)])
    made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    profile = qglow.profile(made, [{i.name: np.ones((3, 3), np.float32) for i in inputs}])
    session = qglow.InferenceSession(qglow.quantize(made, profile, qglow.QuantConfig(exclude=(f"op:{op}",))))
    with pytest.raises(qglow.QGlowError, match=rf"^node 'n' \({op}\)"):
        session.run(None, {i.name: np.ones(s, np.float32) for i, s in zip(inputs, shapes, strict=True)})


REAL, COMPLEX = RNG.normal(size=(2, 50)).astype(np.float32), RNG.normal(size=(2, 50, 2)).astype(np.float32)
WINDOW = RNG.random(16).astype(np.float32)
STFTS = [
    (REAL, 8, WINDOW, None, None), (REAL[..., None], 7, WINDOW, 16, 1), (REAL, 8, WINDOW, None, 0),
    (REAL, 8, None, 15, None), (REAL[:, :16], 8, WINDOW, None, None), (COMPLEX, 8, WINDOW, None, 0),
    (COMPLEX, 5, WINDOW, None, 1), (REAL.astype(np.float64), 8, WINDOW.astype(np.float64), None, 1),
]  # fmt: skip
WRONG_STFTS = [
    (REAL, 7, WINDOW, 20, None), (REAL[:, :10], 8, WINDOW, None, None), (REAL, 0, WINDOW, None, 1),
    (REAL, 8, None, None, 1), (REAL[0], 8, WINDOW, None, 1),
]  # fmt: skip


def stft_case(signal: Any, step: int, window: Any, length: int | None, onesided: int | None) -> onnx.ModelProto:
    """The product behind it needs the number of bins before anything runs."""
    fixed = {"step": np.array(step), "w": window, "length": None if length is None else np.array(length)}
    fixed = {k: v for k, v in fixed.items() if v is not None}
    inputs = ["x", "step", "w" if "w" in fixed else "", "length" if "length" in fixed else ""]
    attributes = {} if onesided is None else {"onesided": onesided}
    size = len(window) if window is not None else length or 1
    bins = size if onesided == 0 else size // 2 + 1
    fixed["m"] = RNG.normal(size=(bins, 3)).astype(signal.dtype)
    nodes = [node("STFT", inputs, ["y"], **attributes), node("ReduceSum", ["y", "last"], ["p"], keepdims=0),
             node("MatMul", ["p", "m"], ["z"])]  # fmt: skip
    kind = helper.np_dtype_to_tensor_dtype(signal.dtype)
    return model(nodes, {"x": signal}, {"y": (kind, 4), "z": (kind, 3)}, last=np.array([-1]), **fixed)


@pytest.mark.parametrize("case", STFTS)
def test_stft(case: tuple[Any, ...]) -> None:
    made, feeds = stft_case(*case), {"x": case[0]}
    for got, expected in zip(ours(made, feeds), theirs(made, feeds), strict=True):
        assert got.dtype == expected.dtype and got.shape == expected.shape
        np.testing.assert_allclose(got, expected, rtol=0, atol=1e-4)


@pytest.mark.parametrize("case", WRONG_STFTS)
def test_stft_that_onnxruntime_refuses(case: tuple[Any, ...]) -> None:
    made = stft_case(*case)
    with pytest.raises(Exception):  # noqa: B017 its own classes of errors
        theirs(made, {"x": case[0]})
    with pytest.raises(QGlowError):
        ours(made, {"x": case[0]})
