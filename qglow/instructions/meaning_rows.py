"""Kinds over rows of adjacent elements."""

from __future__ import annotations

import numpy as np

from .meaning import RUNS, Meaning, Regions, Views, requantized
from .region import Region, Site, dense


def _rows(s: Site, name: str) -> Region:
    return Region(s.many("H C"), (s[f"{name}_h"], 1))


def _softmax(s: Site) -> Regions:
    planes = Region((3, 256), (256, 1), start=1024)  # NOTE: the entries' lower bytes once more, for kernels alone
    return {"x": _rows(s, "x"), "y": _rows(s, "y"), "table": dense((256,), "<i4"), "table.planes": planes}


def softmax(v: Views, s: Site) -> None:
    x = v["x"].astype(np.int64)
    t = v["table"][x.max(1, keepdims=True, initial=0) - x]
    with np.errstate(divide="ignore", invalid="ignore"):
        m = s.f32("f_inverse") / t.astype(np.int64).sum(1, keepdims=True).astype(np.float32)
        v["y"][...] = requantized(t.astype(np.float32) * m, s)


def _layer_norm(s: Site) -> Regions:
    vector = dense((s["C"],), "<f4")
    return {"x": _rows(s, "x"), "y": _rows(s, "y"), "gain": vector, "shift": vector}


def layer_norm(v: Views, s: Site) -> None:
    x, c = v["x"].astype(np.int64), s["C"]
    s1, s2 = x.sum(1, keepdims=True), (x * x).sum(1, keepdims=True)
    with np.errstate(divide="ignore", invalid="ignore"):
        r = np.float32(1) / np.sqrt((c * s2 - s1 * s1).astype(np.float32) + s.f32("f_epsilon"))
        v["y"][...] = requantized((c * x - s1).astype(np.float32) * r * v["gain"] + v["shift"], s)


MEANINGS = {
    "softmax": Meaning(_softmax, softmax, cut=RUNS),
    "layer_norm": Meaning(_layer_norm, layer_norm, cut=RUNS),
}
