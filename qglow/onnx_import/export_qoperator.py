"""A quantized graph as ONNX with operators on integers, for runtimes and accelerators that take no other form.

An 8-bit convolution, product, sum or mean is one QLinear operator: ONNX's own, or com.microsoft's where ONNX has none.
What moves integers alone, as MaxPool and Reshape do, is the float operator on integers. Narrower output limits are a
Clip of integers. Everything else stands between DequantizeLinear and QuantizeLinear, as in export_qdq.py.
"""

from __future__ import annotations

from collections.abc import Callable

import onnx

from ..graph import DType, Graph, Node, TensorType
from .export_blocks import DOMAIN
from .export_float import export_nodes, value_info
from .export_qdq import Exporter, finished

_BYTES = (DType.U8, DType.I8)
_MOVES = ("MaxPool", "Reshape", "Transpose", "Flatten", "Squeeze", "Unsqueeze", "Identity")
_MEANS = ("GlobalAveragePool", "AveragePool")
_PAIRS = ("Add", "Mul")


def export_qoperator(graph: Graph) -> onnx.ModelProto:
    """The model of a quantized graph, which onnx's checker has passed. Raises QGlowError."""
    exporter = _QOperators(graph)
    for node in graph.nodes:
        exporter.node(node)
    return finished(graph, exporter)


class _QOperators(Exporter):
    def wrapped(self, node: Node) -> None:
        make = _FORMS.get(node.op)
        values = [v for v in (*node.inputs[:2], *node.outputs) if v and v in self.graph.types]
        if make is None or not make(self, node, [self.graph.types[v] for v in values]):
            super().wrapped(node)

    def quantized(self, value: str) -> list[str]:
        """A value's integers, scale and zero point."""
        self.keep((value,))
        return [value, *self.parameters(value, self.graph.types[value])[0]]

    def put(self, node: Node, op: str, inputs: list[str], domain: str = "", without: tuple[str, ...] = ()) -> None:
        """An operator with the attributes of the float one, and a Clip where its output is narrower than its dtype."""
        y = node.outputs[0]
        narrow = "qmin" in node.attributes or "qmax" in node.attributes
        out = f"{y}.unclipped" if narrow else y
        (made,) = export_nodes(node, inputs, [out])
        made.op_type, made.domain = op, domain
        kept = [a for a in made.attribute if a.name not in without]
        del made.attribute[:]
        made.attribute.extend(kept)
        self.nodes.append(made)
        t = self.graph.types[y]
        if domain:
            self.infos.append(value_info(out, t))
        if narrow:
            low, high = (
                self.constant(f"{y}.{k}", t.dtype.numpy.type(node.attributes.get(k, d)))
                for k, d in zip(("qmin", "qmax"), t.limits(), strict=True)
            )
            self.add("Clip", [out, low, high], y)


def _conv(e: _QOperators, node: Node, types: list[TensorType]) -> bool:
    x, w = types[:2]
    if not _are_bytes(types) or x.rank == 3 or (w.quant is not None and w.quant.axis not in (None, 0)):
        return False  # NOTE: onnxruntime's QLinearConv takes images
    e.keep(node.inputs[2:3])
    bias = [node.inputs[2]] if node.input(2) else []
    e.put(node, "QLinearConv", [*_operands(e, node), *e.quantized(node.outputs[0])[1:], *bias])
    return True


def _product(e: _QOperators, node: Node, types: list[TensorType]) -> bool:
    a, b = types[:2]
    if not _are_bytes(types) or a.quant is None or a.quant.axis is not None or b.quant is None or b.rank is None:
        return False
    if node.op == "MatMul":
        if node.input(2) or b.quant.axis not in (None, b.rank - 1) or (b.quant.axis is not None and b.rank != 2):
            return False
        e.put(node, "QLinearMatMul", [*_operands(e, node), *e.quantized(node.outputs[0])[1:]])
        return True
    columns = 0 if node.attr("transB") else 1
    if b.quant.axis not in (None, columns) or node.attr("transA") or node.attr("alpha") != 1 or node.attr("beta") != 1:
        return False
    e.keep(node.inputs[2:3])
    bias = node.inputs[2] if node.input(2) else ""
    e.put(node, "QGemm", [*_operands(e, node), bias, *e.quantized(node.outputs[0])[1:]], DOMAIN, ("beta",))
    return True


def _pair(e: _QOperators, node: Node, types: list[TensorType]) -> bool:
    if (
        not _are_bytes(types)
        or len({t.dtype for t in types}) > 1
        or not all(t.quant and t.quant.axis is None for t in types)
    ):
        return False
    e.put(node, f"QLinear{node.op}", [*_operands(e, node), *e.quantized(node.outputs[0])[1:]], DOMAIN)
    return True


def _mean(e: _QOperators, node: Node, types: list[TensorType]) -> bool:
    if not _are_bytes(types) or types[0].dtype is not types[-1].dtype or types[0].rank != 4:
        return False
    if set(node.attributes.get("dilations", (1,))) != {1}:
        return False
    inputs = [*e.quantized(node.inputs[0]), *e.quantized(node.outputs[0])[1:]]
    e.put(node, f"QLinear{node.op}", inputs, DOMAIN, ("dilations",))
    return True


def _concat(e: _QOperators, node: Node, types: list[TensorType]) -> bool:
    every = [e.graph.types[v] for v in (*node.inputs, *node.outputs)]
    if not _are_bytes(every) or len({t.dtype for t in every}) > 1:
        return False
    parts = [name for v in node.inputs for name in e.quantized(v)]
    e.put(node, "QLinearConcat", [*e.quantized(node.outputs[0])[1:], *parts], DOMAIN)
    return True


def _move(e: _QOperators, node: Node, types: list[TensorType]) -> bool:
    x, y = e.graph.types[node.inputs[0]], e.graph.types[node.outputs[0]]
    if x.quant != y.quant or not _are_bytes([x, y]) or len([o for o in node.outputs if o]) > 1:
        return False
    e.keep(node.inputs)
    e.put(node, node.op, list(node.inputs))
    return True


def _operands(e: _QOperators, node: Node) -> list[str]:
    return [*e.quantized(node.inputs[0]), *e.quantized(node.inputs[1])]


def _are_bytes(types: list[TensorType]) -> bool:
    return all(t.is_quantized and t.dtype in _BYTES and t.quant is not None and t.quant.block is None for t in types)


_FORMS: dict[str, Callable[[_QOperators, Node, list[TensorType]], bool]] = {
    "Conv": _conv, "MatMul": _product, "Gemm": _product, "Concat": _concat,
    **dict.fromkeys(_PAIRS, _pair), **dict.fromkeys(_MEANS, _mean), **dict.fromkeys(_MOVES, _move),
}  # fmt: skip
