"""Kinds that work on floats: IEEE operations in a fixed order, functions as reference/float_math.py defines them."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from ..graph import Array
from ..reference import float_math, recurrent
from ..reference.float_ordered import layer_norm, of_rows
from ..reference.float_resize import mixed
from ..reference.float_sums import BLOCK
from .meaning import ROWS, RUNS, Regions, Views, image, meaning
from .meaning_move import tables
from .meaning_window import taps
from .region import Region, Site
from .table import FLOAT_BINARY, FLOAT_REDUCE, FLOAT_UNARY

_BINARY: dict[str, Callable[[Array, Array], Array]] = {
    "Add": np.add, "Sub": np.subtract, "Mul": np.multiply, "Div": np.divide, "Max": np.maximum, "Min": np.minimum,
    "PRelu": lambda x, y: np.where(x >= 0, x, x * y),
}  # fmt: skip
_ONE = np.float32(1)
_UNARY: dict[str, Callable[[Array, np.float32, np.float32], Array]] = {
    "Sqrt": lambda x, a, b: np.sqrt(x),
    "Exp": lambda x, a, b: float_math.exp(x),
    "Sigmoid": lambda x, a, b: float_math.sigmoid(x),
    "Tanh": lambda x, a, b: float_math.tanh(x),
    "Log": lambda x, a, b: float_math.log(x),
    "Relu": lambda x, a, b: float_math.relu(x),
    "Abs": lambda x, a, b: np.abs(x),
    "Neg": lambda x, a, b: -x,
    "Reciprocal": lambda x, a, b: _ONE / x,
    "Square": lambda x, a, b: x * x,
    "Erf": lambda x, a, b: float_math.erf(x),
    "Gelu": lambda x, a, b: float_math.gelu(x),
    "LeakyRelu": lambda x, a, b: np.where(x >= 0, x, x * a),
    "HardSigmoid": float_math.hard_sigmoid,
    "HardSwish": lambda x, a, b: x * float_math.hard_sigmoid(x, np.float32(1 / 6), np.float32(0.5)),
    "Swish": lambda x, a, b: x * float_math.sigmoid(x * a),
    "Clip": float_math.limited,
    "Power": lambda x, a, b: float_math.power(x, a),
}


def _two(s: Site) -> Regions:
    return {n: image(s, n, "<f4", 4 if n == "y" else 4 * s[f"{n}_c"]) for n in ("a", "b", "y")}


@meaning("float_binary", _two, in_place=("a", "b"), cut=ROWS)
def float_binary(v: Views, s: Site) -> None:
    with np.errstate(all="ignore"):
        v["y"][...] = _BINARY[FLOAT_BINARY[s["op"]]](v["a"], v["b"])


def _one(s: Site) -> Regions:
    return {"x": image(s, "x", "<f4"), "y": image(s, "y", "<f4")}


@meaning("float_unary", _one, in_place=("x",), cut=ROWS)
def float_unary(v: Views, s: Site) -> None:
    with np.errstate(all="ignore"):
        v["y"][...] = _UNARY[FLOAT_UNARY[s["op"]]](np.ascontiguousarray(v["x"]), s.f32("f_a"), s.f32("f_b"))


def _cell(s: Site) -> Regions:
    n, c = s.many("N C")
    gates = {g: Region((n, 4 * c), (s[f"{g}_b"], 4), "<f4") for g in ("gx", "gh")}
    units = {u: Region((n, c), (s[f"{u}_b"], 4), "<f4") for u in ("c_in", "c", "y")}
    return {**gates, **units, "q": Region((n, c), (s["q_b"], 1)), "bias": Region((4 * c,), (4,), "<f4")}


@meaning("lstm_cell", _cell, in_place=("c_in",), cut=((0, 2),))
def lstm_cell(v: Views, s: Site) -> None:
    h, c = recurrent.cell((v["gx"] + v["gh"]) + v["bias"], v["c_in"])
    v["c"][...], v["y"][...], v["q"][...] = c, h, recurrent.state_bytes(h)


def _rows(s: Site) -> Regions:
    return {n: Region(s.many("H C"), (s[f"{n}_h"], 4), "<f4") for n in ("x", "y")}


@meaning("float_softmax", _rows, cut=RUNS)
def float_softmax(v: Views, s: Site) -> None:
    v["y"][...] = float_math.softmax(np.ascontiguousarray(v["x"]), -1)


def _windows(s: Site) -> Regions:
    return {"x": Region(s.many("N IH IW C"), (*s.many("x_n x_h x_w"), 4), "<f4"), "y": image(s, "y", "<f4")}


@meaning("float_pool2d", _windows, cut=((0, 3), (3, 4)))
def float_pool2d(v: Views, s: Site) -> None:
    name, shape = FLOAT_REDUCE[s["op"]], v["y"].shape
    total = np.full(shape, -np.inf if name == "Max" else 0, np.float32)
    whole, count = np.zeros(shape, np.float64), np.zeros((*s.many("H W"), 1), np.float32)
    with np.errstate(all="ignore"):
        for k, (x, inside) in enumerate(taps(v["x"], s)):
            if name != "Max" and k and k % BLOCK == 0:
                whole, total = whole + total, np.zeros(shape, np.float32)
            total = np.where(inside, float_math.larger(total, x) if name == "Max" else total + x, total)
            count += inside
        total = total if name == "Max" else (whole + total).astype(np.float32)
        if s["include"]:
            count[...] = s["KH"] * s["KW"]
        v["y"][...] = total / np.maximum(count, 1) if name == "Mean" else total


@meaning("float_reduce", lambda s: {"x": _rows(s)["x"], "y": Region((s["H"],), (s["y_h"],), "<f4")}, cut=RUNS)
def float_reduce(v: Views, s: Site) -> None:
    with np.errstate(all="ignore"):
        v["y"][...] = of_rows(FLOAT_REDUCE[s["op"]], np.ascontiguousarray(v["x"]))


@meaning("float_resize", lambda s: tables(s, 3, 4), cut=ROWS)
def float_resize(v: Views, s: Site) -> None:
    rows, columns = v["rows"], v["columns"]
    with np.errstate(all="ignore"):
        tall = mixed(v["x"], rows[0], rows[1], rows[2].view(np.float32), 1)
        v["y"][...] = mixed(tall, columns[0], columns[1], columns[2].view(np.float32), 2)


@meaning("float_layer_norm", lambda s: {**_rows(s), **{n: Region((s["C"],), (4,), "<f4") for n in ("gain", "shift")}}, cut=RUNS)
def float_layer_norm(v: Views, s: Site) -> None:
    with np.errstate(all="ignore"):
        v["y"][...] = layer_norm(np.ascontiguousarray(v["x"]), v["gain"], v["shift"], s.f32("f_epsilon"))
