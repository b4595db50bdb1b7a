"""What kinds and parameters the values of a node have: the rules that lowering relies on. Names refer to docs/quantization.md.

1. An op that moves elements leaves them what they are: input and output have one kind, and one scale and zero point.
2. Quantize takes floats and gives a quantized value; Dequantize takes a quantized value and gives float32.
3. A product of quantized values has quantized operands, an int32 bias, and gives quantized values or float32. Its second operand may be
   quantized along the axis of the output channels, those of an LSTM along the rows; all else that it has is quantized per tensor, and so
   are inputs and outputs of other arithmetic on quantized values.
4. A table has 256 entries of its output's kind, or so many for each channel.
5. Select takes one of two values of one kind and parameters, which its output has too, by a condition that stands for no real.
6. What is quantized block-wise is read as the weights of a BlockwiseMatMul alone, whose operands blocks.py says.
7. Operands that are computed with each other and not quantized, or moved into one value, have one kind; scales of a Resize are float32,
   sizes int64 (all held where shapes are known).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import NamedTuple

from . import blocks
from .graph import Array, Node
from .types import DType, TensorType

Types = Mapping[str, TensorType]
Constants = Mapping[str, Array]
STORED = (DType.U8, DType.I8, DType.I16, DType.U16)
MOVES = (
    "Identity", "Reshape", "Flatten", "Squeeze", "Unsqueeze", "Transpose", "Slice", "Split", "Concat", "Gather", "Expand", "Tile",
    "DepthToSpace", "SpaceToDepth", "MaxPool", "GlobalMaxPool", "Pad",
)  # fmt: skip
PRODUCTS = ("Conv", "ConvTranspose", "Gemm", "MatMul")
ARITHMETIC = ("Add", "Sub", "Mul", "Softmax", "LayerNormalization")
FREE = ("ArgMax", "Shape", "Size", "Resize", "Rescale")  # they take quantized values as they are, or have parameters of their own
MEANS = ("AveragePool", "GlobalAveragePool", "ReduceMean")
_RECURRENT = (0, 1, 2, 3, 5, 6, 7)  # all but the lengths of sequences
ALIKE: dict[str, tuple[int, ...]] = {  # operands that have one kind where they are not quantized
    **dict.fromkeys(("Add", "Sub", "Mul", "Div", "PRelu", "MatMul"), (0, 1)),
    **dict.fromkeys(("Conv", "ConvTranspose", "Gemm", "Clip", "LayerNormalization", "InstanceNormalization"), (0, 1, 2)),
    **dict.fromkeys(("LSTM", "GRU", "RNN"), _RECURRENT),
    **dict.fromkeys(("Max", "Min", "Mean", "Sum", "Einsum"), tuple(range(64))),
    "Range": (0, 1, 2),
}
MOVED: dict[str, tuple[int, ...]] = {"Pad": (0, 2), "Where": (1, 2), "ScatterND": (0, 2), "ScatterElements": (0, 2)}  # quantized or not
SAYING: dict[tuple[str, int], DType] = {("Resize", 2): DType.F32, ("Resize", 3): DType.I64}  # operands that say how


def kind_faults(node: Node, types: Types, constants: Constants) -> list[str]:
    """What is wrong with the kinds of a node's values; only of values that have a type."""
    rule = _RULES.get(node.op)
    if node.op == "Select" and (len(node.inputs) != 3 or len(node.outputs) != 1 or not all((*node.inputs, *node.outputs))):
        return [f"expected a condition, two values and one output, got {len(node.inputs)} inputs and {len(node.outputs)} outputs"]
    ins = [types.get(i) if i else None for i in node.inputs]
    outs = [types.get(o) if o else None for o in node.outputs]
    known = [t for t in (*ins, *outs) if t is not None]
    if not any(t.quant for t in known) and node.op not in ("Select", *MOVES, "Lookup", blocks.OP):
        return []
    if node.op == blocks.OP:
        return list(blocks.product_faults(node, ins, outs[0], constants))
    if any(t.kind is DType.U4 or (t.quant is not None and t.quant.block is not None) for t in known):
        return [f"expected block-wise quantized values as weights of {blocks.OP} alone, got them in {node.op}"]
    faults = list(_limits(node, outs[0]))
    if rule is None and any(t.quant for t in known) and node.op not in (*FREE, "Onnx"):
        faults.append(f"expected {node.op} of values that are not quantized, got {', '.join(map(_quant, known))}")
    if rule is not None and ins and ins[0] is not None and outs and outs[0] is not None:
        faults += rule(node, [t for t in ins if t is not None], outs[0], Values(types, constants))
    return faults


def mixed_kinds(node: Node, types: Types) -> str | None:
    """What is wrong where operands that are computed with each other, or moved into one value, are of several kinds."""
    for (op, k), kind in SAYING.items():
        if op == node.op and (t := types.get(node.input(k))) is not None and t.kind is not kind:
            return f"expected operand {k} of kind {kind.value}, got {t.kind.value}"
    moved = node.op in MOVED
    names = [i for i in map(node.input, MOVED.get(node.op) or ALIKE.get(node.op, ())) if i and i in types]
    kinds = {types[i].kind for i in names}
    if len(kinds) < 2 or (not moved and any(types[i].is_quantized for i in names)):
        return None
    return f"expected operands of one kind, got {', '.join(types[i].kind.value for i in names)}"


class Values(NamedTuple):
    """Types and constants, by name."""

    types: Types
    constants: Constants


Rule = Callable[[Node, list[TensorType], TensorType, Values], Iterator[str]]


def _limits(node: Node, out: TensorType | None) -> Iterator[str]:
    """qmin and qmax, by which an output is narrowed, are within its kind."""
    if out is None or not {"qmin", "qmax"} & {*node.attributes}:
        return
    if out.quant is None or out.kind not in STORED:
        yield f"expected no qmin and qmax of an output that is not quantized, {_quant(out)}"
        return
    low, high = out.limits()
    qmin, qmax = node.attr("qmin", low), node.attr("qmax", high)
    whole = isinstance(qmin, int) and isinstance(qmax, int)
    if not whole or not low <= qmin <= qmax <= high:  # type: ignore[operator]
        yield f"expected qmin and qmax within {low} to {high}, in order, got {qmin!r} and {qmax!r}"


def _moves(node: Node, ins: list[TensorType], out: TensorType, values: Values) -> Iterator[str]:
    others = ins[1:] if node.op == "Concat" else []
    split = [values.types[o] for o in node.outputs[1:] if o in values.types] if node.op == "Split" else []
    for t in (out, *others, *split):
        if t.kind is not ins[0].kind:
            yield f"expected {node.op} to keep the kind {ins[0].kind.value}, got {t.kind.value}"
        elif t.quant != ins[0].quant and all(q is None or q.axis is None for q in (t.quant, ins[0].quant)):
            yield f"expected {node.op} to keep scale and zero point, {_quant(ins[0])}, got {_quant(t)}"


def _quantize(node: Node, ins: list[TensorType], out: TensorType, values: Values) -> Iterator[str]:
    if not ins[0].kind.is_float or out.quant is None:
        yield f"expected Quantize to make a quantized value of floats, got {_quant(out)} of {ins[0].kind.value}"


def _dequantize(node: Node, ins: list[TensorType], out: TensorType, values: Values) -> Iterator[str]:
    if ins[0].quant is None or out.kind is not DType.F32:
        yield f"expected Dequantize to make f32 of a quantized value, got {out.kind.value} of {_quant(ins[0])}"


def _product(node: Node, ins: list[TensorType], out: TensorType, values: Values) -> Iterator[str]:
    if not any(t.quant for t in (*ins, out)):
        return
    if any(t.quant is None for t in ins[:2]) or len(ins) < 2 or (out.quant is None and out.kind is not DType.F32):
        yield f"expected {node.op} of two quantized values, quantized or f32, got {', '.join(map(_quant, (*ins[:2], out)))}"
    if len(ins) > 2 and ins[2].kind is not DType.I32:
        yield f"expected an i32 bias, got {ins[2].kind.value}"
    yield from _per_tensor(node.op, ins[0], out)
    yield from _along(node.op, ins[1:2], channel_axis(node, ins[1].rank if len(ins) > 1 else None))


def channel_axis(node: Node, rank: int | None) -> int | None:
    """The axis of a product's second operand, of that rank, along which its output channels lie (one group's, where there are groups)."""
    if node.op == "MatMul":
        return None if rank is None else rank - 1
    return {"Conv": 0, "ConvTranspose": 1}.get(node.op, 0 if node.attr("transB", 0) else 1)


def _per_tensor(op: str, *values: TensorType) -> Iterator[str]:
    for t in values:
        if t.quant is not None and t.quant.axis is not None:
            yield f"expected {op} of and to values that are quantized per tensor, got {_quant(t)}"


def _along(op: str, weights: list[TensorType], axis: int | None) -> Iterator[str]:
    for t in weights:
        if t.quant is not None and t.quant.axis not in (None, axis):
            yield f"expected weights of {op} that are quantized per tensor or along axis {axis}, got {_quant(t)}"


def _arithmetic(node: Node, ins: list[TensorType], out: TensorType, values: Values) -> Iterator[str]:
    operands = [*(ins[:1] if node.op in ("Softmax", "LayerNormalization") else ins[:2]), out]
    if any(t.quant for t in operands) and any(t.quant is None or t.quant.axis is not None for t in operands):
        yield f"expected {node.op} of values that are quantized per tensor, got {', '.join(map(_quant, operands))}"


def _softmax(node: Node, ins: list[TensorType], out: TensorType, values: Values) -> Iterator[str]:
    yield from _arithmetic(node, ins, out, values)
    if out.quant is None:
        return
    table = values.constants.get(node.input(1))
    if table is None or ins[1].kind is not DType.I32 or table.shape != (256,):
        yield f"expected a constant table of 256 i32, got {'none' if len(ins) < 2 else _shown(ins[1])}"
    elif not 0 <= table.min() <= table.max() < 1 << 24:
        yield f"expected a table of entries from 0 on that take 24 bits, got {table.min()} to {table.max()}"
    yield from _axis(node, ins[0])


def _norm(node: Node, ins: list[TensorType], out: TensorType, values: Values) -> Iterator[str]:
    yield from _arithmetic(node, ins, out, values)
    if out.quant is None:
        return
    rank = ins[0].rank
    if rank is not None and node.attr("axis", -1) not in (-1, rank - 1):
        yield f"expected LayerNormalization along the last axis of {rank}, got axis {node.attr('axis', -1)!r}"
    size = ins[0].shape[-1] if ins[0].shape else None
    for name in (node.input(1), node.input(2)):
        array = values.constants.get(name)
        if array is None or values.types[name].kind is not DType.F32 or (isinstance(size, int) and array.shape != (size,)):
            got = "none" if name not in values.types else _shown(values.types[name])
            yield f"expected gain and shift as constant f32[{size if isinstance(size, int) else 'C'}], got {got}"


def _axis(node: Node, x: TensorType, default: int = -1) -> Iterator[str]:
    axis = node.attr("axis", default)
    if x.rank is not None and not (isinstance(axis, int) and -x.rank <= axis < x.rank):
        yield f"expected an axis of {x.rank} dimensions, got axis {axis!r}"


def _shown(t: TensorType) -> str:
    return f"{t.kind.value}{list(t.shape) if t.shape is not None else '[*]'}"


def _mean(node: Node, ins: list[TensorType], out: TensorType, values: Values) -> Iterator[str]:
    if out.quant is not None or ins[0].quant is not None:
        right = ins[0].quant is not None and ins[0].quant.axis is None and (out.quant is not None or out.kind is DType.F32)
        if not right or (out.quant is not None and out.quant.axis is not None):
            yield f"expected {node.op} of a value that is quantized per tensor, quantized or f32, got {_quant(ins[0])} to {_quant(out)}"


def _lookup(node: Node, ins: list[TensorType], out: TensorType, values: Values) -> Iterator[str]:
    x, table = ins[0], ins[1] if len(ins) > 1 else None
    if x.kind not in (DType.U8, DType.I8) or x.quant is None:
        yield f"expected a table's index as quantized bytes, got {_quant(x)}"
    constant = node.input(1) in values.constants
    if table is None or not constant or table.kind is not out.kind or table.rank not in (1, 2) or table.static_shape[-1] != 256:
        yield f"expected a table of 256 {out.kind.value}, or so many a channel, got {'none' if table is None else table.kind.value}"
    elif table.rank == 2 and x.shape is not None:
        axis = node.attr("axis", 1)
        if not isinstance(axis, int) or not -len(x.shape) <= axis < len(x.shape):
            yield f"expected an axis of {len(x.shape)} dimensions for its tables, got {axis!r}"
        elif isinstance(x.shape[axis], int) and x.shape[axis] != table.static_shape[0]:
            yield f"expected as many tables as axis {axis} has indices, {x.shape[axis]}, got {table.static_shape[0]}"


def _select(node: Node, ins: list[TensorType], out: TensorType, values: Values) -> Iterator[str]:
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


def _lstm(node: Node, ins: list[TensorType], out: TensorType, values: Values) -> Iterator[str]:
    if ins[0].quant is None:
        return
    for t in ins[1:3]:
        if t.quant is None or t.kind is not DType.I8 or any(t.quant.zero_point):
            yield f"expected weights that are i8 with zero points of 0, got {_quant(t)}"
    for t in (*ins[3:], out):
        if t.kind is not DType.F32 or t.quant is not None:
            yield f"expected a bias, states and outputs of f32, got {_quant(t)}"
    yield from _per_tensor(node.op, ins[0], out)
    yield from _along(node.op, ins[1:3], 0)


_RULES: dict[str, Rule] = {
    **dict.fromkeys(MOVES, _moves), **dict.fromkeys(PRODUCTS, _product), **dict.fromkeys(ARITHMETIC, _arithmetic),
    **dict.fromkeys(MEANS, _mean), "Softmax": _softmax, "LayerNormalization": _norm, "Quantize": _quantize, "Dequantize": _dequantize,
    "Lookup": _lookup, "Select": _select, "LSTM": _lstm,
}  # fmt: skip
