"""Small changes of meaning in Python source: where a file can be changed, and the text of each change."""

from __future__ import annotations

import ast
import random
from collections.abc import Iterator
from dataclasses import dataclass

COMPARISONS: dict[type[ast.cmpop], type[ast.cmpop]] = {
    ast.Lt: ast.LtE, ast.LtE: ast.Lt, ast.Gt: ast.GtE, ast.GtE: ast.Gt, ast.Eq: ast.NotEq, ast.NotEq: ast.Eq,
    ast.In: ast.NotIn, ast.NotIn: ast.In, ast.Is: ast.IsNot, ast.IsNot: ast.Is,
}  # fmt: skip
OPERATORS: dict[type[ast.operator], type[ast.operator]] = {
    ast.Add: ast.Sub, ast.Sub: ast.Add, ast.Mult: ast.Div, ast.Div: ast.Mult, ast.FloorDiv: ast.Mult,
    ast.Mod: ast.FloorDiv,
    ast.BitAnd: ast.BitOr, ast.BitOr: ast.BitAnd, ast.LShift: ast.RShift, ast.RShift: ast.LShift,
}  # fmt: skip
NAMES = (
    ("min", "max"), ("minimum", "maximum"), ("floor", "ceil"), ("zeros", "ones"), ("begin", "end"), ("strides",
    "dilations"),
    ("argmax", "argmin"), ("triu", "tril"), ("any", "all"), ("float32", "float64"), ("less", "less_equal"), ("low",
    "high"),
)  # fmt: skip
WORDS = (
    ("SAME_UPPER", "SAME_LOWER"), ("floor", "ceil"), ("round_prefer_floor", "round_prefer_ceil"), ("nearest", "linear"),
    ("half_pixel", "asymmetric"), ("align_corners", "pytorch_half_pixel"), ("DCR", "CRD"), ("constant", "edge"),
    ("reflect", "wrap"),
    ("none", "tanh"), ("strides", "dilations"), ("pads", "output_padding"), ("forward", "reverse"), ("alpha",
    "beta"), ("transA", "transB"),
    ("starts", "ends"), ("min", "max"), ("Min", "Max"), ("Sum", "Mean"), ("ArgMax", "ArgMin"), ("Add", "Sub"),
    ("axis", "axes"),
)  # fmt: skip
OTHER_NAME = {a: b for pair in NAMES for a, b in (pair, pair[::-1])}
OTHER_WORD = {a: b for pair in WORDS for a, b in (pair, pair[::-1])}


@dataclass(frozen=True)
class Mutant:
    """The text between two (line, column) places of a file is another. Lines count from 1, columns in UTF-8 bytes."""

    path: str
    kind: str
    start: tuple[int, int]
    end: tuple[int, int]
    text: str

    def applied(self, source: str) -> str:
        lines = [line.encode() for line in source.splitlines(keepends=True)]
        (first, a), (last, b) = self.start, self.end
        middle = lines[first - 1][:a] + self.text.encode() + lines[last - 1][b:]
        return b"".join([*lines[: first - 1], middle, *lines[last:]]).decode()


def mutants_of(path: str, source: str) -> list[Mutant]:
    """Every change of a file, in the order of its text. Types, docstrings, errors and checks are left alone."""
    found = []
    for node in _meaningful(ast.parse(source)):
        for kind, other in _changes(node):
            new = ast.unparse(ast.fix_missing_locations(other))
            if isinstance(node, ast.BinOp | ast.BoolOp | ast.Compare | ast.UnaryOp | ast.IfExp) or kind == "negation":
                new = f"({new})"
            assert node.end_lineno is not None and node.end_col_offset is not None
            found.append(
                Mutant(path, kind, (node.lineno, node.col_offset), (node.end_lineno, node.end_col_offset), new)
            )
    return found


def sample(mutants: list[Mutant], count: int, seed: int) -> list[Mutant]:
    """So many of them, at random: the same ones for a seed."""
    return random.Random(seed).sample(mutants, min(count, len(mutants)))


def _meaningful(node: ast.AST) -> Iterator[ast.expr]:
    """The expressions that decide what a program computes."""
    for name, child in ast.iter_fields(node):
        if name in ("annotation", "returns", "decorator_list", "type_params") or isinstance(
            node, ast.Raise | ast.ImportFrom
        ):
            continue
        if isinstance(node, ast.Assert) and name == "msg" or isinstance(node, ast.JoinedStr):
            continue
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in ("cast", "TypeVar"):
            continue
        for item in child if isinstance(child, list) else [child]:
            if isinstance(item, ast.Expr) and isinstance(item.value, ast.Constant):
                continue  # a docstring
            if isinstance(item, ast.Assign) and _is_type_alias(item):
                continue
            if isinstance(item, ast.keyword) and item.arg == "strict":
                continue  # of zip: a check
            if isinstance(item, ast.expr):
                yield item
            if isinstance(item, ast.AST):
                yield from _meaningful(item)


def _is_type_alias(node: ast.Assign) -> bool:
    value = node.value
    return (
        isinstance(value, ast.Subscript)
        and isinstance(value.value, ast.Name)
        and value.value.id in ("Callable", "dict", "list", "tuple")
    )


def _changes(node: ast.expr) -> Iterator[tuple[str, ast.expr]]:
    match node:
        case ast.Compare(left=left, ops=[op], comparators=right):
            yield "comparison", ast.Compare(left, [COMPARISONS[type(op)]()], right)
        case ast.BinOp(left=left, op=op, right=right) if type(op) in OPERATORS:
            yield "operator", ast.BinOp(left, OPERATORS[type(op)](), right)
        case ast.BoolOp(op=op, values=values):
            yield "and or", ast.BoolOp(ast.Or() if isinstance(op, ast.And) else ast.And(), values)
        case ast.UnaryOp(op=ast.Not() | ast.USub(), operand=operand) if not isinstance(operand, ast.Constant):
            yield "unary", operand
        case ast.IfExp(body=body, orelse=other):
            yield "branch", body
            yield "branch", other
        case ast.Constant(value=bool(value)):
            yield "constant", ast.Constant(not value)
        case ast.Constant(value=int(value)):
            yield "constant", ast.Constant(value + 1)
            yield "constant", ast.Constant(value - 1)
        case ast.Constant(value=float(value)):
            yield "constant", ast.Constant(value * 1.5 + 0.25)
        case ast.Constant(value=str(value)) if value in OTHER_WORD:
            yield "word", ast.Constant(OTHER_WORD[value])
        case ast.Call(func=ast.Name(id="min" | "max") | ast.Attribute(attr="minimum" | "maximum" | "swapaxes")):
            pass  # NOTE: their arguments have no order
        case ast.Call(func=function, args=[first, second, *rest], keywords=keywords) if not isinstance(
            second, ast.Starred
        ):
            yield "arguments", ast.Call(function, [second, first, *rest], keywords)
        case ast.Attribute(value=value, attr=name) if name in OTHER_NAME and isinstance(node.ctx, ast.Load):
            yield "name", ast.Attribute(value, OTHER_NAME[name], ast.Load())
        case ast.Name(id=name) if name in ("min", "max", "any", "all"):
            yield "name", ast.Name(OTHER_NAME[name], ast.Load())
