"""Hashes of constants: of one, and of many at once on the CPUs that there are."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping

import numpy as np

from ..threads import helped
from .graph import Array

MOST_THREADS = 4
WORTH_A_THREAD = 1 << 20  # bytes


def digest(array: Array) -> str:
    """Hash of a constant's dtype, shape and bytes."""
    h = hashlib.sha256(f"{array.dtype.str}{array.shape}".encode())
    if array.dtype.kind == "O":  # strings, whose bytes lie elsewhere
        h.update(repr(array.reshape(-1).tolist()).encode("utf-8", "surrogatepass"))
    else:
        h.update(np.ascontiguousarray(array).reshape(-1).view(np.uint8).data if array.size else b"")
    return h.hexdigest()[:32]


def digests(arrays: Mapping[str, Array]) -> dict[str, str]:
    """The hash of each. Threads share the work where it is much: hashing holds no lock of the interpreter."""
    waiting = sorted(arrays, key=lambda n: arrays[n].nbytes)
    found: dict[str, str] = {}

    def work() -> None:
        while waiting:
            try:
                name = waiting.pop()
            except IndexError:  # NOTE: another thread took the last
                return
            found[name] = digest(arrays[name])

    size = sum(a.nbytes for a in arrays.values())
    count = min(MOST_THREADS, len(os.sched_getaffinity(0)), size // WORTH_A_THREAD)
    helped(work, max(0, count - 1))
    return found
