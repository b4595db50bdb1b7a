"""Graphs whose inputs and outputs are quantized tensors, and the same graphs with floats in and out.

1. A float input that nothing but Quantize with one set of parameters reads becomes what that makes; a float output that
   Dequantize makes becomes what that reads. All others stay float.
2. Bytes are of the dtype that is asked for, int8 or uint8: the same numbers with a zero point that is 128 less or more,
   which a table translates. Inputs of bytes have one in any case: its result has the layout and the border that its
   readers want, which what comes in has not. int16 stays int16.
3. The graph with floats in and out computes the same integers of what Quantize makes of them: it is the other one
   between Quantize and Dequantize, without the tables of rule 2.
"""

from __future__ import annotations

import numpy as np

from .graph import Array, Graph, GraphBuilder, Node
from .types import DType, TensorType

SHIFTS = {(DType.U8, DType.I8): -128, (DType.I8, DType.U8): 128}
_INTEGERS = {"int8": DType.I8, "uint8": DType.U8}


def shifted(t: TensorType, dtype: DType) -> TensorType:
    """The type of the same numbers in another dtype of bytes; the type itself where it is that, or of 16 bits."""
    shift = SHIFTS.get((t.dtype, dtype))
    if shift is None or t.quant is None:
        return t
    return t._replace(dtype=dtype, quant=t.quant._replace(zero_point=tuple([z + shift for z in t.quant.zero_point])))


def stored_input(graph: Graph, name: str) -> TensorType | None:
    """What every reader of a float input makes of it (rule 1); None where it stays float."""
    readers = [n for n in graph.nodes if name in n.inputs]
    made = {graph.types[n.outputs[0]] for n in readers if n.op == "Quantize"}
    alone = readers and all(n.op == "Quantize" for n in readers) and name not in graph.outputs
    t = made.pop() if alone and len(made) == 1 else None
    return t if t is not None and t.quant is not None and t.quant.axis is None else None


def stored_output(graph: Graph, name: str) -> str | None:
    """The quantized value that a float output is made of (rule 1); None where it stays float."""
    maker = next((n for n in graph.nodes if name in n.outputs), None)
    if maker is None or maker.op != "Dequantize" or graph.outputs.count(name) > 1:
        return None
    quant = graph.types[maker.inputs[0]].quant
    return maker.inputs[0] if quant is not None and quant.axis is None else None


def with_quantized_io(graph: Graph, io: str) -> Graph:
    """The graph with quantized inputs and outputs, where they may be. io: int8 or uint8."""
    dtype, b = _INTEGERS[io], GraphBuilder(graph)
    inputs = {i: t for i in graph.inputs if (t := stored_input(graph, i)) is not None}
    outputs = {o: q for o in graph.outputs if (q := stored_output(graph, o)) is not None}
    b.types |= {name: shifted(t, dtype) for name, t in inputs.items()}
    renamed: dict[str, str] = {}  # values that others take the place of
    for node in graph.nodes:
        if node.op == "Quantize" and node.inputs[0] in inputs and inputs[node.inputs[0]].dtype is DType.I16:
            renamed[node.outputs[0]] = node.inputs[0]
    taken = {n.outputs[0] for n in graph.nodes if n.op == "Quantize" and n.inputs[0] in inputs}
    for o, q in outputs.items():
        free = q not in renamed and q not in taken and q not in graph.inputs
        if free and shifted(graph.types[q], dtype) == graph.types[q]:
            renamed[q] = o
    for o, q in outputs.items():
        b.types[o] = shifted(graph.types[q], dtype)
    read = {i for n in graph.nodes for i in n.inputs}
    real = {o: b.fresh(f"{o}.f32") for o in outputs if o in read}
    b.types |= {name: graph.types[o] for o, name in real.items()}
    for node in graph.nodes:
        made = node.outputs[0]
        if node.op == "Quantize" and node.inputs[0] in inputs:
            if made not in renamed:
                _translate(b, node.inputs[0], made)
            continue
        node = node.with_(inputs=tuple([renamed.get(i, real.get(i, i)) for i in node.inputs]))
        if node.op == "Dequantize" and made in outputs:
            if made in real:
                b.append(node.with_(outputs=(real[made],)))
            if node.inputs[0] != made:
                _translate(b, node.inputs[0], made)
            continue
        b.append(node.with_(outputs=tuple([renamed.get(o, o) for o in node.outputs])))
    return b.build(graph.name, graph.inputs, graph.outputs)


def _translate(b: GraphBuilder, source: str, made: str) -> None:
    """Append what makes the integers of one type of those of another that stand for the same."""
    t = b.types[made]
    if t.dtype is DType.I16:
        b.append(Node("Identity", (source,), (made,), {}, b.fresh(f"{made}:Identity")))
        return
    table = b.add_constant(f"{made}.table", _table(t))
    b.append(Node("Lookup", (source, table), (made,), {"function": "Rescale"}, b.fresh(f"{made}:Lookup")))


def _table(t: TensorType) -> Array:
    """The integers of a type of bytes in order."""
    low, high = t.limits()
    return np.arange(low, high + 1).astype(t.dtype.numpy)


def is_translation(graph: Graph, node: Node) -> bool:
    """Whether a node is what `_translate` makes."""
    source, made = graph.types[node.inputs[0]], graph.types[node.outputs[0]]
    if node.op != "Lookup" or source.quant is None or shifted(source, made.dtype) != made:
        return False
    table = graph.constants[node.inputs[1]]
    return table.ndim == 1 and np.array_equal(table, _table(made))


def with_float_io(graph: Graph) -> Graph:
    """The graph with floats in place of quantized inputs and outputs; itself where it has none."""
    inputs = [i for i in graph.inputs if graph.types[i].is_quantized and i not in graph.outputs]
    outputs = [o for o in graph.outputs if graph.types[o].is_quantized and o not in graph.inputs]
    if not inputs and not outputs:
        return graph
    b = GraphBuilder(graph)
    stored = {v: b.fresh(f"{v}.q") for v in (*inputs, *outputs)}
    b.types |= {stored[v]: graph.types[v] for v in stored}
    b.types |= {v: TensorType(DType.F32, graph.types[v].shape) for v in stored}
    makers, readers = graph.producers(), graph.consumers()
    direct = {i for i in inputs if i in readers and all(is_translation(graph, n) for n in readers[i])}
    for i in (i for i in inputs if i not in direct):
        b.append(Node("Quantize", (i,), (stored[i],), {}, b.fresh(f"{stored[i]}:Quantize")))
    sources = {o: makers[o].inputs[0] for o in outputs if is_translation(graph, makers[o]) and o not in readers}
    for node in graph.nodes:
        if node.inputs and node.inputs[0] in direct:
            b.append(Node("Quantize", node.inputs[:1], (stored.get(node.outputs[0], node.outputs[0]),), {}, node.name))
        elif node.outputs[0] not in sources:
            inside = [tuple([stored.get(v, v) for v in names]) for names in (node.inputs, node.outputs)]
            b.append(node.with_(inputs=inside[0], outputs=inside[1]))
    for o in outputs:
        source = sources.get(o, o)
        b.append(Node("Dequantize", (stored.get(source, source),), (o,), {}, b.fresh(f"{o}:Dequantize")))
    return b.build(graph.name, graph.inputs, graph.outputs)
