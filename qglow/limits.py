"""How much memory and work may be asked for, checked before anything of it is allocated or done.

A small file can ask for much: a constant of 2 ** 40 elements, a loop without an end, a picture of gigapixels. Whoever
is about to allocate what a file, a model or an input asks for calls `check_memory` with the bytes; whoever repeats what
a model says calls `spend`.

Memory: by default half of what the machine, the container and the process may have; QGLOW_MAX_MEMORY, `--max-memory`
and the argument `max_memory` say otherwise. It bounds each of the things that are asked for at once (the values that
are live while a graph is evaluated, an arena, a file), not their sum over the whole process.
Work: what the loops of a model repeat, in units of about 10 us; QGLOW_MAX_WORK, `--max-work` and the argument
`max_work` say otherwise.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from functools import cache
from pathlib import Path

from .arguments import count_of
from .errors import ConfigError, LimitError

MAX_WORK = 1 << 22  # units of work, each about 10 us: the least that a node takes, or ELEMENTS
ELEMENTS = 1 << 13  # elements written or products added up, to a unit
UNIT_PRODUCTS = 1 << 22  # products of bytes in compiled kernels, to a unit
TRIP = 40  # units that a trip of a loop takes beside its nodes
RECURRENT_STEP = 10  # units that a step of a recurrent layer takes where no kernel runs it
SURELY = 1 << 20  # bytes that are never too many: nobody need be asked for the limit
_LARGEST = 1 << 62
_UNITS = {"": 1, "k": 1 << 10, "m": 1 << 20, "g": 1 << 30, "t": 1 << 40}
_SIZE = r"(\d{1,15}(?:\.\d{1,6})?)\s*([kmgt]?)(?:i?b)?"  # compiled when it is asked for
_memory: ContextVar[int | None] = ContextVar("memory", default=None)
_work: ContextVar[int | None] = ContextVar("work", default=None)
_spent: ContextVar[list[int] | None] = ContextVar("spent", default=None)  # units so far, and the limit


def bytes_of(value: int | str, what: str = "max_memory") -> int:
    """A number of bytes, or text as `512M`, `4G`, `1.5GiB`. Raises ConfigError."""
    match = re.fullmatch(_SIZE, value.strip(), re.IGNORECASE | re.ASCII) if isinstance(value, str) else None
    if match is not None:
        value = int(float(match[1]) * _UNITS[match[2].lower()])
    elif isinstance(value, str):
        raise ConfigError(f"{what}: expected a size such as 512M or 4G, got {value[:40]!r}")
    return count_of(value, what, ConfigError, 1, _LARGEST)


def memory_limit() -> int:
    """Bytes that may be asked for at once. Raises ConfigError where QGLOW_MAX_MEMORY is no size."""
    if (given := _memory.get()) is not None:
        return given
    text = os.environ.get("QGLOW_MAX_MEMORY")
    return bytes_of(text, "QGLOW_MAX_MEMORY") if text else default_memory()


def work_limit() -> int:
    """Units of work that loops may repeat. Raises ConfigError where QGLOW_MAX_WORK is no whole number above 0."""
    if (given := _work.get()) is not None:
        return given
    text = os.environ.get("QGLOW_MAX_WORK")
    if not text:
        return MAX_WORK
    return count_of(
        int(text) if text.isascii() and text.isdecimal() else text, "QGLOW_MAX_WORK", ConfigError, 1, _LARGEST
    )


@contextmanager
def limited(max_memory: int | str | None = None, max_work: int | None = None) -> Iterator[None]:
    """Within it, these limits hold for this thread; None leaves the one that holds. Raises ConfigError.

    They hold in the threads that qglow starts, and in tasks of asyncio that are made within it, as context variables
    do. They do not reach threads that the caller starts: there, give a session its limits, run the thread's work in
    `contextvars.copy_context()`, or set QGLOW_MAX_MEMORY and QGLOW_MAX_WORK.
    """
    memory = None if max_memory is None else _memory.set(bytes_of(max_memory))
    work = None if max_work is None else _work.set(count_of(max_work, "max_work", ConfigError, 1, _LARGEST))
    try:
        yield
    finally:
        if memory is not None:
            _memory.reset(memory)
        if work is not None:
            _work.reset(work)


@contextmanager
def at_most(memory: int, work: int) -> Iterator[None]:
    """Within it, limits that are no larger: for what is tried, and done in another way, or later, where it takes
    more."""
    work = min(work, work_limit())
    kept = _spent.set([0, work])
    with limited(max(1, min(memory, memory_limit())), work):
        try:
            yield
        finally:
            _spent.reset(kept)


def check_memory(size: int, what: str) -> None:
    """Raise LimitError where so many bytes are more than the limit. what: who asks for them, as the message begins."""
    if size > SURELY and size > (limit := memory_limit()):
        raise LimitError(
            f"{what} takes {_shown(size)} of memory, and the limit is {_shown(limit)}; where that is meant, raise it "
            "with --max-memory "
            f"or QGLOW_MAX_MEMORY"
        )


def check_work(units: int, what: str) -> None:
    """Raise LimitError where so many units of work are more than the limit. what: who asks for them, as the message
    begins."""
    if units > (limit := work_limit()):
        raise LimitError(
            f"{what} takes about {units} units of work, and the limit is {limit}; where that is meant, raise it with "
            "--max-work or "
            f"QGLOW_MAX_WORK"
        )


@contextmanager
def counted() -> Iterator[None]:
    """Within it, which is a loop of a model, and in what it calls, `spend` counts towards one limit."""
    if _spent.get() is not None:
        yield
        return
    token = _spent.set([0, work_limit()])
    try:
        yield
    finally:
        _spent.reset(token)


def is_counted() -> bool:
    """Whether this is within `counted`."""
    return _spent.get() is not None


def spent() -> int:
    """Units of work that were counted so far within `counted`; 0 outside of it."""
    found = _spent.get()
    return found[0] if found is not None else 0


def spend(units: int, what: str) -> None:
    """Count work that a loop repeats. Raises LimitError where that within `counted` is more than the limit of work."""
    spent = _spent.get()
    if spent is None:
        return
    spent[0] += units
    if spent[0] > (limit := spent[1]):
        raise LimitError(
            f"{what}: its loop has taken {limit} units of work, which is the limit; where it is not without an end, "
            "raise it with "
            f"--max-work or QGLOW_MAX_WORK"
        )


def _shown(size: int) -> str:
    for unit, name in ((1 << 40, "TiB"), (1 << 30, "GiB"), (1 << 20, "MiB"), (1 << 10, "KiB")):
        if size >= unit:
            return f"{size / unit:.1f} {name}" if size < unit << 20 else f"more than {1 << 20} {name}"
    return f"{size} byte{'' if size == 1 else 's'}"


@cache
def default_memory() -> int:
    """Half of the least of: the machine's memory, what the container may have, what the process may map."""
    found = [os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"), *_of_container(), *_of_process()]
    return max(SURELY, min(found) // 2)


def _of_process() -> Iterator[int]:
    import resource  # NOTE: it exists on Unix alone, and is read once

    for limit in (resource.RLIMIT_AS, resource.RLIMIT_DATA):
        soft, _ = resource.getrlimit(limit)
        if soft != resource.RLIM_INFINITY:
            yield soft


def _of_container(root: Path = Path("/sys/fs/cgroup"), groups: Path = Path("/proc/self/cgroup")) -> Iterator[int]:
    """Limits of the control groups that this process is in, of both versions, and of those above them."""
    try:
        lines = groups.read_text().splitlines()
    except (OSError, UnicodeDecodeError):
        return
    for line in lines:
        _, controllers, place = line.split(":", 2)
        if controllers and "memory" not in controllers.split(","):
            continue
        base, name = (root / "memory", "memory.limit_in_bytes") if controllers else (root, "memory.max")
        inner = base / place.lstrip("/")
        for folder in (inner, *inner.parents):
            if folder.is_relative_to(base) and (size := _number(folder / name)) is not None:
                yield size


def _number(file: Path) -> int | None:
    try:
        text = file.read_text().strip()
    except (OSError, UnicodeDecodeError):
        return None
    return int(text) if text.isdecimal() else None
