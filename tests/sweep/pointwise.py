"""Functions of one number, of two with broadcasting, and of many."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from .case import Case, Fixed, at_versions, case, normal, scalar, truths, versions, whole

LINE = np.concatenate([np.linspace(-6, 6, 41), [-100, 100, -20, 20, 0.5, 1.5, 2.5, -0.5, -2.5]]).astype(np.float32)
POSITIVE = np.abs(LINE) + np.float32(0.01)
FUNCTIONS: dict[str, list[dict[str, float | str]]] = {
    "Relu": [{}], "LeakyRelu": [{}, {"alpha": 0.3}, {"alpha": -0.5}], "Sigmoid": [{}], "Tanh": [{}],
    "HardSigmoid": [{}, {"alpha": 0.5}, {"beta": 0.1}, {"alpha": 0.1, "beta": 0.7}], "HardSwish": [{}],
    "Gelu": [{}, {"approximate": "tanh"}, {"approximate": "none"}], "Erf": [{}],
    "Elu": [{}, {"alpha": 2.0}], "Selu": [{}, {"alpha": 1.2}, {"gamma": 0.7}, {"alpha": 2.0, "gamma": 3.0}],
    "Celu": [{}, {"alpha": 0.4}], "Mish": [{}], "Softplus": [{}], "Softsign": [{}],
    "ThresholdedRelu": [{}, {"alpha": 0.25},
    {"alpha": -1.0}], "Exp": [{}], "Reciprocal": [{}], "Abs": [{}], "Neg": [{}],
    "Floor": [{}], "Ceil": [{}], "Round": [{}], "Sign": [{}], "Sin": [{}], "Cos": [{}], "Identity": [{}],
    "Tan": [{}], "Sinh": [{}], "Cosh": [{}], "Atan": [{}], "Asinh": [{}],
    "Shrink": [{}, {"lambd": 1.5}, {"bias": 0.3}, {"lambd": 1.0, "bias": 1.0}],
}  # fmt: skip


def functions() -> Iterator[Case]:
    for op, choices in FUNCTIONS.items():
        for attributes in choices:
            yield from at_versions(op, [LINE.reshape(2, 5, 5)], **attributes)
    for op in ("Log", "Sqrt"):
        yield from at_versions(op, [POSITIVE.reshape(5, 10)])
    for op in ("Sinh", "Cosh", "Shrink"):
        yield case(op, normal(3, 4, 5, scale=2), opset=13)
    for op, x in (("Asin", LINE / 100), ("Acos", LINE / 100), ("Atanh", LINE / 101), ("Acosh", 1 + np.abs(LINE))):
        yield from at_versions(op, [x])
    for op in ("Relu", "Sigmoid", "HardSwish", "Gelu", "Abs", "Sqrt", "Sign", "Mish"):
        newest = versions(op)[-1]
        for shape in ((), (1,), (3,), (2, 0, 3), (1, 2, 3, 4, 5), (1, 2, 1, 3, 1, 4)):
            yield case(op, np.abs(normal(*shape)), opset=newest)
    yield case("Celu", LINE.reshape(2, 25), opset=20, alpha=0.7)
    yield case("Exp", normal(3, 4), opset=13)
    yield case("Reciprocal", POSITIVE.reshape(5, 10), opset=13)
    yield from at_versions("Swish", [LINE], 24)
    yield from at_versions("Swish", [LINE], 24, alpha=0.5)
    yield from other_types()


def other_types() -> Iterator[Case]:
    for op in ("Abs", "Neg", "Sign", "Identity"):
        for dtype in (np.int8, np.int32, np.int64, np.float64):
            yield case(op, whole(3, 4, dtype=dtype), opset=13)
    yield case("Abs", whole(3, 4, low=0, dtype=np.uint8), opset=13)
    for op in ("Relu", "Sigmoid", "Tanh", "Exp", "Erf", "Floor", "Ceil", "Round", "Sin", "Cos", "Reciprocal", "Elu"):
        double = LINE.astype(np.float64)
        if op not in ("Erf", "Elu"):
            yield case(op, double, opset=14, tolerance=1e-12)
    for op in ("Sqrt", "Log"):
        yield case(op, POSITIVE.astype(np.float64), opset=14, tolerance=1e-12)
    for op in ("Relu", "Sigmoid", "Tanh", "Abs", "Neg", "Exp"):
        yield case(op, normal(3, 5, dtype=np.float16), opset=14, tolerance=2e-3)
    yield case("Relu", whole(3, 4, dtype=np.int32), opset=14)
    yield case("Not", truths(3, 4), opset=18)
    strange = np.array([np.nan, np.inf, -np.inf, 0, -0.0, 1], np.float32)
    yield from at_versions("IsNaN", [strange], 9)
    yield from at_versions("IsNaN", [strange.astype(np.float16)], 9)
    for op in (
        "Relu",
        "Abs",
        "Neg",
        "Floor",
        "Ceil",
        "Round",
        "Identity",
        "Reciprocal",
        "Tanh",
        "Sigmoid",
        "Exp",
        "LeakyRelu",
    ):
        yield case(op, strange, opset=18)


EXTREME = np.array(
    [np.nan, np.inf, -np.inf, 0, -0.0, 1e-42, -1e-42, 3e38, -3e38, 1e4, -1e4, 88.5, -88.5, 105, -105], np.float32
)


def extremes() -> Iterator[Case]:
    """Infinities, values that are no number, denormals, and the ends of the range."""
    for op in (*FUNCTIONS, "Log", "Sqrt"):
        if op not in ("Sin", "Cos"):  # NOTE: of 3e38 they are noise
            yield case(op, EXTREME.reshape(3, 5), opset=versions(op)[-1] if versions(op)[-1] < 24 else 20)
    for op in ("Add", "Sub", "Mul", "Div", "Min", "Max"):
        yield case(op, EXTREME[:, None], EXTREME, opset=14)
    for exponent in (0.5, 2.0, -1.0, 3.0, -2.5):
        yield case("Pow", EXTREME, scalar(exponent), opset=15)
        yield case("Pow", np.array([-2, -0.5, 0, 3], np.float32), scalar(exponent), opset=15)
    for op in ("ReduceMax", "ReduceMin", "ReduceSum", "ReduceMean", "ReduceLogSumExp"):
        rows = [[1, 2, np.inf], [-np.inf, 0, 1], [-np.inf] * 3, [900, 901, 899], [-900, -901, -899]]
        yield case(op, np.array(rows, np.float32), Fixed(np.array([1])), opset=18)
    for op in ("Softmax", "LogSoftmax"):
        yield case(op, np.array([[-np.inf, 0, 1], [3e38, 0, -3e38], [-np.inf, -np.inf, 5]], np.float32), opset=13)
        yield case(op, np.zeros((0, 3), np.float32), opset=13)


SHAPES = [
    ((2, 3, 4), (2, 3, 4)), ((2, 3, 4), (4,)), ((2, 3, 4), (3, 1)), ((), (2, 3)), ((2, 3), ()), ((1, 3), (2, 1, 1)),
    ((5,), (5,)),
    ((1, 8, 1, 1), (2, 8, 3, 3)), ((2, 8, 3, 3), (8, 1, 1)), ((2, 1, 3, 1, 5), (4, 1, 2, 1)), ((3, 1), (1, 4)),
    ((2, 8, 3, 3), (2, 8, 1, 1)),
    ((2, 8, 3, 3), (1, 1, 3, 3)), ((0, 3), (1, 3)), ((1, 1, 1), (2, 2)),
]  # fmt: skip
SAME_SHAPES = SHAPES[:4]


def binary() -> Iterator[Case]:
    for op in ("Add", "Sub", "Mul", "Div"):
        for a, b in SHAPES:
            right = normal(*b, seed=1)
            right = np.copysign(np.abs(right) + 0.2, right)
            yield case(op, normal(*a), right, opset=14)
            yield case(op, normal(*a), Fixed(right), opset=14)
            yield case(op, Fixed(normal(*a)), right, opset=14)
        for dtype in (np.int8, np.int32, np.int64, np.float64, np.float16):
            b = whole(3, 1, low=1, seed=2, dtype=dtype) * np.array([[1], [-1], [1]], dtype)
            if dtype is not np.int8 or op != "Div":
                yield case(op, whole(2, 3, 4, dtype=dtype), b, opset=14)
        yield from at_versions(op, [normal(2, 3, 4), normal(3, 4, seed=1)])
    yield case("Div", whole(3, 4, low=-20, high=20, dtype=np.int64), Fixed(np.array([3, -3, 7, -7])), opset=14)
    yield case("Div", whole(3, 4, low=0, high=99, dtype=np.uint8), Fixed(np.array([3, 5, 7, 9], np.uint8)), opset=14)
    yield from powers()
    yield from comparisons()


def powers() -> Iterator[Case]:
    x = np.abs(normal(2, 3, 4)) + np.float32(0.1)
    for exponent in (0.0, 0.5, 1.0, 2.0, 3.0, -1.0, -0.5, 2.5):
        for opset in versions("Pow"):
            yield case("Pow", x, scalar(exponent), opset=opset)
    yield case("Pow", normal(2, 3), scalar(2.0), opset=15)
    yield case("Pow", np.array([-0.0, 0.0, -2.0, np.inf, -np.inf], np.float32), scalar(-3.0), opset=15)
    yield case("Mish", np.array([-np.inf, np.inf, np.nan, 0], np.float32), opset=18)
    yield case("Pow", normal(2, 3), scalar(3.0), opset=15)
    yield case("Pow", x, normal(4, seed=3), opset=15)
    yield case("Pow", x, Fixed(normal(3, 1, seed=3)), opset=15)
    yield case("Pow", x, scalar(2, np.int64), opset=15)
    yield case("Pow", whole(3, 4), scalar(2, np.int64), opset=15)
    yield case("Pow", whole(3, 4, low=1, dtype=np.int32), scalar(2.0), opset=15)
    signs = whole(3, 4, low=-20, high=20)
    for b in (np.array([3, -3, 7, -7]), np.array([1, 2, -4, 5])):
        yield from at_versions("Mod", [signs, b], 10)
        yield from at_versions("Mod", [signs, b], 10, fmod=1)
        yield from at_versions("Mod", [signs.astype(np.int32), b.astype(np.int32)], 10)
        yield from at_versions("Mod", [normal(3, 4, scale=5), b.astype(np.float32)], 10, fmod=1)
    yield case("Mod", whole(3, 4, low=0, high=99, dtype=np.uint8), np.array([3, 5, 7, 9], np.uint8), opset=13)


def comparisons() -> Iterator[Case]:
    for op in ("Equal", "Greater", "GreaterOrEqual", "Less", "LessOrEqual"):
        for a, b in SAME_SHAPES:
            left, right = whole(*a, low=-2, high=3), whole(*b, low=-2, high=3, seed=1)
            yield from at_versions(op, [left.astype(np.int64), right.astype(np.int64)], 9)
            yield from at_versions(op, [left.astype(np.float32), Fixed(right.astype(np.float32))], 11)
            yield case(op, left.astype(np.int32), right.astype(np.int32), opset=16)
            yield case(op, left.astype(np.float64), right.astype(np.float64), opset=16)
    yield case("Equal", truths(3, 4), truths(4), opset=13)
    with_nan = np.array([1, np.nan, np.inf, -np.inf], np.float32)
    for op in ("Equal", "Greater", "GreaterOrEqual", "Less", "LessOrEqual"):
        yield case(op, with_nan[:, None], with_nan, opset=16)
    for op in ("And", "Or", "Xor"):
        for a, b in SAME_SHAPES:
            yield case(op, truths(*a), truths(*b, seed=1), opset=18)
    for shape in SHAPES[:6]:
        a, b = shape
        condition = truths(*np.broadcast_shapes(a, b)[-1:])
        for opset in versions("Where", 9):
            yield case("Where", condition, normal(*a), normal(*b, seed=1), opset=opset)
        yield case("Where", truths(*a), whole(*a), whole(*b, seed=1), opset=16)
        yield case("Where", condition, normal(*a), scalar(-1.5), opset=16)


def variadic() -> Iterator[Case]:
    for op in ("Min", "Max", "Sum", "Mean"):
        for opset in versions(op):
            yield case(op, normal(2, 3), opset=opset)
            yield case(op, normal(2, 3), normal(2, 3, seed=1), opset=opset)
            yield case(op, normal(2, 3), normal(2, 3, seed=1), normal(2, 3, seed=2), opset=opset)
        yield case(op, normal(2, 3, 4), normal(4, seed=1), normal(3, 1, seed=2), opset=13)
        yield case(op, normal(4), normal(2, 3, 1, seed=1), opset=13)
        yield case(op, normal(2, 3), Fixed(normal(3, seed=1)), opset=13)
        if op != "Mean":  # NOTE: onnxruntime has no Mean of float64
            yield case(op, normal(3, 4, dtype=np.float64), normal(4, seed=1, dtype=np.float64), opset=13)
    for op in ("Min", "Max"):
        for dtype in (np.int32, np.int64, np.uint8, np.float16):
            yield case(op, whole(3, 4, low=0, dtype=dtype), whole(4, low=0, dtype=dtype, seed=1), opset=13)
        yield case(op, np.array([1, np.nan, np.inf], np.float32), np.array([np.nan, 2, 3], np.float32), opset=13)
    yield from clips()
    for slope in ((1,), (4,), (8, 1, 1), (1, 8, 1, 1), (2, 8, 3, 4)):
        yield from at_versions("PRelu", [normal(2, 8, 3, 4), Fixed(normal(*slope, seed=1))])
    yield case("PRelu", normal(2, 8, 3, 4), normal(8, 1, 1, seed=1), opset=16)
    yield case("PRelu", normal(2, 8), Fixed(normal(8, seed=1)), opset=16)


def clips() -> Iterator[Case]:
    x = normal(2, 3, 4, scale=3)
    for attributes in ({}, {"min": 0.0}, {"max": 1.0}, {"min": -1.0, "max": 6.0}):
        yield case("Clip", x, opset=7, **attributes)
        yield case("Clip", x, opset=10, **attributes)
    for opset in (11, 12, 13):
        for bounds in (
            (),
            (scalar(0.0),),
            (None, scalar(1.0)),
            (scalar(-1.0), scalar(6.0)),
            (scalar(2.0), scalar(1.0)),
        ):
            yield case("Clip", x, *bounds, opset=opset)
    yield case("Clip", x, np.array(-1, np.float32), np.array(1.5, np.float32), opset=13)
    for dtype in (np.int32, np.int64, np.int8, np.uint8, np.float64):
        yield case("Clip", whole(3, 4, low=0, dtype=dtype), scalar(2, dtype), scalar(5, dtype), opset=13)
    yield case("Clip", np.array([np.nan, np.inf, -np.inf], np.float32), scalar(0.0), scalar(6.0), opset=13)


def softmax() -> Iterator[Case]:
    for op in ("Softmax", "LogSoftmax"):
        for opset in versions(op):
            for shape in ((3, 5), (2, 3, 4), (2, 3, 4, 5), (7,)):
                x = normal(*shape, scale=3)
                if len(shape) > 1 or opset >= 13:
                    yield case(op, x, opset=opset)
                for axis in range(-len(shape) if opset >= 11 else 0, len(shape)):
                    yield case(op, x, opset=opset, axis=axis)
        yield case(op, normal(3, 4, scale=200), opset=13)
        yield case(op, normal(3, 4, dtype=np.float64), opset=13, axis=0)
        masked = np.where(truths(4, 6), normal(4, 6), -np.inf).astype(np.float32)
        masked[:, 0] = 1
        yield case(op, masked, opset=13)


FAMILIES = (functions, extremes, binary, variadic, softmax)
