"""What of each ONNX operator has a meaning here. What a node asks for beyond that is never dropped: the node has no
meaning of ours.

1. An attribute that no meaning reads must have the one value that changes nothing (`neutral` in the declaration of the
   op), or be one that changes no result at inference, whatever its value (`ignored`).
2. A node gives no more outputs than its op declares, not counting those without a name.
3. Recurrent layers have only activations that are known.

Attributes that adapters turn into inputs are read too.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import onnx

from ..ops import OPS, has, having
from ..ops.attributes import IGNORED, NEUTRAL, READ
from ..ops.shorthand import OUR_OWN
from ..ops.traits import RECURRENT, REDUCTION
from ..reference import FLOAT
from ..reference.recurrent_layer import is_known

_WINDOW = ("auto_pad", "dilations", "kernel_shape", "pads", "strides")
# Attributes beyond those of the newest opset (qglow/ops), which adapters turn into inputs, and those of operators that
# they rewrite
_OLDER: dict[str, tuple[str, ...]] = {
    **dict.fromkeys(having(REDUCTION), ("axes",)), "Clip": ("max", "min"), "Pad": ("pads", "value"),
    "Slice": ("axes", "ends", "starts"),
    "Split": ("num_outputs", "split"), "Squeeze": ("axes",), "Unsqueeze": ("axes",), "TopK": ("k",),
    "Upsample": ("mode", "scales"), "Scatter": ("axis",), "GroupNormalization": ("epsilon", "num_groups"),
    "QLinearConv": (*_WINDOW, "group"), "QGemm": ("alpha", "transA", "transB"), "QLinearLeakyRelu": ("alpha",),
    "QLinearConcat": ("axis",), "QuantizeLinear": ("output_dtype",),
    "QLinearAveragePool": (*_WINDOW, "ceil_mode", "count_include_pad"), "QLinearSoftmax": ("axis", "opset"),
    "MatMulNBits": ("K", "N", "accuracy_level", "bits", "block_size", "weight_prepacked"),
}  # fmt: skip
_OLDER_NEUTRAL: dict[str, Mapping[str, Any]] = {
    "BatchNormalization": {"training_mode": 0, "spatial": 1}, "GroupNormalization": {"stash_type": 1},
}  # fmt: skip
_OLDER_IGNORED: dict[str, tuple[str, ...]] = {
    "BatchNormalization": ("momentum",),
    "Cast": ("saturate", "round_mode"),  # NOTE: these are of float8 alone
    "Dropout": ("ratio", "seed"),
}


def _of(op: str, effect: str) -> dict[str, Any]:
    """The attributes that an op declares with an effect, and their defaults; those of the graph's own are not
    ONNX's."""
    row = OPS.get(op)
    declared = row.attributes.items() if row is not None else ()
    return {name: a.default for name, a in declared if a.effect == effect and name not in OUR_OWN}


def _outputs(op: str) -> int | None:
    """How many outputs an operator may have; None for any number."""
    row = OPS.get(op)
    if row is None:
        return 2 if op == "Dropout" else 1
    return None if row.variadic_outputs else len(row.outputs)


def _recurrent(values: Mapping[str, Any]) -> str | None:
    unknown = [a.decode() for a in values.get("activations", ()) if not is_known(a.decode())]
    return f"activation {unknown[0]!r}" if unknown else None


def unmet(proto: onnx.NodeProto) -> str | None:
    """What a node of an operator that has a meaning here asks for that this meaning does not have, or None."""
    op = proto.op_type
    values = {a.name: onnx.helper.get_attribute_value(a) for a in proto.attribute}
    taken = {*_of(op, READ), *_of(op, IGNORED), *_OLDER.get(op, ()), *_OLDER_IGNORED.get(op, ())}
    neutral = {**_of(op, NEUTRAL), **_OLDER_NEUTRAL.get(op, {})}
    for name, value in values.items():
        if name in taken:
            continue
        if name not in neutral:
            return f"attribute {name!r}"
        if value != neutral[name]:
            return f"{name} = {value.decode() if isinstance(value, bytes) else value!r}"
    most = _outputs(op)
    if most is not None and (extra := [o for o in proto.output[most:] if o]):
        return f"output {extra[0]!r}"
    return _recurrent(values) if has(op, RECURRENT) else None


def has_meaning(op: str) -> bool:
    """Whether the reference knows an operator."""
    return op in FLOAT
