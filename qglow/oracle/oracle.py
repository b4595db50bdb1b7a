"""Which engine says what the float model computes: onnxruntime on the model itself, else the numpy reference on its
graph."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any, Protocol

import numpy as np

from ..errors import in_one_line
from ..graph import Array, Graph
from ..reference import evaluate


class Oracle(Protocol):
    """name: of the engine, as reports show it."""

    @property
    def name(self) -> str: ...

    def outputs(self, feeds: Mapping[str, Array]) -> dict[str, Any]:
        """The graph's outputs by name: arrays; lists for sequences. Raises ModelError where the model does not run on
        these inputs."""
        ...

    def values(self, feeds: Mapping[str, Array], names: Collection[str]) -> dict[str, Array]:
        """Those of the named values that this engine computes."""
        ...

    def value_from(self, known: Mapping[str, Array], name: str) -> Array | None:
        """The named value computed from values that are known, the inputs among them; None where this engine does not
        know it."""
        ...


class ReferenceOracle:
    """The numpy reference on the simplified graph. why: what kept onnxruntime from being asked."""

    def __init__(self, graph: Graph, why: str = "") -> None:
        self.graph, self.why = graph, why
        self.name = "numpy reference" + (f" ({why})" if why else "")

    def outputs(self, feeds: Mapping[str, Array]) -> dict[str, Any]:
        return evaluate(self.graph, feeds, fast=True)

    def values(self, feeds: Mapping[str, Array], names: Collection[str]) -> dict[str, Array]:
        found: dict[str, Array] = {}
        wanted = set(names)
        evaluate(self.graph, feeds, keep=lambda n, a: found.update({n: a}) if n in wanted else None, fast=True)
        return found

    def value_from(self, known: Mapping[str, Array], name: str) -> Array | None:
        node = self.graph.producers().get(name)
        if node is None or not all(i in known or i in self.graph.constants for i in node.inputs if i):
            return None
        inputs = {i: known[i] for i in node.inputs if i and i not in self.graph.constants}
        alone = self.graph.with_(nodes=(node,), inputs=tuple(inputs), outputs=(name,))
        return np.asarray(evaluate(alone, inputs, fast=True)[name])


def float_oracle(model: Any, graph: Graph) -> Oracle:
    """The oracle of a model: a path, an onnx.ModelProto, or a Graph (which is exported for it). graph: the simplified
    float graph.

    onnxruntime runs the model as it is written, without its optimizations. Where it is not installed, or refuses the
    model, the numpy reference evaluates the graph, and the name says why.
    """
    try:
        from .onnxruntime_oracle import OnnxruntimeOracle  # NOTE: onnxruntime may not be installed

        return OnnxruntimeOracle(model, graph)
    except Exception as error:  # NOTE: onnxruntime raises types of its own, and others, for what it does not support
        return ReferenceOracle(graph, f"onnxruntime does not take this model: {in_one_line(error, 120)}")
