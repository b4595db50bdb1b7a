"""Large constants that are cut and put together are constants still: moving elements is no matrix product."""

from __future__ import annotations

import numpy as np
import pytest

from qglow.graph import Graph, Node, TensorType
from qglow.graph.types import DType
from qglow.simplify.constants import fold_constants

WIDE = (1, 256, 512)


def folded(node: Node, **inputs: np.ndarray) -> dict[str, np.ndarray]:
    types = {n: TensorType(DType.of(a.dtype), a.shape) for n, a in inputs.items()}
    x = TensorType(DType.F32, (4,))
    end = Node("Identity", ("x",), ("z",), {}, "end")
    graph = Graph("g", ("x",), ("z",), (node, end), {**types, "y": TensorType(DType.F32), "x": x, "z": x}, inputs)
    return dict(fold_constants(graph).constants)


@pytest.mark.parametrize("op", ["Concat", "Gather", "Where", "Add"])
def test_they_are_folded(op: str) -> None:
    a, b = (np.full(WIDE, k, np.float32) for k in (1, 2))
    inputs = {"a": a, "b": b}
    if op == "Gather":
        inputs["b"] = np.tile(np.arange(256), 2)
    if op == "Where":
        inputs = {"c": np.zeros(WIDE, bool), **inputs}
    attributes = {"Concat": {"axis": 0}, "Gather": {"axis": 1}}.get(op, {})
    assert "y" in folded(Node(op, tuple(inputs), ("y",), attributes, "n"), **inputs)
