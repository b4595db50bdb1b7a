"""Kinds that compute on int16: exact sums of 64 bits, clamped before they are rounded (docs/quantization.md, 49 and
50)."""

from __future__ import annotations

import numpy as np

from ..graph import Array
from .meaning import ROWS, Meaning, Regions, Views, image
from .meaning_pointwise import combined
from .meaning_product import PIECE, _steps
from .meaning_window import taps
from .packed import unpack_pairs
from .packing import round_up
from .region import Region, Site, dense
from .table import INT8_BINARY

DTYPES = {1: "|u1", 2: "<i2", 4: "<f4"}
LEAST = -32768


def stored(real: Array, s: Site) -> Array:
    """(50) float32 in steps of y as what y holds; what is not a number becomes the lowest."""
    if s["y_item"] == 4:
        return real
    low, high = s.many("q_low q_high")
    rounded = np.rint(real).astype(np.float64) + s["q_zero"]
    return np.clip(np.where(np.isnan(rounded), low, rounded), low, high).astype(DTYPES[s["y_item"]])


def _conv2d(s: Site) -> Regions:
    g, kh, runs, run = s.many("G KH runs run")
    channels = round_up(s["C"], s.packing.lanes)
    steps = (s["DH"] * s["x_h"], s["DW"] * s["x_w"], 2)
    item = s["y_item"]
    return {
        "x": Region((*s.many("N H W"), g, kh, runs, run), (*_steps(s), s["x_c"], *steps), "<i2"),
        "w": dense((g * channels * kh * runs * round_up(run, 2) // 2,), "<i4"),
        "bias": dense((g, channels), "<i4"),
        "scale": dense((g, channels), "<f4"),
        "y": Region(s.many("N H W G C"), (*s.many("y_n y_h y_w y_g"), item), DTYPES[item]),
    }


def conv2d(v: Views, s: Site) -> None:
    g, c, kh, runs, run, wd = s.many("G C KH runs run W")
    terms = kh * runs * run
    w = unpack_pairs(s.isa, v["w"], (g, c, kh, runs, run)).reshape(g, c, terms).transpose(0, 2, 1).astype(np.float64)
    rows = max(1, PIECE // max(1, wd * g * terms))
    for index in range(s["N"]):
        for first in range(0, s["H"], rows):
            piece = np.s_[index, first : first + rows]
            x = v["x"][piece]
            # NOTE: sums below 2^53 are exact
            pixels = x.reshape(len(x) * wd, g, terms).transpose(1, 0, 2).astype(np.float64)
            sums = np.matmul(pixels, w).transpose(1, 0, 2).astype(np.int64) + v["bias"][:, :c]
            real = sums.astype(np.float32) * v["scale"][:, :c]
            v["y"][piece] = stored(real, s).reshape(v["y"][piece].shape)


def _depthwise2d(s: Site) -> Regions:
    kh, kw, lanes, item = *s.many("KH KW"), s.packing.lanes, s["y_item"]
    blocks = round_up(s["C"], lanes) // lanes
    return {
        "x": Region((*s.many("N H W C"), kh, kw), (*_steps(s), 2, s["DH"] * s["x_h"], s["DW"] * s["x_w"]), "<i2"),
        "w": dense((blocks, kh, kw, lanes), "<i2"),
        "bias": dense((blocks, lanes), "<i4"),
        "scale": dense((blocks, lanes), "<f4"),
        "y": image(s, "y", DTYPES[item]),
    }


def depthwise2d(v: Views, s: Site) -> None:
    c = s["C"]
    blocks, kh, kw, lanes = v["w"].shape
    w = v["w"].transpose(0, 3, 1, 2).reshape(blocks * lanes, kh, kw)[:c].astype(np.int64)
    for index in range(s["N"]):
        sums = (v["x"][index].astype(np.int64) * w).sum((3, 4)) + v["bias"].reshape(-1)[:c]
        v["y"][index] = stored(sums.astype(np.float32) * v["scale"].reshape(-1)[:c], s)


def _quantize(s: Site) -> Regions:
    return {"x": image(s, "x", "<f4", s["x_c"]), "y": image(s, "y", "<i2")}


def quantize(v: Views, s: Site) -> None:
    with np.errstate(all="ignore"):
        steps = np.rint(v["x"] / s.f32("f_scale")) + np.float32(s["q_zero"])
    low, high = s.many("q_low q_high")
    v["y"][...] = np.clip(np.where(np.isnan(steps), low, steps), low, high).astype(np.int16)


def _dequantize(s: Site) -> Regions:
    return {"x": image(s, "x", "<i2"), "y": image(s, "y", "<f4", s["y_c"])}


def dequantize(v: Views, s: Site) -> None:
    v["y"][...] = (v["x"].astype(np.int32) - s["q_x_zero"]).astype(np.float32) * s.f32("f_scale")


def _two(s: Site) -> Regions:
    a, b = image(s, "a", "<i2"), image(s, "b", "<i2", channel=2 * s["b_c"])
    return {"a": a, "b": b, "y": image(s, "y", DTYPES[s["y_item"]])}


def _binary(op: str) -> Meaning:
    def compute(v: Views, s: Site) -> None:
        with np.errstate(all="ignore"):
            a, b = (v[k].astype(np.float32) - np.float32(s[f"q_{k}_zero"]) for k in "ab")
            v["y"][...] = stored(combined(op, a, b, s), s)

    return Meaning(_two, compute, cut=ROWS)


def _lookup(s: Site) -> Regions:
    x, y = (DTYPES[s[f"{n}_item"]] for n in "xy")
    return {"x": image(s, "x", x), "y": image(s, "y", y), "table": dense((65536 if s["x_item"] == 2 else 256,), y)}


def lookup(v: Views, s: Site) -> None:
    v["y"][...] = v["table"][v["x"].astype(np.int32) - (LEAST if s["x_item"] == 2 else 0)]


def _pool(s: Site) -> Regions:
    x = Region(s.many("N IH IW C"), (*s.many("x_n x_h x_w"), 2), "<i2")
    return {"x": x, "y": image(s, "y", DTYPES[int(s.fields.get("y_item", 2))])}


def max_pool2d(v: Views, s: Site) -> None:
    best = np.full(v["y"].shape, LEAST, np.int16)
    for x, inside in taps(v["x"], s):
        best = np.maximum(best, np.where(inside, x, np.int16(LEAST)))
    v["y"][...] = best


def avg_pool2d(v: Views, s: Site) -> None:
    total, count = np.zeros(v["y"].shape, np.int64), np.zeros((*s.many("H W"), 1), np.int64)
    for x, inside in taps(v["x"], s):
        total += np.where(inside, x.astype(np.int64) - s["q_x_zero"], 0)
        count += inside
    if s["include"]:
        count[...] = s["KH"] * s["KW"]
    v["y"][...] = stored(total.astype(np.float32) * (s.f32("f_ratio") / np.maximum(count, 1).astype(np.float32)), s)


MEANINGS = {
    "int16_conv2d": Meaning(_conv2d, conv2d, cut=((0, 3), (3, 5))),
    "int16_depthwise2d": Meaning(_depthwise2d, depthwise2d, cut=ROWS),
    "int16_quantize": Meaning(_quantize, quantize, cut=ROWS),
    "int16_dequantize": Meaning(_dequantize, dequantize, cut=ROWS),
    **{f"int16_{op.lower()}": _binary(op) for op in INT8_BINARY},
    "int16_lookup": Meaning(_lookup, lookup, cut=ROWS),
    "int16_max_pool2d": Meaning(_pool, max_pool2d, cut=ROWS),
    "int16_avg_pool2d": Meaning(_pool, avg_pool2d, cut=((0, 3), (3, 4))),
}
