"""Ops that move elements: reshapes, views, copies and padding. Of quantized values they move the stored integers."""

from __future__ import annotations

from collections.abc import Mapping

from . import traits as t
from .attributes import Attribute, flag, integer, integers, required, size, word
from .definition import OpDef, Operand, Output
from .forms import Form, form
from .shorthand import NUMBER, X, node, optional

_VIEW = (t.KEEPS_QUANTIZATION, t.VIEW)
_MASK = (t.MASK_CARRIER, t.MASK_ARITHMETIC)
_RESHAPE = (*_VIEW, t.RESHAPE, t.REORDER, t.OWN_LAYOUT, *_MASK)


def _moves(
    name: str, operands: tuple[Operand, ...], *traits: t.Trait, form: Form | None = None,
    attributes: Mapping[str, Attribute] | None = None, sized_by: tuple[int, ...] = (),
    outputs: tuple[Output, ...] = (Output("y"),), float_kernel: Form | None = None,
    lower: str | None = None,
) -> OpDef:  # fmt: skip
    """form: what the integer meaning and the kernel implement. lower: the rule where it has another name."""
    function = {"Slice": "slice_"}.get(name, _snake(name))
    return OpDef(
        name, operands, outputs, attributes or {}, frozenset(traits), sized_by,
        shape=f"shape_rules_movement.{function}", typing="moves",
        meaning=node(f"float_shape.{function}"),
        integer=node("integer_elementwise.move"), int8=form, int8_kernel=form, float_kernel=float_kernel,
        lower=f"lower_move.{lower or function}", lower_int16=f"lower_move.{lower or function}",
    )  # fmt: skip


def _snake(name: str) -> str:
    return "".join(f"_{c.lower()}" if c.isupper() else c for c in name).lstrip("_")


_BLOCKS = {"blocksize": required(size()), "mode": word("DCR", "CRD", default="DCR")}
_SIZES = (X, Operand("shape", "", NUMBER))
_AXIS = integer(0)
_UPDATED = (X, Operand("indices"), Operand("updates", "T"))
_REDUCTION = {"reduction": word("none", "add", "mul", "max", "min", default="none")}

OPS = (
    _moves("Reshape", _SIZES, *_RESHAPE, t.RANK_PRESERVING, form=form("allowzero"), attributes={"allowzero": flag()},
           sized_by=(1,)),
    _moves("Flatten", (X,), *_RESHAPE, t.RANK_PRESERVING, form=form("axis"), attributes={"axis": integer(1)},
           lower="reshape"),
    _moves("Squeeze", (X, optional("axes", "", NUMBER)), *_RESHAPE, t.RANK_PRESERVING, sized_by=(1,),
           lower="reshape"),
    _moves("Unsqueeze", (X, Operand("axes", "", NUMBER)), *_RESHAPE, sized_by=(1,), lower="reshape"),
    _moves("Transpose", (X,), *_VIEW, t.REORDER, t.OWN_LAYOUT, *_MASK, form=form("perm"),
           attributes={"perm": integers(0)}),
    _moves("Slice",
           (X, Operand("starts", "", NUMBER), Operand("ends", "", NUMBER), optional("axes", "", NUMBER),
            optional("steps", "", NUMBER)),
           *_VIEW, *_MASK, sized_by=(1, 2, 3, 4)),
    _moves("Split", (X, optional("split", "", NUMBER)), *_VIEW, form=form("axis", outputs=None),
           attributes={"axis": _AXIS}, sized_by=(1,), outputs=(Output("y..."),)),
    _moves("Concat", (Operand("x", "T", variadic=True),), *_VIEW, t.GROWS, t.MASK_ARITHMETIC, form=form("axis"),
           attributes={"axis": required(integer())}),
    _moves("Gather", (X, Operand("indices")), *_VIEW, t.GROWS, t.MASK_ARITHMETIC, form=form("axis"),
           attributes={"axis": _AXIS})._replace(lower="lower_gather.gather", lower_int16="lower_gather.gather"),
    _moves("Expand", _SIZES, *_VIEW, t.GROWS, t.OWN_LAYOUT, *_MASK, sized_by=(1,)),
    _moves("Tile", (X, Operand("repeats", "", NUMBER)), t.KEEPS_QUANTIZATION, t.GROWS, t.MASK_ARITHMETIC,
           sized_by=(1,)),
    _moves("Pad", (X, Operand("pads", "", NUMBER), optional("value", "T", NUMBER), optional("axes", "", NUMBER)),
           t.KEEPS_QUANTIZATION, t.GROWS, t.SAME_DTYPE, form=form("mode"),
           attributes={"mode": word("constant", "reflect", "edge", "wrap", default="constant")}, sized_by=(1, 3),
           float_kernel=form("mode"))._replace(lower_float="lower_move.pad"),
    *(_moves(name, (X,), t.KEEPS_QUANTIZATION, t.IMAGE, form=form(*known), attributes=_BLOCKS, lower="blocks")
      ._replace(lower_float="lower_move.blocks", float_kernel=form(*known))
      for name, known in (("DepthToSpace", ("blocksize", "mode")), ("SpaceToDepth", ("blocksize",)))),
    OpDef("GatherElements", (X, Operand("indices")), attributes={"axis": _AXIS}, traits=frozenset({t.GROWS}),
          shape="shape_rules_movement.gather_elements", meaning=node("float_shape.gather_elements"),
          float_kernel=form("axis"), lower_float="lower_gather.gather_elements"),
    OpDef("GatherND", (X, Operand("indices")), attributes={"batch_dims": size(0, 0)},
          traits=frozenset({t.GROWS}), shape="shape_rules_movement.gather_nd", meaning=node("float_shape.gather_nd"),
          float_kernel=form("batch_dims"), lower_float="lower_gather.gather_nd"),
    OpDef("ScatterElements", _UPDATED, shape="shape_rules.same",
          meaning=node("float_select.scatter_elements"), traits=frozenset({t.SAME_DTYPE}),
          attributes={"axis": _AXIS, **_REDUCTION}, float_kernel=form("axis", "reduction"),
          lower_float="lower_indexed.scatter_elements"),
    OpDef("ScatterND", _UPDATED, shape="shape_rules.same", meaning=node("float_select.scatter_nd"),
          traits=frozenset({t.SAME_DTYPE}), attributes=_REDUCTION, float_kernel=form("reduction"),
          lower_float="lower_indexed.scatter_nd"),
    OpDef("Trilu", (X, optional("k", "", NUMBER)), attributes={"upper": flag(1)}, traits=frozenset({t.MASK_ARITHMETIC}),
          shape="shape_rules.same", meaning=node("float_shape.trilu")),
)  # fmt: skip
