"""Error by step of a model that streams: one whose outputs are states that its next run takes as inputs.

Float and int8 each go on from their own states, so that what int8 gets wrong at one step is there at the next. A state
is an output that is named as an input is, but for a word or a letter that says which is which, and has its type.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any

import numpy as np

from ..graph import Graph, TensorType
from ..oracle import Oracle
from ..profiling.dataset import Sample
from ..runtime import InferenceSession
from .comparison import comparison_of, decibels
from .stored import as_real

MOST_STEPS, FEWEST_STEPS = 500, 2
_AFFIX = re.compile(r"^(in|out|input|output|new|next|prev|previous|old)[._-]|[._-](in|out|input|output|new|next|prev|"
                    r"previous|old|n|0|1)$|(?<=[a-z])N$|(?<=^[hc])n$|(?<=^[hc])0$")  # fmt: skip


def states_of(graph: Graph) -> dict[str, str]:
    """Inputs that are states, each with the output that it is in the next step; empty of a model without."""
    found: dict[str, str] = {}
    outputs = [o for o in graph.outputs if graph.types[o].dtype.numpy.kind == "f"]
    for name in graph.inputs:
        named = [o for o in outputs if _stem(o) == _stem(name) and _alike(graph.types[o], graph.types[name])]
        if len(named) == 1 and named[0] not in found.values():
            found[name] = named[0]
    return found if set(found) != set(graph.inputs) and set(found.values()) != set(graph.outputs) else {}


def noise_by_step(
    graph: Graph, session: InferenceSession, oracle: Oracle, data: Iterable[Sample]
) -> dict[str, list[float]]:
    """Signal to noise in dB of each step, by output that is no state; the samples are the steps, in their order, of
    which the first gives the first states. Empty where the model has no states, or there is one sample alone."""
    states = states_of(graph)
    found: dict[str, list[float]] = {o: [] for o in graph.outputs if o not in states.values()} if states else {}
    real: dict[str, Any] = {}
    made: dict[str, Any] = {}
    for step, sample in enumerate(data if found else ()):
        if step == MOST_STEPS:
            break
        feeds = [{**sample.feeds, **{i: kept[o] for i, o in states.items() if kept}} for kept in (real, made)]
        real = dict(oracle.outputs(feeds[0]))
        made = dict(zip(session.graph.outputs, session.run(None, feeds[1]), strict=True))
        made = {name: as_real(session.graph, name, value) for name, value in made.items()}
        if any(np.shape(kept[o]) != np.shape(sample.feeds[i]) for i, o in states.items() for kept in (real, made)):
            return {}  # NOTE: it is of another shape than what the next step takes, and so no state
        for name, row in found.items():
            one = comparison_of(real[name])
            one.add(real[name], made[name])
            row.append(round(decibels(one.noise_share), 2))
    return {name: row for name, row in found.items() if len(row) >= FEWEST_STEPS}


def _alike(a: TensorType, b: TensorType) -> bool:
    """Whether values of both types can be the same: one dtype, and shapes that differ in unknown lengths alone."""
    if a.dtype != b.dtype or a.shape is None or b.shape is None:
        return a.dtype == b.dtype
    known = [(x, y) for x, y in zip(a.shape, b.shape, strict=False) if isinstance(x, int) and isinstance(y, int)]
    return len(a.shape) == len(b.shape) and all(x == y for x, y in known)


def _stem(name: str) -> str:
    return _AFFIX.sub("", name).lower()
