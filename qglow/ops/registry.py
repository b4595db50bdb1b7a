"""All declarations of ops by name, and the questions that the rest of the package asks them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from types import MappingProxyType
from typing import Any

from . import (
    control,
    elementwise,
    movement,
    normalization,
    pointwise,
    products,
    quantization,
    recurrent,
    reductions,
    selection,
    shapes,
    windows,
)
from .definition import OpDef
from .forms import PLAIN, Form, NodeLike
from .traits import Trait

FAMILIES = (
    products, windows, recurrent, elementwise, pointwise, reductions, normalization, movement, shapes, selection,
    quantization, control,
)  # fmt: skip


def joined(rows: Iterable[OpDef]) -> dict[str, OpDef]:
    """Declarations by name. Raises ValueError for a name that is declared twice."""
    found: dict[str, OpDef] = {}
    for row in rows:
        if row.name in found:
            raise ValueError(f"op {row.name} is declared twice")
        found[row.name] = row
    return found


_OPS = joined(row for family in FAMILIES for row in family.OPS)
OPS: Mapping[str, OpDef] = MappingProxyType(_OPS)


@contextmanager
def extended(*rows: OpDef) -> Iterator[None]:
    """Declare further ops for a while: for tests and examples. Raises ValueError for a name that is taken."""
    added = joined([*_OPS.values(), *rows])
    before = dict(_OPS)
    _OPS.update(added)
    try:
        yield
    finally:
        _OPS.clear()
        _OPS.update(before)


def having(*traits: Trait) -> frozenset[str]:
    """Names of the ops that have all of these traits."""
    return frozenset(name for name, row in _OPS.items() if row.traits.issuperset(traits))


def has(op: str, trait: Trait) -> bool:
    """Whether an op has a trait; an op that is not declared has none."""
    row = _OPS.get(op)
    return row is not None and trait in row.traits


def quantized_form(op: str) -> str:
    """The name of the op that int8 nodes of an op have: its own, but where their operands differ."""
    return next((name for name, row in _OPS.items() if row.float_op == op), op)


def default(op: str, attribute: str) -> Any:
    """The value of an attribute that a node does not have. Raises KeyError for one that the op does not declare."""
    row = _OPS.get(op)
    declared = row.attributes.get(attribute) if row is not None else None
    if declared is None:
        if row is not None and row.open_attributes:
            return None
        raise KeyError(f"op {op} does not declare an attribute {attribute!r}")
    return declared.default


def numbers(op: str) -> tuple[str, ...]:
    """Names of the attributes of an op that are real numbers, in the order of their declaration."""
    return tuple(name for name, attribute in OPS[op].attributes.items() if isinstance(attribute.default, float))


def refusal(form: str, node: NodeLike, op: str) -> str | None:
    """What a node asks for beyond a form of its op's declaration: "int8", "int8_kernel" or "float_kernel". Without
    one, an op takes no attributes and gives one output."""
    row = _OPS.get(op)
    found: Form | None = getattr(row, form) if row is not None else None
    return (PLAIN if found is None else found).refusal(node)
