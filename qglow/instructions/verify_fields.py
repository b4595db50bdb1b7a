"""What an instruction's own words must be: a kind that there is, and all of its fields, each within its range."""

from __future__ import annotations

import math
import struct
from collections.abc import Callable, Iterable, Mapping
from functools import cache
from operator import itemgetter, le
from typing import Any

import numpy as np

from ..errors import VerifyError
from ..graph.blocks import LARGEST as LARGEST_BLOCK
from ..graph.blocks import STEP
from .program import Instruction
from .table import (
    FLOAT_BINARY,
    FLOAT_REDUCE,
    FLOAT_UNARY,
    GRID_MODES,
    GRID_PADDINGS,
    INSTRUCTIONS,
    POST_ADD,
    POST_NONE,
    POST_TABLE,
    SCATTER,
)

Range = tuple[int, int]
_F32 = struct.Struct("<f")
LARGEST = 1 << 40
LONGEST = 1 << 16
SIZE: Range = (0, 1 << 31)
RANGES: dict[str, Range] = {
    **dict.fromkeys(["N", "H", "W", "C", "G", "K", "P", "IH", "IW", "run", "D0", "D1", "D2", "D3", "D4", "D5"], SIZE),
    # a reduction is a window as large as its axis
    **dict.fromkeys(["KH", "KW", "top", "left", "bottom", "right"], SIZE),
    **dict.fromkeys(["SH", "SW", "DW", "runs", "blocks", "taps"], (1, 1 << 31)),
    "DH": SIZE,  # 0: each row of taps reads the same
    **dict.fromkeys(
        ["zero", "low", "high", "a_zero", "b_zero", "r_zero", "x_zero", "p_zero", "p_low", "p_high", "value"], (0, 255)
    ),
    # of int16, or of u8 that is made of it
    **dict.fromkeys(["q_zero", "q_low", "q_high", "q_x_zero", "q_a_zero", "q_b_zero"], (-32768, 32767)),
    "span": SIZE,
    **dict.fromkeys(
        ["y_f32", "include", "flat", "a_c", "b_c", "condition_c", "points", "zero_nan", "largest", "last", "signed"],
        (0, 1),
    ),
    "pairs": (0, 1),
    **dict.fromkeys(["one_h", "one_w"], (1, 1 << 11)),
    "post": (POST_NONE, POST_TABLE),
    "size": (STEP, LARGEST_BLOCK),
    "factor": (0, 255),
    "rest": (-128, 127),
    "parts": (1, 3),
    "act": (0, 2),
    **dict.fromkeys(["S0", "S1", "S2", "S3"], (1, 1 << 31)),
    **dict.fromkeys(["corners", "half", "centers", "every"], (0, 1)),
    **dict.fromkeys(["T", "ratio"], (0, 1 << 40)),
    "mode": (0, len(GRID_MODES) - 1),
    "padding": (0, len(GRID_PADDINGS) - 1),
}
HINTS = {"tile": LONGEST, "limit": LONGEST, "split": 2}  # the largest of each
OPERATIONS = {
    "float_binary": FLOAT_BINARY, "float_unary": FLOAT_UNARY, "float_pool2d": FLOAT_REDUCE,
    "float_reduce": FLOAT_REDUCE, "scatter": SCATTER,
}  # fmt: skip
CHOICES = {
    "t_c": (0, 256), "item": (1, 2, 4, 8), "bits": (4, 8), "scale_item": (2, 4),
    "x_item": (1, 2), "y_item": (1, 2, 4), "index_item": (4, 8),
}  # fmt: skip
ORDERED = (("low", "high"), ("q_low", "q_high"), ("p_low", "p_high"), ("C", "P"))


def field_faults(step: Instruction) -> list[str]:
    """What is wrong with the kind and the fields; where something is, the fields say nothing about memory yet."""
    kind = INSTRUCTIONS.get(step.kind)
    if kind is None:
        return [f"expected a kind of the instruction table, got {step.kind!r}"]
    if step.fields.keys() != _names(step.kind):
        faults = [f"expected field {n}, got none" for n in kind.fields if n not in step.fields]
        return faults + [f"expected no field {n}" for n in step.fields if n not in kind.fields]
    faults = []
    for name, value in () if _all_fit(step.kind, step.fields) else step.fields.items():
        fault = _float_fault(name, value) if name.startswith("f_") else _int_fault(name, value)
        if fault:
            faults.append(f"{name}: {fault}")
    for name, hint in step.hints.items():
        most = HINTS.get(name, 0) if name in kind.hints else 0
        if not isinstance(hint, int) or not 0 < hint <= most:
            faults.append(
                f"expected hints of {', '.join(kind.hints) or 'no name'}, from 1 to {most}, got {name}={hint!r}"
            )
    return faults or _relations(step)


def hints_fit(kind: str, hints: Mapping[str, int]) -> bool:
    """Whether a kind takes such hints, 0 for one that is not given."""
    names = INSTRUCTIONS[kind].hints
    return all(n in names and isinstance(v, int) and 0 < v <= HINTS[n] for n, v in hints.items())


def check_hints(step: Instruction, ways: Iterable[Mapping[str, int]]) -> None:
    """Raise VerifyError for hints that a proven instruction would be given and that its kernel does not take."""
    for way in ways:
        if not hints_fit(step.kind, way):
            raise VerifyError(f"{step.kind}: expected hints within {HINTS}, got {dict(way)}")


def _all_fit(kind: str, fields: Mapping[str, int | float]) -> bool:
    """Whether each field is sound by itself, found quickly; False says nothing."""
    (ints, floats), low, high = _ranges(kind)
    values = ints(fields)
    if not all(map(le, low, values)) or not all(map(le, values, high)) or not {*map(type, values)} <= {int}:
        return False
    return not any(_float_fault(n, fields[n]) for n in floats)


@cache
def _names(kind: str) -> frozenset[str]:
    return frozenset(INSTRUCTIONS[kind].fields)


@cache
def _ranges(kind: str) -> tuple[tuple[Callable[[Any], tuple[Any, ...]], list[str]], list[int], list[int]]:
    """How to get a kind's integers, of which there are two at least, the names of its floats, and the range of each
    integer, but of those that have a rule of their own."""
    names = INSTRUCTIONS[kind].fields
    ints = [n for n in names if not n.startswith("f_")]
    ranges = [(CHOICES[n][0],) * 2 if n in CHOICES else RANGES.get(n, (-LARGEST, LARGEST)) for n in ints]
    floats = [n for n in names if n.startswith("f_")]
    return (itemgetter(*ints), floats), [r[0] for r in ranges], [r[1] for r in ranges]


def _float_fault(name: str, value: object) -> str:
    if not isinstance(value, (int, float)) or not math.isfinite(value) or not _is_float32(value):
        return f"expected a finite float32, got {value!r}"
    if name == "f_scale" and value <= 0:
        return f"expected a positive scale, got {value!r}"
    return ""


def _is_float32(value: float) -> bool:
    try:
        return bool(_F32.unpack(_F32.pack(value))[0] == value)
    except OverflowError:
        return False


def _int_fault(name: str, value: object) -> str:
    if not isinstance(value, (int, np.integer)):
        return f"expected an integer, got {value!r}"
    if name in CHOICES:
        return "" if value in CHOICES[name] else f"expected one of {CHOICES[name]}, got {value}"
    low, high = RANGES.get(name, (-LARGEST, LARGEST))
    return "" if low <= value <= high else f"expected {low} to {high}, got {value}"


@cache
def _ordered(kind: str) -> tuple[tuple[str, str], ...]:
    """Pairs of a kind's fields of which the first is not above the second."""
    return tuple(pair for pair in ORDERED if _names(kind).issuperset(pair))


Rule = tuple[str, Callable[[str, Mapping[str, Any]], str]]  # of a field or a kind, and what is wrong


@cache
def _rules(kind: str) -> tuple[Callable[[str, Mapping[str, Any]], str], ...]:
    """The rules of several fields that a kind has."""
    return tuple(fault for name, fault in RULES if name in _names(kind) or name == kind)


def _relations(step: Instruction) -> list[str]:
    f = step.fields
    faults = [f"expected {a} of at most {b}, {f[b]}, got {f[a]}" for a, b in _ordered(step.kind) if f[a] > f[b]]
    faults += [fault for rule in _rules(step.kind) if (fault := rule(step.kind, f))]
    return faults + _int16_relations(step) if step.kind.startswith("int16") else faults


def _row_of_p(kind: str, f: Mapping[str, Any]) -> str:
    return f"expected P within 3 of C, {f['C']}, got {f['P']}" if f["P"] - f["C"] > 3 else ""


def _operation(kind: str, f: Mapping[str, Any]) -> str:
    known = OPERATIONS.get(kind, ())
    return "" if 0 <= f["op"] < len(known) else f"expected an op of {', '.join(known)}, got {f['op']}"


def _one_moves(kind: str, f: Mapping[str, Any]) -> str:
    return "" if f["a_c"] + f["b_c"] else "expected one operand to move along the run, got none"


def _power(kind: str, f: Mapping[str, Any]) -> str:
    wrong = FLOAT_UNARY.index("Power") == f["op"] and (f["f_a"] == 0 or f["f_b"] not in (0, 1, 2))
    said = f"expected a power that is not 0, and 0 to 2 for its kind, got {f['f_a']!r} and {f['f_b']!r}"
    return said if wrong else ""


def _whole_steps(kind: str, f: Mapping[str, Any]) -> str:
    return f"expected blocks of a multiple of {STEP} elements, got {f['size']}" if f["size"] % STEP else ""


def _after_product(kind: str, f: Mapping[str, Any]) -> str:
    if f.get("y_f32") and f["post"]:
        return "expected nothing behind a float output, got post and y_f32"
    if f["post"] == POST_ADD and f.get("a_zero", 0) != f.get("zero", 0):
        return f"expected a_zero to be the product's own zero, {f['zero']}, got {f['a_zero']}"
    return ""


def _flat(kind: str, f: Mapping[str, Any]) -> str:
    apart = f["post"] or f["SW"] != 1 or f["x_w"] != f["C"] or f["y_w"] != f["C"] * (4 if f["y_f32"] else 1)
    return "flat: expected pixels side by side in x and y, stride 1 and no post" if f["flat"] and apart else ""


def _rows_that_fit(kind: str, f: Mapping[str, Any]) -> str:
    return f"expected rows of at most {LONGEST}, whose sums fit int32, got {f['C']}" if f["C"] > LONGEST else ""


def _sum_alone(kind: str, f: Mapping[str, Any]) -> str:
    return f"expected post 0 or 1, got {f['post']}" if f["post"] > POST_ADD else ""


def _runs(kind: str, f: Mapping[str, Any]) -> str:
    fit = f["runs"] in (1, f["KW"]) or not kind.endswith("conv2d")
    return "" if fit else f"expected 1 run or one of each of {f['KW']} columns, got {f['runs']}"


def _indices(kind: str, f: Mapping[str, Any]) -> str:
    if not 1 <= f["K"] <= 4:
        return f"expected 1 to 4 indices of a row, got {f['K']}"
    backwards = [n for n in ("t0", "t1", "t2", "t3") if f[n] < 0]
    return f"expected indices that count forward, got {backwards[0]}={f[backwards[0]]}" if backwards else ""


def _within_whole(kind: str, f: Mapping[str, Any]) -> str:
    """Rows that are scattered lie within the T bytes, and are floats where they are combined."""
    steps = [(f["N"], f["y_n"]), (f["H"], f["y_h"]), (f["W"], f["y_w"]), *((f[f"S{k}"], f[f"t{k}"]) for k in range(4))]
    if any(step < 0 for _, step in steps):
        return "expected rows of y that lie forward"
    end = f["C"] + sum((max(1, count) - 1) * step for count, step in steps)
    if f["N"] * f["H"] * f["W"] and end > f["T"]:
        return f"expected rows within {f['T']} bytes, got one that ends at {end}"
    return f"expected rows of whole floats, got {f['C']} bytes" if f["op"] and f["C"] % 4 else ""


def _some_elements(kind: str, f: Mapping[str, Any]) -> str:
    return "" if f["C"] else "expected rows of at least one element, got none"


RULES: tuple[Rule, ...] = (
    ("index_item", _indices), ("scatter", _within_whole),
    ("P", _row_of_p), ("op", _operation), ("float_binary", _one_moves), ("float_unary", _power), ("size", _whole_steps),
    ("post", _after_product), ("flat", _flat), ("layer_norm", _rows_that_fit), ("float_conv2d", _sum_alone),
    ("runs", _runs), ("last", _some_elements),
)  # fmt: skip


def _int16_relations(step: Instruction) -> list[str]:
    """Of kinds that read int16: bytes and tables that fit, and limits within what is made."""
    f, faults = step.fields, []
    if f.get("y_item") == 1 and "q_low" in f and not 0 <= f["q_low"] <= f["q_high"] <= 255:
        faults.append(f"expected q_low and q_high of u8 within 0 to 255, got {f['q_low']} and {f['q_high']}")
    if f.get("y_item") == 4 and not {"f_ratio", "scale"} & {*INSTRUCTIONS[step.kind].words}:
        faults.append("expected y_item 1 or 2, got 4")
    if step.kind == "int16_lookup" and f["x_item"] + f["y_item"] == 2:
        faults.append("expected int16 in or out, got bytes on both sides")
    return faults
