"""Progress of long work: a bar with rate and time left on a terminal, nothing otherwise."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator
from typing import TextIO, TypeVar

T = TypeVar("T")


def _terminal() -> TextIO:
    """Standard error as it is: the command line's own shows control characters as text."""
    stream: TextIO = getattr(sys.stderr, "stream", sys.stderr)
    return stream


def track(items: Iterable[T], what: str, total: int | None = None, quiet: bool = False, done: int = 0) -> Iterator[T]:
    """The items, with a progress bar on standard error where that is a terminal. done: how many of the total were there
    before."""
    if quiet or not sys.stderr.isatty():
        yield from items
        return
    from rich import progress as bars  # NOTE: without a terminal nothing is drawn
    from rich.console import Console  # NOTE: likewise
    from rich.text import Text  # NOTE: likewise

    class Rate(bars.ProgressColumn):
        def render(self, task: bars.Task) -> Text:
            speed = task.finished_speed or task.speed
            return Text("" if speed is None else f"{speed:.1f}/s")

    columns = (
        bars.TextColumn("{task.description}"),
        bars.BarColumn(),
        bars.MofNCompleteColumn(),
        Rate(),
        bars.TimeRemainingColumn(),
    )
    with bars.Progress(*columns, console=Console(file=_terminal()), transient=True) as bar:
        yield from bar.track(items, total=total, completed=done, description=what)
