"""Products with block-wise quantized weights: rows are quantized when they come, once for all products that read
them."""

from __future__ import annotations

import numpy as np

from ..graph import Array, DType, Node
from ..graph.blocks import blocks_of
from ..graph.epilogue import is_fused
from ..reference.blockwise import default_zero, widened
from .lower_pointwise import Fields
from .lower_rows import rows
from .packing import round_up
from .products import Factors, matmul_by, of_columns
from .program import TensorView
from .select import Lowering


def blockwise_matmul(low: Lowering, node: Node) -> bool:
    c, t = low.graph.constants, low.type(node.inputs[1])
    n, k, size, blocks = blocks_of(t)
    if node.inputs[0] not in low.places or low.places[node.inputs[0]].dtype != "<f4" or 0 in (n, blocks):
        return False
    if node.attr("compute") == "float32":
        return _as_floats(low, node)
    if is_fused(node):
        return low.refuse("no kernel has its epilogue")
    zeros = c[node.inputs[3]] if node.input(3) else np.full((n, blocks), default_zero(t), np.uint8)
    points = bool(np.ptp(zeros))
    x, y, fields = rows(low, node, 4)
    quantized = _quantized_rows(low, node.inputs[0], x, fields, size, 1 if points else int(zeros.flat[0]))
    scales = _short(c[node.inputs[2]])
    constants = {
        "w": low.block_weights(c[node.inputs[1]], (n, k), size, 4 if t.dtype is DType.U4 else 8),
        "scale": low.constant(_by_blocks(scales, low.packing.block)),
        "bias": low.constant(
            _filled(c[node.inputs[4]] if node.input(4) else np.zeros(n, np.float32), low.packing.block)
        ),
    }
    if points:
        constants["zero"] = low.constant(_by_blocks(zeros, low.packing.block))
    sizes = {
        "H": fields["H"],
        "K": blocks,
        "C": n,
        "y_h": fields["y_h"],
        "size": size,
        "bits": 4 if t.dtype is DType.U4 else 8,
        "scale_item": scales.itemsize,
    }
    low.emit("blockwise_matmul", {**quantized, "y": y, "scratch": None}, constants, {**sizes, "points": int(points)})
    return True


def _quantized_rows(
    low: Lowering, name: str, x: TensorView, fields: Fields, size: int, factor: int
) -> dict[str, TensorView]:
    """The places of a value's rows as int8, their scales and sums, by the operands that they are: made once."""
    keys = {operand: (name, f"{operand} in blocks of {size}, {factor}") for operand in ("x", "x_scale", "x_sum")}
    if keys["x"] not in low.copies:
        h, k = int(fields["H"]), x.shape[-1]
        blocks = -(-k // size)
        made = {
            "x": low.dense((h, blocks * size), "|i1"),
            "x_scale": low.dense((h, blocks), "<f4"),
            "x_sum": low.dense((h, blocks), "<i4"),
        }
        places: dict[str, TensorView | None] = {"x": x, "y": made["x"], "scale": made["x_scale"], "sum": made["x_sum"]}
        low.emit("quantize_rows", places, {}, {"H": h, "C": k, "x_h": fields["x_h"], "size": size, "factor": factor})
        low.copies |= {keys[operand]: place for operand, place in made.items()}
    return {operand: low.copies[key] for operand, key in keys.items()}


def _short(scales: Array) -> Array:
    """Scales as float16 where that holds each of them exactly as zero or a normal number, else as they are."""
    with np.errstate(over="ignore"):
        short = scales.astype(np.float16)
    kept = (short == scales) & ((scales == 0) | (np.abs(scales) >= np.finfo(np.float16).tiny))
    return short if kept.all() else scales


def _by_blocks(values: Array, block: int) -> Array:
    """[N, blocks] as [columns / block, blocks, block], columns filled up with zeros."""
    filled = _filled(values, block)
    return np.ascontiguousarray(filled.reshape(-1, block, filled.shape[1]).swapaxes(1, 2))


def _filled(values: Array, block: int) -> Array:
    """Filled up along the first axis to a multiple of `block`."""
    filled = np.zeros((round_up(len(values), block), *values.shape[1:]), values.dtype)
    filled[: len(values)] = values
    return filled


def _as_floats(low: Lowering, fused: Node) -> bool:
    """(47) The product of the weights as floats."""
    # NOTE: where a node computes with floats, which many programs have none of
    from .lower_float_product import FLOATS, takes_epilogue

    node, *after = low.parts(fused)
    if not takes_epilogue(low, node, after):
        return False
    c = low.graph.constants
    zeros = c[node.inputs[3]] if node.input(3) else None
    w = widened(c[node.inputs[1]], low.type(node.inputs[1]), c[node.inputs[2]], zeros)
    bias = c[node.inputs[4]] if node.input(4) else np.zeros(len(w), np.float32)
    columns = of_columns(w.T)
    return low.type(node.inputs[0]).rank != 1 and matmul_by(FLOATS, low, fused, after, Factors(columns, columns, bias))
