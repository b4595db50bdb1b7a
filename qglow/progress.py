"""Progress of long work: a bar with rate and time left on a terminal, nothing otherwise."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator
from typing import TypeVar

T = TypeVar("T")


def track(items: Iterable[T], what: str, total: int | None = None, quiet: bool = False) -> Iterator[T]:
    """The items, with a progress bar on standard error where that is a terminal."""
    if quiet or not sys.stderr.isatty():
        yield from items
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TextColumn("{task.speed:.1f}/s"), TimeRemainingColumn())
    with Progress(*columns[:3], columns[4], console=Console(stderr=True), transient=True) as bar:
        yield from bar.track(items, total=total, description=what)
