"""Read an ONNX model and give the typed graph: newest-opset form of every op, constants as arrays, names kept."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnx.version_converter

from ..arguments import path_of
from ..errors import LimitError, ModelError
from ..graph import Array, Attribute, DType, Graph, GraphBuilder, Node, TensorType
from ..graph.infer import either
from ..graph.verify import verify
from ..reading import read_file
from ..reference import retype
from .adapters import adapt, trains_by_input
from .aligned import with_aligned_operands
from .block_weights import joined_blocks
from .completed import completed, for_checker
from .contrib import with_standard_ops
from .einsum import append_product, product_of
from .element_types import DTYPES, ValueTypes, array_of
from .external_data import load_external_data
from .functions import inlined as without_functions
from .import_if import Scope, inlined, without_claims
from .inference import infer_shapes
from .onnx_fallback import captures, fallback_node, is_fallback
from .widened import narrow_boundary, widened, with_narrow_boundary

OLDEST_OPSET = 7  # that nodes are read in; models of older ones are converted to it by onnx

Model = str | Path | onnx.ModelProto | Graph


def load(model: Model) -> Graph:
    """The graph of a model: a path, a ModelProto, or a Graph (verified, and returned as it is).

    Raises ModelError where the file is missing, truncated, not a model, fails the checker, or has an unsupported opset
    or dtype.
    """
    if isinstance(model, Graph):
        return verify(model)
    if isinstance(model, onnx.ModelProto):
        proto, where = model, "the given ModelProto"
    else:
        path = path_of(model, "the model", ModelError, "a path, an onnx.ModelProto or a Graph")
        proto, where = _read(path), str(path)
    boundary = narrow_boundary(proto)
    proto = completed(with_standard_ops(widened(proto, where), where))
    opset = _check(proto, where)
    if opset < OLDEST_OPSET:
        proto = _converted(proto, opset, where)
    return with_narrow_boundary(imported(without_functions(proto, where), where), boundary)


def imported(proto: onnx.ModelProto, where: str) -> Graph:
    """The graph of a valid model."""
    versions = [o.version for o in proto.opset_import if o.domain in ("", "ai.onnx")]
    graph = Importer(_infer(proto), max(versions, default=onnx.defs.onnx_opset_version()), where).graph()
    return _with_own_sizes(joined_blocks(graph))


def _with_own_sizes(graph: Graph) -> Graph:
    """Shapes by our own rules. ONNX's inference counts windows of ceil_mode that begin in the end padding, which no
    runtime makes, and takes the far end of a Slice with a negative step for the near one."""
    if not all(graph.types[i].is_static for i in graph.inputs):
        return graph
    made = retype(graph, {i: graph.types[i].static_shape for i in graph.inputs}, partly=True).types
    # NOTE: what has no shape has no certain dtype either: later passes find both
    known = [o for n in graph.nodes for o in n.outputs if o and graph.types[o].shape is not None]
    found = {o: made[o].shape for o in known if o in made and made[o].shape is not None}
    return graph.with_(types={**graph.types, **{o: TensorType(graph.types[o].dtype, s) for o, s in found.items()}})


def _read(path: Path) -> onnx.ModelProto:
    data = read_file(path, ModelError, "no such model file")
    if path.suffix == ".qglow":
        raise ModelError(f"{path}: a bundle, and no ONNX model; give the model that it was made of")
    if path.suffix == ".json":
        raise ModelError(
            f"{path}: a .json file, as profiles are, and no ONNX model; a profile is given as --profile FILE"
        )
    try:
        proto = onnx.load_model_from_string(data)
        load_external_data(proto, path.parent)
        return proto
    except ModelError as error:
        raise ModelError(f"{path}: {error}") from error
    except LimitError:
        raise
    except Exception as error:
        raise ModelError(f"{path}: not a readable ONNX model ({_first_line(error)}); is the file complete?") from error


def _check(proto: onnx.ModelProto, where: str) -> int:
    """The opset of the default domain; raises where the model is not valid."""
    if not proto.graph.node and not proto.graph.output:
        raise ModelError(f"{where}: the file holds no ONNX graph; is it complete?")
    versions = [o.version for o in proto.opset_import if o.domain in ("", "ai.onnx")]
    newest = onnx.defs.onnx_opset_version()
    opset = max(versions, default=newest)  # NOTE: without one all nodes are of other domains, which the checker holds
    if not 1 <= opset <= newest:
        raise ModelError(
            f"{where}: opset {opset} is not supported, 1 to {newest} are; convert the model to one of these"
        )
    if (strange := next((t for t in _names(proto.graph) if not isinstance(t, str)), None)) is not None:
        raise ModelError(f"{where}: the name {strange!r} is not valid UTF-8; is the file damaged?")
    try:
        if proto.ByteSize() < 2**31:
            onnx.checker.check_model(for_checker(proto))
    except Exception as error:
        raise ModelError(f"{where}: the ONNX checker refuses it: {_first_line(error)}") from error
    return opset


def _converted(proto: onnx.ModelProto, opset: int, where: str) -> onnx.ModelProto:
    """The model in the oldest opset that nodes are read in."""
    try:
        converted = onnx.version_converter.convert_version(with_aligned_operands(proto), OLDEST_OPSET)
        _stand_up_slopes(converted)
    except Exception as error:
        raise ModelError(
            f"{where}: it is of opset {opset}, and cannot be converted to {OLDEST_OPSET}: {_first_line(error)}"
        ) from error
    return converted


def _stand_up_slopes(proto: onnx.ModelProto) -> None:
    """Before opset 7 the slopes of a PRelu are those of the channels; since then they broadcast from the last axis.
    Raises ValueError."""
    inferred = _infer(proto).graph
    ranks = {v.name: len(v.type.tensor_type.shape.dim) for v in (*inferred.input, *inferred.value_info)}
    initializers = {t.name: t for t in proto.graph.initializer}
    for n in proto.graph.node:
        if n.op_type != "PRelu":
            continue
        slope = initializers.get(n.input[1])
        if slope is None or n.input[0] not in ranks:
            raise ValueError(f"PRelu {n.name or n.output[0]!r}: expected constant slopes and a known rank")
        if len(slope.dims) == 1 and slope.dims[0] > 1:
            slope.dims.extend([1] * (ranks[n.input[0]] - 2))
            for i in proto.graph.input:
                if i.name == slope.name:
                    i.CopyFrom(onnx.helper.make_tensor_value_info(slope.name, slope.data_type, slope.dims))


def _names(g: onnx.GraphProto) -> Iterator[object]:
    """Every name in a graph and in the branches of its nodes."""
    yield from (v.name for v in (*g.input, *g.output, *g.value_info, *g.initializer))
    for n in g.node:
        yield from (*n.input, *n.output, n.name, n.op_type, n.domain)
        for a in n.attribute:
            if a.type == onnx.AttributeProto.GRAPH:
                yield from _names(a.g)


def _infer(proto: onnx.ModelProto) -> onnx.ModelProto:
    try:
        return infer_shapes(without_claims(proto))
    # NOTE: inference is a help, not a need: types that are missing are found when shapes are concrete
    except Exception:
        return without_claims(proto)


def _first_line(error: Exception) -> str:
    lines = str(error).strip().splitlines()
    return lines[0] if lines else type(error).__name__


def attribute_of(attribute: onnx.AttributeProto) -> Attribute:
    """An attribute as a Python value; element types (`to`, `dtype`) are turned into numpy dtype names by the
    adapters."""
    value: Any = onnx.helper.get_attribute_value(attribute)
    if isinstance(value, bytes):
        return value.decode("utf-8", "surrogateescape")
    if isinstance(value, onnx.TensorProto):
        return array_of(value)
    if attribute.type == onnx.AttributeProto.STRINGS:
        return tuple(v.decode("utf-8", "surrogateescape") for v in value)
    return tuple(value) if isinstance(value, (list, tuple)) or hasattr(value, "extend") else value


class Importer:
    """Collects one ONNX graph into a GraphBuilder; `scope` gives the names that a branch's values have there."""

    def __init__(self, proto: onnx.ModelProto, opset: int, where: str) -> None:
        self.proto, self.opset, self.where = proto, opset, where
        self.builder = GraphBuilder()
        self.domains = {o.domain: o.version for o in proto.opset_import}
        self.scope = Scope()
        self.values = ValueTypes(proto.graph)

    def graph(self) -> Graph:
        g, b = self.proto.graph, self.builder
        self.values.check_boundary(g, self.where)
        for info in (*g.input, *g.value_info, *g.output):
            b.types[info.name] = _type_of(info)
        self.initializers(g)
        b.reserve(b.types)
        for n in g.node:
            b.reserve(n.output)
        self.nodes(g)
        self.values.check_outputs(g, self.where)
        initializers = {i.name for i in g.initializer}
        inputs = [i.name for i in g.input if i.name not in initializers]
        return b.build(g.name or "model", inputs, [o.name for o in g.output])

    def initializers(self, g: onnx.GraphProto) -> None:
        for i in g.initializer:
            self.constant(self.scope.name(i.name), array_of(i))

    def constant(self, name: str, array: Array) -> None:
        self.builder.constants[name] = array
        self.builder.types[name] = TensorType(DType.of(array.dtype), tuple(array.shape))

    def nodes(self, g: onnx.GraphProto) -> None:
        for index, proto in enumerate(g.node):
            try:
                self.node(proto, index)
            except ModelError:
                raise
            except Exception as error:
                raise ModelError(
                    f"{self.where}: node {proto.name or index} ({proto.op_type}): {_first_line(error)}"
                ) from error

    def branch(self, g: onnx.GraphProto) -> list[str]:
        """Collect the nodes of an If's branch, under names that nothing else has; the names of what it gives."""
        outer, b, outer_values = self.scope, self.builder, self.values
        self.values = ValueTypes(g).within(outer_values)
        values = [i.name for i in g.initializer] + [o for n in g.node for o in n.output if o]
        self.scope = outer.inner({v: b.fresh(v) for v in values})
        for info in (*g.value_info, *g.output):
            b.types[self.scope.name(info.name)] = _type_of(info)
        self.initializers(g)
        self.nodes(g)
        self.values.check_outputs(g, self.where)
        given = [self.scope.name(o.name) for o in g.output]
        self.scope, self.values = outer, outer_values
        return given

    def node(self, proto: onnx.NodeProto, index: int) -> None:
        b, scope = self.builder, self.scope
        attributes = {a.name: attribute_of(a) for a in proto.attribute if a.type != onnx.AttributeProto.GRAPH}
        outputs = (
            scope.name(proto.output[0]) or b.fresh(f"{proto.op_type}_{index}.0"),
            *map(scope.name, proto.output[1:]),
        )
        self.values.check_node(proto, captures(proto), self.where)
        if proto.op_type == "Constant" and not proto.domain:
            name, value = next(iter(attributes.items()))
            self.constant(
                outputs[0],
                value if name == "value" else np.array(value, {"f": np.float32, "i": np.int64}.get(name[6:7], object)),
            )
            return
        for output in filter(None, outputs):
            b.types.setdefault(output, TensorType(DType.F32, None))
        name = b.fresh(proto.name or f"{proto.op_type}_{index}")
        node = Node(proto.op_type, tuple(scope.name(i) for i in proto.input), outputs, attributes, name)
        if inlined(proto):
            self.select(proto, node)
        elif node.op == "Einsum" and not proto.domain and (product := product_of(b, node)) is not None:
            append_product(b, node, product)
        elif is_fallback(proto) or trains_by_input(b, node):
            b.append(fallback_node(proto, node, self.domains, scope.name))
        else:
            adapt(b, node, self.opset)

    def select(self, proto: onnx.NodeProto, node: Node) -> None:
        """An If: the nodes of both branches, and a Select an output."""
        b, branches = self.builder, {a.name: a.g for a in proto.attribute}
        then, other = (self.branch(branches[k]) for k in ("then_branch", "else_branch"))
        for k, (out, *sides) in enumerate(zip(node.outputs, then, other, strict=True)):
            if not out:
                continue
            dtype = next((b.types[v].dtype for v in sides if b.types[v].shape is not None), b.types[out].dtype)
            for v in sides:
                if b.types[v].shape is None:  # NOTE: what inference knows nothing of: the dtype may be a guess
                    b.types[v] = TensorType(dtype)
            shape = b.types[out].shape
            b.types[out] = TensorType(dtype, either([b.types[v] for v in sides]).shape if shape is None else shape)
            b.append(Node("Select", (node.inputs[0], *sides), (out,), {}, b.fresh(node.name) if k else node.name))


def _type_of(info: onnx.ValueInfoProto) -> TensorType:
    t = info.type.tensor_type
    dtype: DType = DTYPES.get(t.elem_type, DType.F32)
    # NOTE: without a shape a dtype may be a guess
    if not t.HasField("shape") or t.elem_type == onnx.TensorProto.UNDEFINED:
        return TensorType(dtype, None)
    # NOTE: some exporters write a negative size for one that is not known
    dims = [d.dim_value if d.HasField("dim_value") and d.dim_value >= 0 else (d.dim_param or "?") for d in t.shape.dim]
    return TensorType(dtype, tuple(dims))
