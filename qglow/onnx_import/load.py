"""Read an ONNX model and give the typed graph: newest-opset form of every op, constants as arrays, names kept."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import numpy_helper

from ..errors import ModelError
from ..graph import Array, Attribute, Graph, GraphBuilder, Kind, Node, TensorType
from .adapters import adapt
from .foreign import foreign_node, is_foreign

OLDEST_OPSET = 7

Model = str | Path | onnx.ModelProto | Graph


def load(model: Model) -> Graph:
    """The graph of a model: a path, a ModelProto, or a Graph (returned as it is).

    Raises ModelError where the file is missing, truncated, not a model, fails the checker, or has an opset older than 7.
    """
    if isinstance(model, Graph):
        return model
    proto, where = (model, "the given ModelProto") if isinstance(model, onnx.ModelProto) else (_read(Path(model)), str(model))
    opset = _check(proto, where)
    inferred = _infer(proto)
    return _Importer(inferred, opset, where).graph()


def _read(path: Path) -> onnx.ModelProto:
    if not path.is_file():
        raise ModelError(f"{path}: no such model file")
    try:
        return onnx.load(str(path))
    except Exception as error:
        raise ModelError(f"{path}: not a readable ONNX model ({_first_line(error)}); is the file complete?") from error


def _check(proto: onnx.ModelProto, where: str) -> int:
    """The opset of the default domain; raises where the model is not valid."""
    if not proto.graph.node and not proto.graph.output:
        raise ModelError(f"{where}: the file holds no ONNX graph; is it complete?")
    versions = [o.version for o in proto.opset_import if o.domain in ("", "ai.onnx")]
    opset = max(versions, default=1)
    newest = onnx.defs.onnx_opset_version()
    if not OLDEST_OPSET <= opset <= newest:
        raise ModelError(f"{where}: opset {opset} is not supported, {OLDEST_OPSET} to {newest} are; convert the model to one of these")
    g = proto.graph
    names = [t for n in g.node for t in (*n.input, *n.output, n.name, n.op_type, n.domain)]
    names += [v.name for v in (*g.input, *g.output, *g.value_info, *g.initializer)]
    if (strange := next((t for t in names if not isinstance(t, str)), None)) is not None:
        raise ModelError(f"{where}: the name {strange!r} is not valid UTF-8; is the file damaged?")
    try:
        if proto.ByteSize() < 2**31:
            onnx.checker.check_model(proto)
    except Exception as error:
        raise ModelError(f"{where}: the ONNX checker refuses it: {_first_line(error)}") from error
    return opset


def _infer(proto: onnx.ModelProto) -> onnx.ModelProto:
    try:
        return onnx.shape_inference.infer_shapes(proto, data_prop=True)
    except Exception:  # NOTE: inference is a help, not a need: types that are missing are found when shapes are concrete
        return proto


def _first_line(error: Exception) -> str:
    lines = str(error).strip().splitlines()
    return lines[0] if lines else type(error).__name__


def array_of(tensor: onnx.TensorProto) -> Array:
    """The tensor's data, bfloat16 and smaller floats widened to float32."""
    array = numpy_helper.to_array(tensor)
    if array.dtype.kind == "V" or array.dtype.name not in np.sctypeDict:
        array = array.astype(np.float32)
    return np.ascontiguousarray(array) if array.ndim else array


def attribute_of(attribute: onnx.AttributeProto) -> Attribute:
    """An attribute as a Python value; element types (`to`, `dtype`) are turned into numpy dtype names by the adapters."""
    value: Any = onnx.helper.get_attribute_value(attribute)
    if isinstance(value, bytes):
        return value.decode("utf-8", "surrogateescape")
    if isinstance(value, onnx.TensorProto):
        return array_of(value)
    if attribute.type == onnx.AttributeProto.STRINGS:
        return tuple(v.decode("utf-8", "surrogateescape") for v in value)
    return tuple(value) if isinstance(value, (list, tuple)) or hasattr(value, "extend") else value


class _Importer:
    """Collects one ONNX graph into a GraphBuilder."""

    def __init__(self, proto: onnx.ModelProto, opset: int, where: str) -> None:
        self.proto, self.opset, self.where = proto, opset, where
        self.builder = GraphBuilder()
        self.domains = {o.domain: o.version for o in proto.opset_import}

    def graph(self) -> Graph:
        g, b = self.proto.graph, self.builder
        initializers = {i.name: array_of(i) for i in g.initializer}
        for info in (*g.input, *g.value_info, *g.output):
            b.types[info.name] = _type_of(info)
        for name, array in initializers.items():
            b.constants[name] = array
            b.types[name] = TensorType(Kind.of(array.dtype), tuple(array.shape))
        b._taken.update(b.types)
        for n in g.node:
            b._taken.update(n.output)
        for index, proto in enumerate(g.node):
            try:
                self.node(proto, index)
            except ModelError:
                raise
            except Exception as error:
                raise ModelError(f"{self.where}: node {proto.name or index} ({proto.op_type}): {_first_line(error)}") from error
        inputs = [i.name for i in g.input if i.name not in initializers]
        return b.build(g.name or "model", inputs, [o.name for o in g.output])

    def node(self, proto: onnx.NodeProto, index: int) -> None:
        b = self.builder
        attributes = {a.name: attribute_of(a) for a in proto.attribute if a.type != onnx.AttributeProto.GRAPH}
        if proto.op_type == "Constant" and not proto.domain:
            name, value = next(iter(attributes.items()))
            array = value if name == "value" else np.array(value, {"f": np.float32, "i": np.int64}.get(name[6:7], object))
            b.constants[proto.output[0]] = array
            b.types[proto.output[0]] = TensorType(Kind.of(array.dtype), tuple(array.shape))
            return
        for output in proto.output:
            b.types.setdefault(output, TensorType(Kind.F32, None))
        name = b.fresh(proto.name or f"{proto.op_type}_{index}")
        node = Node(proto.op_type, tuple(proto.input), tuple(proto.output), attributes, name)
        if is_foreign(proto):
            b.append(foreign_node(proto, node, self.domains))
        else:
            adapt(b, node, self.opset)


def _type_of(info: onnx.ValueInfoProto) -> TensorType:
    t = info.type.tensor_type
    try:
        kind = Kind.of(onnx.helper.tensor_dtype_to_np_dtype(t.elem_type))
    except (KeyError, ValueError):
        kind = Kind.F32
    if not t.HasField("shape"):
        return TensorType(kind, None)
    dims = [d.dim_value if d.HasField("dim_value") else (d.dim_param or "?") for d in t.shape.dim]
    return TensorType(kind, tuple(dims))
