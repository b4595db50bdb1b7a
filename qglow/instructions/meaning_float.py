"""Kinds that work on floats: IEEE operations in a fixed order, functions as reference/float_math.py defines them."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from ..errors import VerifyError
from ..graph import Array, Node
from ..ops import numbers
from ..reference import FLOAT, float_math, recurrent
from ..reference.float_ordered import layer_norm, of_rows
from ..reference.float_reduce import largest_of
from ..reference.float_resize import mixed, weighted
from ..reference.float_sums import BLOCK
from .meaning import ROWS, RUNS, Meaning, Regions, Views, image
from .meaning_move import tables
from .meaning_pointwise import of_two
from .meaning_window import taps
from .region import Region, Site
from .table import FLOAT_BINARY, FLOAT_REDUCE, FLOAT_UNARY

_OWN: dict[str, Callable[[Array, np.float32, np.float32], Array]] = {  # functions that are no op of their own
    "Square": lambda x, a, b: x * x,
    "Clip": float_math.limited,
    "Power": lambda x, a, b: float_math.power(x, a),
    "AtLeast": lambda x, a, b: np.where(x < a, a, x),
    "AtMost": lambda x, a, b: np.where(x > a, a, x),
}


def _of_one(op: str, x: Array, f_a: np.float32, f_b: np.float32) -> Array:
    """The op's float meaning, with the fields as the numbers among its attributes."""
    if op in _OWN:
        return _OWN[op](x, f_a, f_b)
    attributes = dict(zip(numbers(op), (f_a, f_b), strict=False))
    return FLOAT[op](Node(op, ("x",), ("y",), attributes), [x])[0]


def _two(s: Site) -> Regions:
    return {n: image(s, n, "<f4", 4 if n == "y" else 4 * s[f"{n}_c"]) for n in ("a", "b", "y")}


def float_binary(v: Views, s: Site) -> None:
    with np.errstate(all="ignore"):
        v["y"][...] = of_two(FLOAT_BINARY[s["op"]], v["a"], v["b"])


def _one(s: Site) -> Regions:
    return {"x": image(s, "x", "<f4"), "y": image(s, "y", "<f4")}


def float_unary(v: Views, s: Site) -> None:
    with np.errstate(all="ignore"):
        v["y"][...] = _of_one(FLOAT_UNARY[s["op"]], np.ascontiguousarray(v["x"]), s.f32("f_a"), s.f32("f_b"))


def _cell(s: Site) -> Regions:
    n, c = s.many("N C")
    gates = {g: Region((n, 4 * c), (s[f"{g}_b"], 4), "<f4") for g in ("gx", "gh")}
    units = {u: Region((n, c), (s[f"{u}_b"], 4), "<f4") for u in ("c_in", "c", "y")}
    return {**gates, **units, "q": Region((n, c), (s["q_b"], 1)), "bias": Region((4 * c,), (4,), "<f4")}


def lstm_cell(v: Views, s: Site) -> None:
    h, c = recurrent.cell((v["gx"] + v["gh"]) + v["bias"], v["c_in"])
    v["c"][...], v["y"][...], v["q"][...] = c, h, recurrent.state_bytes(h)


def _units(s: Site, states: str, gates: str, count: int) -> Regions:
    n, c = s.many("N C")
    regions = {u: Region((n, c), (s[f"{u}_b"], 4), "<f4") for u in states.split()}
    return {**regions, **{g: Region((n, count * c), (s[f"{g}_b"], 4), "<f4") for g in gates.split()}}


def float_lstm_cell(v: Views, s: Site) -> None:
    with np.errstate(all="ignore"):
        h, c = recurrent.cell(np.ascontiguousarray(v["gates"]), v["c_in"])
    v["c"][...], v["h"][...], v["y"][...] = c, h, h


def float_gru_cell(v: Views, s: Site) -> None:
    with np.errstate(all="ignore"):
        (gz, gr, gn), (hz, hr, hn) = (np.split(np.ascontiguousarray(v[g]), 3, -1) for g in ("gx", "gh"))
        z, r = float_math.sigmoid(gz + hz), float_math.sigmoid(gr + hr)
        h = (np.float32(1) - z) * float_math.tanh(gn + r * hn) + z * v["h_in"]
    v["h"][...], v["y"][...] = h, h


def _where(s: Site) -> Regions:
    chosen = {n: image(s, n, "<f4", 4 * s[f"{n}_c"]) for n in ("a", "b")}
    return {**chosen, "condition": image(s, "condition", "|u1", s["condition_c"]), "y": image(s, "y", "<f4")}


def float_where(v: Views, s: Site) -> None:
    v["y"][...] = np.where(v["condition"] != 0, v["a"], v["b"])


def _rows(s: Site) -> Regions:
    return {n: Region(s.many("H C"), (s[f"{n}_h"], 4), "<f4") for n in ("x", "y")}


def float_softmax(v: Views, s: Site) -> None:
    y = float_math.softmax(np.ascontiguousarray(v["x"]), -1)
    v["y"][...] = np.where(np.isnan(y), np.float32(0), y) if s["zero_nan"] else y


def _windows(s: Site) -> Regions:
    return {"x": Region(s.many("N IH IW C"), (*s.many("x_n x_h x_w"), 4), "<f4"), "y": image(s, "y", "<f4")}


def float_pool2d(v: Views, s: Site) -> None:
    name, shape = FLOAT_REDUCE[s["op"]], v["y"].shape
    total = np.full(shape, -np.inf if name == "Max" else 0, np.float32)
    sums, count = np.zeros(shape, np.float64), np.zeros((*s.many("H W"), 1), np.float32)
    with np.errstate(all="ignore"):
        for k, (x, inside) in enumerate(taps(v["x"], s)):
            if name != "Max" and k and k % BLOCK == 0:
                sums, total = sums + total, np.zeros(shape, np.float32)
            total = np.where(inside, float_math.larger(total, x) if name == "Max" else total + x, total)
            count += inside
        total = total if name == "Max" else (sums + total).astype(np.float32)
        if s["include"]:
            count[...] = s["KH"] * s["KW"]
        v["y"][...] = total / np.maximum(count, 1) if name == "Mean" else total


def _reduced_rows(s: Site) -> Regions:
    return {"x": _rows(s)["x"], "y": Region((s["H"],), (s["y_h"],), "<f4")}


def float_reduce(v: Views, s: Site) -> None:
    with np.errstate(all="ignore"):
        v["y"][...] = of_rows(FLOAT_REDUCE[s["op"]], np.ascontiguousarray(v["x"]))


def _taps(s: Site) -> Regions:
    n, h, c, count = s.many("N H C taps")
    table = Region((count, h), (4 * h, 4), "<i4")
    indices = s.ints("rows", table.shape)
    if indices.min(initial=0) < 0:
        raise VerifyError(f"expected rows of at least 0, got {indices.min()}")
    x = Region((n, int(indices.max(initial=-1)) + 1, c), (*s.many("x_n x_h"), 4), "<f4")
    weights = Region((count, h), (4 * h, 4), "<f4")
    return {"rows": table, "weights": weights, "x": x, "y": Region((n, h, c), (*s.many("y_n y_h"), 4), "<f4")}


def float_taps(v: Views, s: Site) -> None:
    with np.errstate(all="ignore"):
        v["y"][...] = weighted(v["x"], (v["rows"], v["weights"]), 1)


def _top(s: Site) -> Regions:
    h, c, k = s.many("H C K")
    y = Region((h, k), (s["y_h"], 4), "<f4")
    return {"x": Region((h, c), (s["x_h"], 4), "<f4"), "y": y, "place": Region((h, k), (s["place_h"], 8), "<i8")}


def float_top_k(v: Views, s: Site) -> None:
    v["y"][...], v["place"][...] = largest_of(v["x"], s["K"], 1, bool(s["largest"]))


def float_resize(v: Views, s: Site) -> None:
    rows, columns = v["rows"], v["columns"]
    with np.errstate(all="ignore"):
        tall = mixed(v["x"], rows[0], rows[1], rows[2].view(np.float32), 1)
        v["y"][...] = mixed(tall, columns[0], columns[1], columns[2].view(np.float32), 2)


def _normalized_rows(s: Site) -> Regions:
    return {**_rows(s), **{n: Region((s["C"],), (4,), "<f4") for n in ("gain", "shift")}}


def float_layer_norm(v: Views, s: Site) -> None:
    with np.errstate(all="ignore"):
        v["y"][...] = layer_norm(np.ascontiguousarray(v["x"]), v["gain"], v["shift"], s.f32("f_epsilon"))


MEANINGS = {
    "float_binary": Meaning(_two, float_binary, in_place=("a", "b"), cut=ROWS),
    "float_unary": Meaning(_one, float_unary, in_place=("x",), cut=ROWS),
    "lstm_cell": Meaning(_cell, lstm_cell, in_place=("c_in",), cut=((0, 2),)),
    "float_where": Meaning(_where, float_where, in_place=("a", "b"), cut=ROWS),
    "float_lstm_cell": Meaning(
        lambda s: _units(s, "c_in c h y", "gates", 4), float_lstm_cell, in_place=("c_in",), cut=((0, 2),)
    ),
    "float_gru_cell": Meaning(
        lambda s: _units(s, "h_in h y", "gx gh", 3), float_gru_cell, in_place=("h_in",), cut=((0, 2),)
    ),
    "float_softmax": Meaning(_rows, float_softmax, cut=RUNS),
    "float_pool2d": Meaning(_windows, float_pool2d, cut=((0, 3), (3, 4))),
    "float_reduce": Meaning(_reduced_rows, float_reduce, cut=RUNS),
    "float_taps": Meaning(_taps, float_taps, cut=ROWS),
    "float_top_k": Meaning(_top, float_top_k, cut=RUNS),
    "float_resize": Meaning(lambda s: tables(s, 3, 4), float_resize, cut=ROWS),
    "float_layer_norm": Meaning(_normalized_rows, float_layer_norm, cut=RUNS),
}
