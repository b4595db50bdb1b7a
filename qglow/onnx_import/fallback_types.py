"""Types of an `Onnx` node's outputs: what the op's schema infers from the types of its inputs and from those that are
constants."""

from __future__ import annotations

from functools import lru_cache

import onnx
from onnx import TypeProto, helper, numpy_helper

from ..graph import Array, DType, Node, TensorType
from .opsets import domain_of
from .own_meanings import attributes_of
from .spectra import stft_type

_MOST = 4096  # elements of a constant that inference is shown
_OWN = {"STFT": stft_type}  # where inference is wrong


@lru_cache(maxsize=256)
def _proto(data: bytes) -> onnx.NodeProto:
    return onnx.NodeProto.FromString(data)


def infer(node: Node, types: list[TensorType | None], constants: list[Array | None]) -> list[TensorType | None]:
    """The static type of each output; None where the schema does not say, as of every op whose shapes depend on data,
    of sequences, of strings, and of ops without a schema. types, constants: of the node's inputs, None where omitted or
    not known."""
    proto = _proto(node.attributes["proto"])
    unknown: list[TensorType | None] = [None] * len(node.outputs)
    version = dict(map(domain_of, node.attributes["opset"])).get(proto.domain)
    names = proto.input
    # NOTE: with captured values there is a subgraph, of which the schema knows too little
    if version is None or len(types) > len(names):
        return unknown
    given = {n: _type(t) for n, t in zip(names, types, strict=True) if n and t is not None}
    data = {
        n: numpy_helper.from_array(c, n)
        for n, c in zip(names, constants, strict=True)
        if n and c is not None and c.size <= _MOST
    }
    try:
        if (own := _OWN.get(proto.op_type)) is not None and proto.domain in ("", "ai.onnx"):
            return [own(attributes_of(proto), types, constants)]
        schema = onnx.defs.get_schema(proto.op_type, version, proto.domain)
        opsets = [helper.make_opsetid(proto.domain, version)]
        found = onnx.shape_inference.infer_node_outputs(schema, proto, given, data, opset_imports=opsets)
    except Exception:  # NOTE: whatever it is that inference cannot do, the op itself will tell
        return unknown
    return [_static(found[o]) if o in found else None for o in proto.output]


def _type(t: TensorType) -> TypeProto:
    dtype = DType.F32 if t.is_quantized else t.dtype
    return helper.make_tensor_type_proto(helper.np_dtype_to_tensor_dtype(dtype.numpy), t.static_shape)


def _static(t: TypeProto) -> TensorType | None:
    tensor = t.tensor_type
    dims = [d.dim_value for d in tensor.shape.dim if d.HasField("dim_value")]
    if not t.HasField("tensor_type") or not tensor.HasField("shape") or len(dims) < len(tensor.shape.dim):
        return None
    try:
        dtype = DType.of(helper.tensor_dtype_to_np_dtype(tensor.elem_type))
    except KeyError:
        return None
    return None if dtype is DType.STRING else TensorType(dtype, tuple(dims))
