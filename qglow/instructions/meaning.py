"""The second engine: what each kind of instruction means, slow and obvious, in numpy over the bytes of an arena.

A kind has two functions: its *regions*, the exact elements that it reads and writes as its fields say them, and its
*meaning*, which computes on arrays over these elements and touches nothing else. Kernels may read up to OVER_READ bytes
beyond a region, and never write beyond one. Families are in meaning_*.py, each with its list, loaded when they are
needed; a test holds that every kind of the table is in the one named here.
"""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module

import numpy as np

from ..graph import Array
from ..record import NamedTuple
from .region import Region, Site
from .table import INT8_BINARY

OVER_READ = 64
# by operand; "operand.part" where one has several, "operand.any" for elements that get any value
Regions = dict[str, Region]
Views = dict[str, Array]
RegionsOf = Callable[[Site], Regions]
Compute = Callable[[Views, Site], None]
Cut = tuple[tuple[int, int], ...]
ROWS: Cut = ((0, 2),)  # of N x H x W x C elements, whole rows of pixels
RUNS: Cut = ((0, 1),)  # the first axis alone


class Meaning(NamedTuple):
    """regions: what an instruction of the kind touches. compute: writes the output's views from those of the inputs.

    in_place: inputs that may be the output, element for element. cut: ways in which kernels divide the work between
    threads, each as the axes [first, end) of every region that is written: elements that differ along no other axis are
    of one piece. Without any, the work is never divided. repeats: whether a kernel may compute an element more than
    once, which rules out work in place. fails: whether data that is read makes the operation an error, which kernels
    note in the operand `fault`.
    """

    regions: RegionsOf
    compute: Compute
    in_place: tuple[str, ...] = ()
    cut: Cut = ()
    repeats: Callable[[Site], bool] | None = None
    fails: Callable[[Views, Site], bool] | None = None

    def shares(self, s: Site) -> tuple[str, ...]:
        """The inputs that may be the output of one instruction."""
        return () if self.repeats is not None and self.repeats(s) else self.in_place


MEANINGS: dict[str, Meaning] = {}  # those that were asked for
FAMILIES = {  # the module, and the kinds whose meanings are there
    "meaning_blockwise": ("quantize_rows", "blockwise_matmul"),
    "meaning_float": (
        "float_binary", "float_unary", "lstm_cell", "float_softmax", "float_pool2d", "float_reduce", "float_resize",
        "float_layer_norm", "float_where", "float_lstm_cell", "float_gru_cell", "float_taps", "float_top_k",
    ),
    "meaning_float_product": ("float_conv2d", "float_depthwise2d", "float_pack"),
    "meaning_int16": (
        "int16_conv2d", "int16_depthwise2d", "int16_quantize", "int16_dequantize", "int16_lookup",
        "int16_max_pool2d", "int16_avg_pool2d", *(f"int16_{op.lower()}" for op in INT8_BINARY),
    ),
    "meaning_move": ("copy", "transpose", "halo", "fill", "resize_nearest", "resize_linear", "resize_truncated"),
    "meaning_pointwise": (*map(str.lower, INT8_BINARY), "lookup", "quantize", "dequantize"),
    "meaning_product": ("conv2d", "depthwise2d", "pack"),
    "meaning_sampled": (
        "arg_extreme", "float_arg_extreme", "gather", "scatter", "float_grid_sample", "float_roi_align", "float_nms",
    ),
    "meaning_rows": ("softmax", "layer_norm"),
    "meaning_window": ("max_pool2d", "avg_pool2d"),
}  # fmt: skip
_FAMILIES = {kind: family for family, kinds in FAMILIES.items() for kind in kinds}


def image(s: Site, name: str, dtype: str = "|u1", channel: int | None = None) -> Region:
    """N x H x W x C elements with the strides NAME_n, NAME_h, NAME_w; channels are one element apart unless `channel`
    says their bytes."""
    strides = s.many(f"{name}_n {name}_h {name}_w")
    return Region(s.many("N H W C"), (*strides, int(dtype[2:]) if channel is None else channel), dtype)


def clipped(real: Array, zero: int, low: int, high: int) -> Array:
    """The law's last step: C(rint(real) + zero), as bytes. What is not a number becomes `low`."""
    rounded = np.rint(real).astype(np.float64)
    return np.clip(np.where(np.isnan(rounded), low, rounded + zero), low, high).astype(np.uint8)


def requantized(real: Array, s: Site) -> Array:
    return clipped(real, *s.many("zero low high"))


def minus_zero_point(q: Array, zero: int) -> Array:
    """f32(q - zero)."""
    return (q.astype(np.int32) - np.int32(zero)).astype(np.float32)


def meaning_of(kind: str) -> Meaning | None:
    """Of one kind, with its family alone: most programs have few of them."""
    if kind not in MEANINGS and (family := _FAMILIES.get(kind)):
        MEANINGS[kind] = import_module(f".{family}", __package__).MEANINGS[kind]
    return MEANINGS.get(kind)


def load_families() -> dict[str, Meaning]:
    """The meanings of all kinds."""
    for kind in _FAMILIES:
        meaning_of(kind)
    return MEANINGS
