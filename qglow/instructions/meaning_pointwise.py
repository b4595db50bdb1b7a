"""Kinds that compute each element by itself: sums, products, tables, and the border between floats and bytes."""

from __future__ import annotations

from ..graph import Array, Node
from ..reference import FLOAT
from .meaning import ROWS, Meaning, Regions, Views, image, minus_zero_point, requantized
from .region import Region, Site
from .table import INT8_BINARY, SCALED_BEFORE


def _two(s: Site) -> Regions:
    return {"a": image(s, "a"), "b": image(s, "b", channel=1 if s["b_c"] == 1 else 0), "y": image(s, "y")}


def combined(op: str, a: Array, b: Array, s: Site) -> Array:
    """An op of INT8_BINARY of two operands less their zero points. NOTE: a product is below 2^30, and rounded once."""
    if op in SCALED_BEFORE:
        return of_two(op, a * s.f32("f_a"), b * s.f32("f_b"))
    return of_two(op, a, b) * s.f32("f_a")


def of_two(op: str, x: Array, y: Array) -> Array:
    """The op's float meaning."""
    return FLOAT[op](Node(op, ("a", "b"), ("y",)), [x, y])[0]


def _binary(op: str) -> Meaning:
    def compute(v: Views, s: Site) -> None:
        a, b = minus_zero_point(v["a"], s["a_zero"]), minus_zero_point(v["b"], s["b_zero"])
        v["y"][...] = requantized(combined(op, a, b, s), s)

    return Meaning(_two, compute, in_place=("a", "b"), cut=ROWS)


def _lookup(s: Site) -> Regions:
    return {"x": image(s, "x"), "y": image(s, "y"), "table": Region((s["C"], 256), (s["t_c"], 1))}


def lookup(v: Views, s: Site) -> None:
    channel = range(s["C"])
    v["y"][...] = v["table"][channel, v["x"]]


def _quantize(s: Site) -> Regions:
    y = image(s, "y")
    rest = Region((*y.shape[:3], s["P"] - s["C"]), y.strides, "|u1", s["C"])
    return {"x": image(s, "x", "<f4", s["x_c"]), "y": y, "y.any": rest}


def quantize(v: Views, s: Site) -> None:
    v["y"][...] = requantized(v["x"] / s.f32("f_scale"), s)


def _dequantize(s: Site) -> Regions:
    return {"x": image(s, "x"), "y": image(s, "y", "<f4", s["y_c"])}


def dequantize(v: Views, s: Site) -> None:
    v["y"][...] = minus_zero_point(v["x"], s["x_zero"]) * s.f32("f_scale")


MEANINGS = {
    **{op.lower(): _binary(op) for op in INT8_BINARY},
    "lookup": Meaning(_lookup, lookup, in_place=("x",), cut=((0, 2), (0, 3)), repeats=lambda s: s["t_c"] != 0),
    "quantize": Meaning(_quantize, quantize, cut=ROWS),
    "dequantize": Meaning(_dequantize, dequantize, cut=ROWS),
}
