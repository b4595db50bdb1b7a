"""Kinds that work on floats: IEEE operations in a fixed order, functions as reference/float_math.py defines them."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from ..graph import Array
from ..reference import float_math, recurrent
from .meaning import Regions, Views, image, meaning
from .region import Region, Site
from .table import FLOAT_BINARY, FLOAT_UNARY

_BINARY: dict[str, Callable[[Array, Array], Array]] = {
    "Add": np.add, "Sub": np.subtract, "Mul": np.multiply, "Div": np.divide, "Max": np.maximum, "Min": np.minimum,
}  # fmt: skip
_UNARY: dict[str, Callable[[Array], Array]] = {
    "Sqrt": np.sqrt, "Exp": float_math.exp, "Sigmoid": float_math.sigmoid, "Tanh": float_math.tanh,
}  # fmt: skip


def _two(s: Site) -> Regions:
    return {n: image(s, n, "<f4", 4 if n == "y" else 4 * s[f"{n}_c"]) for n in ("a", "b", "y")}


@meaning("float_binary", _two, in_place=("a", "b"))
def float_binary(v: Views, s: Site) -> None:
    with np.errstate(all="ignore"):
        v["y"][...] = _BINARY[FLOAT_BINARY[s["op"]]](v["a"], v["b"])


def _one(s: Site) -> Regions:
    return {"x": image(s, "x", "<f4"), "y": image(s, "y", "<f4")}


@meaning("float_unary", _one, in_place=("x",))
def float_unary(v: Views, s: Site) -> None:
    with np.errstate(all="ignore"):
        v["y"][...] = _UNARY[FLOAT_UNARY[s["op"]]](np.ascontiguousarray(v["x"]))


def _cell(s: Site) -> Regions:
    n, c = s.many("N C")
    gates = {g: Region((n, 4 * c), (s[f"{g}_b"], 4), "<f4") for g in ("gx", "gh")}
    units = {u: Region((n, c), (s[f"{u}_b"], 4), "<f4") for u in ("c_in", "c", "y")}
    return {**gates, **units, "q": Region((n, c), (s["q_b"], 1)), "bias": Region((4 * c,), (4,), "<f4")}


@meaning("lstm_cell", _cell, in_place=("c_in",))
def lstm_cell(v: Views, s: Site) -> None:
    h, c = recurrent.cell((v["gx"] + v["gh"]) + v["bias"], v["c_in"])
    v["c"][...], v["y"][...], v["q"][...] = c, h, recurrent.state_bytes(h)


def _rows(s: Site) -> Regions:
    return {n: Region(s.many("H C"), (s[f"{n}_h"], 4), "<f4") for n in ("x", "y")}


@meaning("float_softmax", _rows)
def float_softmax(v: Views, s: Site) -> None:
    v["y"][...] = float_math.softmax(np.ascontiguousarray(v["x"]), -1)
