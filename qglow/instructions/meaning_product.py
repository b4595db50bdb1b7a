"""Products: exact sums of bytes times packed weights, scaled, and what is folded in behind them."""

from __future__ import annotations

import numpy as np

from ..graph import Array
from ..reference.integer_product import exact_dtype
from .meaning import ROWS, Meaning, Regions, Views, clipped, minus_zero_point, requantized
from .packing import pack as pack_weights
from .packing import round_up, unpack
from .pairings import order_shape
from .region import Region, Site, dense
from .table import POST_ADD, POST_TABLE

PIECE = 1 << 22  # elements of x that are computed with at once


def _outputs(s: Site) -> Regions:
    """y [N, H, W, G, C], and what `post` reads: a residual like it, or tables [G C, 256]."""
    item, shape = 4 if s["y_f32"] else 1, s.many("N H W G C")
    found = {"y": Region(shape, (*s.many("y_n y_h y_w y_g"), item), "<f4" if item == 4 else "|u1")}
    if s["post"] == POST_ADD:
        found["r"] = Region(shape, (*s.many("r_n r_h r_w r_g"), 1))
    if s["post"] == POST_TABLE:
        found["table"] = Region((s["G"] * s["C"], 256), (s["t_c"], 1))
    return found


def _steps(s: Site) -> tuple[int, ...]:
    """Strides of x from one output pixel to the next: image, row, column."""
    return s["x_n"], s["SH"] * s["x_h"], s["SW"] * s["x_w"]


def _conv2d(s: Site) -> Regions:
    g, kh, runs, run = s.many("G KH runs run")
    channels = round_up(s["C"], s.packing.multiple)
    taps = (s["DH"] * s["x_h"], s["DW"] * s["x_w"], 1)
    return {
        "x": Region((*s.many("N H W"), g, kh, runs, run), (*_steps(s), s["x_c"], *taps)),
        "w": dense((g * channels * kh * runs * round_up(run, s.packing.step),), "|i1"),
        "bias": dense((g, channels), "<i4"),
        "scale": dense((g, channels), "<f4"),
        **({"order": dense(order_shape(s.isa, g, s["C"], kh * runs, run), "<i4")} if s["pairs"] else {}),
        **_outputs(s),
    }


def conv2d(v: Views, s: Site) -> None:
    g, c, kh, runs, run = s.many("G C KH runs run")
    dtype = exact_dtype(kh * runs * run)
    # [KH, runs, G, run, C]
    w: Array = unpack(s.isa, v["w"], (g, c, kh, runs, run)).astype(dtype).transpose(2, 3, 0, 4, 1)
    n, h, wd = s.many("N H W")
    rows = max(1, PIECE // max(1, wd * g * run))
    for image in range(n):
        for first in range(0, h, rows):
            piece = np.s_[image, first : first + rows]
            x = v["x"][piece]  # [rows, W, G, KH, runs, run]
            acc = np.zeros((g, x.shape[0] * wd, c), dtype)
            for a in range(kh):
                for r in range(runs):
                    pixels: Array = x[:, :, :, a, r].reshape(x.shape[0] * wd, g, run).transpose(1, 0, 2).astype(dtype)
                    acc += (pixels - s.packing.offset) @ w[a, r]
            sums = acc.transpose(1, 0, 2).reshape(x.shape[0], wd, g, c).astype(np.int64) + v["bias"][:, :c]
            _store_outputs(v, s, piece, sums, v["scale"][:, :c])


def _store_outputs(v: Views, s: Site, piece: tuple[int | slice, ...], sums: Array, scale: Array) -> None:
    """Scale the sums of a piece of the output, and apply what `post` says. sums: int64, of int32 values."""
    real = sums.astype(np.int32).astype(np.float32) * scale
    y = v["y"][piece]
    if s["y_f32"]:
        y[...] = real
        return
    q = requantized(real, s)
    if s["post"] == POST_ADD:
        left, right = (
            minus_zero_point(q, s["a_zero"]) * s.f32("f_a"),
            minus_zero_point(v["r"][piece], s["r_zero"]) * s.f32("f_r"),
        )
        q = clipped(left + right, *s.many("p_zero p_low p_high"))
    if s["post"] == POST_TABLE:
        channel = np.arange(v["table"].shape[0]).reshape(q.shape[-2:])
        q = v["table"][channel, q]
    y[...] = q


def _depthwise2d(s: Site) -> Regions:
    kh, kw, blocks, parts, lanes = *s.many("KH KW blocks parts"), s.packing.lanes
    x = Region((*s.many("N H W G C"), kh, kw), (*_steps(s), 0, 1, s["DH"] * s["x_h"], s["DW"] * s["x_w"]))
    return {
        "x": x,
        "w": dense((blocks, -(-parts * kh // 4), kw, lanes, 4), "|i1"),
        "bias": dense((blocks, lanes), "<i4"),
        "scale": dense((blocks, lanes), "<f4"),
        **_outputs(s),
    }


def _blocks(s: Site) -> tuple[Array, Array]:
    """Block and lane of each column's and channel's weights, [W, C] or [1, C]."""
    c, lanes, blocks = s["C"], s.packing.lanes, s["blocks"]
    if s["flat"]:
        position = np.arange(s["W"] * c).reshape(-1, c)
        return position // lanes % blocks, position % lanes
    channel = np.arange(c)[None]
    if c <= lanes:
        return np.zeros_like(channel), channel
    last = -(-c // lanes) - 1
    # the last block is moved back to end with the channels
    block = np.where(channel >= c - lanes, last, channel // lanes)
    return block % blocks, channel - np.minimum(block * lanes, c - lanes)


def depthwise2d(v: Views, s: Site) -> None:
    block, lane = _blocks(s)
    for image in range(s["N"]):
        x = v["x"][image, :, :, 0]  # [H, W, C, KH, KW]
        sums = np.broadcast_to(v["bias"][block, lane].astype(np.int64), x.shape[:3]).copy()
        for a in range(s["parts"] * s["KH"]):
            for b in range(s["KW"]):
                pixels: Array = x[..., a % s["KH"], b].astype(np.int64) - s.packing.offset
                sums += pixels * v["w"][block, a // 4, b, lane, a % 4]
        _store_outputs(v, s, np.s_[image, :], sums[:, :, None], v["scale"][block, lane][:, None])


def _pack(s: Site) -> Regions:
    g, k, c = s.many("G K C")
    channels, size = round_up(c, s.packing.multiple), s["taps"] * round_up(k, s.packing.step)
    x = Region((g, k, c), s.many("x_g x_k x_c"))
    return {"x": x, "y": Region((g, channels * size), (s["y_g"], 1), "|i1"), "bias": dense((g, channels), "<i4")}


def pack(v: Views, s: Site) -> None:
    w = (v["x"].astype(np.int16) - 128).astype(np.int8).transpose(0, 2, 1)  # [G, C, K]
    others: Array = np.full((s["taps"] - 1, *w.shape), s["rest"], np.int8)
    rows = np.stack([w, *others], 2)[:, :, :, None]  # [G, C, taps, 1, K]
    if v["y"].size:
        v["y"][...] = pack_weights(s.isa, rows, True).reshape(v["y"].shape)
    v["bias"][...] = 0
    v["bias"][:, : s["C"]] = (s.packing.offset - s["x_zero"]) * rows.astype(np.int64).sum((2, 3, 4))


MEANINGS = {
    "conv2d": Meaning(_conv2d, conv2d, cut=((0, 3), (3, 5))),
    "depthwise2d": Meaning(_depthwise2d, depthwise2d, cut=ROWS),
    "pack": Meaning(_pack, pack, cut=((0, 2),)),
}
