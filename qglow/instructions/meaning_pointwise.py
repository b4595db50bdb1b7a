"""Kinds that compute each element by itself: sums, products, tables, and the border between floats and bytes."""

from __future__ import annotations

from .meaning import ROWS, Meaning, Regions, Views, image, minus_zero_point, requantized
from .region import Region, Site


def _two(s: Site) -> Regions:
    a = Region(s.many("N H W C"), (*s.many("x_n x_h x_w"), 1))
    return {"a": a, "b": image(s, "b", channel=1 if s["b_c"] == 1 else 0), "y": image(s, "y")}


def add(v: Views, s: Site) -> None:
    left = minus_zero_point(v["a"], s["a_zero"]) * s.f32("f_a")
    v["y"][...] = requantized(left + minus_zero_point(v["b"], s["b_zero"]) * s.f32("f_b"), s)


def mul(v: Views, s: Site) -> None:
    # NOTE: below 2^24, so exact in float32
    product = minus_zero_point(v["a"], s["a_zero"]) * minus_zero_point(v["b"], s["b_zero"])
    v["y"][...] = requantized(product * s.f32("f_a"), s)


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
    "add": Meaning(_two, add, in_place=("a", "b"), cut=ROWS),
    "mul": Meaning(_two, mul, in_place=("a", "b"), cut=ROWS),
    "lookup": Meaning(_lookup, lookup, in_place=("x",), cut=((0, 2), (0, 3)), repeats=lambda s: s["t_c"] != 0),
    "quantize": Meaning(_quantize, quantize, cut=ROWS),
    "dequantize": Meaning(_dequantize, dequantize, cut=ROWS),
}
