"""Ops that choose or place elements by the values of others. The shapes of most depend on data."""

from __future__ import annotations

from . import traits as t
from .attributes import flag, integer
from .definition import FROM_DATA, OpDef, Operand, Output
from .forms import form
from .shorthand import INDICES, LIST, NUMBER, X, node, optional

OPS = (
    OpDef("OneHot", (Operand("indices"), Operand("depth", "", NUMBER), Operand("values", "T", LIST)),
          attributes={"axis": integer(-1)}, traits=frozenset({t.GROWS}), sized_by=(1,),
          shape="shape_rules.one_hot", meaning=node("float_select.one_hot")),
    OpDef("Compress", (X, Operand("condition")), attributes={"axis": integer()}, sized_by=FROM_DATA,
          shape="shape_rules.compress", meaning=node("float_select.compress")),
    OpDef("Unique", (X,), (Output("y"), *(Output(n, "i64") for n in ("indices", "inverse_indices", "counts"))),
          sized_by=FROM_DATA, attributes={"axis": integer(), "sorted": flag(1)}, shape="shape_rules.unique",
          meaning=node("float_select.unique")),
    OpDef("NonMaxSuppression",
          (Operand("boxes"), Operand("scores"), optional("max_boxes"), optional("iou_threshold"),
           optional("score_threshold")),
          INDICES, {"center_point_box": flag()}, frozenset({t.STEP, t.PAIRWISE}), sized_by=FROM_DATA,
          shape="shape_rules.non_max_suppression",
          meaning=node("float_select.non_max_suppression")),
    OpDef("BoundedSuppression", (Operand("boxes"), Operand("scores"), Operand("max_boxes"),
                                 optional("iou_threshold"), optional("score_threshold")),
          (Output("y", "i64"), Output("count", "i64")), {"center_point_box": flag()},
          frozenset({t.STEP, t.PAIRWISE, t.GROWS}),
          sized_by=(2,), shape="shape_rules.bounded_suppression", meaning=node("float_select.bounded_suppression"),
          float_kernel=form("center_point_box", outputs=2), lower_float="lower_sampled.suppression"),
    OpDef("FirstRows", (X, Operand("count")), sized_by=FROM_DATA, shape="shape_rules.first_rows",
          meaning=node("float_select.first_rows")),
)  # fmt: skip
