"""The profiling interpreter: run the float graph sample by sample and observe every float tensor. Memory does not grow
with samples."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

from ..errors import DataError
from ..graph import Graph
from ..graph.select_op import conditions
from ..oracle import Oracle
from ..progress import track
from .ahead import ahead
from .checks import warnings_of
from .dataset import Dataset, Sample
from .observers import Observer
from .profile import Profile, graph_hash
from .recorder import Engine, Recorder
from .recording import Recording, digest_of
from .samples import Keeper, KeptSample, kept_dataset
from .saved_state import SavedState
from .seen import Seen


def record(
    graph: Graph,
    data: Dataset,
    *,
    batch_size: int = 1,
    engine: str = "qglow",
    quiet: bool = True,
    oracle: Oracle | None = None,
    state: SavedState | None = None,
) -> Profile:
    """The profile of a simplified float graph over the samples of `data`.

    Samples of one shape are put together in batches where every input's first dimension is symbolic. Samples that are
    held back (samples.py) are run, but nothing is recorded of them. oracle: what the engine is held to on the first
    samples. state: where an interrupted run goes on, to the same profile. Raises DataError for a sample that does not
    fit or makes NaN, ConfigError for an unknown engine, DisagreementError where the engine computes other values than
    the oracle.
    """
    recorder = Recorder(graph, Engine(graph, engine), batch_size, oracle)
    keeper = Keeper(graph.inputs, data.total or None if data.can_be_cut else None)
    before, first = state.load() if state is not None else (Recording(), 0)
    if first:
        for _, sample in data.at([p for p in keeper.candidates if p in before.digests]).entries():
            if isinstance(sample, Sample):
                keeper.holds_back(sample)
        data = data.at(range(first, len(data.sources)))
    samples = calibrating(data.entries(), keeper.holds_back, recorder.seen.recording)
    samples = ahead(samples) if data.can_be_cut else samples  # NOTE: an iterable of others is read in their thread
    total = None if data.total is None else first + data.total
    for position in recorder.watch(track(samples, "profiling", total, quiet, first)):
        if state is not None and state.is_due():
            state.save(position + 1, before.merge(recorder.seen.merged().through(position)))
    recorded = before.merge(recorder.seen.merged())
    result = finished(recorder, recorded, data, keeper.kept, quiet)
    if state is not None:
        state.remove()
    return result


def calibrating(
    entries: Iterable[tuple[int, Sample | DataError]], holds_back: Callable[[Sample], bool], recording: Recording
) -> Iterator[Sample]:
    """The samples that calibrate. What is said of every one, and of those that cannot be used, goes to `recording`."""
    for position, sample in entries:
        if not isinstance(sample, Sample):
            recording.bad[position] = str(sample)
            continue
        recording.digests[position] = digest_of(sample)
        if not holds_back(sample):
            yield sample


def finished(
    recorder: Recorder, recorded: Recording, data: Dataset, kept: tuple[KeptSample, ...], quiet: bool
) -> Profile:
    """The profile of all that was recorded of the data, once the samples that are held back were looked at."""
    graph = recorder.graph
    if not recorded.digests and data.can_be_cut:
        raise data.unusable()
    for position in sorted(recorded.bad):
        if data.bad is not None:
            data.bad(recorded.bad[position])
    held = kept_dataset((s for s in kept if s.held_back), graph)
    if held is not None:
        recorder.seen = Seen(graph, recorder.engine.names, recorder.engine.lanes)
        samples = track(held, "looking at samples that are held back", held.total, quiet)
        for _ in recorder.watch(samples, held_back=True):
            pass
        recorded = recorded.merge(recorder.seen.merged())
    tensors = {n: recorded.tensors.get(n, Observer()) for n in recorder.engine.names}
    choices = {n: recorded.choices.get(n, (0, 0)) for n in conditions(graph)}
    return Profile(
        graph_hash(graph),
        tensors,
        len(recorded.digests),
        recorded.hash_of_data(),
        tuple(warnings_of(graph, tensors)),
        kept,
        choices,
    )
