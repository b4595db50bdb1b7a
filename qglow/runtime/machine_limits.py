"""The machine's limits, measured: what no kernel can be faster than."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

from ..kernels.machine_probe import peak_ops, read_bandwidth

CACHE_BYTES, MEMORY_BYTES = 256 << 10, 256 << 20


@dataclass(frozen=True, slots=True)
class MachineLimits:
    """peak: int8 operations a second. cache, memory: bytes a second that can be read from them. All threads
    together."""

    threads: int
    peak: float
    cache: float
    memory: float


@lru_cache
def machine_roof(threads: int = 1) -> MachineLimits:
    """Measured once in a process, in about half a second; 256 MiB of memory a thread while it measures."""
    return MachineLimits(
        threads, peak_ops(threads), read_bandwidth(CACHE_BYTES, threads), read_bandwidth(MEMORY_BYTES, threads)
    )
