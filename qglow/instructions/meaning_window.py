"""Pools: windows over an image of which x is the first pixel, clipped to the IH x IW pixels that there are."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from ..graph import Array
from .meaning import ROWS, Meaning, Regions, Views, image, requantized
from .region import Region, Site


def _pool(s: Site) -> Regions:
    x = Region(s.many("N IH IW C"), (*s.many("x_n x_h x_w"), 1))
    return {"x": x, "y": image(s, "y", "<f4" if s.fields.get("y_f32") else "|u1")}


def taps(x: Array, s: Site) -> Iterator[tuple[Array, Array]]:
    """For each tap of the window, x at it [N, H, W, C], and whether it lies within the image [H, W, 1]."""
    size = s.many("IH IW")
    if 0 in size:
        return
    for kh in range(s["KH"]):
        for kw in range(s["KW"]):
            places = (
                np.arange(n) * step + k * dilation - begin
                for n, step, k, dilation, begin in zip(
                    s.many("H W"), s.many("SH SW"), (kh, kw), s.many("DH DW"), s.many("top left"), strict=True)
            )  # fmt: skip
            rows, columns = places
            inside = ((rows >= 0) & (rows < size[0]))[:, None] & ((columns >= 0) & (columns < size[1]))
            yield x[:, rows.clip(0, size[0] - 1)][:, :, columns.clip(0, size[1] - 1)], inside[:, :, None]


def max_pool2d(v: Views, s: Site) -> None:
    best = np.zeros(v["y"].shape, np.uint8)
    for x, inside in taps(v["x"], s):
        best = np.maximum(best, np.where(inside, x, 0))
    v["y"][...] = best


def avg_pool2d(v: Views, s: Site) -> None:
    total, count = np.zeros(v["y"].shape, np.int64), np.zeros((*s.many("H W"), 1), np.int64)
    for x, inside in taps(v["x"], s):
        total += np.where(inside, x.astype(np.int64) - s["x_zero"], 0)
        count += inside
    if s["include"]:
        count[...] = s["KH"] * s["KW"]
    real = total.astype(np.float32) * (s.f32("f_ratio") / np.maximum(count, 1).astype(np.float32))
    v["y"][...] = real if s["y_f32"] else requantized(real, s)


MEANINGS = {
    "max_pool2d": Meaning(_pool, max_pool2d, cut=ROWS),
    "avg_pool2d": Meaning(_pool, avg_pool2d, cut=((0, 3), (3, 4))),
}
