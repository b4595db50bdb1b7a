"""Shape rules by op: SHAPES[op](node, shapes of the inputs, elements of the constant inputs) -> shapes of the
outputs."""

from __future__ import annotations

from ..graph.infer import ShapeRule
from ..ops import OpDef
from .lookup import Meanings, named


def _rule(row: OpDef, field: str) -> ShapeRule:
    rule: ShapeRule = named(getattr(row, field))
    return rule


SHAPES: Meanings[ShapeRule] = Meanings("shape", _rule)
