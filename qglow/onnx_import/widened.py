"""float16 and bfloat16 as formats of storage: a model of them becomes the same model of float32.

1. Every tensor of these dtypes, every declared type, and every attribute that names one of them is float32 instead, in
   branches and bodies too. No number changes: float32 holds each of them.
2. Arithmetic is that of float32: nothing is rounded to 11 or 8 bits within the model, and nothing overflows at 65504.
3. A float16 input or output keeps its dtype: a Cast stands behind or before it (`with_narrow_boundary`), so that an
   output is rounded once, and infinite beyond 65504. numpy has no bfloat16: such inputs and outputs are float32.
4. A model with a BitCast, which reads the bits of a number, stays as it is.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from math import prod

import numpy as np
import onnx
from onnx import AttributeProto, TensorProto, numpy_helper

from ..graph import DType, Graph, Node, TensorType
from ..limits import check_memory
from .completed import completed
from .element_types import array_of
from .functions import inlined

NARROW = (TensorProto.FLOAT16, TensorProto.BFLOAT16)
# attributes whose integer is an element type
DTYPE_ATTRIBUTES = {
    "to", "dtype", "output_dtype", "output_datatype", "precision", "stash_type", "softmax_precision",
}  # fmt: skip


def widened(proto: onnx.ModelProto, where: str) -> onnx.ModelProto:
    """The model with float32 in place of float16 and bfloat16; the same object where it has neither.

    Raises ModelError where its functions cannot be inlined, and LimitError where its constants take too much memory.
    """
    bodies = [proto.graph, *proto.functions]
    bits = any(n.op_type == "BitCast" for b in bodies for n in _nodes(b.node))
    if bits or not any(map(_holds_narrow, bodies)):
        return proto
    result = onnx.ModelProto()
    result.CopyFrom(inlined(proto, where))  # NOTE: a function may name a dtype by an attribute of any name
    check_memory(4 * sum(prod(t.dims) for t in result.graph.initializer), f"{where}: its constants as float32")
    _widen_graph(result.graph)
    return result


def narrow_boundary(proto: onnx.ModelProto) -> dict[str, DType]:
    """The inputs and outputs of a model that are float16."""
    graph = completed(proto).graph if any(_holds_narrow(g) for g in (proto.graph, *proto.functions)) else proto.graph
    values = (*graph.input, *graph.output)
    return {v.name: DType.F16 for v in values if v.type.tensor_type.elem_type == TensorProto.FLOAT16}


def with_narrow_boundary(graph: Graph, dtypes: Mapping[str, DType]) -> Graph:
    """A float32 graph with inputs and outputs of the given dtypes, and a Cast between each and what it is within."""
    taken = {*graph.types, *(n.name for n in graph.nodes)}
    inner: dict[str, str] = {}
    for name in dict.fromkeys((*graph.inputs, *graph.outputs)):
        if name in dtypes and graph.types[name].dtype is DType.F32:
            inner[name] = _fresh(f"{name}.f32", taken)
    if not inner:
        return graph
    nodes = [_cast(i, inner[i], DType.F32, taken) for i in graph.inputs if i in inner]
    nodes += [
        n.with_(inputs=tuple(inner.get(i, i) for i in n.inputs), outputs=tuple(inner.get(o, o) for o in n.outputs))
        for n in graph.nodes
    ]
    made = [o for o in dict.fromkeys(graph.outputs) if o in inner and o not in graph.inputs]
    nodes += [_cast(inner[o], o, dtypes[o], taken) for o in made]
    types = {inner.get(v, v): t for v, t in graph.types.items()}
    types |= {v: TensorType(dtypes[v], graph.types[v].shape) for v in inner}
    constants = {inner.get(v, v): a for v, a in graph.constants.items()}
    return graph.with_(nodes=tuple(nodes), types=types, constants=constants)


def _cast(x: str, y: str, dtype: DType, taken: set[str]) -> Node:
    return Node("Cast", (x,), (y,), {"to": dtype.numpy.name}, _fresh(f"{y}:Cast", taken))


def _fresh(hint: str, taken: set[str]) -> str:
    name = hint
    while name in taken:
        name += "_"
    taken.add(name)
    return name


def _nodes(nodes: Iterable[onnx.NodeProto]) -> Iterator[onnx.NodeProto]:
    """Nodes, and those of the graphs that they carry."""
    for n in nodes:
        yield n
        for g in _graphs(n):
            yield from _nodes(g.node)


def _graphs(n: onnx.NodeProto) -> Iterator[onnx.GraphProto]:
    for a in n.attribute:
        if a.type in (AttributeProto.GRAPH, AttributeProto.GRAPHS):
            yield from (a.g, *a.graphs) if a.type == AttributeProto.GRAPH else a.graphs


def _holds_narrow(body: onnx.GraphProto | onnx.FunctionProto) -> bool:
    """Whether a graph or function has a tensor of a narrow dtype, declares one, or makes one."""
    if isinstance(body, onnx.GraphProto):
        sparse = [s.values for s in body.sparse_initializer]
        if any(t.data_type in NARROW for t in (*body.initializer, *sparse)):
            return True
        if any(_is_narrow(v.type) for v in (*body.input, *body.output, *body.value_info)):
            return True
    return any(_makes_narrow(a) for n in body.node for a in n.attribute)


def _makes_narrow(a: onnx.AttributeProto) -> bool:
    if a.type == AttributeProto.INT:
        return a.name in DTYPE_ATTRIBUTES and a.i in NARROW
    if a.type == AttributeProto.STRING:
        return a.name == "to" and a.s in (b"FLOAT16", b"BFLOAT16")
    tensors = (*a.tensors, *([a.t] if a.type == AttributeProto.TENSOR else []))
    if any(t.data_type in NARROW for t in tensors) or a.sparse_tensor.values.data_type in NARROW:
        return True
    if a.type == AttributeProto.TYPE_PROTO:
        return _is_narrow(a.tp)
    return any(map(_holds_narrow, (*a.graphs, *([a.g] if a.type == AttributeProto.GRAPH else []))))


def _element_types(t: onnx.TypeProto) -> Iterator[onnx.TypeProto.Tensor | onnx.TypeProto.SparseTensor]:
    """The tensors of which a type is made."""
    what = t.WhichOneof("value")
    if what in ("tensor_type", "sparse_tensor_type"):
        yield getattr(t, what)
    elif what in ("sequence_type", "optional_type"):
        yield from _element_types(getattr(t, what).elem_type)
    elif what == "map_type":
        yield from _element_types(t.map_type.value_type)


def _is_narrow(t: onnx.TypeProto) -> bool:
    return any(e.elem_type in NARROW for e in _element_types(t))


def _widen_graph(g: onnx.GraphProto) -> None:
    for v in (*g.input, *g.output, *g.value_info):
        _widen_type(v.type)
    for t in (*g.initializer, *(s.values for s in g.sparse_initializer)):
        _widen_tensor(t)
    for n in g.node:
        for a in n.attribute:
            _widen_attribute(a)


def _widen_attribute(a: onnx.AttributeProto) -> None:
    if a.type == AttributeProto.INT and a.name in DTYPE_ATTRIBUTES and a.i in NARROW:
        a.i = TensorProto.FLOAT
    elif a.type == AttributeProto.STRING and a.name == "to" and a.s in (b"FLOAT16", b"BFLOAT16"):
        a.s = b"FLOAT"
    elif a.type == AttributeProto.TENSOR:
        _widen_tensor(a.t)
    elif a.type == AttributeProto.TENSORS:
        for t in a.tensors:
            _widen_tensor(t)
    elif a.type == AttributeProto.SPARSE_TENSOR:
        _widen_tensor(a.sparse_tensor.values)
    elif a.type == AttributeProto.TYPE_PROTO:
        _widen_type(a.tp)
    elif a.type == AttributeProto.GRAPH:
        _widen_graph(a.g)
    elif a.type == AttributeProto.GRAPHS:
        for g in a.graphs:
            _widen_graph(g)


def _widen_type(t: onnx.TypeProto) -> None:
    for e in _element_types(t):
        if e.elem_type in NARROW:
            e.elem_type = TensorProto.FLOAT


def _widen_tensor(t: onnx.TensorProto) -> None:
    if t.data_type in NARROW:
        t.CopyFrom(numpy_helper.from_array(np.asarray(array_of(t), np.float32), t.name))
