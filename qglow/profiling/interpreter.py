"""The profiling interpreter: run the float graph sample by sample and observe every float tensor. Memory does not grow with samples."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator

import numpy as np

from ..errors import ConfigError
from ..graph import Array, Graph
from ..graph.branches import conditions, truth
from ..progress import track
from .checks import warnings_of
from .dataset import Dataset, Feeds, Sample
from .engine_native import NativeEngine
from .observers import Observer
from .profile import Profile, graph_hash, profiled_values
from .samples import COUNT, KeptSample, first_ones, pack

Run = Callable[[Feeds, Callable[[str, Array], None]], object]


def record(graph: Graph, data: Dataset, *, batch_size: int = 1, engine: str = "qglow", quiet: bool = True) -> Profile:
    """The profile of a simplified float graph over the samples of `data`.

    Samples of one shape are put together in batches where every input's first dimension is symbolic. Raises DataError for a
    sample that does not fit or makes NaN, ConfigError for an unknown engine.
    """
    names = profiled_values(graph)
    observers = {n: Observer() for n in names}
    digest = hashlib.sha256()
    run = _engine(engine, graph, names)
    choices = {name: [0, 0] for name in conditions(graph)}
    count = 0
    kept: tuple[KeptSample, ...] = ()
    for batch in _batches(track(data, "profiling", data.total, quiet), _batch_limit(graph, batch_size)):
        for sample in batch:
            _hash(digest, sample)
        kept = first_ones((*kept, *(pack(s, graph.inputs) for s in batch[: COUNT - len(kept)] if count < 2 * COUNT)))
        feeds = {k: np.concatenate([s.feeds[k] for s in batch]) if len(batch) > 1 else batch[0].feeds[k] for k in batch[0].feeds}
        label = batch[0].name if len(batch) == 1 else f"{batch[0].name} to {batch[-1].name}"

        def keep(name: str, array: Array, label: str = label) -> None:
            if name in observers and array.dtype.kind == "f":
                observers[name].observe(array, name, label)
            if name in choices and array.size == 1:
                choices[name][int(truth(array))] += 1

        run(feeds, keep)
        count += len(batch)
    warnings, seen = tuple(warnings_of(graph, observers)), {name: (falses, trues) for name, (falses, trues) in choices.items()}
    return Profile(graph_hash(graph), observers, count, digest.hexdigest()[:32], warnings, kept, seen)


def _engine(engine: str, graph: Graph, names: list[str]) -> Run:
    if engine == "qglow":
        return NativeEngine(graph, names)
    if engine == "onnxruntime":
        from .engine_onnxruntime import runner

        return runner(graph, names)
    raise ConfigError(f"engine must be qglow or onnxruntime, got {engine!r}")


def _batch_limit(graph: Graph, wanted: int) -> int:
    free = all((s := graph.types[i].shape) is not None and s and isinstance(s[0], str) for i in graph.inputs)
    return max(1, wanted) if free else 1


def _batches(samples: Iterator[Sample], limit: int) -> Iterator[list[Sample]]:
    batch: list[Sample] = []
    for sample in samples:
        same = batch and {k: a.shape for k, a in sample.feeds.items()} == {k: a.shape for k, a in batch[0].feeds.items()}
        if batch and (not same or len(batch) == limit):
            yield batch
            batch = []
        batch.append(sample)
    if batch:
        yield batch


def _hash(digest: hashlib._Hash, sample: Sample) -> None:
    for name, array in sorted(sample.feeds.items()):
        digest.update(f"{name}{array.shape}{array.dtype}".encode())
        digest.update(np.ascontiguousarray(array).tobytes())
