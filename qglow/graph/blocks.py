"""What block-wise quantized weights are held to: their type, and the operands of the node that reads them.

`BlockwiseMatMul(x, w, scales, zero_points, bias)`: x float32 [..., K]; w constant u4 or u8 [N, K], quantized in blocks
of `size` along axis 1; scales constant float32 [N, blocks], finite; zero_points (may be left out: the middle of the
dtype) constant u8 [N, blocks] within the limits of w; bias (may be left out) constant float32 [N]; the output float32
[..., N].
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Literal, get_args

import numpy as np

from .graph import Array, Node
from .types import DType, TensorType

OP = "BlockwiseMatMul"
DTYPES = (DType.U4, DType.U8)
InBlocks = Literal["int4 blocks", "int8 blocks"]
IN_BLOCKS: tuple[InBlocks, ...] = get_args(InBlocks)  # what reports call a product with these weights
# of a node of the float graph; folded: it is part of another int8 node
Precision = Literal["int8", "int16", "folded", "float", InBlocks]
PRECISIONS: tuple[Precision, ...] = get_args(Precision)
# a block is a multiple of so many elements, and at most so long; blocks of a row at most
STEP, LARGEST, MOST = 16, 1024, 8192
RUN = 128  # elements of a block at most, where all blocks of a row have one scale


def block_faults(t: TensorType) -> list[str]:
    """What is wrong with a type that is quantized block-wise, or of elements below a byte."""
    q = t.quant
    assert q is not None
    if q.block is None or t.dtype not in DTYPES or q.scale or q.zero_point:
        return [f"expected a block-wise quantization of {' or '.join(k.value for k in DTYPES)}, got {t.dtype.value}"]
    if t.rank != 2 or q.axis != 1:
        return [f"expected blocks along axis 1 of 2 dimensions, got axis {q.axis} of {t.rank}"]
    if not STEP <= q.block <= LARGEST or q.block % STEP:
        return [f"expected blocks of a multiple of {STEP} elements up to {LARGEST}, got {q.block}"]
    return []


def blocks_of(t: TensorType) -> tuple[int, int, int, int]:
    """(rows, columns, elements of a block, blocks of a row) of weights whose type has no faults."""
    assert t.quant is not None and t.quant.block is not None
    (rows, columns), size = t.static_shape, t.quant.block
    return rows, columns, size, -(-columns // size)


def run_of(columns: int) -> int:
    """Elements of a block where rows of so many weights have one scale each: of equal blocks, and as few as may be."""
    blocks = -(-columns // RUN)
    return -(-columns // (blocks * STEP)) * STEP


def precision_of(node: Node, types: Mapping[str, TensorType]) -> InBlocks | None:
    """What a report calls a product with block-wise weights and int8 activations; None of any other node."""
    if node.op != OP or node.attr("compute") != "int8":
        return None
    return IN_BLOCKS[types[node.inputs[1]].dtype is not DType.U4]


def product_faults(
    node: Node, ins: list[TensorType | None], out: TensorType | None, constants: Mapping[str, Array]
) -> Iterator[str]:
    """What is wrong with a BlockwiseMatMul's operands. ins: None where an operand is left out."""
    x, w, *rest = (*ins, None, None, None)[:5]
    if x is None or w is None or w.quant is None or w.quant.block is None or block_faults(w) or not w.is_static:
        yield f"expected weights [N, K] of {' or '.join(k.value for k in DTYPES)} that are quantized block-wise"
        return
    n, k, _, blocks = blocks_of(w)
    if (
        x.dtype is not DType.F32
        or x.quant is not None
        or (out is not None and (out.dtype is not DType.F32 or out.quant is not None))
    ):
        yield "expected f32 to and from block-wise weights"
    if x.shape is not None and (not x.shape or (isinstance(x.shape[-1], int) and x.shape[-1] != k)):
        yield f"expected rows of {k} elements, got {list(x.shape)}"
    if blocks > MOST:
        yield f"expected at most {MOST} blocks of a row, got {blocks}"
    shapes = ((n, blocks), (n, blocks), (n,))
    for what, name, t, dtype, shape in zip(
        ("scales", "zero points", "a bias"),
        (*node.inputs[2:], "", "", ""),
        rest,
        (DType.F32, DType.U8, DType.F32),
        shapes,
        strict=False,
    ):
        if not name and what != "scales":
            continue
        if t is None or name not in constants or t.quant is not None or t.dtype is not dtype or t.shape != shape:
            got = "none" if t is None else f"{t.dtype.value}{list(t.shape or ())}"
            yield f"expected {what} as constant {dtype.value}{list(shape)}, got {got}"
        elif what == "scales" and not np.isfinite(constants[name]).all():
            yield "expected scales that are finite"
        elif what == "zero points" and constants[name].max(initial=0) > w.limits()[1]:
            yield f"expected zero points of at most {w.limits()[1]}, got {constants[name].max()}"
