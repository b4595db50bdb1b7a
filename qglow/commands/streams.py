"""What the command line prints: no name of a model, a layer or a file makes the terminal do anything but show it."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, TextIO

from ..errors import plain, shortened


class PlainStream:
    """A text stream that shows control characters as escapes; all else is the stream's own. most: characters to a piece
    that is written."""

    def __init__(self, stream: TextIO, most: int | None = None) -> None:
        self.stream, self._most = stream, most

    def write(self, text: str) -> int:
        safe = plain(text)
        return self.stream.write(safe if self._most is None else shortened(safe, self._most))

    def __getattr__(self, name: str) -> Any:
        return getattr(self.stream, name)


@contextmanager
def plain_streams(longest: int) -> Iterator[None]:
    """Within it standard output and standard error are plain; what is written to standard error at once has at most so
    many characters."""
    out, err = sys.stdout, sys.stderr
    sys.stdout, sys.stderr = PlainStream(out), PlainStream(err, longest)
    try:
        yield
    finally:
        sys.stdout, sys.stderr = out, err
