"""What dtypes and parameters the values of a node have: the rules that lowering relies on. Names refer to
docs/quantization.md.

1. An op that moves elements leaves them what they are: input and output have one dtype, and one scale and zero point.
2. Quantize takes floats and gives a quantized value; Dequantize takes a quantized value and gives float32.
3. A product of quantized values has quantized operands, an int32 bias, and gives quantized values or float32. Its
   second operand may be quantized along the axis of the output channels, those of a QLSTM along the rows; all else that
   it has is quantized per tensor, and so are inputs and outputs of other arithmetic on quantized values.
4. A table has an entry of its output's dtype for each integer of its input's, 256 or 65536, or (of 256) so many for
   each channel.
5. Select takes one of two values of one dtype and parameters, which its output has too, by a condition that stands for
   no real.
6. What is quantized block-wise is read as the weights of a BlockwiseMatMul alone, whose operands blocks.py says.
7. int16.py says which ops take int16 activations, and with what else.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping

from ..ops import OPS
from ..ops.control import SELECT
from ..record import NamedTuple
from . import blocks
from .epilogue import is_fused, parts
from .graph import Array, Node
from .types import DType, TensorType

Types = Mapping[str, TensorType]
Constants = Mapping[str, Array]
_OF_16_BITS = (DType.I16, DType.U16)
STORED = (DType.U8, DType.I8, *_OF_16_BITS)


def type_faults(node: Node, types: Types, constants: Constants) -> list[str]:
    """What is wrong with the dtypes of a node's values; only of values that have a type."""
    if is_fused(node):
        return _faults_of_parts(node, types, constants)
    declared = OPS.get(node.op)
    typing = "" if declared is None else declared.typing
    if node.op == SELECT and (
        len(node.inputs) != 3 or len(node.outputs) != 1 or not all((*node.inputs, *node.outputs))
    ):
        return [
            f"expected a condition, two values and one output, got {len(node.inputs)} inputs and {len(node.outputs)} "
            "outputs"
        ]
    ins = [types.get(i) if i else None for i in node.inputs]
    outs = [types.get(o) if o else None for o in node.outputs]
    known = [t for t in (*ins, *outs) if t is not None]
    quantized = [t for t in known if t.quant]
    if not quantized and typing not in _OF_ALL_VALUES:
        return []
    if node.op == blocks.OP:
        return list(blocks.product_faults(node, ins, outs[0], constants))
    if [t for t in known if t.dtype is DType.U4] or [q for q in quantized if q.quant and q.quant.block is not None]:
        return [f"expected block-wise quantized values as weights of {blocks.OP} alone, got them in {node.op}"]
    faults = list(_limits(node, outs[0]))
    if [t for t in quantized if t.dtype is DType.I16 or t.dtype is DType.U16]:
        from .int16 import int16_faults  # NOTE: most graphs hold none, and a session imports nothing for them

        faults += int16_faults(node, typing, ins, outs, constants)
    if not typing and quantized:
        faults.append(f"expected {node.op} of values that are not quantized, got {', '.join(map(_quant, known))}")
    rule = _RULES.get(typing)
    if rule is not None and ins and ins[0] is not None and outs and outs[0] is not None:
        faults += rule(node, [t for t in ins if t is not None], outs[0], Values(types, constants))
    return faults


def _faults_of_parts(node: Node, types: Types, constants: Constants) -> list[str]:
    try:
        apart, between = parts(node, types)
    except (ValueError, TypeError):  # what declared.py says
        return []
    return [fault for part in apart for fault in type_faults(part, {**types, **between}, constants)]


class Values(NamedTuple):
    """Types and constants, by name."""

    types: Types
    constants: Constants


Rule = Callable[[Node, list[TensorType], TensorType, Values], Iterator[str]]


def _limits(node: Node, out: TensorType | None) -> Iterator[str]:
    """qmin and qmax, by which an output is narrowed, are within its dtype."""
    if out is None or not ("qmin" in node.attributes or "qmax" in node.attributes):
        return
    if out.quant is None or out.dtype not in STORED:
        yield f"expected no qmin and qmax of an output that is not quantized, {_quant(out)}"
        return
    low, high = out.limits()
    qmin, qmax = node.attributes.get("qmin", low), node.attributes.get("qmax", high)
    integers = isinstance(qmin, int) and isinstance(qmax, int)
    if not integers or not low <= qmin <= qmax <= high:  # type: ignore[operator]
        yield f"expected qmin and qmax within {low} to {high}, in order, got {qmin!r} and {qmax!r}"


def _moves(node: Node, ins: list[TensorType], out: TensorType, values: Values) -> Iterator[str]:
    others = ins[1:] if node.op == "Concat" else []
    split = [values.types[o] for o in node.outputs[1:] if o in values.types] if node.op == "Split" else []
    for t in (out, *others, *split):
        if t.dtype is not ins[0].dtype:
            yield f"expected {node.op} to keep the dtype {ins[0].dtype.value}, got {t.dtype.value}"
        elif t.quant != ins[0].quant and all(q is None or q.axis is None for q in (t.quant, ins[0].quant)):
            yield f"expected {node.op} to keep scale and zero point, {_quant(ins[0])}, got {_quant(t)}"


def _quantize(node: Node, ins: list[TensorType], out: TensorType, values: Values) -> Iterator[str]:
    if not ins[0].dtype.is_float or out.quant is None:
        yield f"expected Quantize to make a quantized value of floats, got {_quant(out)} of {ins[0].dtype.value}"


def _dequantize(node: Node, ins: list[TensorType], out: TensorType, values: Values) -> Iterator[str]:
    if ins[0].quant is None or out.dtype is not DType.F32:
        yield f"expected Dequantize to make f32 of a quantized value, got {out.dtype.value} of {_quant(ins[0])}"


def _product(node: Node, ins: list[TensorType], out: TensorType, values: Values) -> Iterator[str]:
    if not any(t.quant for t in (*ins, out)):
        return
    if any(t.quant is None for t in ins[:2]) or len(ins) < 2 or (out.quant is None and out.dtype is not DType.F32):
        yield (
            f"expected {node.op} of two quantized values, quantized or f32, got "
            f"{', '.join(map(_quant, (*ins[:2], out)))}"
        )
    if len(ins) > 2 and ins[2].dtype is not DType.I32:
        yield f"expected an i32 bias, got {ins[2].dtype.value}"
    yield from _per_tensor(node.op, ins[0], out)
    yield from _along(node.op, ins[1:2], channel_axis(node, ins[1].rank if len(ins) > 1 else None))


def channel_axis(node: Node, rank: int | None) -> int | None:
    """The axis of a product's second operand, of that rank, along which its output channels lie (one group's, where
    there are groups)."""
    found = OPS[node.op].channel_axis
    return None if found is None else found(node, rank)


class GemmForm(NamedTuple):
    """y = alpha a' b' + beta c of a Gemm; what a MatMul is too, with the defaults."""

    turns_a: bool = False
    turns_b: bool = False
    alpha: float = 1.0
    beta: float = 1.0


def gemm_form(node: Node) -> GemmForm:
    """The form of a Gemm or MatMul."""
    if node.op != "Gemm":
        return GemmForm()
    return GemmForm(
        bool(node.attr("transA")), bool(node.attr("transB")), float(node.attr("alpha")), float(node.attr("beta"))
    )


def is_bias(c: Array, columns: int) -> bool:
    """Whether a constant that is added to rows is one number, or one for each column."""
    return c.size == 1 or (c.size == columns and c.shape[-1] == columns)


def _per_tensor(op: str, *values: TensorType) -> Iterator[str]:
    for t in values:
        if t.quant is not None and t.quant.axis is not None:
            yield f"expected {op} of and to values that are quantized per tensor, got {_quant(t)}"


def _along(op: str, weights: list[TensorType], axis: int | None) -> Iterator[str]:
    for t in weights:
        if t.quant is not None and t.quant.axis not in (None, axis):
            yield f"expected weights of {op} that are quantized per tensor or along axis {axis}, got {_quant(t)}"


def _arithmetic(node: Node, ins: list[TensorType], out: TensorType, values: Values) -> Iterator[str]:
    if any(t.quant for t in (*ins, out)):
        yield from _quantized(node, *ins, out)
        if len(ins) != 2:
            yield f"expected {node.op} of two quantized values, got {len(ins)}"


def _quantized(node: Node, *values: TensorType) -> Iterator[str]:
    """What is wrong where these values are not quantized per tensor."""
    if any(t.quant is None or t.quant.axis is not None for t in values):
        yield f"expected {node.op} of values that are quantized per tensor, got {', '.join(map(_quant, values))}"


def _softmax(node: Node, ins: list[TensorType], out: TensorType, values: Values) -> Iterator[str]:
    yield from _quantized(node, ins[0], out)
    table = values.constants.get(node.input(1))
    if table is None or ins[1].dtype is not DType.I32 or table.shape != (256,):
        yield f"expected a constant table of 256 i32, got {'none' if len(ins) < 2 else _shown(ins[1])}"
    elif not 0 <= table.min() <= table.max() < 1 << 24:
        yield f"expected a table of entries from 0 on that take 24 bits, got {table.min()} to {table.max()}"
    yield from _axis(node, ins[0])


def _norm(node: Node, ins: list[TensorType], out: TensorType, values: Values) -> Iterator[str]:
    yield from _quantized(node, ins[0], out)
    rank = ins[0].rank
    if rank is not None and node.attr("axis") not in (-1, rank - 1):
        yield f"expected QLayerNormalization along the last axis of {rank}, got axis {node.attr('axis')!r}"
    size = ins[0].shape[-1] if ins[0].shape else None
    for name in (node.input(1), node.input(2)):
        array = values.constants.get(name)
        if (
            array is None
            or values.types[name].dtype is not DType.F32
            or (isinstance(size, int) and array.shape != (size,))
        ):
            got = "none" if name not in values.types else _shown(values.types[name])
            yield f"expected gain and shift as constant f32[{size if isinstance(size, int) else 'C'}], got {got}"


def _axis(node: Node, x: TensorType) -> Iterator[str]:
    axis = node.attr("axis")
    if x.rank is not None and not (isinstance(axis, int) and -x.rank <= axis < x.rank):
        yield f"expected an axis of {x.rank} dimensions, got axis {axis!r}"


def _shown(t: TensorType) -> str:
    return f"{t.dtype.value}{list(t.shape) if t.shape is not None else '[*]'}"


def _mean(node: Node, ins: list[TensorType], out: TensorType, values: Values) -> Iterator[str]:
    if out.quant is not None or ins[0].quant is not None:
        right = (
            ins[0].quant is not None and ins[0].quant.axis is None and (out.quant is not None or out.dtype is DType.F32)
        )
        if not right or (out.quant is not None and out.quant.axis is not None):
            yield (
                f"expected {node.op} of a value that is quantized per tensor, quantized or f32, got {_quant(ins[0])} "
                f"to {_quant(out)}"
            )


def _lookup(node: Node, ins: list[TensorType], out: TensorType, values: Values) -> Iterator[str]:
    x, table = ins[0], ins[1] if len(ins) > 1 else None
    if x.dtype not in (DType.U8, DType.I8, DType.I16) or x.quant is None:
        yield f"expected a table's index as quantized bytes or int16, got {_quant(x)}"
    constant, entries = node.input(1) in values.constants, 65536 if x.dtype is DType.I16 else 256
    if (
        table is None
        or not constant
        or table.dtype is not out.dtype
        or table.rank not in (1, 2)
        or table.static_shape[-1] != entries
    ):
        got = "none" if table is None else table.dtype.value
        yield f"expected a table of {entries} {out.dtype.value}, or so many a channel, got {got}"
    elif table.rank == 2 and DType.I16 in (x.dtype, out.dtype):
        yield "expected one table of int16 for all channels, got one for each"
    elif table.rank == 2 and x.shape is not None:
        axis = node.attr("axis")
        if not isinstance(axis, int) or not -len(x.shape) <= axis < len(x.shape):
            yield f"expected an axis of {len(x.shape)} dimensions for its tables, got {axis!r}"
        elif isinstance(x.shape[axis], int) and x.shape[axis] != table.static_shape[0]:
            yield f"expected as many tables as axis {axis} has indices, {x.shape[axis]}, got {table.static_shape[0]}"


def _select(node: Node, ins: list[TensorType], out: TensorType, values: Values) -> Iterator[str]:
    if ins[0].quant is not None:
        yield f"expected a condition that is not quantized, got {_quant(ins[0])}"
    for t in ins[1:]:
        if t.dtype is not out.dtype:
            yield f"expected Select to keep the dtype {out.dtype.value}, got {t.dtype.value}"
        elif t.quant != out.quant:
            yield f"expected Select to keep scale and zero point, {_quant(out)}, got {_quant(t)}"


def _quant(t: TensorType) -> str:
    if t.quant is None:
        return t.dtype.value
    return (
        f"{t.dtype.value}<{t.quant.scale[0]}, {t.quant.zero_point[0]}>"
        if t.quant.axis is None
        else f"{t.dtype.value}<axis {t.quant.axis}>"
    )


def _lstm(node: Node, ins: list[TensorType], out: TensorType, values: Values) -> Iterator[str]:
    yield from _quantized(node, ins[0])
    for t in ins[1:3]:
        if t.quant is None or t.dtype is not DType.I8 or any(t.quant.zero_point):
            yield f"expected weights that are i8 with zero points of 0, got {_quant(t)}"
    for t in (*ins[3:], out):
        if t.dtype is not DType.F32 or t.quant is not None:
            yield f"expected a bias, states and outputs of f32, got {_quant(t)}"
    yield from _along(node.op, ins[1:3], 0)


# by the `typing` of an op's declaration; "free": quantized values as they are, or with parameters of their own
_RULES: dict[str, Rule] = {
    "moves": _moves, "product": _product, "arithmetic": _arithmetic, "mean": _mean, "softmax": _softmax, "norm": _norm,
    "quantize": _quantize, "dequantize": _dequantize, "lookup": _lookup, "select": _select, "lstm": _lstm,
}  # fmt: skip
# rules that hold for values that are not quantized too
_OF_ALL_VALUES = ("moves", "select", "lookup", "blockwise", "softmax", "norm", "lstm")
