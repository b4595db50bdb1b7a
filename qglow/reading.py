"""Input files are read whole, into memory of this process, and only plain ones: what is changed or cut afterwards
changes nothing here."""

from __future__ import annotations

import errno
import os
import stat
from pathlib import Path
from typing import Any

import numpy as np

from .errors import LimitError, QGlowError, cause_of
from .limits import check_memory

Bytes = np.ndarray[Any, np.dtype[np.uint8]]
_PIECE = 1 << 30  # bytes; NOTE: one call of the system reads less than 2 GiB


def opened(path: Path, error: type[QGlowError], missing: str = "no such file") -> int:
    """A descriptor of a plain file, open for reading, the caller's to close. Raises `error` where the file is another
    thing, cannot be read, or is not there. missing: what is said then.

    NOTE: a named pipe would be waited for and a device has no end. The type is asked before opening, for opening a
    device may act, and again behind it, for the path may be another's by then; without blocking, for a pipe.
    """
    try:
        _check_plain(path, os.stat(path), error, missing)
        handle = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    except OSError as fault:
        said = missing if fault.errno in (errno.ENOENT, errno.ENOTDIR) else f"cannot be read: {cause_of(fault)}"
        raise error(f"{path}: {said}") from fault
    try:
        _check_plain(path, os.fstat(handle), error, missing)
    except BaseException:
        os.close(handle)
        raise
    return handle


def _check_plain(path: Path, status: os.stat_result, error: type[QGlowError], missing: str) -> None:
    mode = status.st_mode
    if stat.S_ISREG(mode):
        return
    if stat.S_ISDIR(mode):
        raise error(f"{path}: {missing} (it is a folder)")
    kinds = ((stat.S_ISFIFO, "a named pipe"), (stat.S_ISSOCK, "a socket"))
    kind = next((name for is_kind, name in kinds if is_kind(mode)), "a device")
    raise error(f"{path}: is {kind}, not a plain file")


def read_bytes(path: Path, error: type[QGlowError], missing: str = "no such file") -> Bytes:
    """The bytes of a plain file, uint8, as many as it had when it was opened. Raises `error` (see `opened`), and
    LimitError for a file that is larger than the limit of memory."""
    handle = opened(path, error, missing)
    try:
        size = os.fstat(handle).st_size
        check_memory(size, f"{path}: the file")
        data = np.empty(size, np.uint8)
        view, got = memoryview(data.data), 0
        while got < size and (count := os.readv(handle, [view[got : got + _PIECE]])):
            got += count
    except MemoryError as fault:
        raise LimitError(f"{path}: cannot be read: {cause_of(fault)}") from fault
    except OSError as fault:
        raise error(f"{path}: cannot be read: {cause_of(fault)}") from fault
    finally:
        os.close(handle)
    return data[:got]


def read_file(path: Path, error: type[QGlowError], missing: str = "no such file") -> bytes:
    """As `read_bytes`."""
    return read_bytes(path, error, missing).tobytes()


def read_text(path: Path, error: type[QGlowError], missing: str = "no such file") -> str:
    """A file of UTF-8. Raises `error` and LimitError, and UnicodeDecodeError."""
    return read_file(path, error, missing).decode()
