"""Recurrent layers."""

from __future__ import annotations

from typing import Any

from . import traits as t
from .attributes import flag, real, reals, size, word, words
from .definition import OpDef, Operand, Output
from .forms import form, only, whatever
from .shorthand import LIST, MATRIX, TRUTHS, X, node, optional, weight

_TRAITS = frozenset({t.RECURRENT, t.WEIGHTED, t.SEVERAL_ROUNDINGS, t.GROWS})
_LAYER = (
    X, weight("w", "T", (2, 3)), weight("r", "T", (2, 3)), optional("b", "T", (1, 2)),
    optional("sequence_lens", "", (1, 3)), optional("initial_h", "T", (3, 3)),
)  # fmt: skip
_OUTPUTS = (Output("y"), Output("y_h"))
_ATTRIBUTES = {
    "activation_alpha": reals(), "activation_beta": reals(), "activations": words(), "clip": real(),
    "direction": word("forward", "reverse", "bidirectional", default="forward"), "hidden_size": size(),
    "layout": flag(),
}  # fmt: skip
_INT8 = form("direction", "hidden_size", outputs=3)
_PLAIN = form("direction", "hidden_size", "activations", "activation_alpha", "activation_beta", outputs=3,
              clip=only(0.0), input_forget=only(0), layout=only(0))  # fmt: skip
_FLOAT = form(*(name for name in _ATTRIBUTES if name != "layout"), outputs=3, layout=only(0))
_RULES: Any = {
    "shape": "shape_rules.recurrent",
    "meaning": node("recurrent_float.run"), "strict": node("recurrent_float.run_in_order"),
}  # fmt: skip

OPS = (
    OpDef("SequenceMask", (Operand("sequence_lens", "", LIST),), TRUTHS, {"steps": size()},  # in code generation alone
          shape="shape_rules.sequence_mask", meaning=node("recurrent_float.sequence_mask")),
    OpDef("LSTM", (*_LAYER, optional("initial_c", "T", (3, 3)), optional("p", "T", (2, 2))), (*_OUTPUTS, Output("y_c")),
          {**_ATTRIBUTES, "input_forget": flag()}, _TRAITS | {t.NEVER_QUANTIZED_OUTPUT}, int8=_PLAIN,
          lower_float="lower_float_recurrent.lstm", float_kernel=_FLOAT.but(input_forget=whatever), **_RULES),
    OpDef("QLSTM",  # w and r are matrices of the rows of all directions
          (X, weight("w", "i8", MATRIX), weight("r", "i8", MATRIX), Operand("b", "f32", LIST),
           optional("initial_h", "f32", (3, 3)), optional("initial_c", "f32", (3, 3))),
          tuple(Output(n, "f32") for n in ("y", "y_h", "y_c")),
          {name: _ATTRIBUTES[name] for name in ("direction", "hidden_size")}, _TRAITS - {t.SEVERAL_ROUNDINGS},
          shape="shape_rules.quantized_lstm", integer=node("recurrent.integer_lstm"), equations="19, 20",
          typing="lstm", int8=_INT8, int8_kernel=_INT8, float_op="LSTM", lower="lower_recurrent.lstm"),
    OpDef("GRU", _LAYER, _OUTPUTS, {**_ATTRIBUTES, "linear_before_reset": flag()}, _TRAITS,
          lower_float="lower_float_recurrent.gru", float_kernel=_FLOAT.but(linear_before_reset=whatever), **_RULES),
    OpDef("RNN", _LAYER, _OUTPUTS, _ATTRIBUTES, _TRAITS, lower_float="lower_float_recurrent.rnn", float_kernel=_FLOAT,
          **_RULES),
)  # fmt: skip
