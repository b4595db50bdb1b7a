"""Which ONNX types a value may have: tensors of the dtypes that `DType` has.

1. An input, an output, or what a node outside of a subgraph gives, is a tensor of such a dtype; any other is refused by
   name.
2. A constant may have a narrower dtype (bfloat16, float8, int4 ...) where a node turns it into one of these at once, as
   weights are kept: it is widened, which no value of the narrow dtype is changed by. Any other reader of it is refused.
3. A sequence is what an operator of sequences makes, whatever its declared type. Only operators of sequences read it,
   and no graph has one as input or output.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from math import prod

import numpy as np
import onnx
from onnx import TensorProto, numpy_helper

from ..errors import ModelError
from ..graph import Array, DType
from .lists import MAKERS, fault_of_reads

DTYPES: dict[int, DType] = {
    TensorProto.FLOAT: DType.F32, TensorProto.FLOAT16: DType.F16, TensorProto.DOUBLE: DType.F64,
    TensorProto.BOOL: DType.BOOL,
    TensorProto.INT8: DType.I8, TensorProto.INT16: DType.I16, TensorProto.INT32: DType.I32,
    TensorProto.INT64: DType.I64,
    TensorProto.UINT8: DType.U8, TensorProto.UINT16: DType.U16, TensorProto.UINT32: DType.U32,
    TensorProto.UINT64: DType.U64,
    TensorProto.STRING: DType.STRING,
}  # fmt: skip
_FLOATS = {"BFLOAT16", "FLOAT8E4M3FN", "FLOAT8E4M3FNUZ", "FLOAT8E5M2", "FLOAT8E5M2FNUZ", "FLOAT8E8M0", "FLOAT4E2M1"}
_WIDENED = {
    **dict.fromkeys(_FLOATS, np.float32),
    "INT4": np.int8,
    "INT2": np.int8,
    "UINT4": np.uint8,
    "UINT2": np.uint8,
}
_PER_BYTE = {"INT4": 2, "FLOAT4": 2, "INT2": 4}  # elements in a byte, of dtypes whose names have these parts
_CONVERTERS = {"Cast": _FLOATS | set(_WIDENED), "CastLike": set(_WIDENED), "DequantizeLinear": set(_WIDENED) - _FLOATS}


def name_of(element: int) -> str:
    """The name of an element type, as error messages have it."""
    return (
        str(TensorProto.DataType.Name(element)).lower()
        if element in TensorProto.DataType.values()
        else f"number {element}"
    )


def array_of(tensor: TensorProto) -> Array:
    """The tensor's data, dtypes narrower than those of `DType` widened. Raises ModelError for a dtype that cannot
    be."""
    wide = _WIDENED.get(name_of(tensor.data_type).upper())
    if wide is None and tensor.data_type not in DTYPES:
        raise ModelError(
            f"the constant {tensor.name!r} is of dtype {name_of(tensor.data_type)}, which is not supported"
        )
    _check_size(tensor)
    array = numpy_helper.to_array(tensor)
    array = array.astype(wide) if wide is not None else array
    return np.ascontiguousarray(array) if array.ndim else array


def _check_size(tensor: TensorProto) -> None:
    """Raise ModelError where a tensor holds more or less data than its dimensions say."""
    label = f"the constant {tensor.name!r}"
    if any(d < 0 for d in tensor.dims):
        raise ModelError(f"{label} has the shape {list(tensor.dims)[:8]}")
    count, element = prod(tensor.dims), TensorProto.DataType.Name(tensor.data_type)
    packed = next((k for name, k in _PER_BYTE.items() if name in element), 1)
    if tensor.HasField("raw_data") and element != "STRING":
        size = np.dtype(onnx.helper.tensor_dtype_to_np_dtype(tensor.data_type)).itemsize
        held, expected, what = len(tensor.raw_data), -(-count // packed) * size, "bytes"
    else:
        field = onnx.helper.tensor_dtype_to_field(tensor.data_type)
        held, expected, what = len(getattr(tensor, field)), -(-count // packed), f"values in {field}"
    if held != expected:
        raise ModelError(
            f"{label} of shape {list(tensor.dims)[:8]} and dtype {element.lower()} holds {held} {what}, expected "
            f"{expected}"
        )


def fault_of_type(t: onnx.TypeProto) -> str | None:
    """What of a value's type is not supported, or None; a type that says nothing is no fault."""
    what = t.WhichOneof("value")
    if what is None:
        return None
    if what != "tensor_type":
        return f"is a {what.removesuffix('_type').replace('_', ' ')}; only tensors are supported"
    element = t.tensor_type.elem_type
    return (
        None
        if element in DTYPES or element == TensorProto.UNDEFINED
        else f"is of dtype {name_of(element)}, which is not supported"
    )


class ValueTypes:
    """What is known of the types of a graph's values that are not supported, and of its narrow constants."""

    def __init__(self, graph: onnx.GraphProto) -> None:
        infos = (*graph.input, *graph.output, *graph.value_info)
        self.faults = {i.name: fault for i in infos if (fault := fault_of_type(i.type)) is not None}
        self.narrow = dict(_narrow(graph.initializer))
        self.sequences: set[str] = set()

    def within(self, outer: ValueTypes) -> ValueTypes:
        """With what is known of the values of the graph around this one."""
        self.faults, self.narrow = {**outer.faults, **self.faults}, {**outer.narrow, **self.narrow}
        self.sequences = set(outer.sequences)
        return self

    def check_boundary(self, graph: onnx.GraphProto, where: str) -> None:
        """Raise ModelError where an input or output of the graph is not supported."""
        for what, infos in (("input", graph.input), ("output", graph.output)):
            for i in infos:
                if i.name in self.faults and i.name not in self.narrow:
                    raise ModelError(f"{where}: {what} {i.name!r} {self.faults[i.name]}")

    def check_outputs(self, graph: onnx.GraphProto, where: str) -> None:
        """Raise ModelError where the graph, of which all nodes were seen, or a branch, gives a sequence."""
        for o in graph.output:
            if o.name in self.sequences:
                raise ModelError(f"{where}: output {o.name!r} is a sequence; only tensors are supported")

    def check_node(self, node: onnx.NodeProto, captured: Iterable[str], where: str) -> None:
        """Raise ModelError, naming the node, where it reads or gives what is not supported. captured: what its
        subgraphs read."""
        label = f"{where}: node {node.name or node.output[0]!r} ({node.op_type})"
        for a in node.attribute:
            for _, dtype in (
                _narrow([a.t]) if node.op_type == "Constant" and a.type == onnx.AttributeProto.TENSOR else ()
            ):
                self.narrow[node.output[0]] = dtype
        for i in node.input:
            if i in self.narrow and self.narrow[i] not in _CONVERTERS.get(node.op_type, ()):
                raise ModelError(f"{label}: {i!r} is of dtype {self.narrow[i].lower()}, which only a Cast may read")
        if (fault := fault_of_reads(node.op_type, node.domain, node.input, captured, self.sequences)) is not None:
            raise ModelError(f"{label}: {fault}")
        if node.op_type in MAKERS and node.domain in ("", "ai.onnx"):
            self.sequences.update(filter(None, node.output))
            return
        for o in node.output:
            if o in self.faults and o not in self.narrow:
                raise ModelError(f"{label}: {o!r} {self.faults[o]}")


def _narrow(tensors: Iterable[TensorProto]) -> Iterator[tuple[str, str]]:
    for t in tensors:
        if (dtype := name_of(t.data_type).upper()) in _WIDENED:
            yield t.name, dtype
