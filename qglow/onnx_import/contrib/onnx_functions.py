"""ONNX's own ops that it defines as functions of others, by the body that it gives for the node."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx

from .body import Body, UnknownTypeError


def body_by_onnx(b: Body) -> None:
    """The nodes of the function body, with names of their own. Raises UnknownTypeError where ONNX gives none for the
    inputs' types."""
    if b.real is np.float16:
        raise UnknownTypeError("float16, of which each step would round by itself,")
    schema: Any = onnx.defs.get_schema(b.node.op_type, b.opset)
    version = max((v for v in schema.context_dependent_function_opset_versions if v <= b.opset), default=0)
    types = [onnx.TypeProto(tensor_type=b.types.get(i)).SerializeToString() for i in b.node.input]
    body = (
        schema.get_context_dependent_function_with_opset_version(version, b.node.SerializeToString(), types)
        if version
        else b""
    )
    function = onnx.FunctionProto.FromString(body)
    if not function.node:
        raise UnknownTypeError("a value of unknown type")
    names = {"": "", **dict(zip(function.input, [*b.node.input, *[""] * len(function.input)], strict=False))}
    names |= dict(zip(function.output, b.node.output, strict=False))
    for n in function.node:
        copy = onnx.NodeProto()
        copy.CopyFrom(n)
        copy.input[:] = [names[i] for i in n.input]
        copy.output[:] = [names.setdefault(o, f"{b.prefix}{o}") for o in n.output]
        copy.name = f"{b.prefix}{len(b.nodes)}"
        b.nodes.append(copy)
