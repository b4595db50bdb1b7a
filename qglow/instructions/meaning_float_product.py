"""Float products: chains of fused multiply-adds in the law's order (reference/float_product.py)."""

from __future__ import annotations

import numpy as np

from ..graph import Array
from ..reference.float_product import chains
from .meaning import ROWS, RUNS, Meaning, Regions, Views, image
from .meaning_product import PIECE, _steps
from .packing import pack_floats, round_up, unpack_floats
from .region import Region, Site, dense
from .table import POST_ADD


def _outputs(s: Site) -> Regions:
    shape = s.many("N H W G C")
    found = {"y": Region(shape, (*s.many("y_n y_h y_w y_g"), 4), "<f4")}
    if s["post"] == POST_ADD:
        found["r"] = Region(shape, (*s.many("r_n r_h r_w r_g"), 4), "<f4")
    return found


def limited(y: Array, s: Site) -> Array:
    """Within the bounds that there are; what is not a number stays so."""
    low, high = s.f32("f_low"), s.f32("f_high")
    if s["act"] >= 1:
        y = np.where(y < low, low, y)
    return np.where(y > high, high, y) if s["act"] == 2 else y


def _conv2d(s: Site) -> Regions:
    g, kh, runs, run = s.many("G KH runs run")
    channels = round_up(s["C"], s.packing.lanes)
    taps = (s["DH"] * s["x_h"], s["DW"] * s["x_w"], 4)
    return {
        "x": Region((*s.many("N H W"), g, kh, runs, run), (*_steps(s), s["x_c"], *taps), "<f4"),
        "w": dense((g * channels * kh * runs * run,), "<f4"),
        "bias": dense((g, channels), "<f4"),
        **_outputs(s),
    }


def float_conv2d(v: Views, s: Site) -> None:
    g, c, n, h = s.many("G C N H")
    terms = s["KH"] * s["runs"] * s["run"]
    w = unpack_floats(s.isa, v["w"], (g, c, terms)).transpose(2, 0, 1)
    rows = max(1, PIECE // max(1, s["W"] * g * terms))
    for index in range(n):
        for first in range(0, h, rows):
            piece = np.s_[index, first : first + rows]
            x = v["x"][piece]
            places = x.reshape(x.shape[0] * s["W"], g, terms).transpose(2, 0, 1)  # of no terms too
            sums = chains(places, w, v["bias"][:, :c]).reshape(v["y"][piece].shape)
            v["y"][piece] = limited(sums + v["r"][piece] if s["post"] == POST_ADD else sums, s)


def _depthwise2d(s: Site) -> Regions:
    kh, kw, lanes = *s.many("KH KW"), s.packing.lanes
    blocks = round_up(s["C"], lanes) // lanes
    taps = (s["DH"] * s["x_h"], s["DW"] * s["x_w"])
    return {
        "x": Region((*s.many("N H W C"), kh, kw), (*_steps(s), 4, *taps), "<f4"),
        "w": dense((blocks, kh * kw, lanes), "<f4"),
        "bias": dense((blocks, lanes), "<f4"),
        "y": image(s, "y", "<f4"),
    }


def float_depthwise2d(v: Views, s: Site) -> None:
    c, taps = s["C"], s["KH"] * s["KW"]
    w = v["w"].transpose(1, 0, 2).reshape(taps, v["bias"].size)[:, :c, None]
    for index in range(s["N"]):
        x = v["x"][index].reshape(s["H"] * s["W"], c, taps).transpose(2, 0, 1)
        v["y"][index] = limited(chains(x, w, v["bias"].reshape(-1, 1)[:c]), s).reshape(v["y"][index].shape)


def _pack(s: Site) -> Regions:
    g, k, c = s.many("G K C")
    return {
        "x": Region((g, k, c), s.many("x_g x_k x_c"), "<f4"),
        "y": dense((g * round_up(c, s.packing.lanes) * k,), "<f4"),
    }


def float_pack(v: Views, s: Site) -> None:
    v["y"][...] = pack_floats(s.isa, v["x"].swapaxes(1, 2))


MEANINGS = {
    "float_conv2d": Meaning(_conv2d, float_conv2d, cut=((0, 3), (3, 5))),
    "float_depthwise2d": Meaning(_depthwise2d, float_depthwise2d, cut=ROWS),
    "float_pack": Meaning(_pack, float_pack, cut=RUNS),
}
