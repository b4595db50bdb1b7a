"""The attributes of nodes, each declared once: what its value is, its range or its choices.

An attribute means the same wherever it stands, so it is declared by its name alone; choices of words that differ from op to op are
declared by op. The nodes of ONNX's own operators (`Onnx`) carry attributes of whatever name; onnx's reference reads them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import numpy as np

from .graph import Node
from .types import DType

FOREIGN = "Onnx"
_SIZE = 1 << 31


class Declared(NamedTuple):
    """What a value is, in words, and whether one is."""

    words: str
    holds: Callable[[Any], bool]


def _is_int(v: Any, least: int | None, most: int | None) -> bool:
    whole = isinstance(v, (int, np.integer)) and not isinstance(v, bool)
    return whole and (least is None or v >= least) and (most is None or v <= most)


def _range(least: int | None, most: int | None) -> str:
    return "" if least is None else f" of at least {least}" if most in (None, _SIZE) else f" from {least} to {most}"


def _int(least: int | None = None, most: int | None = None) -> Declared:
    return Declared(f"a whole number{_range(least, most)}", lambda v: _is_int(v, least, most))


def _ints(least: int | None = None) -> Declared:
    said = f"a list of whole numbers{_range(least, None)}"
    return Declared(said, lambda v: isinstance(v, (tuple, list)) and all(_is_int(k, least, None) for k in v))


def _is_real(v: Any) -> bool:
    return isinstance(v, (int, float, np.integer, np.floating)) and not isinstance(v, bool)


def _word(*choices: str) -> Declared:
    return Declared(f"one of {', '.join(choices)}" if choices else "a word", lambda v: isinstance(v, str) and (not choices or v in choices))


_REAL = Declared("a number", _is_real)
_REALS = Declared("a list of numbers", lambda v: isinstance(v, (tuple, list)) and all(map(_is_real, v)))
_WORDS = Declared("a list of words", lambda v: isinstance(v, (tuple, list)) and all(isinstance(w, str) for w in v))
_ANY = Declared("a value", lambda v: True)
_FLAG = _int(0, 1)
ATTRIBUTES: Mapping[str, Declared] = {
    **dict.fromkeys(("strides", "dilations", "kernel_shape", "pooled_shape"), _ints(1)),
    **dict.fromkeys(("pads", "axes", "split"), _ints()),
    **dict.fromkeys(("output_padding", "output_shape", "perm"), _ints(0)),
    **dict.fromkeys(("group", "blocksize", "size", "p", "hidden_size", "num_groups", "num_outputs", "output_height", "output_width"),
                    _int(1, _SIZE)),
    **dict.fromkeys(("k", "sampling_ratio", "block_size", "output_dtype", "precision"), _int(0, _SIZE)),
    **dict.fromkeys(("axis", "start", "end", "qmin", "qmax", "opset"), _int()),
    **dict.fromkeys(("keepdims", "ceil_mode", "count_include_pad", "transA", "transB", "storage_order", "input_forget", "layout",
                     "linear_before_reset", "noop_with_empty_axes", "allowzero", "select_last_index", "upper", "sorted", "largest", "fmod",
                     "exclusive", "reverse", "antialias", "align_corners", "center_point_box", "exclude_outside", "channels_last",
                     "saturate", "stash_type", "training_mode", "spatial"), _FLAG),
    **dict.fromkeys(("alpha", "beta", "gamma", "epsilon", "bias", "lambd", "clip", "cubic_coeff_a", "extrapolation_value",
                     "spatial_scale", "momentum", "ratio"), _REAL),
    **dict.fromkeys(("activation_alpha", "activation_beta"), _REALS),
    "to": _word(*(k.dtype.name for k in DType)),
    "activations": _WORDS, "value": _ANY, "function": _word(), "round_mode": _word(), "seed": _REAL,
    "auto_pad": _word("NOTSET", "SAME_UPPER", "SAME_LOWER", "VALID"),
    "direction": _word("forward", "reverse", "bidirectional"),
    "approximate": _word("none", "tanh"),
    "compute": _word("int8", "float32"),
    "nearest_mode": _word("round_prefer_floor", "round_prefer_ceil", "floor", "ceil"),
    "coordinate_transformation_mode": _word("half_pixel", "half_pixel_symmetric", "pytorch_half_pixel", "tf_half_pixel_for_nn",
                                            "align_corners", "asymmetric", "tf_crop_and_resize", "output_half_pixel"),
    "keep_aspect_ratio_policy": _word("stretch", "not_larger", "not_smaller"),
    "padding_mode": _word("zeros", "border", "reflection"),
    "reduction": _word("none", "add", "mul", "max", "min"),
}  # fmt: skip
MODES: Mapping[str, Declared] = {
    "Resize": _word("nearest", "linear", "cubic"), "Pad": _word("constant", "reflect", "edge", "wrap"),
    **dict.fromkeys(("DepthToSpace", "SpaceToDepth"), _word("DCR", "CRD")), "RoiAlign": _word("avg", "max"),
    "GridSample": _word("bilinear", "nearest", "bicubic", "linear", "cubic"),
}  # fmt: skip

PADDED = ("Conv", "MaxPool", "AveragePool", "LpPool")  # windows over an image within a border, which takes nothing away
BORDERS = _ints(0)
REQUIRED = {  # that an op has no default for
    "Concat": "axis", **dict.fromkeys(("MaxPool", "AveragePool", "LpPool"), "kernel_shape"),
    **dict.fromkeys(("DepthToSpace", "SpaceToDepth"), "blocksize"),
}  # fmt: skip


def attribute_faults(node: Node) -> list[str]:
    """What is wrong with the attributes of a node, by themselves."""
    needed = REQUIRED.get(node.op)
    faults = [f"expected the attribute {needed}, got none"] if needed is not None and node.attributes.get(needed) is None else []
    if not node.attributes or node.op == FOREIGN:
        return faults
    for name, value in node.attributes.items():
        declared = MODES.get(node.op) if name == "mode" else BORDERS if name == "pads" and node.op in PADDED else ATTRIBUTES.get(name)
        if declared is None:
            faults.append(f"expected no attribute {name[:40]!r}, which {node.op} does not have")
        elif not declared.holds(value):
            said = repr(value)
            faults.append(f"expected {name} as {declared.words}, got {said if len(said) <= 80 else said[:80] + ' ...'}")
    return faults
