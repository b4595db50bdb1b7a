"""Profiles (JSON) and configurations (TOML) in which something is of another kind, size or depth."""

from __future__ import annotations

import json
from typing import Any

from .byte_edits import edited
from .draws import Draws
from .graph_text import other_value

CONFIGURATION = """[quantize]
activations = "uint8"
weights = "per_channel"
calibration = "mse"
percentile = 99.99
power_of_two = false
exclude = ["op:Softmax"]
include = []
float_outputs = true
balance_channels = true
correct_bias = true
min_agreement_sqnr_db = 3.0
"""
PICTURES = """[input.x]
source = "images"
color = "gray"
resize = 8
crop = [8, 8]
scale = 0.0625
mean = [0.5]
std = 1.5
layout = "nchw"
"""
VALUES = (
    "0",
    "-1",
    "1",
    "8",
    "65536",
    "99999999",
    "9223372036854775808",
    "1" + "0" * 5000,
    "1e300",
    "nan",
    "-inf",
    "true",
    '"x"',
    '""',
    "[]",
    "[8]",
    "[8, 8]",
    "[8, 8, 8]",
    "[[8]]",
    "{}",
    "{a = {b = 1}}",
    "1979-05-27",
    "07:32:00",
    '"\\u001b[31m"',
    '"re:(a+)+$"',
    '"re:("',
    '"op:Conv"',
    "[" * 500 + "]" * 500,
    '["a", 1]',
    "'''\nx'''",
    '"npz"',
    '"pb"',
    '"npy"',
    "0x10",
    "0b1",
    "1_000",
    "0.5",
)


def profile(whole: bytes, draws: Draws) -> bytes:
    """One value of the JSON, anywhere, becomes another or goes; or its bytes change."""
    if draws.chance(6):
        return edited(whole, draws)
    raw: Any = json.loads(whole)
    for _ in range(1 + draws.chance(3)):
        where, key = raw, draws.pick(sorted(raw))
        while isinstance(where[key], (dict, list)) and where[key] and draws.below(5):
            where = where[key]
            key = draws.pick(sorted(where)) if isinstance(where, dict) else draws.below(len(where))
        if draws.chance(8):
            del where[key]
            break
        where[key] = other_value(where[key], draws)
    text = json.dumps(raw)
    return (text.replace('"samples"', '"samples": 3, "samples"') if draws.chance(20) else text).encode()


def toml(whole: bytes, draws: Draws) -> bytes:
    """A field of another value, an unknown one, another table, a line twice or elsewhere; or its bytes change."""
    if draws.chance(6):
        return edited(whole, draws)
    lines = whole.decode().splitlines()
    for _ in range(1 + draws.below(2)):
        k, how = draws.below(len(lines)), draws.below(6)
        key = lines[k].split(" = ")[0]
        if how == 0:
            lines.insert(
                k,
                draws.pick(
                    (
                        lines[k],
                        f"{json.dumps(draws.word())} = 1",
                        "[" + "a." * draws.pick((1, 50, 5000)) + "b]",
                        "[[input]]",
                        "[input]",
                    )
                ),
            )
        elif how == 1:
            del lines[k]
        elif how == 2:  # NOTE: the order of fields means nothing: such a case runs
            lines.append(lines.pop(k))
            lines.sort(key=lambda line: not line.startswith("["))
        elif " = " in lines[k]:
            lines[k] = f"{key} = {draws.pick(VALUES)}"
        else:
            lines[k] = draws.pick(
                (
                    "[quantize.x]",
                    "[input]",
                    "[x]",
                    "[input.x.y]",
                    "[quantize]",
                    "[[quantize]]",
                    '[input."\\u001b"]',
                    "[input.y]",
                )
            )
        if not lines:
            break
    return "\n".join(lines).encode()
