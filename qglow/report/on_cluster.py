"""Samples that the workers of a cluster compare, as `compare_samples` does: what each sample showed comes back, and is
added in the order of the samples, so that the report has the same numbers."""

from __future__ import annotations

import os
import platform
from collections.abc import Container, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from ..cluster import Cluster, Requirements, check_needs, needs
from ..errors import ConfigError
from ..graph import Graph
from ..onnx_import.observed import self_contained
from ..oracle import Oracle, float_oracle
from ..profiling.dataset import Dataset, Sample
from ..profiling.parts import Part, Reader, cut_named, cut_sent, reader_of
from ..progress import track
from ..runtime import Bundle, InferenceSession
from .compare import AccuracyReport, Compared, Comparing, positions_of_layers
from .found import Found
from .scores import Scores

Shown = tuple[str, list[Found]]  # what is wrong with a sample, or what each bundle showed on it


@dataclass
class Job:
    """What a worker has to know. model: the original one. graph: the simplified float one. oracle: the name of the
    engine that says what float is. keeps_outputs: whether metrics want them."""

    model: Any
    graph: Graph
    bundles: Sequence[Bundle]
    backend: str
    reader: Reader
    looked_at: Container[int]
    keeps_outputs: bool
    oracle: str
    needs: Requirements
    comparing: Comparing | None = None

    def ready(self) -> Comparing:
        """What compares on this worker."""
        if self.comparing is None:
            check_needs(self.needs, f"{platform.node()}, process {os.getpid()}")
            types = self.reader.types()
            sessions = [InferenceSession(b, backend=self.backend) for b in self.bundles]
            several = [Compared(b, s, self.graph, types) for b, s in zip(self.bundles, sessions, strict=True)]
            for one in several:
                one.found.scores = Scores({}, ()) if self.keeps_outputs else None
            self.comparing = Comparing(several, self.graph, float_oracle(self.model, self.graph), self.looked_at)
        return self.comparing


def compare_on(
    cluster: Cluster, model: Any, several: Sequence[Compared], graph: Graph, oracle: Oracle, data: Dataset,
    layer_samples: int, quiet: bool = True,
) -> list[AccuracyReport]:  # fmt: skip
    """As `compare_samples`, by the workers of a cluster. Raises ConfigError for what is wrong with these."""
    wanted = needs("instruction set", "numpy", "onnxruntime")
    cluster.check(wanted)
    reader, first = reader_of(data, graph, cluster), several[0]
    job = Job(
        self_contained(model), graph, [c.bundle for c in several], first.session.backend, reader,
        positions_of_layers(data, layer_samples), first.found.scores is not None, oracle.name, wanted,
    )  # fmt: skip
    named = reader.path is not None
    parts = cut_named(data, range(len(data)), cluster) if named else cut_sent(data.entries(), data.total, cluster)
    shown = (one for part in cluster.map(compare_part, job, parts) for one in part)
    if not _merged(several, track(shown, "comparing", data.total, quiet), data) and data.can_be_cut:
        raise data.unusable()
    return [one.report(oracle.name) for one in several]


def _merged(several: Sequence[Compared], shown: Iterator[Shown], data: Dataset) -> int:
    """Add what was shown, in order; how many samples could be used."""
    used = 0
    for bad, found in shown:
        if bad and data.bad is not None:
            data.bad(bad)
        for one, of_sample in zip(several, found, strict=bool(found)):
            one.found.merge(of_sample)
        used += bool(found)
    return used


def compare_part(job: Job, part: Part) -> list[Shown]:
    """What each sample of a part shows. Runs on a worker."""
    comparing, shown = job.ready(), list[Shown]()
    for _, sample in job.reader.entries(part):
        if not isinstance(sample, Sample):
            shown.append((str(sample), []))
            continue
        found = comparing.show(sample)
        if (told := comparing.oracle.name) != job.oracle:
            raise ConfigError(f"dask: sample {sample.name}: float is told by {told}; compare without dask")
        for of_sample in found:
            of_sample.farthest = of_sample.farthest.apart()
        shown.append(("", found))
    return shown
