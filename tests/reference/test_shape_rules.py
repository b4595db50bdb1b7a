"""Shape rules of ops that make much of little, beside the ops themselves: the same shapes and dtypes, and an error
where they have one."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import onnx
import pytest
from onnx import helper, numpy_helper

from qglow.graph import Array, DType, Node, TensorType
from qglow.graph.dtypes import dtype_made
from qglow.graph.infer import Contradiction
from qglow.ops import FROM_DATA, OPS, has
from qglow.ops.control import SELECT
from qglow.ops.traits import GROWS
from qglow.reference.dims import agree
from qglow.reference.float_table import FLOAT
from qglow.reference.growing import bytes_made
from qglow.reference.integer_table import INTEGER
from qglow.reference.shape_table import SHAPES

Case = tuple[str, list[Array | None], dict[str, object]]
F, I64 = np.float32, np.int64


def _cases() -> Iterator[Case]:
    rng = np.random.default_rng(0)
    x, image = rng.normal(size=(2, 3)).astype(F), rng.normal(size=(2, 4, 6, 6)).astype(F)
    for kind in (x, x.astype(np.float16), x.astype(I64), x.astype(np.uint8), x > 0):
        for shape in ([4, 2, 3], [1], [2, 1], [0, 2, 3], [5, 1, 1]):
            yield "Expand", [kind, np.array(shape)], {}
        for repeats in ([1, 2], [0, 3], [2], [2, 2, 2]):
            yield "Tile", [kind, np.array(repeats)], {}
        for pads in ([0, 1, 2, 0], [-1, 0, 0, 0], [0, -1, 0, -1], [0, 0, 0, 0]):
            yield "Pad", [kind, np.array(pads)], {}
        yield "Pad", [kind, np.array([1, 2]), np.zeros((), kind.dtype), np.array([-1])], {}
        for at in (np.array([0, 1, 1]), np.array(1), np.zeros((2, 0, 1), I64), np.array([[-1]])):
            for axis in (0, 1, -1):
                yield "Gather", [kind, at], {"axis": axis}
        yield "Concat", [kind, kind, kind], {"axis": 1}
        yield "Concat", [kind, kind[:1]], {"axis": -2}
        yield "Cast", [kind], {"to": "int32"}
        yield "Trilu", [kind], {}
        for op in ("ArgMax", "ArgMin"):
            yield op, [kind], {"axis": 1, "keepdims": 0}
            yield op, [kind], {"axis": -2}
        if kind.dtype != np.bool_:
            yield "TopK", [kind, np.array([2])], {"axis": -1}
            yield "TopK", [kind, np.array([1])], {"axis": 0, "largest": 0}
            yield "TopK", [kind, np.array([0])], {"axis": 0}
            yield "CumSum", [kind, np.array(0)], {}
            yield "Hardmax", [kind], {}
        yield "ScatterElements", [kind, np.array([[0, 1, 0]]), kind[:1]], {"axis": 0}
    yield "Concat", [x, x[:, :2]], {"axis": 0}
    for sizes in ([2, 3], [], [0, 5]):
        yield "ConstantOfShape", [np.array(sizes, I64)], {}
        yield "ConstantOfShape", [np.array(sizes, I64)], {"value": np.array([7], np.int32)}
    for a, b, c in ((0, 5, 1), (0, 5, 2), (5, 0, -1), (5, 0, 1), (0, 7, 3), (-3, 4, 2), (0, -5, -2), (0, 5, 0)):
        for dtype in (I64, np.int32, F, np.float64):
            yield "Range", [np.array(v, dtype) for v in (a, b, c)], {}
    yield "Range", [np.array(v, F) for v in (0, 1, 0.1)], {}
    for axis in (-1, 0, 1, 2):
        for indices in (np.array([[0, 2, 9]]), np.array([1.0, 2.0], F)):
            yield "OneHot", [indices, np.array([4]), np.array([0, 1], F)], {"axis": axis}
    yield "OneHot", [np.array([1]), np.array(0), np.array([0, 1], F)], {}
    yield "SequenceMask", [np.array([0, 3, 2], np.int32)], {"steps": 4}
    for mode in ("DCR", "CRD"):
        yield "DepthToSpace", [image], {"blocksize": 2, "mode": mode}
    yield "DepthToSpace", [image], {"blocksize": 3}
    yield "SpaceToDepth", [image], {"blocksize": 3}
    yield "SpaceToDepth", [image], {"blocksize": 4}
    yield "GridSample", [image, rng.normal(size=(2, 5, 7, 2)).astype(F)], {}
    rois = np.array([[0, 0, 4, 4], [1, 1, 5, 5], [0, 0, 2, 2]], F)
    yield "RoiAlign", [image, rois, np.array([0, 1, 1])], {"output_height": 3, "output_width": 2, "sampling_ratio": 1}
    yield "MaxRoiPool", [image, np.array([[0, 0, 0, 4, 4], [1, 0, 0, 3, 3]], F)], {"pooled_shape": (2, 3)}
    yield (
        "MaxUnpool",
        [image[:, :, :2, :2], np.arange(32).reshape(2, 4, 2, 2)],
        {"kernel_shape": (2, 2), "strides": (2, 2)},
    )
    for more in (
        {},
        {"strides": (2, 2)},
        {"pads": (1, 1, 1, 1)},
        {"strides": (2, 2), "ceil_mode": 1},
        {"auto_pad": "SAME_UPPER", "strides": (4, 4)},
    ):
        yield "LpPool", [image], {"kernel_shape": (3, 3), **more}
    yield "GlobalLpPool", [image], {}
    yield "LRN", [image], {"size": 3}
    yield "LpNormalization", [image], {}
    yield "IsNaN", [x], {}
    yield "Not", [x > 0], {}

    yield from _moving()
    yield from _computing()
    yield from _depending()


def _moving() -> Iterator[Case]:
    """Ops that give their input's elements in another shape or order, with forms that do not fit."""
    rng = np.random.default_rng(1)
    x = rng.normal(size=(2, 3, 4)).astype(F)
    for sizes in (
        [6, 4],
        [-1],
        [0, -1],
        [2, 0, 4],
        [0, 0, 0, 1],
        [5, 5],
        [-1, 5],
        [-1, -1],
        [4, 0, 3],
        [1, 24, 1],
        [-2, 4],
    ):
        yield "Reshape", [x, np.array(sizes)], {}
    for sizes in ([0, -1], [0, 3], [2, -1], [3, 0, 5]):
        yield "Reshape", [x[:0], np.array(sizes)], {}
        yield "Reshape", [x[:0], np.array(sizes)], {"allowzero": 1}
    yield "Reshape", [np.ones((), F), np.array([1, 1])], {}
    for axis in (0, 1, 2, 3, -1, -3):
        yield "Flatten", [x], {"axis": axis}
    yield "Flatten", [np.ones((), F)], {"axis": 0}
    for axes in ([0], [2], [0, 2], [-1], [1], [0, 0], [3]):
        yield "Squeeze", [np.ones((1, 3, 1), F), np.array(axes)], {}
        yield "Unsqueeze", [x, np.array(axes)], {}
    yield "Squeeze", [np.ones((1, 3, 1), F)], {}
    yield "Unsqueeze", [x, np.array([-1, -5])], {}
    for perm in ((2, 0, 1), (0, 1, 2), (0, 0, 1), (0, 1)):
        yield "Transpose", [x], {"perm": perm}
    yield "Transpose", [x], {}
    for starts, ends, *more in (
        ([0], [2]), ([1, -2], [9, 2**62]), ([0, 0], [1, -1], [0, -1]), ([3], [-9], [2], [-2]),
        ([-1], [-(2**62)], [1], [-1]),
        ([0], [9], [2], [3]), ([2], [1], [1]), ([0], [2], [0], [0]), ([0], [2], [5]), ([0, 1], [2, 2], [1, 2], [1, 1]),
    ):  # fmt: skip
        yield "Slice", [x, *(np.array(v) for v in (starts, ends, *more))], {}
    for axis in (0, 1, 2, -1, 3):
        yield "Split", [x], {"axis": axis}
        yield "Split", [x, np.array([1, 2])], {"axis": axis}
    for at in (x[:, :1], x[:1, :2, :3], x, np.ones((2, 4, 4)), np.ones((3, 1, 1)), np.ones((2, 3))):
        for axis in (0, 1, -1):
            yield "GatherElements", [x, (at > 9).astype(I64)], {"axis": axis}
    for at in ([[1]], [[1, 1], [0, 0]], [[[1, 1, 1]]], [1], [[[0], [1]], [[1], [0]]], [], [[1, 1, 1, 0]]):
        for batch in (0, 1, 2):
            yield "GatherND", [x, np.array(at, I64)], {"batch_dims": batch}
    for ends in ({}, {"start": 1}, {"end": -1}, {"start": -2, "end": 9}, {"start": 5}):
        yield "Shape", [x], ends
    yield "Size", [x], {}


def _computing() -> Iterator[Case]:
    rng = np.random.default_rng(2)
    image, w = rng.normal(size=(2, 4, 7, 6)).astype(F), rng.normal(size=(6, 2, 3, 2)).astype(F)
    for more in (
        {},
        {"strides": (2, 1)},
        {"pads": (1, 0, 2, 1)},
        {"auto_pad": "SAME_LOWER", "strides": (2, 2)},
        {"dilations": (2, 3)},
    ):
        yield "Conv", [image, w], {"group": 2, **more}
        yield "ConvTranspose", [image, w[:4], np.ones(4, F)], {"group": 2, **more}
        for op in ("MaxPool", "AveragePool"):
            yield op, [image], {"kernel_shape": (3, 2), **more}
            yield op, [image], {"kernel_shape": (3, 2), "ceil_mode": 1, **more}
    yield "ConvTranspose", [image, w[:4]], {"group": 2, "strides": (3, 2), "output_padding": (1, 0)}
    yield "ConvTranspose", [image, w[:4]], {"group": 2, "strides": (3, 2), "output_shape": (20, 12)}
    yield "Conv", [image, w], {}
    yield "Conv", [image, w, np.ones(5, F)], {"group": 2}
    for op in ("GlobalMaxPool", "GlobalAveragePool"):
        yield op, [image], {}
    for scales, sizes in (
        ([1, 1, 2, 0.5], None),
        ([1, 1, 1, 1.5], None),
        (None, [2, 4, 9, 3]),
        (None, [2, 4]),
        ([2], None),
    ):
        given = [None if v is None else np.array(v, t) for v, t in ((scales, F), (sizes, I64))]
        yield "Resize", [image, None, *given], {}
    a, b = rng.normal(size=(3, 4)).astype(F), rng.normal(size=(4, 5)).astype(F)
    for turned in ({}, {"transA": 1}, {"transB": 1}):
        yield "Gemm", [a, b], turned
        yield "Gemm", [a.T, b.T, np.ones((3, 1), F)], {"transA": 1, "transB": 1}
    for left, right in (
        ((3, 4), (4, 5)),
        ((4,), (4, 5)),
        ((3, 4), (4,)),
        ((4,), (4,)),
        ((2, 1, 3, 4), (7, 4, 5)),
        ((2, 4), (3, 5)),
    ):
        yield "MatMul", [np.ones(left, F), np.ones(right, F)], {}
    for axis in (0, 1, -1, 4):
        yield "LayerNormalization", [image, np.ones(6, F)], {"axis": axis}
    yield "LayerNormalization", [image, np.ones((1, 7, 6), F), np.ones(1, F)], {"axis": 1}
    for axis in (3, -4):
        yield "Pad", [np.ones((2, 3), F), np.array([1, 1]), None, np.array([axis])], {}
    for op in (op for op in OPS if op.startswith("Reduce")):
        for axes in ([1], [-1, 0], [], [4], [1, 1, -3]):
            yield op, [image, np.array(axes, I64)], {"keepdims": len(axes) % 2}
        yield op, [image], {"noop_with_empty_axes": 1}


def _depending() -> Iterator[Case]:
    """Ops whose shape depends on data: the rank."""
    x = np.array([[1, 0, 2], [0, 0, 3]], F)
    yield "NonZero", [x], {}
    yield "Compress", [x, np.array([True, False, True])], {}
    yield "Compress", [x, np.array([True, False])], {"axis": 0}
    yield "Unique", [x], {}
    yield "Unique", [x], {"axis": 1}
    boxes = np.array([[[0, 0, 1, 1], [0, 0, 2, 2]]], F)
    yield "NonMaxSuppression", [boxes, np.array([[[0.5, 0.9]]], F), np.array([2])], {}
    yield "BoundedSuppression", [boxes, np.array([[[0.5, 0.9]]], F), np.array([2])], {}
    yield "FirstRows", [x, np.array([1])], {}


CASES = list(_cases())


def node_of(number: int) -> tuple[Node, list[Array | None]]:
    op, inputs, attributes = CASES[number]
    names = tuple("" if a is None else f"i{k}" for k, a in enumerate(inputs))
    return Node(op, names, ("a", "b") if op in TWO else ("a",), attributes, "n"), inputs


def shapes_of(inputs: list[Array | None]) -> list[tuple[int, ...] | None]:
    return [None if a is None else a.shape for a in inputs]


NUMBERS = pytest.mark.parametrize("number", range(len(CASES)), ids=lambda k: f"{CASES[k][0]}-{k}")
TWO = ("Split", "TopK", "MaxPool", "Unique")


@NUMBERS
def test_rows_say_what_the_op_gives(number: int) -> None:
    node, inputs = node_of(number)
    op, rule = node.op, SHAPES[node.op]
    try:
        expected = [np.asarray(a) for a in FLOAT[op](node, list(inputs))]
    except Exception:
        with pytest.raises(Exception):  # noqa: B017  (whatever it is that does not fit)
            shapes = rule(node, shapes_of(inputs), inputs)
            assert all(d >= 0 for s in shapes for d in s)
        return
    shapes = rule(node, shapes_of(inputs), inputs)
    if OPS[op].sized_by == FROM_DATA:
        assert all(agree(s, a.shape) for s, a in zip(shapes, expected, strict=False))
        return
    types = [None if a is None else TensorType(DType.of(a.dtype), tuple(a.shape)) for a in inputs]
    dtypes = [dtype_made(node, k, types) for k in range(len(shapes))]
    assert [a.shape for a in expected][: len(shapes)] == [*shapes]
    assert [DType.of(a.dtype) for a in expected][: len(shapes)] == dtypes
    assert not has(op, GROWS) or bytes_made(node, list(inputs)) >= sum(a.nbytes for a in expected) - 8 * len(expected)


@NUMBERS
def test_a_rule_holds_for_names_of_sizes_too(number: int) -> None:
    """With names for some sizes, and elements that are not known, what follows is a size, a name of it, or open."""
    node, inputs = node_of(number)
    rule, rng = SHAPES[node.op], np.random.default_rng(number)
    try:
        want = rule(node, shapes_of(inputs), inputs)
    except Exception:
        return
    for _ in range(8):
        sizes = {f"d{k}": k for k in range(32)}
        named = [
            None if s is None else tuple(f"d{d}" if d < 32 and rng.random() < 0.5 else d for d in s)
            for s in shapes_of(inputs)
        ]
        elements = [None if rng.random() < 0.5 else a for a in inputs]
        found = rule(node, named, elements)
        for got, exact in zip(found, want, strict=True):
            assert got is None or len(got) == len(exact or ()), (named, got, exact)
            assert all(
                d in ("?", e) or sizes.get(str(d)) == e for d, e in zip(got or (), exact or (), strict=got is not None)
            )


@NUMBERS
def test_onnx_infers_the_same_shapes(number: int) -> None:
    """Where its schemas say something; what they refuse, or leave open, is left out."""
    node, inputs = node_of(number)
    arrays = {i: a for i, a in zip(node.inputs, inputs, strict=True) if a is not None}
    attributes = {k: numpy_helper.from_array(v) if isinstance(v, np.ndarray) else v for k, v in node.attributes.items()}
    if node.op == "Cast":
        attributes["to"] = onnx.TensorProto.INT32
    made = helper.make_node(node.op, list(node.inputs), list(node.outputs), **attributes)
    given = [
        helper.make_tensor_value_info(i, helper.np_dtype_to_tensor_dtype(a.dtype), a.shape) for i, a in arrays.items()
    ]
    data = [numpy_helper.from_array(a, i) for i, a in arrays.items()]
    outputs = [helper.make_empty_tensor_value_info(o) for o in node.outputs]
    model = helper.make_model(
        helper.make_graph([made], "g", given, outputs, data), opset_imports=[helper.make_opsetid("", 19)]
    )
    try:
        inferred = onnx.shape_inference.infer_shapes(model, strict_mode=True, data_prop=True).graph.output
        ruled = SHAPES[node.op](node, shapes_of(inputs), inputs)
    except Exception:
        return
    for got, value in zip(ruled, inferred, strict=False):
        tensor = value.type.tensor_type
        dims = (
            [d.dim_value if d.HasField("dim_value") else "?" for d in tensor.shape.dim]
            if tensor.HasField("shape")
            else None
        )
        assert dims is None or agree(tuple(dims), got), (dims, got)


def test_every_rule_has_a_case() -> None:
    """Of each op whose rule does more than to repeat or broadcast the shapes of its inputs, or that is in the sweep of
    test_shapes.py."""
    plain = {"same", "along", "normalized", "broadcast", "recurrent", "quantized_lstm", "blockwise"}
    ruled = {op for op, row in OPS.items() if str(row.shape).rpartition(".")[2] not in ("", *plain)}
    tried = {op for op, *_ in CASES}
    assert ruled - tried <= {op for op in ruled if OPS[op].float_op in tried}


def test_every_op_has_a_shape_rule() -> None:
    assert set(FLOAT) | set(INTEGER) == set(SHAPES) | {SELECT}


@pytest.mark.parametrize("op", ["MaxPool", "AveragePool", "LpPool"])
def test_a_pool_of_which_engines_differ_is_refused(op: str) -> None:
    node = Node(op, ("x",), ("y",), {"kernel_shape": (3, 4), "dilations": (1, 2), "auto_pad": "SAME_UPPER"}, "pool")
    with pytest.raises(Contradiction, match="SAME_UPPER of a pool with dilations"):
        SHAPES[op](node, [(1, 3, 8, 8)], [None])


def test_a_pad_that_cuts_off_more_than_there_is_is_refused() -> None:
    """onnxruntime counts what is missing against what the other side adds."""
    node = Node("Pad", ("x", "pads"), ("y",), {}, "pad")
    for size, pads in ((0, (-1, 1)), (1, (-2, 2)), (2, (1, -3))):
        with pytest.raises(ValueError, match="cut off more"):
            FLOAT["Pad"](node, [np.zeros(size, np.float32), np.array(pads)])
    assert FLOAT["Pad"](node, [np.ones(2, np.float32), np.array([-2, 1])])[0].tolist() == [0]
