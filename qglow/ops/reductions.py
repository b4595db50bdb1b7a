"""Reductions and searches along axes."""

from __future__ import annotations

from . import traits as t
from .attributes import flag, ignored, integer
from .definition import FROM_DATA, OpDef, Operand, Output
from .forms import Form, form
from .shorthand import INDICES, LIMITS, NUMBER, X, node, optional

_KEEP = {"keepdims": flag(1), "noop_with_empty_axes": flag()}
_FLOATS = form(*_KEEP)
_MEAN = form(*_KEEP, *LIMITS)
_ARG = {"axis": integer(0), "keepdims": flag(1), "select_last_index": flag()}
_ROUNDED = frozenset({t.REDUCTION, t.SEVERAL_ROUNDINGS})


def _reduce(
    name: str, function: str, traits: frozenset[t.Trait] = _ROUNDED, float_kernel: Form | None = None
) -> OpDef:  # fmt: skip
    return OpDef(
        name, (X, optional("axes", "", NUMBER)), attributes=_KEEP, traits=traits, sized_by=(1,),
        shape="shape_rules.reduce", meaning=node(f"float_reduce.{function}"),
        strict=node(f"float_ordered.{function}"), float_kernel=float_kernel,
        lower_float="lower_float_window.reduce" if float_kernel else "",
    )  # fmt: skip


def _composed(name: str, function: str, traits: frozenset[t.Trait] = _ROUNDED) -> OpDef:
    """One that is a reduction of a function of the elements."""
    return _reduce(name, function, traits)._replace(
        float_kernel=_FLOATS, lower_float=f"lower_float_composed.{function}"
    )


OPS = (
    _reduce("ReduceSum", "reduce_sum", float_kernel=_FLOATS),
    _reduce("ReduceMean", "reduce_mean", float_kernel=_FLOATS)._replace(
        attributes={**_KEEP, **LIMITS}, traits=_ROUNDED | {t.MEAN, t.ACCUMULATES, t.OWN_LAYOUT}, typing="mean",
        integer=node("integer_mean.reduce_mean"), equations="13, 14", int8=_MEAN, int8_kernel=_MEAN,
        lower="lower_window.reduce_mean", lower_int16="lower_window.reduce_mean",
    ),
    _reduce("ReduceMax", "reduce_max", frozenset({t.REDUCTION}), float_kernel=_FLOATS),
    _composed("ReduceMin", "reduce_min", frozenset({t.REDUCTION})),
    _reduce("ReduceProd", "reduce_prod"),
    _composed("ReduceL1", "reduce_l1"),
    _composed("ReduceL2", "reduce_l2"),
    _composed("ReduceSumSquare", "reduce_sum_square"),
    _composed("ReduceLogSum", "reduce_log_sum"),
    _reduce("ReduceLogSumExp", "reduce_log_sum_exp"),
    OpDef("ArgMax", (X,), INDICES, _ARG, frozenset({t.STEP, t.RANK_PRESERVING, t.NEVER_QUANTIZED_OUTPUT}),
          typing="free", shape="shape_rules.arg_extreme",
          meaning=node("float_reduce.arg_max"), integer=node("integer_elementwise.arg_max"), int8=form(*_ARG),
          int8_kernel=form(*_ARG), lower="lower_rows.arg_extreme",
          float_kernel=form(*_ARG), lower_float="lower_rows.arg_extreme"),
    OpDef("ArgMin", (X,), INDICES, _ARG, frozenset({t.STEP}), shape="shape_rules.arg_extreme",
          meaning=node("float_reduce.arg_min"),
          float_kernel=form(*_ARG), lower_float="lower_rows.arg_extreme"),
    OpDef("TopK", (X, Operand("k", "", NUMBER)), (Output("values"), Output("indices", "i64")),
          {"axis": integer(-1), "largest": flag(1), "sorted": ignored(flag(1))}, frozenset({t.STEP}), sized_by=(1,),
          shape="shape_rules.top_k", meaning=node("float_reduce.top_k"),
          float_kernel=form("axis", "largest", "sorted", outputs=2), lower_float="lower_float_window.top_k"),
    OpDef("CumSum", (X, Operand("axis", "", NUMBER)), attributes={"exclusive": flag(), "reverse": flag()},
          traits=frozenset({t.SEVERAL_ROUNDINGS}), shape="shape_rules.same",
          meaning=node("float_reduce.cumulative_sum")),
    OpDef("NonZero", (X,), INDICES, traits=frozenset({t.STEP, t.GROWS}), sized_by=FROM_DATA,
    shape="shape_rules.non_zero",
          meaning=node("float_shape.non_zero")),
)  # fmt: skip
