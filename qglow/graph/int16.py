"""Which ops take int16 activations, and with what else: the rules that lowering and the reference rely on.

1. An int16 value has one scale and one zero point for the whole tensor. It is an activation, never a weight.
2. Products of int16 have int8 weights that are constant; their result is int16, of 8 bits, or float32.
3. Sums, products of two tensors, means and pools compute on operands that are all int16; their result is int16 or of 8
   bits.
4. A table turns int16 into 8 bits or int16 (65536 entries), or 8 bits into int16 (256 entries).
5. What moves data keeps the dtype. No other op reads or makes int16.

Sums of products are exact integers of up to 53 bits (docs/quantization.md, 49); nothing of int16 is ever cut to int32
on its way.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from .graph import Array, Node
from .types import DType, TensorType

BYTES = (DType.U8, DType.I8)
_MOVING = ("moves", "select", "quantize", "dequantize", "lookup")
_ARITHMETIC = ("arithmetic", "mean", "free")


Types = list[TensorType | None]


def int16_faults(node: Node, typing: str, ins: Types, outs: Types, constants: Mapping[str, Array]) -> Iterator[str]:
    """What is wrong with the 16-bit values of a node. typing: of its op's declaration."""
    known = [t for t in (*ins, *outs) if t is not None and t.quant is not None]
    if any(t.dtype is DType.U16 for t in known):
        yield f"expected quantized values of 8 bits or int16 in {node.op}, got u16"
    if not any(t.dtype is DType.I16 for t in known):
        return
    for t in known:
        if t.dtype is DType.I16 and t.quant is not None and t.quant.axis is not None:
            yield f"expected int16 with one scale and one zero point, got {len(t.quant.scale)} of each"
    if typing == "product":
        yield from _product(node, ins, outs[0], constants)
    elif typing in _ARITHMETIC:
        yield from _arithmetic(node, typing, ins, outs[0])
    elif typing not in _MOVING:
        yield f"expected no int16 values in {node.op}, which has no int16 form"


def _product(node: Node, ins: Types, out: TensorType | None, constants: Mapping[str, Array]) -> Iterator[str]:
    x, w = (*ins, None, None)[:2]
    if x is None or not x.is_int16 or w is None or w.dtype is not DType.I8 or w.quant is None:
        yield f"expected {node.op} of int16 activations and i8 weights, got {_shown(x)} and {_shown(w)}"
    if node.attributes.get("epilogue"):
        yield f"expected no epilogue of {node.op} of int16"
    if node.input(1) not in constants:
        yield f"expected constant weights beside int16 activations, got {node.input(1)!r}"
    if out is not None and out.quant is not None and out.dtype not in (*BYTES, DType.I16):
        yield f"expected {node.op} to give int16 or 8 bits, got {out.dtype.value}"


def _arithmetic(node: Node, typing: str, ins: Types, out: TensorType | None) -> Iterator[str]:
    """Of `free` ops only Resize computes; what reads a shape alone, or the largest element's place, makes no quantized
    value."""
    if typing == "free" and (out is None or out.quant is None):
        return
    operands = [t for t in ins if t is not None and (t.quant is not None or typing == "arithmetic")]
    if (
        not operands
        or not all(t.is_int16 for t in operands)
        or (out is not None and out.quant is not None and out.dtype is DType.U16)
    ):
        yield f"expected {node.op} of operands that are all int16, got {', '.join(map(_shown, operands)) or 'none'}"
    nearest = node.op == "Resize" and node.attr("mode") == "nearest"
    if nearest and operands and out is not None and (out.dtype is not DType.I16 or out.quant != operands[0].quant):
        yield f"expected a Resize that moves int16 to keep them, got {_shown(out)}"


def _shown(t: TensorType | None) -> str:
    return "none" if t is None else t.dtype.value if t.quant is not None else f"plain {t.dtype.value}"
