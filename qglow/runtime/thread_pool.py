"""Threads that outlive sessions, and wait without the GIL: a microsecond away while runs follow each other, then
asleep."""

from __future__ import annotations

import ctypes
import os
import threading
import time
from collections.abc import Callable
from itertools import count
from typing import Any

import numpy as np

from ..graph import Array
from ..kernels.library import Library
from ..kernels.sizes import POOL_BYTES, SLEEPS, WORKER_BYTES
from ..threads import start

Word = ctypes.c_int64
PATIENCE = 5_000  # looks for a piece, about a tenth of a millisecond, before a thread sleeps
OWNERS, MILLISECOND = 3, 4  # words of a pool, see kernels/thread_pool.py


def _native(library: Library, name: str, arguments: int) -> Callable[..., None]:
    made: Any = ctypes.CFUNCTYPE(None, *[ctypes.c_int64] * arguments)(library.address(name))
    return made  # type: ignore[no-any-return]


def _ticks_of_a_millisecond(library: Library) -> int:
    """What the kernels' clock counts in a millisecond; 0 where they have none."""
    clock, word = _native(library, "clock", 1), np.zeros(1, np.int64)

    def now() -> tuple[int, int]:
        clock(word.ctypes.data)
        return int(word[0]), time.perf_counter_ns()

    first, start = now()
    last, end = now()
    while end - start < 1_000_000:
        last, end = now()
    return (last - first) * 1_000_000 // (end - start)


class ThreadPool:
    """`threads` threads, the caller's among them. One program at a time; another caller's runs on its own thread
    meanwhile.

    The helpers never leave native code where the system lets them sleep there; elsewhere they come out and sleep here.
    A run needs none of them: where the system gives no more threads, or one was interrupted in the middle of making
    them, fewer help.
    """

    def __init__(self, library: Library, threads: int) -> None:
        self.threads = threads
        self._serve, self._run = _native(library, "serve", 3), _native(library, "run_together", 4)
        raw = np.zeros(POOL_BYTES + WORKER_BYTES * threads + 64, np.uint8)
        at = -raw.ctypes.data % 64
        self._words: Array = raw[at : at + POOL_BYTES + WORKER_BYTES * threads].view(np.int64)
        self._words[OWNERS], self._words[MILLISECOND] = threads, _ticks_of_a_millisecond(library)
        self._address = ctypes.c_int64(self._words.ctypes.data)
        self._bells = [] if SLEEPS else [threading.Event() for _ in range(1, threads)]
        self._numbers, self._started = count(1), 0
        self.helpers: list[int] = []  # the system's numbers of those that came

    def start(self) -> None:
        """Start the helpers that are not known to be there: after an interrupt one more may be, and finds that it is
        not needed."""
        while self._started < self.threads - 1 and start(self._work):
            self._started += 1

    def run(self, schedule: Word, rows: Word, length: Word) -> None:
        """Run a list of instructions, with whoever comes. One native call, so that nothing is left half done by an
        interrupt."""
        for bell in self._bells:
            bell.set()
        self._run(self._address, schedule, rows, length)

    def _work(self) -> None:
        # NOTE: taken here, for no two threads may have the same: each has scratch memory of its own
        k = next(self._numbers)
        if k >= self.threads:
            return
        self.helpers.append(threading.get_native_id())
        arguments = self._address, ctypes.c_int64(k), ctypes.c_int64(PATIENCE)
        while True:
            self._serve(*arguments)
            bell = self._bells[k - 1]
            bell.wait()  # NOTE: a run that begins just before may miss this thread, and needs it not
            bell.clear()


_POOLS: dict[int, ThreadPool] = {}
_BEGUN: dict[int, ThreadPool] = {}  # thread pools whose threads are being started
_MAKING = threading.Lock()


def _forget() -> None:
    """In a forked process there is none of the threads."""
    global _MAKING
    _POOLS.clear()
    _BEGUN.clear()
    _MAKING = threading.Lock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget)


def pool_of(library: Library, threads: int) -> ThreadPool | None:
    """The pool of a number of threads, made once in a process; None while the caller is held to fewer CPUs than such a
    pool needs.

    NOTE: other runtimes hold their callers to one CPU for a while, and a thread that is made then would be held there
    too.
    """
    pool = _POOLS.get(threads)
    if pool is not None:
        return pool
    if len(os.sched_getaffinity(0)) < min(threads, os.cpu_count() or 1):
        return None
    with _MAKING:
        if threads not in _POOLS:
            if threads not in _BEGUN:
                _BEGUN[threads] = ThreadPool(library, threads)
            _BEGUN[threads].start()
            _POOLS[threads] = _BEGUN.pop(threads)
        return _POOLS[threads]
