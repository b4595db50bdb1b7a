"""A model with inner values among its outputs, for an engine that is to show them."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import onnx

from ..graph import Graph
from .export_float import export_float


def model_bytes(model: Any) -> bytes:
    """A ModelProto, or the export of a Graph, as bytes."""
    return _proto(model).SerializeToString()  # type: ignore[no-any-return]


def named_values(model: Any) -> list[str]:
    """Names of what the nodes of the model's main graph compute, its outputs among them."""
    return [o for n in _proto(model).graph.node for o in n.output if o]


def with_outputs(model: Any, names: Iterable[str]) -> bytes:
    """The model with the named values as its outputs, and no others. Their types are left to the engine."""
    copy = onnx.ModelProto()
    copy.CopyFrom(_proto(model))
    del copy.graph.output[:]
    copy.graph.output.extend(onnx.ValueInfoProto(name=n) for n in names)
    return copy.SerializeToString()  # type: ignore[no-any-return]


def _proto(model: Any) -> onnx.ModelProto:
    if isinstance(model, Graph):
        return export_float(model)
    return model if isinstance(model, onnx.ModelProto) else onnx.load(str(Path(model)))
