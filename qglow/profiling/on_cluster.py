"""A profile by the workers of a cluster: the bytes that one process makes.

1. This process holds the engine to the oracle on the first samples, and chooses and looks at those that are held back.
2. Workers record all others in parts, which merge exactly (recording.py).
3. A worker records the first sample too, and has to find what was found here. Where a value is not computed by kernels,
   which have the same bits everywhere, it needs the same instruction set and versions as well.
"""

from __future__ import annotations

import hashlib
import json
import os
import platform
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import islice

from ..cluster import Cluster, Requirements, check_needs, identity, needs
from ..errors import ConfigError
from ..graph import Graph
from ..oracle import Oracle
from ..progress import track
from .dataset import Dataset, Sample
from .engine_check import SAMPLES
from .interpreter import calibrating, finished
from .parts import Entry, Part, Reader, cut_named, cut_sent, ignore, reader_of
from .profile import Profile
from .recorder import Engine, Recorder
from .recording import Recording, digest_of
from .samples import Keeper
from .seen import Seen


@dataclass
class Job:
    """What a worker has to know. first: a sample, and the hash of what it shows."""

    graph: Graph
    engine_name: str
    reader: Reader
    needs: Requirements
    first: tuple[Sample, str]
    engine: Engine | None = None

    def ready(self) -> Engine:
        """The engine of this worker. Raises ConfigError where it computes anything else than the process that asks."""
        if self.engine is None:
            where = f"{platform.node()}, process {os.getpid()}"
            check_needs(self.needs, where)
            engine = Engine(self.graph, self.engine_name)
            recorder = Recorder(self.graph, engine, 1, None)
            if _hash_of(_recorded(recorder, [self.first[0]])) != self.first[1]:
                raise ConfigError(
                    f"dask: worker {where} computes other values than this process on sample {self.first[0].name} "
                    f"({', '.join(f'{k} {v}' for k, v in identity().items())}); give both the same"
                )
            self.engine = engine
        return self.engine


def record_on(
    cluster: Cluster, graph: Graph, data: Dataset, *, engine: str = "qglow", quiet: bool = True, oracle: Oracle | None
) -> Profile:
    """As `record`, by the workers of a cluster. Raises ConfigError for what is wrong with these."""
    cluster.check(needs())
    recorder = Recorder(graph, Engine(graph, engine), 1, oracle)
    keeper = Keeper(graph.inputs, data.total or None if data.can_be_cut else None)
    reader, total = reader_of(data, graph, cluster), data.total
    seen = Recording()  # what is known of single samples that were read here
    if reader.path is None:
        left = list[int]()
        samples = calibrating(data.entries(), keeper.holds_back, seen)
    else:
        left = _not_held_back(data, keeper, seen)
        samples = calibrating(data.at(left).entries(), _never, seen)
    first = list(islice(samples, SAMPLES))
    found = [_recorded(recorder, [sample]) for sample in first]
    if first:
        left = [p for p in left if p not in seen.digests and p not in seen.bad]
        named = reader.path is not None
        parts = cut_named(data, left, cluster) if named else cut_sent(_entries(samples), total, cluster)
        wanted = needs(*(() if recorder.engine.runs_kernels_alone else ("instruction set", "numpy", "onnxruntime")))
        cluster.check(wanted)
        job = Job(graph, engine, reader, wanted, (first[0], _hash_of(found[0])))
        here = _merged(found, cluster.map(record_part, job, parts), total, quiet)
    else:
        here = Recording()
    return finished(recorder, here.merge(seen), data, keeper.kept, quiet)


def _merged(found: list[Recording], others: Iterable[Recording], total: int | None, quiet: bool) -> Recording:
    """What all have shown."""
    here = Recording()
    for part in found:
        here = here.merge(part)

    def seen() -> Iterator[int]:
        nonlocal here
        for part in others:
            here = here.merge(part)
            yield from part.digests

    for _ in track(seen(), "profiling", total, quiet, len(found)):
        pass
    return here


def _not_held_back(data: Dataset, keeper: Keeper, seen: Recording) -> list[int]:
    """Positions of all other samples than those that are held back, which go to `seen`."""
    # NOTE: the error of one that cannot be used comes in its turn
    for position, sample in data.without_bad(ignore).at(keeper.candidates).entries():
        if isinstance(sample, Sample) and keeper.holds_back(sample):
            seen.digests[position] = digest_of(sample)
    return [p for p in range(len(data.sources)) if p not in seen.digests]


def _entries(samples: Iterable[Sample]) -> Iterator[Entry]:
    return ((s.position, s) for s in samples)


def _never(sample: Sample) -> bool:
    return False


def _recorded(recorder: Recorder, samples: Iterable[Sample]) -> Recording:
    """What the samples show by themselves."""
    for _ in recorder.watch(samples):
        pass
    found = recorder.seen.merged()
    recorder.seen = Seen(recorder.graph, recorder.engine.names, recorder.engine.lanes)
    return found


def _hash_of(recording: Recording) -> str:
    return hashlib.sha256(json.dumps(recording.to_dict()).encode()).hexdigest()


def record_part(job: Job, part: Part) -> Recording:
    """What a part of the samples shows. Runs on a worker."""
    recorder = Recorder(job.graph, job.ready(), 1, None)
    return _recorded(recorder, calibrating(job.reader.entries(part), _never, recorder.seen.recording))
