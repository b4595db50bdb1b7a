"""Memory between pages that nothing may touch (`QGLOW_GUARD=1`): what leaves a buffer ends the process, instead of
reading or writing what lies beside it.

Each buffer of a plan, each piece of its constants and its scratch memory has a mapping of its own; it ends where the
next page begins, but for the bytes behind it that kernels may read. For tests and fuzzing: it takes some pages a
buffer.
"""

from __future__ import annotations

import ctypes
import mmap
import os

import numpy as np

from ..errors import ConfigError
from ..graph import Array

ALIGNMENT = 64
PROT_NONE = 0


def is_guarded() -> bool:
    """QGLOW_GUARD. Raises ConfigError where it is neither 0 nor 1."""
    text = os.environ.get("QGLOW_GUARD", "0")
    if text not in ("0", "1", ""):
        raise ConfigError(f"QGLOW_GUARD must be 0 or 1, got {text[:40]!r}")
    return text == "1"


def guarded(size: int, behind: int = 0) -> Array:
    """Zeroed bytes [size] at a 64-byte boundary between pages without access; `behind` bytes after them may be read.

    Less than 64 bytes lie between those and the page, where the size is no multiple of 64. Raises ConfigError where the
    system cannot protect pages.
    """
    page = mmap.PAGESIZE
    inner = -(-(size + behind) // page) * page or page
    memory = mmap.mmap(-1, inner + 2 * page)
    mapped: Array = np.frombuffer(memory, np.uint8)
    first = mapped.ctypes.data
    for at in (first, first + page + inner):
        _protect(at, page)
    start = (page + inner - size - behind) // ALIGNMENT * ALIGNMENT
    return mapped[start : start + size]


def _protect(address: int, size: int) -> None:
    try:
        protect = ctypes.CDLL(None, use_errno=True).mprotect
    except (AttributeError, OSError, TypeError) as error:
        raise ConfigError("QGLOW_GUARD=1 needs a system with mprotect") from error
    protect.argtypes, protect.restype = (ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int), ctypes.c_int
    if protect(address, size, PROT_NONE):
        raise ConfigError(f"QGLOW_GUARD=1: {os.strerror(ctypes.get_errno())}; `sysctl vm.max_map_count` may be too low")
