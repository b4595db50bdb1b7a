"""Calibration data that looks wrong is said so: a bad preprocessing costs more accuracy than int8 does."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import numpy as np

from ..graph import Graph
from .observers import Observer


def warnings_of(graph: Graph, observers: Mapping[str, Observer]) -> Iterator[str]:
    """One line for each thing that is implausible about the inputs."""
    for name in graph.inputs:
        o = observers.get(name)
        if o is None or not o.count:
            continue
        if o.min == o.max:
            yield f"input {name!r} is constant ({o.min:g}) in every sample: are the inputs what the model expects?"
        shape = graph.types[name].shape
        picture = shape is not None and len(shape) == 4 and shape[1] == 3
        if picture and o.min >= 0 and 1.5 < o.max <= 255 and _normalizes_nothing(graph, name):
            yield (
                f"input {name!r} holds {o.min:g} to {o.max:g}: pixels that were not scaled? "
                "Check scale, mean and std in dataset.toml against the model's training"
            )


def _normalizes_nothing(graph: Graph, name: str) -> bool:
    """Whether the first layer's weights are of the size that suits inputs near 1, so that 0 to 255 would saturate the network."""
    first = graph.consumers().get(name, [])
    if not first or first[0].op != "Conv" or first[0].inputs[1] not in graph.constants:
        return False
    w = graph.constants[first[0].inputs[1]]
    return bool(np.abs(w).sum(tuple(range(1, w.ndim))).mean() > 1.0)
