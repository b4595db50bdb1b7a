"""The means that attention values lose before quantization (quantization/centred_values.py), from samples that the
profile keeps, and what is known of the values without them.

1. The mean is that of all keys of the samples, rounded from an exact integer: any mean leaves the float model what it
   is, and a near one is enough.
2. What calibration saw of the values has the mean in it, and tells no range without it. The ranges are those of the
   samples, times what calibration saw them exceed by with the mean.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np

from ..graph import Array, DType, Graph, TensorType
from ..profiling.dataset import Sample, spread_indices
from ..profiling.observers import Observer
from ..quantization import QuantState
from ..quantization.centred_values import Attention, Offsets, centred, find_attentions, moved, offsets_of
from ..runtime import InferenceSession
from ..simplify.assume_branches import AssumedBranches

MOST = 16  # samples
BITS = 30  # of a value, of the largest of its tensor


def centre(state: QuantState, data: Sequence[Sample]) -> tuple[QuantState, Offsets]:
    """The state before quantization with the values of its attentions centred, and what each value lost by it."""
    graph, branches, config = state.graph, state.branches, state.config
    samples = [data[k] for k in spread_indices(len(data), MOST)] if data else []
    if not samples or not config.correct_bias or branches is None or branches.assumed:
        return state, {}
    wanted = [a for a in find_attentions(graph) if config.excluded(a.weighted) is None]
    try:
        return _centred(state, branches, wanted, samples) if wanted else (state, {})
    except Exception as error:  # NOTE: a part alone may lack what the whole has, as in layer_bias.py
        logging.getLogger("qglow").debug("no value is centred: %r", error)
        return state, {}


def _centred(
    state: QuantState, branches: AssumedBranches, wanted: Sequence[Attention], samples: Sequence[Sample]
) -> tuple[QuantState, Offsets]:
    graph, observed, every = state.graph, dict(state.observed), dict[str, Array]()
    names = tuple(dict.fromkeys(v for a in wanted for v in (a.source, a.result)))
    session = InferenceSession(graph.with_(outputs=names))
    values = [dict(zip(names, session.run(None, s.feeds), strict=True)) for s in samples]
    for attention in wanted:
        source, result = attention.source, attention.result
        makers = [v[source] for v in values]
        if not all(np.isfinite(x).all() and x.size for x in makers):
            continue
        offsets = offsets_of(graph, attention, _mean(makers), makers[0].shape, values[0][result].shape)
        if not offsets or not every.keys().isdisjoint(offsets):
            continue
        every |= offsets
        for v in values:
            seen = {source: v[source], result: v[result]}
            for node in (*attention.before, *attention.after):
                seen |= moved(graph, node, seen[node.inputs[0]])
            v |= seen
        graph = centred(graph, attention, offsets)
    observed |= {name: _observed(observed.get(name), [v[name] for v in values], o) for name, o in every.items()}
    branches = AssumedBranches(branches.full_graph, graph, branches.assumed)
    return replace(state, graph=graph, observed=observed, branches=branches), every


def with_offsets(graph: Graph, offsets: Mapping[str, Array]) -> Graph:
    """The quantized graph with what its values lost as constants `NAME.offset`, so that they can be compared with those
    of the float model."""
    constants, types = dict(graph.constants), dict(graph.types)
    for value, offset in offsets.items():
        for name in (n for n in (value, f"{value}.q") if n in graph.types):
            constants[f"{name}.offset"] = offset
            types[f"{name}.offset"] = TensorType(DType.F32, offset.shape)
    return graph.with_(constants=constants, types=types) if offsets else graph


def _mean(values: Sequence[Array]) -> Array:
    """float32 [channels], of the last axis."""
    largest = max(float(np.abs(v).max()) for v in values)
    unit = 2.0 ** (np.ceil(np.log2(largest)) - BITS) if largest > 0 else 1.0
    rows = [np.rint(v.reshape(-1, v.shape[-1]).astype(np.float64) / unit).astype(np.int64) for v in values]
    total, count = sum(r.sum(0) for r in rows), sum(len(r) for r in rows)
    return np.asarray(np.asarray(total).astype(np.float64) * unit / count, np.float32)


def _observed(before: Observer | None, values: Sequence[Array], offset: Array) -> Observer:
    """Rule 2. before: of all that calibrated, with the offset; values: of the samples, with it."""
    found = Observer()
    reached = max(float(np.abs(v).max()) for v in values)
    known = max(-before.min, before.max) if before is not None and before.count else 0.0
    factor = np.float32(max(1.0, known / reached)) if reached > 0 else np.float32(1)
    for v in values:
        found.observe((v - offset) * factor)
    return found
