"""The first layer that goes wrong: every int8 value beside its float one, in the order of the layers, and nothing else
of what a report holds. The layer is then run alone on its true inputs, which tells its own error from those before it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from ..graph import Array, Graph, Node
from ..ops.traits import ONNX_QUANTIZATION
from ..oracle import Oracle
from ..profiling.ahead import ahead
from ..profiling.dataset import Dataset, Sample
from ..progress import track
from ..threads import side_by_side
from .agreement import Agreement, compare_layers, compare_outputs, merge_each
from .comparison import Error
from .float_values import float_values
from .isolated_layer_error import add_isolated_errors
from .layer_values import LayerValues
from .stored import float_name, saturated, with_masks_cut


@dataclass(frozen=True, slots=True)
class WrongLayer:
    """value: what the node makes, by its float name. error: of it; own: of the node alone on its true inputs, where
    that can be said; errors: of all values."""

    node: Node
    value: str
    error: Error
    own: Error | None
    errors: Mapping[str, Error]


class LayerByLayer:
    """An int8 graph beside its float one, value by value, on samples. Raises what either side does."""

    def __init__(self, graph: Graph, quantized: Graph, oracle: Oracle) -> None:
        self.graph, self.quantized, self.oracle = graph, quantized, oracle
        self.came_quantized = any(n.has(ONNX_QUANTIZATION) for n in graph.nodes)
        self.names = frozenset(float_name(v) for n in quantized.nodes for v in (*n.inputs, *n.outputs) if v)
        self.layers = LayerValues(quantized)

    def first_below(self, floor_db: float, data: Dataset, quiet: bool = True) -> tuple[WrongLayer | None, int]:
        """The first layer whose ratio over the samples is below the floor, in dB; and how many samples there were."""
        found = Agreement()
        ready = ahead(data) if data.can_be_cut else data  # NOTE: an iterable of others is read in their thread
        for _, one in track(side_by_side(self._compared, ready), "comparing", data.total, quiet):
            found.merge(one)
        errors = {n: e for n, e in found.outputs.items() if isinstance(e, Error)} | found.layers
        for node in self.quantized.nodes:
            for value in (float_name(o) for o in node.outputs if o):
                if value in errors and errors[value].sqnr_db < floor_db:
                    return WrongLayer(node, value, errors[value], self._own(node, value, data), errors), found.samples
        return None, found.samples

    def _compared(self, sample: Sample) -> Agreement:
        found, values = Agreement(), self.layers.of(sample.feeds)
        real = float_values(self.oracle, self.graph, sample.feeds, self.names)
        outputs = real if real.keys() >= set(self.quantized.outputs) else self.oracle.outputs(sample.feeds)
        arrays = tuple(o for o in self.quantized.outputs if o in values and isinstance(outputs[o], np.ndarray))
        compare_outputs(found, outputs, self.quantized.with_(outputs=arrays), values)
        layers = with_masks_cut(self.quantized, self._cut(real))
        compare_layers(found, layers, self.quantized, values)
        return found

    def _cut(self, real: dict[str, Array]) -> dict[str, Array]:
        return saturated(self.quantized, real) if self.came_quantized else real

    def _own(self, node: Node, value: str, data: Dataset) -> Error | None:
        names = frozenset(float_name(v) for v in (*node.inputs, *node.outputs) if v)

        def alone(sample: Sample) -> dict[str, Error]:
            own: dict[str, Error] = {}
            real = float_values(self.oracle, self.graph, sample.feeds, names)
            add_isolated_errors(own, self.layers, self._cut(real))
            return own

        found: dict[str, Error] = {}
        for _, one in side_by_side(alone, data):
            merge_each(found, one)
        return found.get(value)
