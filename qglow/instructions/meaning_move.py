"""Kinds that move or set bytes."""

from __future__ import annotations

import numpy as np

from ..errors import VerifyError
from ..reference.integer_resize import corner_sum
from .meaning import ROWS, RUNS, Meaning, Regions, Views, image, requantized
from .region import Region, Site


def _copy(s: Site) -> Regions:
    return {"x": image(s, "x"), "y": image(s, "y")}


def copy(v: Views, s: Site) -> None:
    v["y"][...] = v["x"]


def _transpose(s: Site) -> Regions:
    shape, dtype = s.many("D0 D1 D2 D3 D4 D5"), f"|u{s['item']}" if s["item"] == 1 else f"<u{s['item']}"
    return {n: Region(shape, s.many(" ".join(f"{n}{k}" for k in range(6))), dtype) for n in ("x", "y")}


def transpose(v: Views, s: Site) -> None:
    v["y"][...] = v["x"]


def _halo(s: Site) -> Regions:
    """Whole rows above and below, and what lies beside the image's own rows. y is at the image's first pixel; pixels
    are y_w apart."""
    n, h, w = s.many("N H W")
    y_n, y_h, y_w = s.many("y_n y_h y_w")
    top, left, bottom, right = s.many("top left bottom right")
    row, strides = (left + w + right) * y_w, (y_n, y_h, 1)
    return {
        "y.top": Region((n, top, row), strides, start=-top * y_h - left * y_w),
        "y.bottom": Region((n, bottom, row), strides, start=h * y_h - left * y_w),
        "y.left": Region((n, h, left * y_w), strides, start=-left * y_w),
        "y.right": Region((n, h, right * y_w), strides, start=w * y_w),
    }


def halo(v: Views, s: Site) -> None:
    for part in ("top", "bottom", "left", "right"):
        v[f"y.{part}"][...] = s["value"]


def _fill(s: Site) -> Regions:
    return {"y": Region((s["C"],), (1,))}


def fill(v: Views, s: Site) -> None:
    v["y"][...] = s["value"]


def tables(s: Site, rows: int, item: int = 1) -> Regions:
    """x as far as the tables of rows and columns, int32 [rows, size], reach; weights in the third row reach nothing.
    item: its bytes."""
    n, h, w, c = s.many("N H W C")
    dtype = "<f4" if item == 4 else "|u1"
    regions = {"rows": Region((rows, h), (4 * h, 4), "<i4"), "columns": Region((rows, w), (4 * w, 4), "<i4")}
    indices = [s.ints(t, r.shape)[:2] for t, r in regions.items()]
    low, high = min(int(i.min(initial=0)) for i in indices), [int(i.max(initial=-1)) + 1 for i in indices]
    if low < 0:
        raise VerifyError(f"expected rows and columns of at least 0, got {low}")
    return {**regions, "x": Region((n, *high, c), (*s.many("x_n x_h x_w"), item), dtype), "y": image(s, "y", dtype)}


def resize_nearest(v: Views, s: Site) -> None:
    v["y"][...] = v["x"][:, v["rows"][0]][:, :, v["columns"][0]]


def resize_linear(v: Views, s: Site) -> None:
    """Exact sums of four weighted taps."""
    low, high, u = v["rows"]
    left, right, t = v["columns"]
    x = v["x"].astype(np.int64) - s["x_zero"]
    u, t = u.astype(np.int64)[:, None, None], t.astype(np.int64)[:, None]
    rows = x[:, low] * (s["one_h"] - u) + x[:, high] * u
    acc = rows[:, :, left] * (s["one_w"] - t) + rows[:, :, right] * t
    v["y"][...] = requantized(acc.astype(np.float32) * s.f32("f_m"), s)


def resize_truncated(v: Views, s: Site) -> None:
    """A float32 sum of four taps, each product and each sum rounded."""
    corners = [(*t[:2], *t[2:].view(np.float32)) for t in (v["rows"], v["columns"])]
    x = v["x"].view(np.int8) if s["signed"] else v["x"]
    v["y"][...] = np.trunc(corner_sum(x, corners, 1)).astype(x.dtype).view(np.uint8)


MEANINGS = {
    "copy": Meaning(_copy, copy, cut=ROWS),
    "transpose": Meaning(_transpose, transpose, cut=((0, 4), (4, 5))),
    "halo": Meaning(_halo, halo, cut=ROWS),
    "fill": Meaning(_fill, fill, cut=RUNS),
    "resize_nearest": Meaning(lambda s: tables(s, 1), resize_nearest, cut=ROWS),
    "resize_linear": Meaning(lambda s: tables(s, 3), resize_linear, cut=ROWS),
    "resize_truncated": Meaning(lambda s: tables(s, 4), resize_truncated, cut=ROWS),
}
