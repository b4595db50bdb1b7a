"""Calibration data that looks wrong is said so: a bad preprocessing costs more accuracy than int8 does."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import numpy as np

from ..graph import Graph
from .observers import Observer

CHECK = "Check scale, mean and std in dataset.toml against the model's training"
# sums of a first filter's |weights|: above the one it wants inputs near 1, below the other 0..255
SUITS_UNIT, SUITS_BYTES = 1.0, 0.2


def warnings_of(graph: Graph, observers: Mapping[str, Observer]) -> Iterator[str]:
    """One line for each thing that is implausible about the inputs."""
    for name in graph.inputs:
        o = observers.get(name)
        if o is None or not o.count:
            continue
        if o.min == o.max:
            yield f"input {name!r} is constant ({o.min:g}) in every sample: are the inputs what the model expects?"
            continue
        yield from _constant_channels(name, o)
        shape = graph.types[name].shape
        weights = _first_weights(graph, name)
        if shape is None or len(shape) != 4 or shape[1] != 3 or weights is None:
            continue
        if o.min >= 0 and 1.5 < o.max <= 255 and weights > SUITS_UNIT:
            yield f"input {name!r} holds {o.min:g} to {o.max:g}: pixels that were not scaled? {CHECK}"
        if max(-o.min, o.max) <= 4 and weights < SUITS_BYTES:
            suits = "the model's first layer suits pixels of 0 to 255"
            yield f"input {name!r} holds {o.min:g} to {o.max:g}, and {suits}: scaled twice? {CHECK}"


def _constant_channels(name: str, o: Observer) -> Iterator[str]:
    if o.channel_min is None or o.channel_max is None or len(o.channel_min) > 16:
        return
    same = [k for k, (low, high) in enumerate(zip(o.channel_min, o.channel_max, strict=True)) if low == high]
    if same and len(same) < len(o.channel_min):
        yield (
            f"input {name!r} is constant in channel {', '.join(map(str, same))} of every sample: is a channel missing?"
        )


def _first_weights(graph: Graph, name: str) -> float | None:
    """Mean over the filters of the first convolution of the sum of |weights|: how large an input near 1 comes out."""
    first = graph.consumers().get(name, [])
    if not first or first[0].op != "Conv" or first[0].inputs[1] not in graph.constants:
        return None
    w = graph.constants[first[0].inputs[1]]
    return float(np.abs(w).sum(tuple(range(1, w.ndim))).mean())
