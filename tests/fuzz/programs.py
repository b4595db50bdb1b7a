"""Instruction programs with other fields, offsets, sizes, strides, live ranges, kinds and operands."""

from __future__ import annotations

import json
import re

from .draws import Draws
from .graph_text import replaced

FIELD = re.compile(r"(?<==)-?\d+(?= |$)", re.M)
FLOAT_FIELD = re.compile(r"(?<==)-?(?:\d+\.\d+|\d*\.?\d+e-?\d+)(?= |$)", re.M)
OFFSET = re.compile(r"(?<=\+)-?\d+")
PLACE = re.compile(r"b\d+(?=\+)")
SIZE = re.compile(r"(?<=: )\d+(?= bytes)")
LIVE = re.compile(r"(?<=steps )\d+|(?<= to )\d+")
AT = re.compile(r"(?<=at )-?\d+$", re.M)
LIST = re.compile(r"(?<=[\[,])-?\d+(?=[\],])")
KIND = re.compile(r"(?<=: )[a-z]\w*(?= @)")
HEAD = re.compile(r"(?<=arena )\d+")
FLOATS = ("0.0", "-1.0", "1e30", "inf", "nan", "1e-45", "255.0", "-0.0")


def mutant(base: bytes, draws: Draws) -> bytes:
    """base: as `program_case` makes it. One or two numbers of its text are others."""
    case = json.loads(base)
    for _ in range(1 + draws.chance(4)):
        case["text"] = changed(case["text"], draws)
    return json.dumps(case).encode()


def changed(text: str, draws: Draws) -> str:
    how = draws.below(16)
    if how == 0:
        return replaced(text, FLOAT_FIELD, lambda _: draws.pick(FLOATS), draws)
    if how == 1:
        places = PLACE.findall(text) or ["b0"]
        return replaced(text, PLACE, lambda _: draws.pick(places), draws)
    if how == 2:
        kinds = KIND.findall(text) or ["copy"]
        return replaced(text, KIND, lambda _: draws.pick(kinds), draws)
    if how == 3:
        lines = text.splitlines()
        k = draws.below(len(lines))
        lines[k : k + 2] = draws.pick((lines[k + 1 : k + 2], lines[k : k + 2][::-1], [lines[k], *lines[k : k + 2]]))
        return "\n".join(lines) + "\n"
    pattern = {4: OFFSET, 5: OFFSET, 6: SIZE, 7: LIVE, 8: AT, 9: LIST, 10: LIST, 11: HEAD}.get(how, FIELD)
    return replaced(text, pattern, lambda old: str(near(int(old), draws)), draws)


def near(old: int, draws: Draws) -> int:
    """Beside what is there, by a cache line, or far away."""
    return draws.pick((old - 1, old + 1, old + 64, old - 64, old * 2, old // 2, -old, draws.number(old)))
