"""What of each ONNX operator has a meaning here. What a node asks for beyond that is never dropped: the node has no meaning of ours.

1. An attribute that no meaning reads must have the one value that changes nothing (NEUTRAL), or be one that changes no result at
   inference, whatever its value (IGNORED).
2. A node gives no more outputs than its meaning does, not counting those without a name.
3. Operators with several variants have their own rule (VARIANTS).

Attributes that adapters turn into inputs are read too.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import onnx

from ..reference import FLOAT
from ..reference.recurrent_float import is_known

_WINDOW = ("auto_pad", "dilations", "kernel_shape", "pads", "strides")
_REDUCE = ("axes", "keepdims", "noop_with_empty_axes")
_RECURRENT = ("activation_alpha", "activation_beta", "activations", "clip", "direction", "hidden_size", "layout")
_ARG = ("axis", "keepdims", "select_last_index")

READ: dict[str, tuple[str, ...]] = {
    **dict.fromkeys(
        ("ReduceL1", "ReduceL2", "ReduceLogSumExp", "ReduceMax", "ReduceMean", "ReduceMin", "ReduceProd", "ReduceSum", "ReduceSumSquare",
         "ReduceLogSum"),
        _REDUCE,
    ),
    "ArgMax": _ARG, "ArgMin": _ARG,
    "AveragePool": (*_WINDOW, "ceil_mode", "count_include_pad"), "MaxPool": (*_WINDOW, "ceil_mode", "storage_order"),
    "Conv": (*_WINDOW, "group"), "ConvTranspose": (*_WINDOW, "group", "output_padding", "output_shape"),
    "BatchNormalization": ("epsilon",), "InstanceNormalization": ("epsilon",), "LayerNormalization": ("axis", "epsilon"),
    "Cast": ("to",), "Celu": ("alpha",), "Clip": ("max", "min"), "Concat": ("axis",), "ConstantOfShape": ("value",),
    "CumSum": ("exclusive", "reverse"), "DepthToSpace": ("blocksize", "mode"), "SpaceToDepth": ("blocksize", "mode"),
    "DequantizeLinear": ("axis",), "QuantizeLinear": ("axis",), "Elu": ("alpha",), "Flatten": ("axis",), "Gather": ("axis",),
    "GatherElements": ("axis",), "Gelu": ("approximate",), "Gemm": ("alpha", "beta", "transA", "transB"),
    "HardSigmoid": ("alpha", "beta"),
    "LSTM": (*_RECURRENT, "input_forget"), "GRU": (*_RECURRENT, "linear_before_reset"), "RNN": _RECURRENT, "Shrink": ("bias", "lambd"),
    "LeakyRelu": ("alpha",), "LogSoftmax": ("axis",),
    "Softmax": ("axis",), "Mod": ("fmod",), "Pad": ("mode", "pads", "value"), "Reshape": ("allowzero",),
    "Resize": ("antialias", "axes", "coordinate_transformation_mode", "cubic_coeff_a", "exclude_outside", "extrapolation_value",
               "keep_aspect_ratio_policy", "mode", "nearest_mode"), "Upsample": ("mode", "scales"),
    "Selu": ("alpha", "gamma"), "Shape": ("start", "end"), "Slice": ("axes", "ends", "starts"), "Split": ("axis", "num_outputs", "split"),
    "Squeeze": ("axes",), "Unsqueeze": ("axes",), "Swish": ("alpha",), "ThresholdedRelu": ("alpha",), "TopK": ("axis", "k", "largest"),
    "Transpose": ("perm",), "Trilu": ("upper",), "QLinearConv": (*_WINDOW, "group"), "QGemm": ("alpha", "transA", "transB"),
    "QLinearAveragePool": (*_WINDOW, "ceil_mode", "count_include_pad"), "QLinearLeakyRelu": ("alpha",), "QLinearConcat": ("axis",),
    "QLinearSoftmax": ("axis", "opset"), "MatMulNBits": ("K", "N", "accuracy_level", "bits", "block_size", "weight_prepacked"),
    "LRN": ("alpha", "beta", "bias", "size"), "LpPool": (*_WINDOW, "ceil_mode", "p"), "GlobalLpPool": ("p",),
    "LpNormalization": ("axis", "p"), "MaxUnpool": ("kernel_shape", "pads", "strides"), "MaxRoiPool": ("pooled_shape", "spatial_scale"),
    "RoiAlign": ("coordinate_transformation_mode", "mode", "output_height", "output_width", "sampling_ratio", "spatial_scale"),
    "OneHot": ("axis",), "Hardmax": ("axis",), "Compress": ("axis",), "Unique": ("axis", "sorted"),
    "NonMaxSuppression": ("center_point_box",), "ScatterElements": ("axis", "reduction"), "Scatter": ("axis",),
    "GridSample": ("align_corners", "mode", "padding_mode"), "GroupNormalization": ("epsilon", "num_groups"),
}  # fmt: skip
NEUTRAL: dict[str, Mapping[str, Any]] = {
    "BatchNormalization": {"training_mode": 0, "spatial": 1},
    "LayerNormalization": {"stash_type": 1}, "GroupNormalization": {"stash_type": 1},
    "DequantizeLinear": {"block_size": 0, "output_dtype": 0},
    "QuantizeLinear": {"block_size": 0, "precision": 0, "output_dtype": 0},
    **dict.fromkeys(("QLinearAveragePool", "QLinearGlobalAveragePool"), {"channels_last": 0}),
}  # fmt: skip
IGNORED: dict[str, tuple[str, ...]] = {
    "BatchNormalization": ("momentum",),
    "Cast": ("saturate", "round_mode"),  # NOTE: these are of float8 alone
    "Dropout": ("ratio", "seed"),
    "QuantizeLinear": ("saturate",),
    "Range": ("stash_type",),
    "TopK": ("sorted",),
}
OUTPUTS = {"Dropout": 2, "LSTM": 3, "GRU": 2, "RNN": 2, "MaxPool": 2, "TopK": 2, "Unique": 4, "Split": None}


def _recurrent(proto: onnx.NodeProto, values: Mapping[str, Any]) -> str | None:
    unknown = [a.decode() for a in values.get("activations", ()) if not is_known(a.decode())]
    return f"activation {unknown[0]!r}" if unknown else None


VARIANTS: dict[str, Callable[[onnx.NodeProto, Mapping[str, Any]], str | None]] = dict.fromkeys(("LSTM", "GRU", "RNN"), _recurrent)


def unmet(proto: onnx.NodeProto) -> str | None:
    """What a node of an operator that has a meaning here asks for that this meaning does not have, or None."""
    op = proto.op_type
    values = {a.name: onnx.helper.get_attribute_value(a) for a in proto.attribute}
    for name, value in values.items():
        if name in READ.get(op, ()) or name in IGNORED.get(op, ()):
            continue
        neutral = NEUTRAL.get(op, {})
        if name not in neutral:
            return f"attribute {name!r}"
        if value != neutral[name]:
            return f"{name} = {value.decode() if isinstance(value, bytes) else value!r}"
    most = OUTPUTS.get(op, 1)
    if most is not None and (extra := [o for o in proto.output[most:] if o]):
        return f"output {extra[0]!r}"
    return VARIANTS[op](proto, values) if op in VARIANTS else None


def has_meaning(op: str) -> bool:
    """Whether the reference knows an operator."""
    return op in FLOAT
