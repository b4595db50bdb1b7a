"""Three engines agree bit for bit, and every kind of instruction has a meaning that writes only what it says."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import shared_models
from hypothesis import HealthCheck, given, settings
from kernel_targets import KERNEL_TARGETS
from program_graphs import COMMON, Net, feeds_of, nets
from three_engines import all_agree, meaning_agrees, static, with_all_values

import qglow
from qglow.errors import VerifyError
from qglow.graph import DType, Graph, Quant
from qglow.graph.text import parse_graph
from qglow.instructions import meaning as meaning_table
from qglow.instructions.interpret import Interpreter, run_program
from qglow.instructions.lower import lower
from qglow.instructions.meaning import load_families
from qglow.instructions.packing import pack, pack_floats, unpack, unpack_floats
from qglow.instructions.program import Instruction
from qglow.instructions.table import INSTRUCTIONS
from qglow.pipeline import float_graph
from qglow.targets import TARGETS, choose

Form = Callable[[Net], tuple[str, ...]]
FORMS: dict[str, tuple[str, Form]] = {}


def form(kind: str) -> Callable[[Form], Form]:
    """A graph that reaches a kind of instruction in a form of its own."""

    def register(function: Form) -> Form:
        FORMS[function.__name__] = (kind, function)
        return function

    return register


@form("conv2d")
def convolutions(n: Net) -> tuple[str, ...]:
    x = n.input(1, 9, 7, 8)
    y = n.conv(x, 33, (3, 3), pads=(1, 1, 1, 1), dilations=(1, 1))
    return (
        y,
        n.conv(x, 12, (3, 2), 3, pads=(0, 1, 2, 1), strides=(2, 1), dilations=(2, 3)),
        n.conv(y, 5, (1, 1), quant=None),
    )


@form("conv2d")
def line_convolutions(n: Net) -> tuple[str, ...]:
    x = n.input(2, 6, 19)
    y = n.conv(x, 20, (5,), pads=(4, 0), dilations=(2,))
    return (n.conv(n.conv(y, 20, (3,), 20, pads=(1, 1)), 7, (4,), strides=(3,)),)


@form("conv2d")
def three_channel_pixels_of_four_bytes(n: Net) -> tuple[str, ...]:
    x = n.op("Quantize", (n.input(1, 3, 6, 21, quant=None, dtype=DType.F32),))
    return (n.conv(x, 8, (3, 3), pads=(1, 1, 1, 1), strides=(2, 2)),)


@form("conv2d")
def folded_sums(n: Net) -> tuple[str, ...]:
    x = n.input(2, 19, 5, 9)
    y = n.op(
        "Add", (n.conv(x, 19, (3, 3), pads=(1, 1, 1, 1), quant=Quant.per_tensor(0.3, 9)), x), Quant.per_tensor(0.2, 77)
    )
    return (n.op("Sub", (y, n.conv(y, 19, (1, 1))), Quant.per_tensor(0.25, 130)),)


@form("conv2d")
def folded_tables(n: Net) -> tuple[str, ...]:
    x = n.input(1, 9, 5, 9)
    return (n.table(n.conv(n.table(n.conv(x, 40, (1, 1))), 18, (1, 1), 2), 18),)


@form("conv2d")
def columns(n: Net) -> tuple[str, ...]:
    """Images of one pixel a row: their convolutions lie on their side."""
    x = n.input(2, 20, 17, 1)
    y = n.op("Add", (n.conv(x, 20, (5, 1), pads=(2, 0, 2, 0)), x))
    z = n.table(n.conv(y, 33, (3, 1), strides=(2, 1), dilations=(2, 1)), 33)
    wide = n.input(1, 6, 11, 3)
    return (
        z,
        n.conv(y, 20, (3, 1), 20, pads=(1, 0, 1, 0)),
        n.conv(wide, 9, (2, 1), strides=(1, 3)),
        n.conv(x, 7, (4, 1), quant=None),
    )


@form("depthwise2d")
def folded_depthwise(n: Net) -> tuple[str, ...]:
    x = n.input(1, 21, 8, 7)
    y = n.op("Add", (x, n.conv(x, 21, (3, 3), 21, pads=(1, 1, 1, 1))))
    z = n.table(n.conv(y, 21, (3, 3), 21, strides=(2, 2)), 21)
    return (n.table(n.conv(z, 21, (1, 2), 21)),)


@form("depthwise2d")
def depthwise_forms(n: Net) -> tuple[str, ...]:
    outs = []
    for channels in (3, 16, 37):
        x = n.input(1, channels, 9, 13)
        for kernel, stride, dilation in (((3, 3), 1, 1), ((5, 5), 2, 1), ((6, 2), 1, 2)):
            outs.append(
                n.conv(
                    x,
                    channels,
                    kernel,
                    channels,
                    strides=(stride, stride),
                    dilations=(dilation,) * 2,
                    pads=(3, 3, 3, 3),
                )
            )
    return (*outs, n.conv(x, 37, (3, 3), 37, quant=None))


@form("conv2d")
def transposed_convolutions(n: Net) -> tuple[str, ...]:
    x = n.input(1, 6, 4, 5)
    y = n.conv_transpose(x, 9, (3, 4), strides=(2, 3), pads=(1, 0, 0, 2), output_padding=(1, 0))
    return (
        y,
        n.conv_transpose(x, 3, (1, 2), 2, strides=(3, 2)),
        n.conv_transpose(n.input(1, 4, 6), 5, (4,), strides=(2,)),
    )


@form("pack")
def products_of_two(n: Net) -> tuple[str, ...]:
    symmetric = Quant.per_tensor(0.01, 128)
    y = n.op("MatMul", (n.input(2, 3, 7, 18), n.input(2, 3, 18, 21, quant=symmetric)), Quant.per_tensor(0.4, 128))
    turned = n.op("Transpose", (n.input(2, 3, 5, 21, quant=symmetric),), symmetric, perm=(0, 1, 3, 2))
    return (n.op("MatMul", (y, turned), Quant.per_tensor(0.9, 3)),)


@form("conv2d")
def matrix_products(n: Net) -> tuple[str, ...]:
    y = n.op("MatMul", (n.input(3, 5, 70), n.weights((70, 33), 1)), Quant.per_tensor(0.4, 60))
    return (
        n.op(
            "Gemm", (n.op("Flatten", (y,), Quant.per_tensor(0.4, 60), axis=2), n.weights((10, 33), 0)), None, transB=1
        ),
    )


@form("add")
def sums(n: Net) -> tuple[str, ...]:
    a, b, c = n.input(2, 19, 5, 3), n.input(2, 19, 1, 1, quant=Quant.per_tensor(0.03, 20)), n.input(1, 1, 5, 3)
    return tuple(
        n.op(op, pair, Quant.per_tensor(0.05, 90)) for op in ("Add", "Sub") for pair in ((a, b), (b, a), (a, c), (a, a))
    )


@form("mul")
def products(n: Net) -> tuple[str, ...]:
    a, b, c = n.input(2, 19, 5, 3), n.input(2, 19, 1, 1, quant=Quant.per_tensor(0.03, 20)), n.input(1, 1, 5, 3)
    return tuple(n.op("Mul", pair, Quant.per_tensor(0.04, 90)) for pair in ((a, b), (b, a), (a, c), (a, a)))


@form("max")
def largest(n: Net) -> tuple[str, ...]:
    a, b, c = n.input(2, 19, 5, 3), n.input(2, 19, 1, 1, quant=Quant.per_tensor(0.03, 20)), n.input(1, 1, 5, 3)
    return tuple(n.op("Max", pair, Quant.per_tensor(0.05, 90)) for pair in ((a, b), (b, a), (a, c), (a, a)))


@form("min")
def smallest(n: Net) -> tuple[str, ...]:
    a, b, c = n.input(2, 19, 5, 3), n.input(2, 19, 1, 1, quant=Quant.per_tensor(0.03, 20)), n.input(1, 1, 5, 3)
    return tuple(n.op("Min", pair, Quant.per_tensor(0.05, 90)) for pair in ((a, b), (b, a), (a, c), (a, a)))


@form("lookup")
def tables(n: Net) -> tuple[str, ...]:
    x = n.input(1, 18, 3, 6)
    return n.table(x), n.table(x, 18), n.table(n.input(3, 50), 50), n.table(n.input(9000))


@form("quantize")
def quantizations(n: Net) -> tuple[str, ...]:
    x = n.input(2, 5, 3, 37, quant=None, dtype=DType.F32)
    narrow = n.op("Quantize", (n.input(7, 9, quant=None, dtype=DType.F32),), Quant.per_tensor(0.001, 255))
    return n.op("Quantize", (x,)), narrow, n.op("Quantize", (n.op("Transpose", (x,), None, perm=(0, 2, 3, 1)),))


@form("dequantize")
def dequantizations(n: Net) -> tuple[str, ...]:
    x = n.table(n.input(2, 5, 3, 37))
    return (
        n.op("Dequantize", (x,), None),
        n.op("Dequantize", (n.input(40, 3),), None),
        n.op("Dequantize", (n.input(2, 3, 70),), None),
    )


@form("transpose")
def transpositions(n: Net) -> tuple[str, ...]:
    x, y = n.input(2, 20, 17, 35), n.input(2, 3, 4, 5, 2, 3)
    flat = n.op("Flatten", (n.table(x),))
    return flat, n.op(
        "Reshape", (n.op("Transpose", (y,), perm=(5, 3, 1, 0, 2, 4)), n.constant("s", np.array([-1, 4], np.int64)))
    )


@form("copy")
def copies(n: Net) -> tuple[str, ...]:
    x = n.input(1, 6, 5, 4)
    one = n.constant("one", np.array([1], np.int64))
    part = n.op("Slice", (x, one, n.constant("four", np.array([4], np.int64)), one))
    depth = n.op("DepthToSpace", (n.input(1, 8, 3, 5),), blocksize=2)
    return n.op("Concat", (part, x, part), axis=1), depth, n.op("SpaceToDepth", (n.input(1, 3, 4, 6),), blocksize=2)


@form("add")
def constant_operands(n: Net) -> tuple[str, ...]:
    x = n.input(1, 6, 5, 4)
    c = n.constant("c", n.rng.integers(0, 256, (1, 6, 1, 1)).astype(np.uint8), Quant.per_tensor(0.03, 20))
    d = n.constant("d", n.rng.integers(0, 256, (1, 6, 5, 4)).astype(np.uint8), COMMON)
    part = n.op("Gather", (n.table(x), n.constant("i", np.array([1, 3, 5]))), axis=1)
    return (
        n.op("Add", (x, c)),
        n.op("Mul", (n.table(x), d)),
        n.op("Concat", (d, x, part), axis=1),
        n.conv(d, 5, (3, 3), pads=(1, 1, 1, 1)),
    )


@form("halo")
def concatenations_in_place(n: Net) -> tuple[str, ...]:
    """Parts of one buffer, each read by a convolution that wants a border."""
    x = n.input(1, 8, 6, 5)
    a = n.conv(x, 5, (1, 1))
    b = n.conv(a, 7, (3, 3), pads=(1, 1, 1, 1))
    cat = n.op("Concat", (a, b, n.op("MaxPool", (x,), kernel_shape=(3, 3), pads=(1, 1, 1, 1))), axis=1)
    return n.conv(cat, 20, (3, 3), 20, pads=(1, 1, 1, 1)), n.conv(b, 3, (2, 2), pads=(0, 0, 1, 1))


@form("fill")
def pads(n: Net) -> tuple[str, ...]:
    x = n.input(1, 5, 4, 3)
    widths = n.constant("p", np.array([0, 1, 2, 0, 0, 0, 1, 3], np.int64))
    return (n.op("Pad", (x, widths, n.constant("v", np.array(100, np.uint8), COMMON))),)


@form("fill")
def float_pads(n: Net) -> tuple[str, ...]:
    x = n.input(2, 5, 3, quant=None, dtype=DType.F32)
    widths = n.constant("p", np.array([0, 1, 2, 1, 0, 1], np.int64))
    return n.op("Pad", (x, widths), quant=None), n.op("Pad", (x, widths, n.constant("v", np.float32(0))), quant=None)


@form("transpose")
def mirrored_pads(n: Net) -> tuple[str, ...]:
    """Into an image with a border, of images, of floats, along the last axis, and as wide as can be."""
    x, line, f = n.input(1, 5, 4, 3), n.input(1, 40), n.input(2, 3, 4, quant=None, dtype=DType.F32)
    two, both = (
        n.constant("p", np.array([0, 0, 3, 1, 0, 0, 2, 2], np.int64)),
        n.constant("q", np.array([0, 0, 1, 2, 0, 3], np.int64)),
    )
    wide = n.op("Pad", (x, two), mode="reflect")
    ends = tuple(
        n.op("Pad", (line, n.constant("e", np.array([0, 9, 0, 30], np.int64))), mode=m)
        for m in ("reflect", "edge", "wrap")
    )
    floats = tuple(n.op("Pad", (f, both), quant=None, mode=m) for m in ("edge", "wrap", "reflect"))
    return n.conv(wide, 6, (3, 3), pads=(1, 1, 1, 1)), *ends, *floats


@form("transpose")
def tiles(n: Net) -> tuple[str, ...]:
    """Along each axis, of an image from one border into another, and of int16."""
    x, times = n.conv(n.input(1, 5, 4, 3), 6, (1, 1)), n.constant("t", np.array([2, 1, 3, 2], np.int64))
    s = n.input(1, 3, 2, quant=SHORT, dtype=DType.I16)
    wide = n.op("Tile", (x, n.constant("w", np.array([1, 2, 2, 3], np.int64))))
    several = n.op("Tile", (s, n.constant("u", np.array([3, 1, 2], np.int64))), SHORT, DType.I16)
    return n.conv(wide, 7, (3, 3), pads=(1, 1, 1, 1)), n.op("Tile", (x, times)), several


@form("float_unary")
def tiles_of_many_loops(n: Net) -> tuple[str, ...]:
    """More loops than a copy has: along all axes, of floats that lie in another order."""
    f = n.input(2, 3, 4, 2, quant=None, dtype=DType.F32)
    turned = n.op("Transpose", (n.op("Relu", (f,), None),), None, DType.F32, perm=(3, 1, 0, 2))
    return turned, n.op("Tile", (turned, n.constant("v", np.array([2, 3, 2, 2], np.int64))), None, DType.F32)


@form("transpose")
def blocks_of_floats(n: Net) -> tuple[str, ...]:
    """Of a value in its own order, and of one that lies in an image's."""
    x = n.input(2, 8, 3, 4, quant=None, dtype=DType.F32)
    pooled = n.op("MaxPool", (x,), None, kernel_shape=(2, 1), strides=(1, 2))
    deep = [n.op("DepthToSpace", (v,), None, blocksize=2, mode=m) for v, m in ((x, "DCR"), (pooled, "CRD"))]
    return *deep, n.op("SpaceToDepth", (deep[0],), None, blocksize=2)


@form("max_pool2d")
def max_pools(n: Net) -> tuple[str, ...]:
    x, line = n.input(1, 7, 9, 8), n.input(1, 70, 12)
    one = n.op("MaxPool", (x,), kernel_shape=(3, 2), strides=(2, 1), pads=(1, 1, 0, 1), dilations=(2, 1))
    return one, n.op("GlobalMaxPool", (x,)), n.op("MaxPool", (line,), kernel_shape=(4,), strides=(3,))


@form("avg_pool2d")
def average_pools(n: Net) -> tuple[str, ...]:
    x = n.input(2, 19, 9, 8)
    some = n.op("AveragePool", (x,), Quant.per_tensor(0.015, 3), kernel_shape=(3, 2), strides=(2, 1), pads=(1, 1, 0, 1))
    axes = n.constant("axes", np.array([1, 2], np.int64))
    means = n.op("ReduceMean", (n.input(3, 4, 5, 21), axes), keepdims=0), n.op("GlobalAveragePool", (x,), None)
    return (some, n.op("ReduceMean", (x, n.constant("a", np.array([2, 3], np.int64))), keepdims=1), *means)


@form("resize_nearest")
def nearest(n: Net) -> tuple[str, ...]:
    scales = n.constant("scales", np.array([1, 1, 2, 3], np.float32))
    how = {"coordinate_transformation_mode": "asymmetric", "nearest_mode": "floor"}
    return (n.op("Resize", (n.input(1, 18, 3, 4), "", scales), mode="nearest", **how),)


@form("resize_linear")
def linear(n: Net) -> tuple[str, ...]:
    x = n.input(1, 21, 5, 4)
    outs = []
    for numbers in ((1, 1, 2, 3), (1, 1, 1, 2), (1, 1, 0.6, 0.75)):
        scales = n.constant("scales", np.array(numbers, np.float32))
        outs.append(n.op("Resize", (x, "", scales), Quant.per_tensor(0.02, 100), mode="linear"))
    return tuple(outs)


@form("resize_truncated")
def truncated(n: Net) -> tuple[str, ...]:
    scales = n.constant("scales", np.array([1, 1, 2, 1.6], np.float32))
    plain = (n.input(2, 21, 4, 5, quant=None, dtype=dtype) for dtype in (DType.U8, DType.I8))
    return tuple(n.op("Resize", (x, "", scales), None, n.b.types[x].dtype, mode="linear") for x in plain)


@form("softmax")
def softmaxes(n: Net) -> tuple[str, ...]:
    return n.softmax(n.input(2, 3, 4, 70, quant=Quant.per_tensor(0.1, 9))), n.softmax(n.input(1, 5))


@form("layer_norm")
def layer_norms(n: Net) -> tuple[str, ...]:
    return n.layer_norm(n.input(2, 9, 48)), n.layer_norm(n.input(3, 1))


@form("lookup")
def channel_tables(n: Net) -> tuple[str, ...]:
    """Blocks of pixels and of channels, whole and not; pixels that follow each other in memory, and rows with a border
    between."""
    found = [
        n.table(n.input(*shape), shape[1])
        for shape in ((2, 16, 5, 9), (1, 40, 1, 64), (1, 17, 13, 11), (3, 33, 2, 3), (1, 7, 4, 5))
    ]
    bordered = n.table(n.conv(n.input(1, 24, 9, 7), 24, (1, 1)), 24)
    return (
        *found,
        n.conv(bordered, 20, (3, 3), 4, pads=(1, 1, 1, 1)),
        n.table(n.conv(n.input(1, 18, 70), 18, (3,), 18, pads=(1, 1)), 18),
    )


@form("float_binary")
def float_sums(n: Net) -> tuple[str, ...]:
    x, y, row = (n.input(*shape, quant=None, dtype=DType.F32) for shape in ((2, 5, 37), (2, 5, 1), (37,)))
    z = n.op("Div", (n.op("Mul", (x, y), None), row), None)
    return tuple(
        n.op(op, pair, None) for op, pair in (("Add", (z, x)), ("Sub", (row, z)), ("Max", (z, y)), ("Min", (x, row)))
    )


@form("float_unary")
def float_functions(n: Net) -> tuple[str, ...]:
    x = n.input(3, 50, quant=None, dtype=DType.F32)
    return n.op("Sqrt", (n.op("Mul", (x, x), None),), None), *(
        n.op(op, (x,), None) for op in ("Exp", "Sigmoid", "Tanh", "Softsign", "ThresholdedRelu", "Shrink")
    )


@form("lstm_cell")
def recurrences(n: Net) -> tuple[str, ...]:
    return *n.lstm(n.input(5, 2, 19), 20, "bidirectional", True), *n.lstm(n.input(3, 1, 8), 33, "reverse", False)


@form("float_conv2d")
def float_convolutions(n: Net) -> tuple[str, ...]:
    x = n.input(1, 9, 7, 8, quant=None, dtype=DType.F32)
    y = n.op("Relu", (n.float_conv(x, 33, (3, 3), pads=(1, 1, 1, 1)),), None)
    up = n.op("ConvTranspose", (y, n.floats(33, 5, 3, 2)), None, strides=(2, 3))
    return (
        n.op("Add", (n.float_conv(y, 33, (1, 1)), y), None),
        n.float_conv(x, 12, (3, 2), 3, strides=(2, 1), dilations=(2, 3)),
        up,
    )


@form("float_conv2d")
def float_products_of_several_chains(n: Net) -> tuple[str, ...]:
    x, line = n.input(1, 1400, 4, 4, quant=None, dtype=DType.F32), n.input(3, 8200, quant=None, dtype=DType.F32)
    rows = n.op("Relu", (n.op("Gemm", (line, n.floats(8200, 5), n.floats(5)), None),), None)
    return (
        n.float_conv(x, 5, (3, 3), pads=(1, 1, 1, 1)),
        rows,
        n.op("MatMul", (line, n.op("Transpose", (line,), None, perm=(1, 0))), None),
    )


@form("float_depthwise2d")
def float_depthwises(n: Net) -> tuple[str, ...]:
    x = n.op("Dequantize", (n.input(2, 21, 9, 8),), None)
    y = n.op(
        "Clip",
        (n.float_conv(x, 21, (3, 3), 21, pads=(1, 1, 1, 1)), n.floats(), n.constant("high", np.float32(6))),
        None,
    )
    return n.float_conv(y, 21, (4, 5), 21, pads=(2, 1, 1, 3)), n.op("Quantize", (y,))


@form("float_pack")
def float_matrix_products(n: Net) -> tuple[str, ...]:
    a, c = (n.input(2, *size, quant=None, dtype=DType.F32) for size in ((7, 19), (37, 19)))
    one = n.op("MatMul", (a, n.op("Transpose", (c,), None, perm=(0, 2, 1))), None)
    return n.op("MatMul", (one, c), None), n.op(
        "Gemm", (n.input(3, 5, quant=None, dtype=DType.F32), n.floats(5, 18), n.floats(18)), None
    )


@form("float_pool2d")
def float_pools(n: Net) -> tuple[str, ...]:
    x = n.float_conv(n.input(1, 9, 9, 8, quant=None, dtype=DType.F32), 70, (3, 3))
    window: dict[str, Any] = {"kernel_shape": (3, 3), "strides": (2, 2), "pads": (1, 1, 0, 1)}
    padded = n.op("AveragePool", (x,), None, **window, count_include_pad=1)
    wide = n.op("Pad", (x, n.constant("pads", np.array([0, 0, 1, 2, 0, 0, 0, 1]))), None)
    return (
        n.op("MaxPool", (x,), None, **window),
        n.op("AveragePool", (x,), None, **window),
        padded,
        n.op("GlobalMaxPool", (wide,), None),
    )


@form("float_pool2d")
def float_pools_of_several_blocks(n: Net) -> tuple[str, ...]:
    x, axes = n.input(1, 3, 35, 33, quant=None, dtype=DType.F32), n.constant("axes", np.array([1]))
    window: dict[str, Any] = {"kernel_shape": (31, 29), "strides": (4, 3), "pads": (20, 1, 9, 7)}
    column = n.op("ReduceSum", (n.input(2, 1030, 5, quant=None, dtype=DType.F32), axes), None)
    return n.op("AveragePool", (x,), None, **window), n.op("GlobalAveragePool", (x,), None), column


@form("float_reduce")
def float_reductions(n: Net) -> tuple[str, ...]:
    x, axes = (
        n.input(2, 5, 37, quant=None, dtype=DType.F32),
        [n.constant("axes", np.array(a)) for a in ([2], [1], [0, 1])],
    )
    means = [n.op("ReduceMean", (x, a), None) for a in axes]
    line = n.input(1, 17000, quant=None, dtype=DType.F32)
    means.append(n.op("ReduceSum", (line, n.constant("last", np.array([1]))), None))
    return (*means, n.op("ReduceMax", (x, axes[0]), None, keepdims=0), n.op("ReduceSum", (x,), None))


@form("float_resize")
def float_resizings(n: Net) -> tuple[str, ...]:
    x, scales = (
        n.input(1, 19, 4, 5, quant=None, dtype=DType.F32),
        n.constant("scales", np.array([1, 1, 2, 1.6], np.float32)),
    )
    return n.op("Resize", (x, "", scales), None, mode="linear"), n.op("Resize", (x, "", scales), None, mode="nearest")


@form("float_pool2d")
def pools_of_volumes(n: Net) -> tuple[str, ...]:
    x = n.input(2, 5, 4, 7, 6, quant=None, dtype=DType.F32)
    window = {"kernel_shape": (3, 2, 3), "strides": (2, 1, 2), "pads": (1, 0, 1, 1, 1, 0)}
    y = n.op("MaxPool", (x,), None, **window)
    means = [n.op("AveragePool", (x,), None, **window, count_include_pad=k) for k in (0, 1)]
    ends = [n.op(op, (v,), None) for op in ("GlobalAveragePool", "GlobalMaxPool") for v in (x, y)]
    long = n.op("AveragePool", (n.input(1, 1, 2, 23, 24, quant=None, dtype=DType.F32),), None, kernel_shape=(2, 23, 23))
    upright = n.op("AveragePool", (x,), None, kernel_shape=(3, 1, 1), pads=(1, 0, 0, 0, 0, 0))
    return (*means, *ends, long, upright, n.op("Concat", (y, y), None, axis=1))


@form("float_conv2d")
def transposed_volumes(n: Net) -> tuple[str, ...]:
    x = n.input(2, 4, 3, 4, 5, quant=None, dtype=DType.F32)
    up = n.op("ConvTranspose", (x, n.floats(4, 9, 3, 1, 2), n.floats(18)), None, strides=(2, 2, 1), group=2)
    return up, n.op("ConvTranspose", (up, n.floats(18, 2, 1, 1, 1)), None)


@form("float_taps")
def weighted_resizings(n: Net) -> tuple[str, ...]:
    x = n.input(2, 19, 4, 5, quant=None, dtype=DType.F32)
    both, rows, columns = (
        n.constant("scales", np.array([1, 1, h, w], np.float32)) for h, w in ((1.7, 0.6), (2, 1), (1, 0.5))
    )
    wide = n.op("Resize", (x, "", both), None, mode="cubic")
    tall = n.op("Resize", (x, "", rows), None, mode="cubic", exclude_outside=1)
    thin = n.op("Resize", (x, "", columns), None, mode="linear", antialias=1)
    return wide, tall, thin, n.op("Concat", (n.op("Resize", (x, "", both), None, mode="cubic"), wide), None, axis=1)


@form("float_top_k")
def largest_elements(n: Net) -> tuple[str, ...]:
    x = n.input(2, 3, 21, quant=None, dtype=DType.F32)
    some = n.op("Sqrt", (n.op("Relu", (x,), None),), None)
    nan = n.op("Sqrt", (x,), None)
    made = []
    for value, k, largest in ((x, 5, 1), (some, 21, 0), (nan, 12, 1), (nan, 1, 0)):
        out, place = n.ops("TopK", (value, n.constant("k", np.array([k]))), None, None, 2, largest=largest)
        n.b.types[place] = n.b.types[place]._replace(dtype=DType.I64)
        made += [out, place]
    return tuple(made)


@form("gather")
def rows_by_data(n: Net) -> tuple[str, ...]:
    """Indices from -8 to 8 or so, into axes of 16 and more."""
    x, i32 = n.input(2, 19, 17, quant=None, dtype=DType.F32), n.input(3, 2, quant=None, dtype=DType.I32)
    at, places = (n.input(*s, quant=None, dtype=DType.I64) for s in ((2, 4, 17), (5, 2)))
    elements = n.op("GatherElements", (x, at), None, axis=1)
    cut = n.op("Gather", (n.op("Relu", (x,), None), i32), None, axis=1)
    return (
        n.op("Concat", (elements, elements), None, axis=1),
        cut,
        n.op("GatherND", (n.floats(16, 20, 3), places), None),
        n.op("Gather", (n.floats(40, 7), n.constant("rule", n.rng.permutation(40))), None, axis=0),
    )


@form("scatter")
def scattered_rows(n: Net) -> tuple[str, ...]:
    x, wide = (n.input(*s, quant=None, dtype=DType.F32) for s in ((3, 18), (16, 17, 5)))
    at, places = n.input(3, 7, quant=None, dtype=DType.I64), n.input(6, 2, quant=None, dtype=DType.I32)
    both = [n.op("ScatterElements", (x, at, n.floats(3, 7)), None, axis=1, reduction=r) for r in ("none", "add")]
    rows = [n.op("ScatterND", (wide, places, n.floats(6, 5)), None, reduction=r) for r in ("none", "mul", "max", "min")]
    return n.op("Concat", tuple(both), None, axis=0), *rows


@form("float_grid_sample")
def grids(n: Net) -> tuple[str, ...]:
    x, grid = n.input(2, 19, 4, 5, quant=None, dtype=DType.F32), n.input(2, 3, 4, 2, quant=None, dtype=DType.F32)
    planes = n.input(2, 3, 4, 2, quant=None, dtype=DType.F32)
    image = n.float_conv(x, 18, (1, 1))
    made = [
        n.op("GridSample", (v, grid), None, mode=mode, padding_mode=padding, align_corners=corners)
        for v, mode, padding, corners in (
            (image, "linear", "zeros", 0), (x, "cubic", "reflection", 1), (planes, "nearest", "border", 0),
        )
    ]  # fmt: skip
    return n.op("Concat", (made[1], n.float_conv(made[0], 19, (1, 1))), None, axis=1), made[2]


@form("float_roi_align")
def regions(n: Net) -> tuple[str, ...]:
    x, rois = n.input(2, 19, 9, 7, quant=None, dtype=DType.F32), n.input(3, 4, quant=None, dtype=DType.F32)
    batch = n.constant("batch", np.array([0, 1, 1]))
    ways = {"output_height": 2, "output_width": 3, "spatial_scale": 1.5}
    found = [
        n.op("RoiAlign", (x, rois, batch), None, mode=mode, sampling_ratio=ratio, **ways)
        for mode, ratio in (("avg", 0), ("max", 2), ("avg", 23))
    ]
    flat = n.op("RoiAlign", (n.float_conv(x, 5, (1, 1)), rois, batch), None,
                coordinate_transformation_mode="output_half_pixel")  # fmt: skip
    return *found, n.op("Flatten", (flat,), None)


@form("float_arg_extreme")
def places_of_floats(n: Net) -> tuple[str, ...]:
    x = n.input(2, 5, 3, 4, quant=None, dtype=DType.F32)
    nan, made = n.op("Sqrt", (x,), None), []
    for op, value, axis, kept, last in (("ArgMax", x, 1, 1, 0), ("ArgMin", nan, 3, 0, 0), ("ArgMax", nan, 2, 0, 1)):
        place = n.op(op, (value,), None, axis=axis, keepdims=kept, select_last_index=last)
        n.b.types[place] = n.b.types[place]._replace(dtype=DType.I64)
        made.append(place)
    return tuple(made)


@form("arg_extreme")
def places_of_bytes(n: Net) -> tuple[str, ...]:
    x, made = n.input(2, 5, 3, 4), []
    for axis, kept, last in ((1, 1, 0), (3, 0, 1), (0, 0, 0)):
        place = n.op("ArgMax", (x,), None, axis=axis, keepdims=kept, select_last_index=last)
        n.b.types[place] = n.b.types[place]._replace(dtype=DType.I64)
        made.append(place)
    return tuple(made)


@form("float_nms")
def best_boxes(n: Net) -> tuple[str, ...]:
    boxes, scores = n.input(2, 21, 4, quant=None, dtype=DType.F32), n.input(2, 3, 21, quant=None, dtype=DType.F32)
    limits = [n.constant("limit", v) for v in (np.array([5]), np.float32([0.3]), np.float32([0.5]))]
    made = []
    for count, centers in ((3, 1), (2, 0), (1, 1)):
        taken = (boxes, scores, *limits[:count])
        made += n.ops("BoundedSuppression", taken, None, DType.I64, 2, center_point_box=centers)
    return tuple(made)


@form("float_layer_norm")
def float_layer_norms(n: Net) -> tuple[str, ...]:
    x = n.input(2, 3, 37, quant=None, dtype=DType.F32)
    return n.op("LayerNormalization", (x, n.floats(37), n.floats(37)), None), n.op(
        "LayerNormalization", (x, n.floats(37)), None
    )


@form("quantize_rows")
def rows_in_blocks(n: Net) -> tuple[str, ...]:
    """Read by several products, as rows of a part of a matrix, and of a short last block."""
    x = n.input(2, 3, 75, quant=None, dtype=DType.F32)
    return (
        n.blockwise(x, 20, 16, 4),
        n.blockwise(x, 7, 16, 8, points=False, halves=True),
        n.blockwise(x, 7, 32, 4, points=False, bias=False),
    )


@form("blockwise_matmul")
def block_wise_products(n: Net) -> tuple[str, ...]:
    x = n.input(13, 64, quant=None, dtype=DType.F32)
    y = n.op("Relu", (n.blockwise(x, 33, 32, 4),), None)
    return n.blockwise(y, 40, 16, 8), n.blockwise(y, 16, 48, 4, False), n.blockwise(x, 19, 64, 4, compute="float32")


SHORT, TINY = Quant.per_tensor(2e-4, 0), Quant.per_tensor(5e-5, 0)


@form("int16_conv2d")
def int16_convolutions(n: Net) -> tuple[str, ...]:
    x = n.input(1, 9, 7, 8, quant=SHORT, dtype=DType.I16)
    y = n.conv(x, 33, (3, 3), quant=Quant.per_tensor(0.1, 0), dtype=DType.I16, pads=(1, 1, 1, 1))
    odd = n.conv(x, 12, (3, 2), 3, COMMON, pads=(0, 1, 2, 1), strides=(2, 1), dilations=(2, 3))
    return (
        y,
        odd,
        n.conv(y, 5, (1, 1), quant=None),
        n.conv(y, 20, (2, 3), quant=Quant.per_tensor(20.0, 0), dtype=DType.I16, qmin=-9),
    )


@form("int16_conv2d")
def int16_lines_and_columns(n: Net) -> tuple[str, ...]:
    x, column = (n.input(*shape, quant=SHORT, dtype=DType.I16) for shape in ((2, 6, 19), (2, 20, 17, 1)))
    y = n.conv(x, 20, (5,), quant=Quant.per_tensor(0.1, 0), dtype=DType.I16, pads=(4, 0), dilations=(2,))
    up = n.op("ConvTranspose", (y, n.weights((20, 7, 4), 1)), None, strides=(3,))
    return (
        n.conv(y, 7, (4,), quant=None, strides=(3,)),
        up,
        n.conv(column, 33, (3, 1), quant=None, strides=(2, 1), dilations=(2, 1)),
    )


@form("int16_conv2d")
def int16_products_of_many_terms(n: Net) -> tuple[str, ...]:
    """Sums that leave int32, put by in parts of a row, of whole rows, and of a row that ends within a part."""
    x, image = n.input(3, 5, 1501, quant=SHORT, dtype=DType.I16), n.input(1, 260, 4, 5, quant=SHORT, dtype=DType.I16)
    y = n.op("MatMul", (x, n.weights((1501, 33), 1)), Quant.per_tensor(0.8, 0), DType.I16)
    rows = n.op("Flatten", (y,), Quant.per_tensor(0.8, 0), DType.I16, axis=2)
    gemm = n.op(
        "Gemm", (rows, n.weights((10, 33), 0), n.constant("b", np.arange(-5, 5, dtype=np.int32) << 27)), None, transB=1
    )
    return (
        gemm,
        y,
        n.conv(image, 17, (3, 3), quant=None, pads=(1, 1, 1, 1)),
        n.conv(image, 40, (2, 2), 2, quant=COMMON, dilations=(2, 2)),
    )


@form("int16_depthwise2d")
def int16_depthwises(n: Net) -> tuple[str, ...]:
    outs = []
    for channels, quant, dtype in ((3, SHORT, DType.I16), (37, None, None), (16, COMMON, DType.U8)):
        x = n.input(1, channels, 9, 13, quant=SHORT, dtype=DType.I16)
        for kernel, stride, dilation in (((3, 3), 1, 1), ((6, 2), 2, 2)):
            window = {"strides": (stride, stride), "dilations": (dilation,) * 2, "pads": (3, 3, 3, 3)}
            outs.append(n.conv(x, channels, kernel, channels, quant, dtype=dtype, **window))
    return tuple(outs)


@form("int16_quantize")
def int16_quantized(n: Net) -> tuple[str, ...]:
    x, rows = n.input(1, 5, 6, 37, quant=None, dtype=DType.F32), n.input(3, 41, quant=None, dtype=DType.F32)
    image, line = (n.op("Quantize", (v,), SHORT, DType.I16) for v in (x, rows))
    return n.conv(image, 4, (1, 1), quant=None), n.op("Transpose", (line,), SHORT, DType.I16, perm=(1, 0))


@form("int16_dequantize")
def int16_dequantized(n: Net) -> tuple[str, ...]:
    x = n.conv(n.input(2, 6, 5, 7, quant=SHORT, dtype=DType.I16), 21, (1, 1), quant=TINY, dtype=DType.I16)
    return n.op("Dequantize", (x,), None), n.op("Dequantize", (n.input(3, 50, quant=SHORT, dtype=DType.I16),), None)


def int16_pairs(n: Net, ops: tuple[str, ...], small: float) -> tuple[str, ...]:
    a, b, c = (n.input(*shape, quant=SHORT, dtype=DType.I16) for shape in ((2, 19, 5, 3), (2, 19, 1, 1), (1, 1, 5, 3)))
    pairs, wide = ((a, b), (b, a), (a, c), (a, a)), Quant.per_tensor(small, 0)
    image = n.conv(a, 19, (1, 1), quant=SHORT, dtype=DType.I16)
    found = [n.op(op, pair, *kind) for op in ops for pair in pairs for kind in ((wide, DType.I16), (COMMON, DType.U8))]
    return (*found, *(n.op(op, (image, v), wide, DType.I16, qmin=-7) for op in ops for v in (b, a)))


@form("int16_add")
def int16_sums(n: Net) -> tuple[str, ...]:
    return int16_pairs(n, ("Add", "Sub"), 3e-4)


@form("int16_mul")
def int16_products(n: Net) -> tuple[str, ...]:
    return int16_pairs(n, ("Mul",), 2e-3)


@form("int16_max")
def int16_largest(n: Net) -> tuple[str, ...]:
    return int16_pairs(n, ("Max",), 3e-4)


@form("int16_min")
def int16_smallest(n: Net) -> tuple[str, ...]:
    return int16_pairs(n, ("Min",), 3e-4)


@form("int16_lookup")
def int16_tables(n: Net) -> tuple[str, ...]:
    x, image = (
        n.input(3, 71),
        n.conv(n.input(1, 6, 4, 5, quant=SHORT, dtype=DType.I16), 21, (1, 1), quant=SHORT, dtype=DType.I16),
    )
    y = n.wide_table(n.wide_table(x, DType.I16, SHORT), DType.I16, TINY)
    return (
        n.wide_table(y, DType.U8, COMMON),
        n.wide_table(image, DType.I16, SHORT),
        n.wide_table(image, DType.U8, COMMON),
        y,
    )


@form("int16_max_pool2d")
def int16_maxima(n: Net) -> tuple[str, ...]:
    x = n.conv(n.input(1, 5, 9, 8, quant=SHORT, dtype=DType.I16), 37, (1, 1), quant=SHORT, dtype=DType.I16)
    pooled = n.op("MaxPool", (x,), SHORT, DType.I16, kernel_shape=(3, 3), strides=(2, 2), pads=(1, 1, 0, 1))
    scales = n.constant("scales", np.array([1, 1, 2, 3], np.float32))
    near = n.op("Resize", (pooled, "", scales), SHORT, DType.I16, mode="nearest")
    zero, pads = n.constant("zero", np.int16(0)), n.constant("pads", np.array([0, 0, 1, 2, 0, 0, 0, 1]))
    padded = n.op("Pad", (x, pads, zero), SHORT, DType.I16)
    return (
        n.op("GlobalMaxPool", (padded,), SHORT, DType.I16),
        n.op("Concat", (near, near), SHORT, DType.I16, axis=1),
        pooled,
    )


@form("int16_avg_pool2d")
def int16_averages(n: Net) -> tuple[str, ...]:
    x = n.input(1, 37, 9, 8, quant=SHORT, dtype=DType.I16)
    window: dict[str, Any] = {"kernel_shape": (3, 3), "strides": (2, 2), "pads": (1, 1, 0, 1)}
    found = [
        n.op("AveragePool", (x,), quant, dtype, **window)
        for quant, dtype in ((SHORT, DType.I16), (COMMON, DType.U8), (None, None))
    ]
    return (*found, n.op("GlobalAveragePool", (x,), TINY, DType.I16))


@form("float_softmax")
def float_softmaxes(n: Net) -> tuple[str, ...]:
    image = n.op("Softmax", (n.input(2, 21, 1, 1, quant=None, dtype=DType.F32),), None, axis=1)
    return image, *(
        n.op("Softmax", (n.input(2, 3, size, quant=None, dtype=DType.F32),), None, axis=-1) for size in (1, 16, 45)
    )


@form("float_where")
def choices(n: Net) -> tuple[str, ...]:
    x = n.input(2, 3, 21, quant=None, dtype=DType.F32)
    nan = n.op("IsNaN", (n.op("Sqrt", (x,), None),), None, DType.BOOL)
    rows = n.op("IsNaN", (n.op("Log", (n.input(3, 1, quant=None, dtype=DType.F32),), None),), None, DType.BOOL)
    zero = n.floats(1)
    return (
        n.op("Where", (nan, zero, x), None),
        n.op("Where", (rows, x, n.floats(21)), None),
        n.op("Where", (rows, x, zero), None),
    )


@form("float_softmax")
def softmaxes_of_masked_rows(n: Net) -> tuple[str, ...]:
    x = n.op("Log", (n.op("Relu", (n.input(2, 3, 4, quant=None, dtype=DType.F32),), None),), None)
    return (n.op("SafeSoftmax", (x,), None, axis=-1), n.op("Softmax", (x,), None, axis=-1))


@form("float_lstm_cell")
def float_cells(n: Net) -> tuple[str, ...]:
    return float_layer(n, "LSTM", 4, 2, 20, 3), float_layer(n, "LSTM", 4, 1, 33, 2)


@form("float_gru_cell")
def float_gated_cells(n: Net) -> tuple[str, ...]:
    return float_layer(n, "GRU", 3, 2, 20, 3, linear_before_reset=1), float_layer(n, "GRU", 3, 1, 7, 1)


def float_layer(n: Net, op: str, gates: int, batch: int, hidden: int, steps: int, **attributes: Any) -> str:
    x = n.input(steps, batch, 5, quant=None, dtype=DType.F32)
    weights = (n.floats(1, gates * hidden, 5), n.floats(1, gates * hidden, hidden), n.floats(1, 2 * gates * hidden))
    return n.op(op, (x, *weights), None, direction="forward", hidden_size=hidden, **attributes)


@pytest.fixture(params=KERNEL_TARGETS)
def isa(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Each instruction set in turn, emulated where this CPU lacks it."""
    monkeypatch.setenv("QGLOW_EMULATE", "1")
    return str(request.param)


def test_every_kind_has_a_meaning_and_a_form() -> None:
    assert set(load_families()) == set(INSTRUCTIONS)
    assert {kind for kind, _ in FORMS.values()} >= set(INSTRUCTIONS)


def test_every_kind_is_loaded_with_the_family_that_it_is_said_to_be_in() -> None:
    said = {kind: f"qglow.instructions.{family}" for family, kinds in meaning_table.FAMILIES.items() for kind in kinds}
    assert said == {kind: m.compute.__module__ for kind, m in load_families().items()}


@pytest.mark.parametrize("name", FORMS)
def test_three_engines_on_every_form(name: str, isa: str) -> None:
    kind, make = FORMS[name]
    net = Net()
    outputs = make(net)
    graph, feeds = net.graph(*outputs), net.feeds()
    program = all_agree(graph, feeds, isa, (1, 3))
    assert kind in {s.kind for s in program.steps if isinstance(s, Instruction)}
    all_agree(with_all_values(graph), feeds, isa, (2,))


@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
@given(nets())
def test_three_engines_on_grown_graphs(made: tuple[Graph, int]) -> None:
    graph, seed = made
    all_agree(graph, feeds_of(graph, np.random.default_rng(seed)), choose()[0].name)


@settings(max_examples=30, deadline=None, suppress_health_check=list(HealthCheck))
@given(nets())
def test_meaning_on_grown_graphs_for_every_packing(made: tuple[Graph, int]) -> None:
    graph, seed = made
    feeds = feeds_of(graph, np.random.default_rng(seed))
    for isa in TARGETS:
        meaning_agrees(with_all_values(graph), feeds, isa)


def quantized(path: Any, data: list[dict[str, Any]]) -> Graph:
    graph = float_graph(path)
    return qglow.quantize(graph, qglow.profile(graph, data), check=None).graph


def test_three_engines_on_the_demo_model(digits: Any, isa: str) -> None:
    data = [{"image": np.load(digits / f"{k:03d}.npy")} for k in range(3)]
    graph = quantized(digits / "model.onnx", data)
    all_agree(graph, data[1], isa)
    all_agree(with_all_values(graph), data[2], isa)


@pytest.mark.parametrize("name", shared_models.with_made([
    "mnist_cntk_8", "mlperftiny_cifar10_resnet8", "mlperftiny_vww_mobilenet025", "yunet_n_320",
]))  # fmt: skip
def test_three_engines_on_real_models(name: str) -> None:
    data = shared_models.feeds(name, 2)
    graph = quantized(shared_models.path(name), data)
    isa = choose()[0].name
    all_agree(graph, data[1], isa)
    all_agree(with_all_values(graph), data[1], isa, (2,))


@pytest.mark.parametrize(
    "shape", [(1, 1, 1, 1, 1), (2, 33, 3, 1, 27), (1, 16, 2, 3, 4), (3, 7, 1, 2, 65), (1, 40, 1, 1, 5)]
)
@pytest.mark.parametrize("name", TARGETS)
def test_packed_weights_read_back(name: str, shape: tuple[int, ...]) -> None:
    w = np.random.default_rng(0).integers(-128, 128, shape).astype(np.int8)
    assert np.array_equal(unpack(name, pack(name, w, False), shape), w)


@pytest.mark.parametrize("shape", [(1, 1, 1), (2, 33, 7), (1, 32, 5), (3, 16, 2), (1, 40, 9)])
@pytest.mark.parametrize("name", TARGETS)
def test_packed_floats_read_back(name: str, shape: tuple[int, int, int]) -> None:
    w = np.random.default_rng(0).normal(0, 1, shape).astype(np.float32)
    assert np.array_equal(unpack_floats(name, pack_floats(name, w), shape), w)


def test_a_meaning_that_writes_elsewhere_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    """A lookup that also writes its input."""
    net = Net()
    graph, feeds = net.graph(net.table(net.input(2, 7))), net.feeds()
    program = lower(static(graph, feeds), "generic")
    right = load_families()["lookup"]

    def wrong(v: Any, s: Any) -> None:
        right.compute(v, s)
        v["x"][0, 0, 0, 3] ^= 1

    monkeypatch.setitem(meaning_table.MEANINGS, "lookup", right._replace(compute=wrong))
    with pytest.raises(
        VerifyError, match=r"step 0 \(lookup\) writes byte \d+ of the arena, which none of its outputs has"
    ):
        run_program(program, feeds, check=True)
    run_program(program, feeds)


def test_what_is_not_a_number_becomes_the_least(isa: str) -> None:
    """Every path of quantize: runs, pixels four channels at a time, and single elements."""
    net = Net()
    graph = net.graph(*quantizations(net))
    feeds = net.feeds()
    for array in feeds.values():
        array.reshape(-1)[::3] = np.nan
        array.reshape(-1)[1::7] = np.inf
        array.reshape(-1)[2::11] = -np.inf
    program = lower(static(graph, feeds), isa)
    from three_engines import step_by_step

    step_by_step(program, feeds, 1)
    assert Interpreter(program).run(feeds).keys() == set(graph.outputs)


FAILURES = sorted((Path(__file__).parent / "failures").glob("*.txt"))


@pytest.mark.parametrize("path", FAILURES, ids=lambda p: p.stem)
def test_graphs_that_failed_once(path: Path) -> None:
    """Shrunk failures of grown graphs, kept as text."""
    graph = parse_graph(path.read_text())
    all_agree(graph, feeds_of(graph, np.random.default_rng(0)), choose()[0].name)
    for isa in TARGETS:
        meaning_agrees(graph, feeds_of(graph, np.random.default_rng(0)), isa)
