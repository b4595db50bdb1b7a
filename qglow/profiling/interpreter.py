"""The profiling interpreter: run the float graph sample by sample and observe every float tensor. Memory does not grow
with samples."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial

import numpy as np

from ..arguments import shown
from ..errors import ConfigError, DataError
from ..graph import Array, Graph
from ..graph.masks import endless
from ..graph.select_op import conditions, truth
from ..oracle import Oracle
from ..progress import track
from .checks import warnings_of
from .dataset import Dataset, Sample
from .engine_check import EngineCheck
from .engine_native import Job, NativeEngine
from .observers import Observer, recurrent_inputs
from .profile import Profile, graph_hash, profiled_values
from .samples import Keeper, kept_dataset


def record(
    graph: Graph,
    data: Dataset,
    *,
    batch_size: int = 1,
    engine: str = "qglow",
    quiet: bool = True,
    oracle: Oracle | None = None,
) -> Profile:
    """The profile of a simplified float graph over the samples of `data`.

    Samples of one shape are put together in batches where every input's first dimension is symbolic. Samples that are
    held back (samples.py) are run, but nothing is recorded of them. oracle: what the
    engine is held to on the first samples. Raises DataError for a sample that does not fit or makes NaN, ConfigError
    for an unknown engine, DisagreementError where the engine computes other values than the oracle.
    """
    names = profiled_values(graph)
    run, lanes = _engine(engine, graph, names)
    seen = Seen(graph, names, lanes)
    check = EngineCheck(graph, names, oracle) if oracle is not None else None
    digest, keeper = hashlib.sha256(), Keeper(graph.inputs, len(data.sources) or None)
    count = 0

    def calibrating(samples: Iterable[Sample]) -> Iterator[Sample]:
        nonlocal count
        for sample in samples:
            _hash(digest, sample)
            count += 1
            if not keeper.holds_back(sample):
                yield sample

    def watch(samples: Iterable[Sample], held_back: bool) -> None:
        for group in _alike(_batches(samples, _batch_limit(graph, batch_size)), lanes):
            jobs = []
            for lane, batch in enumerate(group):
                feeds, label = _together(batch)
                if check is not None:
                    check.hold(run, feeds, label)
                jobs.append((feeds, partial(seen.look_at if held_back else seen.keep, lane, label)))
            seen.begin(_shapes(group[0]))
            run(jobs)

    watch(calibrating(track(data, "profiling", data.total, quiet)), held_back=False)
    held = kept_dataset((s for s in keeper.kept if s.held_back), graph)
    if held is not None:
        watch(track(held, "looking at samples that are held back", held.total, quiet), held_back=True)
    observers, choices = seen.all()
    return Profile(
        graph_hash(graph),
        observers,
        count,
        digest.hexdigest()[:32],
        tuple(warnings_of(graph, observers)),
        keeper.kept,
        choices,
    )


def _together(batch: list[Sample]) -> tuple[dict[str, Array], str]:
    """The inputs of a batch, put together, and its name."""
    if len(batch) == 1:
        return dict(batch[0].feeds), batch[0].name
    feeds = {k: np.concatenate([s.feeds[k] for s in batch]) for k in batch[0].feeds}
    return feeds, f"{batch[0].name} to {batch[-1].name}"


class Seen:
    """What samples that run side by side, a lane each, have shown. Lane 0 holds the whole; the others are merged into
    it, exactly."""

    def __init__(self, graph: Graph, names: list[str], lanes: int) -> None:
        self._lanes: list[dict[str, Observer]] = [{n: Observer() for n in names} for _ in range(lanes)]
        self._choices = {name: [0, 0] for name in conditions(graph)}
        self._ends, self._endless = {*graph.inputs, *graph.outputs}, endless(graph)
        self._rows = recurrent_inputs(graph)
        self._first: dict[str, str] = {}  # the tensor of a sample that was not finite before all others, while it runs
        self._last: object = None

    def keep(self, lane: int, label: str, name: str, array: Array) -> None:
        observers = self._lanes[lane]
        if name in observers and array.dtype.kind == "f":
            o = observers[name]
            infinite, nans = o.lowest + o.highest, o.nans
            o.observe(array.reshape(-1, array.shape[-1]) if name in self._rows and array.ndim == 3 else array)
            if o.lowest + o.highest > infinite or o.nans > nans:
                self._check(label, name, o.nans > nans)
        self._choose(name, array)

    def look_at(self, lane: int, label: str, name: str, array: Array) -> None:
        """A value of a sample that calibration does not see: it may hold infinities and NaN no more than others."""
        del lane
        if array.dtype.kind == "f" and not np.isfinite(array).all():
            self._check(label, name, bool(np.isnan(array).any()))
        self._choose(name, array)

    def _choose(self, name: str, array: Array) -> None:
        if name in self._choices and array.size == 1:
            self._choices[name][int(truth(array))] += 1

    def _check(self, label: str, name: str, is_nan: bool) -> None:
        """A tensor of a sample holds infinity or NaN. Raises DataError where that is an input, or reaches an output,
        and the model has no infinity of its own there.
        """
        first = self._first.setdefault(label, name)
        if name in self._ends and (is_nan or name not in self._endless):
            made = "" if first == name else f", which begins in tensor {first!r}"
            raise DataError(
                f"sample {label}: tensor {name!r} holds NaN or infinity{made}; remove the sample or mend the model"
            )

    def begin(self, shapes: object) -> None:
        """Before samples of these shapes: of channels the first shape counts, so other shapes must not begin in a lane
        of their own."""
        if self._last is not None and shapes != self._last:
            self._merge()
        self._last = shapes
        self._first.clear()

    def all(self) -> tuple[dict[str, Observer], dict[str, tuple[int, int]]]:
        self._merge()
        return self._lanes[0], {name: (falses, trues) for name, (falses, trues) in self._choices.items()}

    def _merge(self) -> None:
        merged = self._lanes[0]
        for lane in self._lanes[1:]:
            for name, o in lane.items():
                if not o.is_empty:
                    merged[name], lane[name] = merged[name].merge(o), Observer()


def _engine(engine: str, graph: Graph, names: list[str]) -> tuple[Callable[[Sequence[Job]], None], int]:
    """What runs jobs of the same shapes, and how many at once."""
    if not isinstance(engine, str) or engine not in ("qglow", "onnxruntime"):
        raise ConfigError(f"engine must be qglow or onnxruntime, got {shown(engine)}")
    if engine == "qglow":
        native = NativeEngine(graph, names)
        return native.run, native.lanes
    from .engine_onnxruntime import runner  # NOTE: the other engine needs no onnxruntime

    one = runner(graph, names)
    return lambda jobs: one(*jobs[0]), 1


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


def _hash(digest: hashlib._Hash, sample: Sample) -> None:
    for name, array in sorted(sample.feeds.items()):
        digest.update(f"{name}{array.shape}{array.dtype}".encode())
        digest.update(np.ascontiguousarray(array).tobytes())
