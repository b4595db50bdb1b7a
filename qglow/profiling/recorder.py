"""Samples in batches through an engine, lane by lane, and what is seen of their values."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from functools import partial

import numpy as np

from ..arguments import shown
from ..errors import ConfigError
from ..graph import Array, Graph
from ..oracle import Oracle
from .dataset import Sample
from .engine_check import EngineCheck
from .engine_native import Job, NativeEngine
from .profile import profiled_values
from .seen import Seen


class Engine:
    """What runs jobs of the same shapes. lanes: how many at once. Raises ConfigError where there is none of the
    name."""

    def __init__(self, graph: Graph, name: str) -> None:
        if not isinstance(name, str) or name not in ("qglow", "onnxruntime"):
            raise ConfigError(f"engine must be qglow or onnxruntime, got {shown(name)}")
        self.names = profiled_values(graph)
        self._native: NativeEngine | None = None
        if name == "qglow":
            self._native = NativeEngine(graph, self.names)
            self._run, self.lanes = self._native.run, self._native.lanes
            return
        from .engine_onnxruntime import runner  # NOTE: the other engine needs no onnxruntime

        one = runner(graph, self.names)
        self._run, self.lanes = lambda jobs: one(*jobs[0]), 1

    @property
    def runs_kernels_alone(self) -> bool:
        """Whether all values of the last run have the bits that every instruction set gives them."""
        return self._native is not None and self._native.runs_kernels_alone

    def run(self, jobs: Sequence[Job]) -> None:
        """At most `lanes` jobs. Raises the error of the first that has one."""
        self._run(jobs)


class Recorder:
    """What one process records. seen: all that it has seen so far. oracle: what the engine is held to on the first
    samples."""

    def __init__(self, graph: Graph, engine: Engine, batch_size: int, oracle: Oracle | None) -> None:
        self.graph, self.engine = graph, engine
        self.limit = _batch_limit(graph, batch_size)
        self.seen = Seen(graph, engine.names, engine.lanes)
        self.check = EngineCheck(graph, engine.names, oracle) if oracle is not None else None

    def watch(self, samples: Iterable[Sample], held_back: bool = False) -> Iterator[int]:
        """Run the samples. After each group that ran at once, yields the position of its last one. held_back: nothing
        is recorded of them."""
        seen = self.seen
        for group in _alike(_batches(samples, self.limit), self.engine.lanes):
            jobs = []
            for lane, batch in enumerate(group):
                feeds, label = _together(batch)
                if self.check is not None:
                    self.check.hold(self.engine.run, feeds, label)
                jobs.append((feeds, partial(seen.look_at if held_back else seen.keep, lane, label)))
            seen.begin()
            self.engine.run(jobs)
            yield group[-1][-1].position


def _together(batch: list[Sample]) -> tuple[dict[str, Array], str]:
    """The inputs of a batch, put together, and its name."""
    if len(batch) == 1:
        return dict(batch[0].feeds), batch[0].name
    feeds = {k: np.concatenate([s.feeds[k] for s in batch]) for k in batch[0].feeds}
    return feeds, f"{batch[0].name} to {batch[-1].name}"


def _alike(batches: Iterator[list[Sample]], lanes: int) -> Iterator[list[list[Sample]]]:
    """Batches that follow each other and have the same shapes, at most `lanes` together."""
    group: list[list[Sample]] = []
    for batch in batches:
        if group and (len(group) == lanes or _shapes(batch) != _shapes(group[0])):
            yield group
            group = []
        group.append(batch)
    if group:
        yield group


def _shapes(batch: list[Sample]) -> tuple[int, dict[str, tuple[int, ...]]]:
    return len(batch), {k: a.shape for k, a in batch[0].feeds.items()}


def _batch_limit(graph: Graph, wanted: int) -> int:
    free = all((s := graph.types[i].shape) is not None and s and isinstance(s[0], str) for i in graph.inputs)
    return max(1, wanted) if free else 1


def _batches(samples: Iterable[Sample], limit: int) -> Iterator[list[Sample]]:
    batch: list[Sample] = []
    for sample in samples:
        same = batch and {k: a.shape for k, a in sample.feeds.items()} == {
            k: a.shape for k, a in batch[0].feeds.items()
        }
        if batch and (not same or len(batch) == limit):
            yield batch
            batch = []
        batch.append(sample)
    if batch:
        yield batch
