"""Samples in parts for the workers of a cluster, which read a folder of data themselves where it is there by the same
path, and are sent the samples where it is not."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any, cast

from ..cluster import Cluster
from ..errors import DataError
from ..graph import Array, Graph
from .dataset import Dataset, InputTypes, Sample, open_dataset
from .saved_state import fingerprint

MOST, BYTES = 32, 32 << 20  # samples of a part, and bytes from which on a part that is sent has no further sample
FEWEST_PARTS = 4  # for each thread of the workers, where there are as many samples

Entry = tuple[int, Sample | DataError]
Named = tuple[int, str, int | None]  # position, name and label of a sample that the worker reads
Part = Sequence[Named] | Sequence[Entry]


@dataclass
class Reader:
    """Opens parts where they are. graph: whose inputs the samples are. path: of the data, None where samples are sent.
    keeps_bad: whether a sample that cannot be used is told of; else it is an error."""

    graph: Graph
    path: Path | None
    keeps_bad: bool

    def entries(self, part: Part) -> Iterator[Entry]:
        """As `Dataset.entries`."""
        if self.path is None:
            yield from cast(Sequence[Entry], part)
            return
        part = cast(Sequence[Named], part)
        sources = tuple((name, self._named.get(name) or self._absent(name), label) for _, name, label in part)
        found = replace(self._opened, bad=ignore if self.keeps_bad else None, sources=sources)
        for (position, *_), (_, entry) in zip(part, found.entries(), strict=True):
            yield position, replace(entry, position=position) if isinstance(entry, Sample) else entry

    def types(self) -> Mapping[str, Any]:
        """Of the inputs, with what a folder says of them."""
        return InputTypes(self.graph) if self.path is None else self._opened.types

    @cached_property
    def _opened(self) -> Dataset:
        assert self.path is not None
        return open_dataset(self.path, self.graph)

    @cached_property
    def _named(self) -> dict[str, Callable[[], Mapping[str, Array]]]:
        return {name: read for name, read, _ in self._opened.sources}

    def _absent(self, name: str) -> Callable[[], Mapping[str, Array]]:
        def read() -> Mapping[str, Array]:
            raise DataError(f"{self.path}: {name}: it is there no more, or not on this worker")

        return read


def reader_of(data: Dataset, graph: Graph, cluster: Cluster) -> Reader:
    """How workers come to the samples: by themselves where each of them finds the same files at the same path."""
    path = data.path.resolve() if data.path is not None else None
    there = path is not None and cluster.all_say(is_there, str(path), _hash_of(path))
    return Reader(graph, path if there else None, data.bad is not None)


def cut_named(data: Dataset, positions: Sequence[int], cluster: Cluster) -> Iterator[Part]:
    """Parts of the samples at these positions, which workers read."""
    many = _many(len(positions), cluster)
    named = [(p, data.sources[p][0], data.sources[p][2]) for p in positions]
    yield from (named[k : k + many] for k in range(0, len(named), many))


def cut_sent(entries: Iterable[Entry], total: int | None, cluster: Cluster) -> Iterator[Part]:
    """Parts of samples that are sent. total: how many there will be, None where that is not known."""
    many, part, size = _many(total, cluster), list[Entry](), 0
    for entry in entries:
        part.append(entry)
        size += sum(a.nbytes for a in entry[1].feeds.values()) if isinstance(entry[1], Sample) else 0
        if len(part) == many or size >= BYTES:
            yield part
            part, size = [], 0
    if part:
        yield part


def _many(total: int | None, cluster: Cluster) -> int:
    """Samples of a part."""
    return MOST if total is None else min(MOST, max(1, total // (FEWEST_PARTS * cluster.threads())))


def is_there(path: str, files: str) -> bool:
    """Whether a data set has the files of this hash."""
    try:
        return Path(path).exists() and _hash_of(Path(path)) == files
    except DataError:
        return False


def _hash_of(path: Path) -> str:
    return hashlib.sha256(json.dumps(fingerprint(path)).encode()).hexdigest()


def ignore(said: str) -> None:
    """NOTE: an entry tells of a bad sample."""
