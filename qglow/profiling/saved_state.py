"""Where a run of `profile` stands, in a file beside its output: what interrupts it costs a few seconds of work.

The file is plain JSON, written whole or not at all, and has the hash of all that the profile depends on: the version,
the graph with its weights, the instruction set, the settings, and name, size and time of change of every file of data.
State of anything else is not continued. A run that ends removes it.
"""

from __future__ import annotations

import hashlib
import json
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from .. import __version__
from ..arguments import shown
from ..errors import ConfigError, DataError, cause_of, in_one_line
from ..files import check_writable, write_atomically
from ..float_mode import in_usual_mode
from ..graph import Graph
from ..reading import read_text
from ..runtime.backends import is_reference_only
from ..targets import choose
from .dataset import Dataset
from .profile import graph_hash
from .recording import Recording

FORMAT = 1
SUFFIX = ".partial"  # of the file beside a profile
PERIOD = 5.0  # seconds between two states
SHARE = 30  # times as long as it takes to write one, at least


def fingerprint(data: Path) -> list[list[Any]]:
    """Name, size and time of change of every file of a data set. Raises DataError where it cannot be looked at."""
    try:
        files = [data] if data.is_file() else sorted(p for p in data.rglob("*") if p.is_file())
        stats = [(p.relative_to(data).as_posix(), p.stat()) for p in files]
    except OSError as error:
        raise DataError(f"{data}: cannot be read: {cause_of(error)}") from error
    return [[name, s.st_size, s.st_mtime_ns] for name, s in stats]


class SavedState:
    """path: of the file. key: of all that the profile depends on. total: of samples. say: is told in a line what
    becomes of a state that is there."""

    def __init__(self, path: Path, key: str, total: int, say: Callable[[str], object]) -> None:
        self.path, self.key, self.total, self._say = path, key, total, say
        self._next = time.monotonic() + PERIOD

    @in_usual_mode
    def load(self) -> tuple[Recording, int]:
        """What was recorded, and the position of the next sample; nothing and 0 where there is none to go on with."""
        if not self.path.exists():
            return Recording(), 0
        try:
            raw = json.loads(read_text(self.path, DataError))
            if raw.get("tool") != "qglow" or raw.get("partial_profile") != FORMAT or raw.get("key") != self.key:
                self._say(f"{self.path}: of another model, other data or other settings; begins with the first sample")
                return Recording(), 0
            recording, position = Recording.of(raw["recording"]), int(raw["next"])
            seen = {*recording.digests, *recording.bad}
            if not 0 < position <= self.total or seen != {*range(position)}:
                raise ValueError("samples are missing")
        except (ValueError, KeyError, TypeError, AttributeError, OverflowError, RecursionError, DataError) as error:
            self._say(f"{self.path}: cannot be continued ({in_one_line(error, 80)}); begins with the first sample")
            return Recording(), 0
        self._say(f"continued at sample {position + 1} of {self.total}")
        return recording, position

    def is_due(self) -> bool:
        """Whether it is time for another state. NOTE: the clock says when a state is kept, never what is recorded."""
        return time.monotonic() >= self._next

    @in_usual_mode
    def save(self, position: int, recording: Recording) -> None:
        """Keep what the samples before a position have shown. Raises OutputError."""
        start = time.monotonic()
        head = {"tool": "qglow", "partial_profile": FORMAT, "key": self.key, "next": position}
        write_atomically(self.path, json.dumps({**head, "recording": recording.to_dict()}).encode())
        end = time.monotonic()
        self._next = end + max(PERIOD, SHARE * (end - start))

    def remove(self) -> None:
        """The run is over."""
        self.path.unlink(missing_ok=True)


def saved_state(
    path: str | Path, graph: Graph, data: object, opened: Dataset, settings: Sequence[Any], quiet: bool = True
) -> SavedState:
    """The state at a path. data: where the samples lie. Raises ConfigError where they are no files."""
    if not isinstance(data, (str, Path)):
        raise ConfigError(f"a run can be continued where the data is a path; got {shown(data)}")
    path = check_writable(path)
    target = "reference" if is_reference_only() else choose()[0].name
    names = [name for name, *_ in opened.sources]
    key = [__version__, graph_hash(graph), target, *settings, names, fingerprint(Path(data))]

    def say(line: str) -> None:
        if not quiet:
            print(line, file=sys.stderr)

    return SavedState(path, hashlib.sha256(json.dumps(key).encode()).hexdigest(), len(names), say)
