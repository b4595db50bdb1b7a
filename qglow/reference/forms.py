"""What of an op its integer meaning and its kernels implement, declared: whatever a node asks for beyond it, they do not take.

An attribute that is not declared is not implemented, whatever its value, and so is an output beyond those that are. Quantization asks
`INT8` before it makes a node int8, lowering asks `INT8_KERNELS` and `FLOAT_KERNELS` before any rule sees a node; what is refused stays
float, or runs on the host, with the reason. Which attributes a float meaning has is in `onnx_import/forms.py`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any, NamedTuple

from ..graph import Node

Takes = Callable[[Any], bool]


def whatever(value: Any) -> bool:
    return True


def only(*values: Any) -> Takes:
    return lambda value: value in values


def all_ones(value: Any) -> bool:
    return all(v == 1 for v in value)


class Form(NamedTuple):
    """attributes: name -> whether a value is implemented. outputs: how many are, None for any number."""

    attributes: Mapping[str, Takes] = MappingProxyType({})
    outputs: int | None = 1

    def refusal(self, node: Node) -> str | None:
        """What a node asks for that is not implemented, or None."""
        for name, value in node.attributes.items():
            if name not in self.attributes:
                return f"its attribute {name}"
            if not self.attributes[name](value):
                return f"{name} {value!r}"
        extra = [] if self.outputs is None else [o for o in node.outputs[self.outputs :] if o]
        return f"its output {extra[0]!r}" if extra else None


def _form(*names: str, outputs: int | None = 1, **takes: Takes) -> Form:
    return Form(dict.fromkeys(names, whatever) | takes, outputs)


def _but(form: Form, **takes: Takes) -> Form:
    return Form({**form.attributes, **takes}, form.outputs)


_WINDOW = ("auto_pad", "dilations", "kernel_shape", "pads", "strides")
_LIMITS = ("qmin", "qmax")  # of a quantized output: written by quantization alone
_POSITIONS = only("half_pixel", "half_pixel_symmetric", "pytorch_half_pixel", "tf_half_pixel_for_nn", "align_corners", "asymmetric")
_RESIZE = _form(
    "axes", "keep_aspect_ratio_policy", "nearest_mode",
    "exclude_outside", "cubic_coeff_a", "extrapolation_value",  # NOTE: of modes that are refused
    *_LIMITS,
    mode=only("nearest", "linear"), antialias=only(0), coordinate_transformation_mode=_POSITIONS,
)  # fmt: skip
_CONV = _form(*_WINDOW, "group", *_LIMITS)
_TRANSPOSED = _form(*_WINDOW, "group", "output_padding", "output_shape", *_LIMITS)
_GEMM = _form("transB", *_LIMITS, transA=only(0), alpha=only(1.0), beta=only(1.0))
_AVERAGE = _form(*_WINDOW, "ceil_mode", "count_include_pad", *_LIMITS)
_MAX = _form(*_WINDOW, "ceil_mode", "storage_order")
_NORM = _form("axis", *_LIMITS, stash_type=only(1), epsilon=lambda v: v > 0)
_MOVES = {
    "Reshape": _form("allowzero"), "Flatten": _form("axis"), "Transpose": _form("perm"), "Concat": _form("axis"),
    "Split": _form("axis", outputs=None), "Gather": _form("axis"), "Pad": _form("mode"), "DepthToSpace": _form("blocksize", "mode"),
    "SpaceToDepth": _form("blocksize"),
}  # fmt: skip

INT8: dict[str, Form] = {
    **_MOVES,
    "Conv": _CONV, "ConvTranspose": _TRANSPOSED, "Gemm": _GEMM, "MatMul": _form(*_LIMITS),
    **dict.fromkeys(("Add", "Sub", "Mul"), _form(*_LIMITS)),
    "MaxPool": _MAX, "AveragePool": _AVERAGE, "GlobalAveragePool": _form(*_LIMITS),
    "ReduceMean": _form("keepdims", "noop_with_empty_axes", *_LIMITS), "Resize": _RESIZE,
    "Softmax": _form("axis", *_LIMITS), "LayerNormalization": _NORM, "ArgMax": _form("axis", "keepdims", "select_last_index"),
    "BlockwiseMatMul": _form("compute"), "Lookup": _form("axis", "function"), "Shape": _form("start", "end"),
    "LSTM": _form("direction", "hidden_size", "activations", "activation_alpha", "activation_beta", outputs=3,
                  clip=only(0.0), input_forget=only(0), layout=only(0)),
}  # fmt: skip
INT8_KERNELS: dict[str, Form] = {
    **{op: form for op, form in INT8.items() if op not in ("ArgMax", "Shape")},
    "ConvTranspose": _but(_TRANSPOSED, dilations=all_ones),
    "AveragePool": _but(_AVERAGE, ceil_mode=only(0)),
}
FLOAT_KERNELS: dict[str, Form] = {
    "Pad": _MOVES["Pad"],
    "Conv": _CONV, "ConvTranspose": _but(_TRANSPOSED, dilations=all_ones),
    "Gemm": _form("transB", "alpha", "beta", transA=only(0)),
    "MaxPool": _MAX, "AveragePool": _AVERAGE, "Resize": _RESIZE,
    **dict.fromkeys(("ReduceMean", "ReduceSum", "ReduceMax"), _form("keepdims", "noop_with_empty_axes")),
    "Softmax": _form("axis"), "LogSoftmax": _form("axis"), "LayerNormalization": _form("axis", "epsilon", stash_type=only(1)),
    "InstanceNormalization": _form("epsilon"),
    "HardSigmoid": _form("alpha", "beta"), "LeakyRelu": _form("alpha"), "Swish": _form("alpha"),
    "Gelu": _form(approximate=only("none")),
}  # fmt: skip
_NOTHING = Form()


def refusal(forms: Mapping[str, Form], node: Node) -> str | None:
    """What a node asks for that is not declared; an op without a row has no attributes and one output."""
    return forms.get(node.op, _NOTHING).refusal(node)
