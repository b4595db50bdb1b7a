"""Shape rules of ops that make much of little, beside the ops themselves: the same shapes and dtypes, and an error where they have one."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest

from qglow.graph import Array, DType, Node, TensorType
from qglow.graph.dtypes import kind_made
from qglow.ops import FROM_DATA, OPS, has, having
from qglow.ops.traits import GROWS
from qglow.reference.float_table import FLOAT
from qglow.reference.growing import bytes_made
from qglow.reference.shape_table import SHAPES

Case = tuple[str, list[Array], dict[str, object]]
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
    for mode in ("DCR", "CRD"):
        yield "DepthToSpace", [image], {"blocksize": 2, "mode": mode}
    yield "DepthToSpace", [image], {"blocksize": 3}
    yield "SpaceToDepth", [image], {"blocksize": 3}
    yield "SpaceToDepth", [image], {"blocksize": 4}
    yield "GridSample", [image, rng.normal(size=(2, 5, 7, 2)).astype(F)], {}
    rois = np.array([[0, 0, 4, 4], [1, 1, 5, 5], [0, 0, 2, 2]], F)
    yield "RoiAlign", [image, rois, np.array([0, 1, 1])], {"output_height": 3, "output_width": 2, "sampling_ratio": 1}
    yield "MaxRoiPool", [image, np.array([[0, 0, 0, 4, 4], [1, 0, 0, 3, 3]], F)], {"pooled_shape": (2, 3)}
    yield "MaxUnpool", [image[:, :, :2, :2], np.arange(32).reshape(2, 4, 2, 2)], {"kernel_shape": (2, 2), "strides": (2, 2)}
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


CASES = list(_cases())


@pytest.mark.parametrize("number", range(len(CASES)), ids=lambda k: f"{CASES[k][0]}-{k}")
def test_rows_say_what_the_op_gives(number: int) -> None:
    op, inputs, attributes = CASES[number]
    node = Node(op, tuple(f"i{k}" for k in range(len(inputs))), ("a", "b"), attributes, "n")  # type: ignore[arg-type]
    rule = SHAPES[op]
    try:
        expected = [np.asarray(a) for a in FLOAT[op](node, list(inputs))]
    except Exception:
        with pytest.raises(Exception):  # noqa: B017  (whatever it is that does not fit)
            shapes = rule(node, [a.shape for a in inputs], list(inputs))
            assert all(d >= 0 for s in shapes for d in s)
        return
    shapes = rule(node, [a.shape for a in inputs], list(inputs))
    types: list[TensorType | None] = [TensorType(DType.of(a.dtype), tuple(a.shape)) for a in inputs]
    dtypes = [kind_made(node, k, types) for k in range(len(shapes))]
    assert [a.shape for a in expected][: len(shapes)] == shapes
    assert [DType.of(a.dtype) for a in expected][: len(shapes)] == dtypes
    assert not has(op, GROWS) or bytes_made(node, list(inputs)) >= sum(a.nbytes for a in expected) - 8 * len(expected)


def test_every_row_has_a_case() -> None:
    """Of each op whose rule is for what elements size, or for regions."""
    sized = {op for op, row in OPS.items() if str(row.shape).startswith("shape_rules_sized.")}
    assert sized <= {op for op, *_ in CASES}


BOUNDED = frozenset({  # by their inputs: what they write has no more elements, or as many as a broadcast, which is asked
    "Compress", "Flatten", "LayerNormalization", "Mod", "NonMaxSuppression", "Reshape", "Select", "Shape", "Size", "Slice", "Split",
    "Squeeze", "Transpose", "Unique", "Unsqueeze",
})  # fmt: skip


def test_every_op_says_how_much_it_makes() -> None:
    """An op that is added must have a shape rule, or a place among those that its inputs bound."""
    assert set(FLOAT) == set(SHAPES) & set(FLOAT) | BOUNDED | {"NonZero", "GatherElements"}
    assert {op for op in having(GROWS) if OPS[op].sized_by != FROM_DATA} <= set(SHAPES) | {"GatherElements"}
