"""Kinds that read or write at places which data says: rows by indices, points of a grid, regions, boxes by score."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from ..graph import Array
from ..reference.float_grid import sampled
from ..reference.float_reduce import place_of_extreme
from ..reference.float_regions import aligned
from ..reference.float_select import kept_boxes
from .meaning import ROWS, Meaning, Regions, Views, image
from .region import Region, Site, dense
from .table import GRID_MODES, GRID_PADDINGS, SCATTER

SIZES, STEPS = "S0 S1 S2 S3", "t0 t1 t2 t3"
MOST_SAMPLES = 65536  # along a side of a cell of a region
_REDUCTIONS = {"add": np.add, "mul": np.multiply, "max": np.maximum, "min": np.minimum}


def _indices(s: Site) -> Region:
    item = s["index_item"]
    return Region((*s.many("N H W"), s["K"]), (*s.many("i_n i_h i_w"), item), f"<i{item}")


def _normal(v: Views, s: Site) -> tuple[Array, Array]:
    """Indices from 0 on, 0 in place of those that are outside, and which are."""
    sizes = np.array(s.many(SIZES)[: s["K"]])
    found = v["index"].astype(np.int64)
    found = np.where(found < 0, found + sizes, found)
    outside = (found < 0) | (found >= sizes)
    return np.where(outside, 0, found), outside


def is_outside(v: Views, s: Site) -> bool:
    return bool(_normal(v, s)[1].any())


def _gathered(s: Site) -> Regions:
    n, h, w, c = s.many("N H W C")
    used = [(d if k < s["K"] else 1) for k, d in enumerate(s.many(SIZES))]
    x = Region((n, h, w, *used, c), (*s.many("x_n x_h x_w"), *s.many(STEPS), 1))
    return {"x": x, "index": _indices(s), "y": image(s, "y")}


def gather(v: Views, s: Site) -> None:
    at, _ = _normal(v, s)
    columns = [at[..., k] if k < s["K"] else np.zeros(at.shape[:-1], np.int64) for k in range(4)]
    v["y"][...] = v["x"][(*np.indices(at.shape[:-1], sparse=True), *columns)]


def _scattered(s: Site) -> Regions:
    all_bytes = dense((s["T"],))
    update = Region(s.many("N H W C"), (*s.many("u_n u_h u_w"), 1))
    return {"x": all_bytes, "index": _indices(s), "update": update, "y": all_bytes}


def scatter(v: Views, s: Site) -> None:
    y, (at, _), op = v["x"].copy(), _normal(v, s), SCATTER[s["op"]]
    item = 4 if op != "none" else 1
    base = sum(np.arange(d).reshape([-1 if j == k else 1 for j in range(3)]) * step
               for k, (d, step) in enumerate(zip(s.many("N H W"), s.many("y_n y_h y_w"), strict=True)))  # fmt: skip
    rows = base + (at * np.array(s.many(STEPS)[: s["K"]])).sum(-1)
    with np.errstate(all="ignore"):
        for k in np.ndindex(*rows.shape):
            place = y[rows[k] : rows[k] + s["C"]].view(f"V{item}" if item == 1 else "<f4")
            update = np.ascontiguousarray(v["update"][k]).view(place.dtype)
            place[...] = update if op == "none" else _REDUCTIONS[op](place, update)
    v["y"][...] = y


def _grid(s: Site) -> Regions:
    grid = Region((*s.many("N H W"), 2), (*s.many("g_n g_h g_w"), 4), "<f4")
    x = Region(s.many("N IH IW C"), (*s.many("x_n x_h x_w"), 4), "<f4")
    return {"x": x, "grid": grid, "y": image(s, "y", "<f4")}


def float_grid_sample(v: Views, s: Site) -> None:
    x = np.moveaxis(np.ascontiguousarray(v["x"]), -1, 1)
    with np.errstate(all="ignore"):
        y = sampled(x, v["grid"], GRID_MODES[s["mode"]], GRID_PADDINGS[s["padding"]], bool(s["corners"]))
    v["y"][...] = np.moveaxis(y, 1, -1)


def _regions(s: Site) -> Regions:
    x = Region(s.many("S0 IH IW C"), (*s.many("x_n x_h x_w"), 4), "<f4")
    return {"x": x, "roi": dense((s["N"], 4), "<f4"), "batch": dense((s["N"],), "<i8"), "y": image(s, "y", "<f4")}


def float_roi_align(v: Views, s: Site) -> None:
    batch = np.where((v["batch"] < 0) | (v["batch"] >= s["S0"]), 0, v["batch"])
    ways = (s.f32("f_ratio"), s["ratio"], bool(s["half"]), bool(s["largest"]))
    x = np.moveaxis(np.ascontiguousarray(v["x"]), -1, 1)
    with np.errstate(all="ignore"):
        v["y"][...] = np.moveaxis(aligned(x, v["roi"], batch, (s["H"], s["W"]), ways), 1, -1)


def is_beyond(v: Views, s: Site) -> bool:
    """Whether a region has no image, lies nowhere, or has too many samples."""
    if ((v["batch"] < 0) | (v["batch"] >= s["S0"])).any() or not np.isfinite(v["roi"]).all():
        return True
    with np.errstate(all="ignore"):
        sides = (v["roi"][:, 2:] - v["roi"][:, :2]) * s.f32("f_ratio") / np.array([s["W"], s["H"]], np.float32)
    return not s["ratio"] and not bool((sides <= MOST_SAMPLES).all())


def _suppressed(s: Site) -> Regions:
    n, c, h, k = s.many("N C H K")
    made = {"y": dense((n * c * k, 3), "<i8"), "count": dense((1,), "<i8")}
    read = {"x": dense((n, h, 4), "<f4"), "score": dense((n, c, h), "<f4")}
    return read | made | {"work.any": dense((36 * h + 20 * k + 2368,))}


def float_nms(v: Views, s: Site) -> None:
    least = None if s["every"] else s.f32("f_least")
    with np.errstate(all="ignore"):
        found = kept_boxes(v["x"], v["score"], bool(s["centers"]), s["K"], s.f32("f_overlap"), least)
    v["y"][...], v["count"][...] = 0, len(found)
    v["y"][: len(found)] = found


def _rows_to_places(dtype: str) -> Callable[[Site], Regions]:
    def regions(s: Site) -> Regions:
        x = Region(s.many("N H W C"), s.many("x_n x_h x_w x_c"), dtype)
        return {"x": x, "y": Region(s.many("N H W"), s.many("y_n y_h y_w"), "<i8")}

    return regions


def arg_extreme(v: Views, s: Site) -> None:
    v["y"][...] = place_of_extreme(v["x"], 3, bool(s["largest"]), bool(s["last"]))


MEANINGS = {
    "arg_extreme": Meaning(_rows_to_places("|u1"), arg_extreme, cut=ROWS),
    "float_arg_extreme": Meaning(_rows_to_places("<f4"), arg_extreme, cut=ROWS),
    "gather": Meaning(_gathered, gather, cut=ROWS, fails=is_outside),
    "scatter": Meaning(_scattered, scatter, fails=is_outside),
    "float_grid_sample": Meaning(_grid, float_grid_sample, cut=ROWS),
    "float_roi_align": Meaning(_regions, float_roi_align, cut=ROWS, fails=is_beyond),
    "float_nms": Meaning(_suppressed, float_nms),
}
