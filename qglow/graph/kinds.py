"""What kinds and parameters the values of a node have: the rules that lowering relies on. Names refer to docs/quantization.md.

1. An op that moves elements leaves them what they are: input and output have one kind, and one scale and zero point.
2. Quantize takes floats and gives a quantized value; Dequantize takes a quantized value and gives float32.
3. A product of quantized values has quantized operands, an int32 bias, and gives quantized values or float32; other arithmetic on
   quantized values has quantized inputs and outputs, all per tensor.
4. A table has 256 entries of its output's kind, or so many for each channel.
5. Select takes one of two values of one kind and parameters, which its output has too, by a condition that stands for no real.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

from .graph import Graph, Node
from .types import Kind, TensorType

MOVES = (
    "Identity", "Reshape", "Flatten", "Squeeze", "Unsqueeze", "Transpose", "Slice", "Split", "Concat", "Gather", "Expand", "Tile",
    "DepthToSpace", "SpaceToDepth", "MaxPool", "GlobalMaxPool", "Pad",
)  # fmt: skip
PRODUCTS = ("Conv", "ConvTranspose", "Gemm", "MatMul")
ARITHMETIC = ("Add", "Sub", "Mul", "Softmax", "LayerNormalization")
MEANS = ("AveragePool", "GlobalAveragePool", "ReduceMean")


def kind_faults(node: Node, graph: Graph) -> list[str]:
    """What is wrong with the kinds of a node's values; only of values that have a type."""
    rule = _RULES.get(node.op)
    if node.op == "Select" and (len(node.inputs) != 3 or len(node.outputs) != 1 or not all((*node.inputs, *node.outputs))):
        return [f"expected a condition, two values and one output, got {len(node.inputs)} inputs and {len(node.outputs)} outputs"]
    ins = [graph.types.get(i) if i else None for i in node.inputs]
    outs = [graph.types.get(o) if o else None for o in node.outputs]
    if rule is None or not ins or ins[0] is None or not outs or outs[0] is None:
        return []
    return list(rule(node, [t for t in ins if t is not None], outs[0], graph))


Rule = Callable[[Node, list[TensorType], TensorType, Graph], Iterator[str]]


def _moves(node: Node, ins: list[TensorType], out: TensorType, graph: Graph) -> Iterator[str]:
    others = ins[1:] if node.op == "Concat" else []
    split = [graph.types[o] for o in node.outputs[1:] if o in graph.types] if node.op == "Split" else []
    for t in (out, *others, *split):
        if t.kind is not ins[0].kind:
            yield f"expected {node.op} to keep the kind {ins[0].kind.value}, got {t.kind.value}"
        elif t.quant != ins[0].quant and all(q is None or q.axis is None for q in (t.quant, ins[0].quant)):
            yield f"expected {node.op} to keep scale and zero point, {_quant(ins[0])}, got {_quant(t)}"


def _quantize(node: Node, ins: list[TensorType], out: TensorType, graph: Graph) -> Iterator[str]:
    if not ins[0].kind.is_float or out.quant is None:
        yield f"expected Quantize to make a quantized value of floats, got {_quant(out)} of {ins[0].kind.value}"


def _dequantize(node: Node, ins: list[TensorType], out: TensorType, graph: Graph) -> Iterator[str]:
    if ins[0].quant is None or out.kind is not Kind.F32:
        yield f"expected Dequantize to make f32 of a quantized value, got {out.kind.value} of {_quant(ins[0])}"


def _product(node: Node, ins: list[TensorType], out: TensorType, graph: Graph) -> Iterator[str]:
    if not any(t.quant for t in (*ins, out)):
        return
    if any(t.quant is None for t in ins[:2]) or len(ins) < 2 or (out.quant is None and out.kind is not Kind.F32):
        yield f"expected {node.op} of two quantized values, quantized or f32, got {', '.join(map(_quant, (*ins[:2], out)))}"
    if len(ins) > 2 and ins[2].kind is not Kind.I32:
        yield f"expected an i32 bias, got {ins[2].kind.value}"


def _arithmetic(node: Node, ins: list[TensorType], out: TensorType, graph: Graph) -> Iterator[str]:
    values = [*(ins[:1] if node.op in ("Softmax", "LayerNormalization") else ins[:2]), out]
    if any(t.quant for t in values) and any(t.quant is None or t.quant.axis is not None for t in values):
        yield f"expected {node.op} of values that are quantized per tensor, got {', '.join(map(_quant, values))}"


def _mean(node: Node, ins: list[TensorType], out: TensorType, graph: Graph) -> Iterator[str]:
    if out.quant is not None or ins[0].quant is not None:
        right = ins[0].quant is not None and ins[0].quant.axis is None and (out.quant is not None or out.kind is Kind.F32)
        if not right or (out.quant is not None and out.quant.axis is not None):
            yield f"expected {node.op} of a value that is quantized per tensor, quantized or f32, got {_quant(ins[0])} to {_quant(out)}"


def _lookup(node: Node, ins: list[TensorType], out: TensorType, graph: Graph) -> Iterator[str]:
    x, table = ins[0], ins[1] if len(ins) > 1 else None
    if x.kind not in (Kind.U8, Kind.I8) or x.quant is None:
        yield f"expected a table's index as quantized bytes, got {_quant(x)}"
    if table is None or table.kind is not out.kind or table.rank not in (1, 2) or table.static_shape[-1] != 256:
        yield f"expected a table of 256 {out.kind.value}, or so many a channel, got {'none' if table is None else table.kind.value}"
    elif table.rank == 2 and x.shape is not None:
        axis = node.attr("axis", 1)
        if not isinstance(axis, int) or not -len(x.shape) <= axis < len(x.shape) or x.shape[axis] != table.static_shape[0]:
            yield f"expected as many tables as axis {axis} has indices, got {table.static_shape[0]}"


def _select(node: Node, ins: list[TensorType], out: TensorType, graph: Graph) -> Iterator[str]:
    if ins[0].quant is not None:
        yield f"expected a condition that is not quantized, got {_quant(ins[0])}"
    for t in ins[1:]:
        if t.kind is not out.kind:
            yield f"expected Select to keep the kind {out.kind.value}, got {t.kind.value}"
        elif t.quant != out.quant:
            yield f"expected Select to keep scale and zero point, {_quant(out)}, got {_quant(t)}"


def _quant(t: TensorType) -> str:
    if t.quant is None:
        return t.kind.value
    return (
        f"{t.kind.value}<{t.quant.scale[0]}, {t.quant.zero_point[0]}>" if t.quant.axis is None else f"{t.kind.value}<axis {t.quant.axis}>"
    )


def _lstm(node: Node, ins: list[TensorType], out: TensorType, graph: Graph) -> Iterator[str]:
    for t in ins[1:3] if ins[0].quant is not None else ():
        if t.quant is None or any(t.quant.zero_point):
            yield f"expected weights that are quantized with zero points of 0, got {_quant(t)}"


_RULES: dict[str, Rule] = {
    **dict.fromkeys(MOVES, _moves), **dict.fromkeys(PRODUCTS, _product), **dict.fromkeys(ARITHMETIC, _arithmetic),
    **dict.fromkeys(MEANS, _mean), "Quantize": _quantize, "Dequantize": _dequantize, "Lookup": _lookup, "Select": _select, "LSTM": _lstm,
}  # fmt: skip
