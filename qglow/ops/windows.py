"""Pools, resampling, and what else reads images through windows or regions."""

from __future__ import annotations

from . import traits as t
from .attributes import flag, integers, real, required, size, word
from .definition import OpDef, Operand, Output
from .forms import form, only
from .shorthand import LIMITS, LIST, WINDOWED, X, node, optional

_KERNEL = {**WINDOWED, "kernel_shape": required(integers(1)), "ceil_mode": flag()}
_POOL = frozenset({t.WINDOW, t.IMAGE, t.BY_CHANNEL})
_MAX = form(*WINDOWED, "ceil_mode", "storage_order")
_AVERAGE = form(*WINDOWED, "ceil_mode", "count_include_pad", *LIMITS)
_MODES = (
    "half_pixel", "half_pixel_symmetric", "pytorch_half_pixel", "tf_half_pixel_for_nn", "align_corners", "asymmetric",
    "tf_crop_and_resize",
)  # fmt: skip
_RESIZE = form(
    "axes", "keep_aspect_ratio_policy", "nearest_mode",
    "exclude_outside", "cubic_coeff_a", "extrapolation_value",  # NOTE: of modes that are refused
    *LIMITS,
    mode=only("nearest", "linear"), antialias=only(0), coordinate_transformation_mode=only(*_MODES[:-1]),
)  # fmt: skip
_FLOAT_RESIZE = form(
    "axes", "keep_aspect_ratio_policy", "nearest_mode", "exclude_outside", "cubic_coeff_a", "antialias", "mode",
    "extrapolation_value", *LIMITS, coordinate_transformation_mode=only(*_MODES[:-1]),
)  # fmt: skip
_REGIONS = (X, Operand("rois"), Operand("batch_indices"))

OPS = (
    OpDef("MaxPool", (X,), (Output("y"), Output("indices", "i64")), {**_KERNEL, "storage_order": flag()},
          _POOL | {t.KEEPS_QUANTIZATION, t.GROWS, t.PADDING, t.STRIDED_FLOATS}, typing="moves",
          shape="shape_rules_window.pool", meaning=node("float_pool.max_pool"),
          strict=node("float_ordered.max_pool"), integer=node("integer_elementwise.move"), int8=_MAX, int8_kernel=_MAX,
          float_kernel=_MAX, lower="lower_window.max_pool", lower_int16="lower_window.max_pool",
          lower_float="lower_float_volume.pool"),
    OpDef("AveragePool", (X,), attributes={**_KERNEL, "count_include_pad": flag(), **LIMITS},
          traits=_POOL | {t.MEAN, t.ACCUMULATES, t.SEVERAL_ROUNDINGS, t.GROWS, t.PADDING, t.STRIDED_FLOATS},
          typing="mean", shape="shape_rules_window.pool", meaning=node("float_pool.average_pool"),
          strict=node("float_ordered.average_pool"), integer=node("integer_mean.average_pool"), equations="13, 14",
          int8=_AVERAGE, int8_kernel=_AVERAGE, float_kernel=_AVERAGE,
          lower="lower_window.average_pool", lower_int16="lower_window.average_pool",
          lower_float="lower_float_volume.pool"),
    OpDef("GlobalMaxPool", (X,), traits=_POOL | {t.KEEPS_QUANTIZATION}, typing="moves",
          shape="shape_rules_window.global_pool", meaning=node("float_pool.global_max_pool"),
          strict=node("float_ordered.global_max_pool"), integer=node("integer_elementwise.move"),
          lower="lower_window.max_pool", lower_int16="lower_window.max_pool",
          lower_float="lower_float_volume.global_pool"),
    OpDef("GlobalAveragePool", (X,), attributes=LIMITS, traits=_POOL | {t.MEAN, t.ACCUMULATES, t.SEVERAL_ROUNDINGS},
          typing="mean", shape="shape_rules_window.global_pool",
          meaning=node("float_pool.global_average_pool"), strict=node("float_ordered.global_average_pool"),
          integer=node("integer_mean.global_average_pool"), equations="13, 14", int8=form(*LIMITS),
          int8_kernel=form(*LIMITS), lower="lower_window.average_pool", lower_int16="lower_window.average_pool",
          lower_float="lower_float_volume.global_pool"),
    OpDef("LpPool", (X,), attributes={**_KERNEL, "p": size(2)},
          traits=frozenset({t.SEVERAL_ROUNDINGS, t.GROWS, t.PADDING}), shape="shape_rules_window.pool",
          meaning=node("float_regions.lp_pool")),
    OpDef("GlobalLpPool", (X,), attributes={"p": size(2)}, traits=frozenset({t.SEVERAL_ROUNDINGS}),
          shape="shape_rules_window.global_pool", meaning=node("float_regions.global_lp_pool")),
    OpDef("MaxUnpool", (X, Operand("indices"), Operand("output_shape", optional=True)), traits=frozenset({t.GROWS}),
          sized_by=(2,), attributes={"kernel_shape": required(integers(1)), "pads": integers(), "strides": integers(1)},
          shape="shape_rules_window.max_unpool", meaning=node("float_regions.max_unpool")),
    OpDef("Resize",
          (X, optional("roi", "", LIST), optional("scales", "f32", LIST), optional("sizes", "i64", LIST)),
          traits=frozenset({t.IMAGE, t.BY_CHANNEL, t.SEVERAL_ROUNDINGS, t.GROWS}), sized_by=(2, 3), typing="free",
          shape="shape_rules_window.resize", meaning=node("integer_resize.resize"),
          strict=node("integer_resize.resize"), integer=node("integer_mean.resize"), equations="15", int8=_RESIZE,
          int8_kernel=_RESIZE, float_kernel=_FLOAT_RESIZE,
          attributes={"mode": word("nearest", "linear", "cubic", default="nearest"),
          "coordinate_transformation_mode": word(*_MODES, default="half_pixel"), "antialias": flag(),
          "axes": integers(),
          "nearest_mode": word("round_prefer_floor", "round_prefer_ceil", "floor", "ceil",
                               default="round_prefer_floor"),
          "keep_aspect_ratio_policy": word("stretch", "not_larger", "not_smaller", default="stretch"),
          "cubic_coeff_a": real(-0.75), "exclude_outside": flag(), "extrapolation_value": real(0.0), **LIMITS},
          lower="lower_window.resize", lower_int16="lower_window.resize",
          lower_float="lower_float_window.resize"),
    OpDef("GridSample", (X, Operand("grid")), traits=frozenset({t.SEVERAL_ROUNDINGS, t.GROWS, t.SAMPLED}),
          shape="shape_rules_window.grid_sample", meaning=node("float_grid.grid_sample"),
          attributes={"mode": word("bilinear", "nearest", "bicubic", "linear", "cubic", default="linear"),
          "align_corners": flag(), "padding_mode": word("zeros", "border", "reflection", default="zeros")},
          float_kernel=form("mode", "align_corners", "padding_mode"), lower_float="lower_sampled.grid_sample"),
    OpDef("RoiAlign", _REGIONS, traits=frozenset({t.SEVERAL_ROUNDINGS, t.GROWS, t.SAMPLED}),
          shape="shape_rules_window.roi_align", meaning=node("float_regions.roi_align"),
          attributes={"mode": word("avg", "max", default="avg"),
          "output_height": size(1), "output_width": size(1),
          "coordinate_transformation_mode": word("half_pixel", "output_half_pixel", default="half_pixel"),
          "sampling_ratio": size(0, least=0), "spatial_scale": real(1.0)},
          float_kernel=form("mode", "output_height", "output_width", "coordinate_transformation_mode",
                            "sampling_ratio", "spatial_scale"), lower_float="lower_sampled.roi_align"),
    OpDef("MaxRoiPool", _REGIONS[:2], traits=frozenset({t.GROWS}), shape="shape_rules_window.max_roi_pool",
          meaning=node("float_regions.max_roi_pool"), attributes={"pooled_shape": required(integers(1)),
          "spatial_scale": real(1.0)}),
)  # fmt: skip
