"""Softmax and normalizations."""

from __future__ import annotations

from . import traits as t
from .attributes import flag, integer, neutral, real, required, size
from .definition import OpDef, Operand
from .forms import form, only
from .shorthand import LIMITS, LIST, X, node, optional

_AXIS = {"axis": integer(-1)}
_ROUNDED = frozenset({t.SEVERAL_ROUNDINGS})
_SOFTMAX = form("axis", *LIMITS)
_LAYER = form("axis", stash_type=only(1), epsilon=lambda v: v > 0)
_QLAYER = form("axis", *LIMITS, stash_type=only(1), epsilon=lambda v: v > 0)
_CHANNELS = tuple(Operand(name, "", LIST) for name in ("scale", "bias", "mean", "variance"))

OPS = (
    OpDef("Softmax", (X,), attributes=_AXIS, traits=_ROUNDED | {t.SOFTMAX, t.OWN_LAYOUT, t.RANK_PRESERVING},
          shape="shape_rules.along", meaning=node("float_elementwise.softmax"), int8=form("axis"),
          float_kernel=form("axis"), lower_float="lower_float.softmax"),
    OpDef("SafeSoftmax", (X,), attributes=_AXIS,  # within code generation alone
          traits=_ROUNDED | {t.SOFTMAX, t.OWN_LAYOUT, t.RANK_PRESERVING}, shape="shape_rules.along",
          meaning=node("float_elementwise.safe_softmax"), float_kernel=form("axis"),
          lower_float="lower_float.softmax"),
    OpDef("QSoftmax", (X, Operand("table", "i32", LIST)), attributes={**_AXIS, **LIMITS},
          traits=frozenset({t.SOFTMAX, t.OWN_LAYOUT}), typing="softmax", shape="shape_rules.along",
          integer=node("integer_mean.softmax"), equations="16, 17", int8=_SOFTMAX, int8_kernel=_SOFTMAX,
          float_op="Softmax", lower="lower_rows.softmax"),
    OpDef("LogSoftmax", (X,), attributes=_AXIS, traits=_ROUNDED | {t.SOFTMAX, t.RANK_PRESERVING},
          float_kernel=form("axis"), shape="shape_rules.along",
          meaning=node("float_elementwise.log_softmax"), lower_float="lower_float_composed.log_softmax"),
    OpDef("Hardmax", (X,), attributes=_AXIS, traits=frozenset({t.STEP}), shape="shape_rules.same",
          meaning=node("float_select.hardmax")),
    OpDef("LayerNormalization", (X, Operand("scale", "T"), optional("bias", "T")), attributes={**_AXIS,
          "epsilon": real(1e-5), "stash_type": neutral(flag(1))}, traits=_ROUNDED | {t.OWN_LAYOUT},
          shape="shape_rules.layer_norm", meaning=node("float_conv.layer_normalization"),
          strict=node("float_ordered.layer_normalization"), int8=_LAYER,
          float_kernel=form("axis", "epsilon", stash_type=only(1)),
          lower_float="lower_float_window.layer_norm"),
    OpDef("QLayerNormalization", (X, Operand("gain", "f32", LIST), Operand("shift", "f32", LIST)), attributes={**_AXIS,
          "epsilon": real(1e-5), "stash_type": neutral(flag(1)), **LIMITS}, traits=frozenset({t.OWN_LAYOUT}),
          typing="norm", shape="shape_rules.layer_norm", integer=node("integer_mean.layer_normalization"),
          equations="18", int8=_QLAYER, int8_kernel=_QLAYER, float_op="LayerNormalization",
          lower="lower_rows.layer_normalization"),
    OpDef("InstanceNormalization", (X, Operand("scale", "T", LIST), Operand("bias", "T", LIST)),
          attributes={"epsilon": real(1e-5)}, traits=_ROUNDED, shape="shape_rules.normalized",
          meaning=node("float_conv.instance_normalization"), strict=node("float_ordered.instance_normalization"),
          float_kernel=form("epsilon"), lower_float="lower_float_composed.instance_normalization"),
    OpDef("BatchNormalization", (X, *_CHANNELS), attributes={"epsilon": real(1e-5)}, traits=_ROUNDED,
          shape="shape_rules.normalized", meaning=node("float_conv.batch_normalization")),
    OpDef("LpNormalization", (X,), attributes={**_AXIS, "p": size(2)}, traits=_ROUNDED, shape="shape_rules.same",
          meaning=node("float_regions.lp_normalization")),
    OpDef("LRN", (X,), attributes={"size": required(size()), "alpha": real(1e-4), "beta": real(0.75),
          "bias": real(1.0)}, traits=_ROUNDED, shape="shape_rules.same",
          meaning=node("float_regions.local_response_normalization")),
)  # fmt: skip
