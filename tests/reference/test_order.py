"""What gives the reference its bits calls nothing of numpy whose bits depend on the CPU: a walk over the code of every
meaning."""

from __future__ import annotations

import dis
from collections.abc import Callable, Iterator
from types import CodeType, FunctionType
from typing import Any

import numpy as np

from qglow.ops import OPS
from qglow.reference import FLOAT, INTEGER
from qglow.reference.float_table import STRICT_FLOAT

SINGLE = {  # one IEEE operation for each element, or integers
    "abs", "add", "multiply", "subtract", "divide", "negative",
    "sqrt", "rint", "floor", "ceil", "trunc", "sign", "fmod", "mod", "power", "equal",
    "greater", "greater_equal", "less", "less_equal", "logical_and", "logical_or", "logical_xor", "logical_not",
    "bitwise_and",
    "bitwise_or", "bitwise_xor", "isnan", "isfinite", "isinf", "signbit", "copysign", "clip", "left_shift",
    "right_shift", "invert",
}  # fmt: skip
MOVING = {
    "where", "take_along_axis", "put_along_axis", "concatenate", "stack", "split", "flip", "moveaxis", "expand_dims",
    "broadcast_to", "atleast_1d",
    "broadcast_arrays", "broadcast_shapes", "full", "full_like", "zeros", "zeros_like", "ones", "ones_like", "empty",
    "empty_like",
    "array", "asarray", "ascontiguousarray", "arange", "pad", "take", "tile", "nonzero", "triu", "tril", "repeat",
    "ndindex", "squeeze",
    "argmax", "argmin", "argsort", "errstate", "iinfo", "finfo", "dtype", "newaxis", "inf", "nan", "pi", "shape",
    "prod", "any", "all",
    "float16", "float32", "float64", "int8", "uint8", "int16", "uint16", "int32", "uint32", "int64", "uint64", "bool_",
    "str_", "object_",
    "cumsum", "count_nonzero", "unravel_index", "meshgrid", "indices", "floating", "ndarray", "swapaxes", "transpose",
    "reshape",
}  # fmt: skip
# NOTE: cumsum adds one after the other by its definition; argmax and argmin find the first; a stable argsort has one
# result; power and
# prod are of integers
METHODS = {"sum", "mean", "std", "var", "dot", "prod", "cumprod", "ptp", "trace", "max", "min"}
BY_TABLE = {"turn_parts", "_pi", "atan_table"}  # of integers and fractions
KNOWN = {  # why what the walk finds in a function has one result
    "float_pool.tap_counts: .sum()": "counts",
    "float_reduce.place_of_extreme: np.fmax": "what it gives is compared, and zeros of either sign are equal",
    "float_reduce.place_of_extreme: np.fmin": "the same",
    "float_pool.pool_counts: np.maximum": "counts",
    "float_grid._inside: np.minimum": "compared alone, where zeros of both signs are equal",
    "float_regions._corner: np.maximum": "compared alone, where zeros of both signs are equal",
    "float_regions._corner: np.minimum": "compared alone, where zeros of both signs are equal",
    "float_regions.max_roi_pool: .max()": "compared alone, where zeros of both signs are equal",
    "float_regions.roi_align: .max()": "of integers",
    "float_select._corners: np.maximum": "compared alone, where zeros of both signs are equal",
    "float_select._corners: np.minimum": "compared alone, where zeros of both signs are equal",
    "float_select._overlaps: .prod()": "of two factors",
    "float_select._overlaps: np.maximum": "compared alone, where zeros of both signs are equal",
    "float_select._overlaps: np.minimum": "compared alone, where zeros of both signs are equal",
    "float_select.compress: np.flatnonzero": "places, and comparisons alone",
    "float_select.kept_boxes: np.flatnonzero": "places, and comparisons alone",
    "float_select.scatter_elements: .min()": "of integers",
    "float_select.scatter_elements: .max()": "of integers",
    "float_regions.roi_align: .min()": "of integers",
    "float_select.unique: np.unique": "places, and comparisons alone",
    "float_pool.max_indices: .max()": "compared alone, where zeros of both signs are equal",
    "float_pool.max_indices: .min()": "the limits of an integer type",
    "float_pool.of_nothing: .min()": "the limits of a float type",
    "float_resize.linear_taps: np.minimum": "integers",
    "float_resize.resampled: .min()": "the limits of an integer type",
    "float_resize.resampled: .max()": "the limits of an integer type",
    "integer_resize.corner_taps: np.minimum": "integers",
    "integer_resize._to_integers: .min()": "the limits of an integer type",
    "integer_resize._to_integers: .max()": "the limits of an integer type",
    "float_shape.quantize_linear: .min()": "the limits of an integer type",
    "float_shape.quantize_linear: .max()": "the limits of an integer type",
}


def reached(start: Callable[..., Any]) -> Iterator[FunctionType]:
    """The functions of the reference that a function may call, itself first: by its globals, closures and the tables
    among these."""
    seen: set[int] = set()
    left: list[Any] = [start]
    while left:
        item = left.pop()
        if id(item) in seen or item is FLOAT or item is INTEGER or item is STRICT_FLOAT:
            continue
        seen.add(id(item))
        if isinstance(item, dict):
            left += item.values()
        elif isinstance(item, (tuple, list)):
            left += item
        elif isinstance(item, FunctionType) and item.__module__.startswith("qglow.reference"):
            yield item
            left += [
                item.__globals__[n] for code in codes(item.__code__) for n in code.co_names if n in item.__globals__
            ]
            left += [c.cell_contents for c in item.__closure__ or ()]
            left += list(item.__defaults__ or ())
            left.append(getattr(item, "__wrapped__", None))
        elif isinstance(item, type) and item.__module__.startswith("qglow.reference"):
            left += vars(item).values()
        elif isinstance(item, property):
            left.append(item.fget)


def codes(code: CodeType) -> Iterator[CodeType]:
    yield code
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield from codes(constant)


def faults(function: FunctionType) -> list[str]:
    """What of a function's code may have other bits on another CPU."""
    found = []
    for code in codes(function.__code__):
        before = None
        for step in dis.get_instructions(code):
            name = str(step.argval)
            if step.opname in ("LOAD_ATTR", "LOAD_METHOD"):
                if before is not None and before.opname == "LOAD_GLOBAL" and before.argval == "np":
                    if name not in SINGLE | MOVING:
                        found.append(f"np.{name}")
                elif name in METHODS:
                    found.append(f".{name}()")
            elif step.opname == "BINARY_OP" and step.argrepr in ("@", "@=", "**"):
                found.append(step.argrepr)
            before = step
    return [f"{function.__module__.removeprefix('qglow.reference.')}.{function.__qualname__}: {f}" for f in found]


def law(op: str) -> Callable[..., Any]:
    return FLOAT[op] if op == "Resize" else STRICT_FLOAT.get(op, FLOAT[op])


def test_float_meanings_call_only_what_is_the_same_everywhere() -> None:
    found = {
        f
        for op in FLOAT
        for function in reached(law(op))
        if function.__name__ not in BY_TABLE
        for f in faults(function)
    }
    assert found == set(KNOWN)


def test_functions_of_numpy_that_declarations_name_are_the_same_everywhere() -> None:
    named = {
        str(m.function).removeprefix("numpy.")
        for row in OPS.values()
        if (m := row.meaning) and str(m.function).startswith("numpy.")
    }
    assert named and named <= SINGLE | MOVING


def test_the_walk_finds_what_it_should() -> None:
    """The fast meanings are full of what it looks for."""
    found = {
        f.split(": ")[1]
        for op in ("Conv", "MatMul", "ReduceSum", "AveragePool")
        for g in reached(FLOAT[op])
        for f in faults(g)
    }
    assert {"np.matmul", ".sum()"} <= found


def test_single_operations_are_rounded_once() -> None:
    """What the walk allows, beside exact arithmetic of longer floats."""
    rng = np.random.default_rng(0)
    x, y = (
        rng.normal(0, 1, 4096).astype(np.float32) * np.exp2(rng.integers(-30, 30, 4096)).astype(np.float32)
        for _ in range(2)
    )
    wide = x.astype(np.longdouble), y.astype(np.longdouble)
    for f in (np.add, np.subtract, np.multiply, np.divide):
        assert np.array_equal(f(x, y), f(*wide).astype(np.float32))
    assert np.array_equal(np.sqrt(np.abs(x)), np.sqrt(np.abs(wide[0])).astype(np.float32))
