"""Changes of a graph's text that keep it a text of lines: numbers, names, types, operands, attributes, order."""

from __future__ import annotations

import json
import re
from collections.abc import Callable

from .draws import Draws

NUMBER = re.compile(r"(?<![\w.%@\"-])-?\d+(?:\.\d+)?(?:e-?\d+)?(?![\w.\"])")
NAME = re.compile(r'%(?:[\w./:-]*[\w./-]|"(?:[^"\\]|\\.)*")')
OPERATOR = re.compile(r"(?<== )\w+(?=\()")
KIND = re.compile(r"(?<=: )[a-z]+\d*(?=\[)")
QUANT = re.compile(r"<[^<>]*>(?=$| =|,)", re.M)
SHAPE = re.compile(r"\[[^\[\]]*\](?=<| =|,|$)", re.M)
ATTRIBUTES = re.compile(r"\{.*\}(?= \")")
DTYPES = ("u4", "u8", "i8", "u16", "i16", "i32", "i64", "u32", "u64", "f16", "f32", "f64", "bool", "str", "bf16", "x9")
_OPERATORS = """
    Conv Add Mul MaxPool Concat Softmax Quantize Dequantize Lookup Flatten Transpose MatMul GlobalAveragePool
    Reshape Slice ConvTranspose Gemm Identity LayerNormalization Pad LSTM GRU RNN QSoftmax QLSTM Resize Split Select
    Onnx
    AveragePool ReduceMean Expand Tile Range ConstantOfShape Gather Clip Loop If NonZero Shape Cast DepthToSpace
    TopK PRelu Where Einsum InstanceNormalization BlockwiseMatMul
"""
OPERATORS = tuple(_OPERATORS.split())
_ATTRIBUTE_NAMES = """
    axis kernel_shape pads strides dilations group hidden_size mode perm auto_pad epsilon transA transB ceil_mode
    output_padding direction keepdims axes act body compute
"""
ATTRIBUTE_NAMES = tuple(_ATTRIBUTE_NAMES.split())
Edit = Callable[[str, Draws], str]


def replaced(text: str, pattern: re.Pattern[str], new: Callable[[str], str], draws: Draws) -> str:
    """The text with one of the matches changed; the same text where there is none."""
    found = list(pattern.finditer(text))
    if not found:
        return text
    m = draws.pick(found)
    return text[: m.start()] + new(m.group()) + text[m.end() :]


def number(text: str, draws: Draws) -> str:
    def new(old: str) -> str:
        if "." in old or "e" in old or draws.chance(8):
            return json.dumps(draws.float())
        return str(draws.number(int(old)))

    return replaced(text, NUMBER, new, draws)


def small_number(text: str, draws: Draws) -> str:
    """A number becomes another that a model may well have."""
    return replaced(text, NUMBER, lambda _: str(draws.pick((0, 1, 2, 3, -1, 4, 5, 8, 16, 0.5))), draws)


def name(text: str, draws: Draws) -> str:
    """A value is read or written where another was, or one that nobody has."""
    found = NAME.findall(text)
    other = draws.pick(found) if found and not draws.chance(6) else f"%{json.dumps(draws.word())}"
    return replaced(text, NAME, lambda _: other, draws)


def operator(text: str, draws: Draws) -> str:
    return replaced(text, OPERATOR, lambda _: draws.pick(OPERATORS), draws)


def kind(text: str, draws: Draws) -> str:
    return replaced(text, KIND, lambda _: draws.pick(DTYPES), draws)


def quant(text: str, draws: Draws) -> str:
    """Scale and zero point go, or become others."""
    new = (
        "",
        "<0.5, 3>",
        "<0.02, 300>",
        "<0.0, 0>",
        "<-1.0, 0>",
        "<1e-45, 0>",
        "<1e38, 255>",
        "<[0.5, 0.25], [0, 0], 0>",
        "<NaN, 0>",
        "<[0.5], [0], 7>",
        "<0.004, 0>",
        "<0.02, 100>",
    )
    if QUANT.search(text) and draws.below(3):
        return replaced(text, QUANT, lambda _: draws.pick(new), draws)
    return replaced(text, SHAPE, lambda old: old + draws.pick(new), draws)


def shape(text: str, draws: Draws) -> str:
    """Dimensions are more, fewer, turned round, symbols or unknown."""

    def new(old: str) -> str:
        dims = old[1:-1].split(",")
        how = draws.below(6)
        more = ([*dims, "1"], dims[:-1], dims[::-1], ["N", *dims[1:]], ["*"], [*dims[:-1], str(draws.number())])[how]
        return f"[{','.join(more)}]"

    return replaced(text, SHAPE, new, draws)


def operands(text: str, draws: Draws) -> str:
    """The operands of a node: one goes, comes twice, is left out, or they change places."""

    def new(old: str) -> str:
        names = NAME.findall(old) or ["_"]
        k = draws.below(len(names))
        how = draws.below(5)
        names = (
            names[:k] + names[k + 1 :],
            [*names[:k], *names[k:][:1], *names[k:]],
            [*names[:k], "_", *names[k + 1 :]],
            names[::-1],
            [*names, draws.pick(names)],
        )[how]
        return f"({', '.join(names)})"

    return replaced(text, re.compile(r"(?<=\w)\((?:%|_)[^()]*\)"), new, draws)


def attribute(text: str, draws: Draws) -> str:
    """An attribute goes, is renamed, or has a value of another type, length or size."""

    def new(old: str) -> str:
        try:
            values = json.loads(old)
        except ValueError:
            return old
        key = draws.pick(sorted(values)) if values and not draws.chance(5) else draws.pick(ATTRIBUTE_NAMES)
        before = values.pop(key, 1)
        if how := draws.below(6):
            values[draws.pick(ATTRIBUTE_NAMES) if how == 1 else key] = other_value(before, draws)
        return json.dumps(values)

    return replaced(text, ATTRIBUTES, new, draws)


def other_value(value: object, draws: Draws) -> object:
    if isinstance(value, list) and value and draws.below(3):
        k = draws.below(len(value))
        how = draws.below(4)
        return (
            value[:-1],
            [*value, value[-1]],
            [*value[:k], other_value(value[k], draws), *value[k + 1 :]],
            value[::-1],
        )[how]
    number = draws.number(value if isinstance(value, int) else None)
    strange = (
        draws.float(),
        draws.word(),
        [number],
        [],
        None,
        True,
        [[1]],
        {"tensor": "f32", "shape": [number], "data": [1.0]},
        {"graph": 'graph "g"\n'},
        {"bytes": "AA=="},
        {},
    )
    return number if draws.below(2) else draws.pick(strange)


def line(text: str, draws: Draws) -> str:
    """A line goes, comes twice, changes places with the next, or moves elsewhere."""
    lines = text.splitlines()
    if len(lines) < 2:
        return text
    k, how = draws.below(len(lines) - 1), draws.below(4)
    if how == 3:
        moved = lines.pop(k)
        lines.insert(draws.below(len(lines) + 1), moved)
    else:
        lines[k : k + 2] = (lines[k + 1 : k + 2], [lines[k], *lines[k : k + 2]], lines[k : k + 2][::-1])[how]
    return "\n".join(lines) + "\n"


def output(text: str, draws: Draws) -> str:
    """Another value is an output too, or an input, or a constant."""
    found = NAME.findall(text)
    value = draws.pick(found) if found else "%x"
    how = draws.below(3)
    added = (f"output {value}", f"input {value}: f32[2,3]", f"const {value}: f32[{draws.number()}] = [1.0]")[how]
    return f"{text}{added}\n"


def erased(text: str) -> str:
    """What nodes declare of shapes is gone: what they make must be found out, and inputs and constants are believed."""
    lines = text.splitlines()
    bare = [
        re.sub(r"(: [a-z]+\d*)\[[^\[\]]*\]", r"\1[*]", part.split(" = ")[0]) + " = " + part.split(" = ", 1)[1]
        if part.startswith(("%", "_")) and " = " in part
        else part
        for part in lines
    ]
    return "\n".join(bare) + "\n"


OFTEN: tuple[Edit, ...] = (number, number, small_number, small_number, small_number, attribute, attribute)
EDITS: tuple[Edit, ...] = (*OFTEN, name, operator, kind, quant, shape, operands, line, output)


def changed(text: str, draws: Draws) -> str:
    """One to three changes; of half of the texts the shapes of what nodes make are erased."""
    if draws.below(2):
        text = erased(text)
    for _ in range(1 + (draws.below(3) == 0) + (draws.below(6) == 0)):
        text = draws.pick(EDITS)(text, draws)
    return text
