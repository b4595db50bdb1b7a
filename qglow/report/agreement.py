"""How well an int8 graph agrees with its float one: signal-to-noise per value, streamed over samples."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import numpy as np

from ..graph import Array, Graph
from ..profiling.dataset import Dataset, Feeds, begun_within
from ..profiling.engine_native import NativeEngine
from ..reference import evaluate
from ..runtime.session import InferenceSession
from .stored import as_real, float_name

Run = Callable[[Feeds], Mapping[str, Array]]


@dataclass(slots=True)
class Error:
    """Sums over all samples of one value: signal, noise, products for the cosine, largest difference."""

    signal: float = 0.0
    noise: float = 0.0
    dot: float = 0.0
    other: float = 0.0
    largest: float = 0.0

    def add(self, real: Array, int8: Array) -> None:
        a, b = real.ravel().astype(np.float64), int8.ravel().astype(np.float64)
        d = a - b
        self.signal += float(a @ a)
        self.noise += float(d @ d)
        self.dot += float(a @ b)
        self.other += float(b @ b)
        self.largest = max(self.largest, float(np.abs(d).max(initial=0.0)))

    @property
    def sqnr_db(self) -> float:
        """10 log10(signal / noise), at most 200 (equal)."""
        if self.noise == 0:
            return 200.0
        return float(min(200.0, 10 * np.log10(max(self.signal, 1e-300) / self.noise)))

    @property
    def cosine(self) -> float:
        norm = np.sqrt(self.signal * self.other)
        return float(self.dot / norm) if norm > 0 else float(self.signal == self.other)

    def to_dict(self) -> dict[str, float]:
        return {"sqnr_db": round(self.sqnr_db, 3), "cosine": round(self.cosine, 6), "max_abs_error": self.largest}


@dataclass(slots=True)
class Agreement:
    """Errors by float value name, for outputs and for every value that the int8 graph has."""

    outputs: dict[str, Error] = field(default_factory=dict)
    layers: dict[str, Error] = field(default_factory=dict)
    samples: int = 0

    def is_broken(self, floor_db: float) -> bool:
        return any(e.signal > 0 and e.sqnr_db < floor_db for e in self.outputs.values())

    def complaint(self, floor_db: float, layers: Sequence[str]) -> str:
        """What is wrong with the worst output, and the layers to blame for it."""
        worst = min(self.outputs, key=lambda o: self.outputs[o].sqnr_db)
        few = f"{self.samples} sample{'s' if self.samples != 1 else ''}"
        return (
            f"int8 does not agree with float: output {worst!r} has {self.outputs[worst].sqnr_db:.1f} dB on {few} "
            f"(at least {floor_db:g} wanted); most noise by themselves add {', '.join(layers) or 'no layers'}: try --exclude with these"
        )

    def to_dict(self) -> dict[str, Any]:
        return {"samples": self.samples, "outputs": {n: e.to_dict() for n, e in self.outputs.items()}}


def measure(graph: Graph, quantized: Graph, data: Dataset, seconds: float = float("inf"), *, layers: bool = True) -> Agreement:
    """Run float and int8 on every sample and compare. No sample is begun after `seconds`.

    layers: value by value, on the reference; else the outputs alone, as sessions compute them.
    """
    result = Agreement()
    real: Run = partial(evaluate_all, graph) if layers else _float_outputs(graph)
    int8: Run = partial(evaluate_all, quantized) if layers else _int8_outputs(quantized)
    for sample in begun_within(data, seconds):
        compare_values(result, real(sample.feeds), quantized, int8(sample.feeds))
    return result


def _float_outputs(graph: Graph) -> Run:
    engine = NativeEngine(graph, list(graph.outputs))

    def run(feeds: Feeds) -> dict[str, Array]:
        found: dict[str, Array] = {}
        engine.run([(feeds, lambda name, array: found.update({name: np.array(array)}) if name in graph.outputs else None)])
        return found

    return run


def _int8_outputs(graph: Graph) -> Run:
    session = InferenceSession(graph)
    return lambda feeds: dict(zip(graph.outputs, session.run(None, feeds), strict=True))


def evaluate_all(graph: Graph, feeds: Mapping[str, Array]) -> dict[str, Array]:
    values: dict[str, Array] = {}
    evaluate(graph, feeds, keep=values.__setitem__, fast=True)
    return values


def compare_values(result: Agreement, real: Mapping[str, Array], quantized: Graph, values: Mapping[str, Array]) -> None:
    """Add one sample: `real` and `values` hold every value of the float and of the quantized graph."""
    result.samples += 1
    for name, value in values.items():
        t = quantized.types[name]
        source = float_name(name) if t.is_quantized else name
        if source not in real or name in quantized.inputs or real[source].dtype.kind != "f" or real[source].shape != value.shape:
            continue
        stands_for = as_real(quantized, name, value)
        if t.is_quantized:
            result.layers.setdefault(source, Error()).add(real[source], stands_for)
        if name in quantized.outputs:
            result.outputs.setdefault(name, Error()).add(real[name], stands_for)
