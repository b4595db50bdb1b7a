"""Threads that outlive sessions: while jobs follow each other they wait in native code, a microsecond away; then they sleep."""

from __future__ import annotations

import ctypes
import os
import threading
from collections.abc import Callable
from typing import Any

import numpy as np

from ..graph import Array
from ..kernels.library import Library

Word = ctypes.c_int64
JOB_BYTES = 256
PATIENCE = 5_000  # looks for a next job, about a tenth of a millisecond, before a thread sleeps


def _native(library: Library, name: str, arguments: int) -> Callable[..., None]:
    made: Any = ctypes.CFUNCTYPE(None, *[ctypes.c_int64] * arguments)(library.address(name))
    return made  # type: ignore[no-any-return]


class Team:
    """`threads` threads, the caller's among them. One program at a time."""

    def __init__(self, library: Library, threads: int) -> None:
        self.threads = threads
        self._serve, self._post, self._join = (_native(library, n, k) for n, k in (("serve", 4), ("post", 7), ("join", 1)))
        raw = np.zeros(JOB_BYTES + 64, np.uint8)
        at = -raw.ctypes.data % 64
        self._job: Array = raw[at : at + JOB_BYTES].view(np.int64)
        self._address, self._count = ctypes.c_int64(self._job.ctypes.data), ctypes.c_int64(threads)
        self._seen = np.zeros((threads, 8), np.int64)  # a cache line each
        self._asleep = [False] * threads
        self._alarms = [threading.Semaphore(0) for _ in range(threads)]
        self._busy = threading.Lock()
        for k in range(1, threads):
            threading.Thread(target=self._work, args=(k,), name=f"qglow_{k}", daemon=True).start()

    def run(self, rows: Word, count: Word, arena: Word, constants: Word, barrier: Word) -> bool:
        """Run a list of instructions on all threads; False, with nothing done, where another caller's program runs."""
        if not self._busy.acquire(blocking=False):
            return False
        try:
            job = self._address
            self._post(job, rows, count, arena, constants, self._count, barrier)
            for k in range(1, self.threads):
                if self._asleep[k]:
                    self._asleep[k] = False
                    self._alarms[k].release()
            self._join(job)
        finally:
            self._busy.release()
        return True

    def _work(self, k: int) -> None:
        slot = self._seen[k]
        arguments = [ctypes.c_int64(a) for a in (self._job.ctypes.data, k, slot.ctypes.data, PATIENCE)]
        while True:
            self._serve(*arguments)
            self._asleep[k] = True
            # NOTE: a job that is posted from here on finds this thread asleep; one posted before shows in its number. The first look at
            # the alarm takes a lock, so that no CPU reads the number before it has written that this thread sleeps.
            if not self._alarms[k].acquire(blocking=False) and int(self._job[0]) == int(slot[0]):
                self._alarms[k].acquire()
            self._asleep[k] = False


_TEAMS: dict[int, Team] = {}
_MAKING = threading.Lock()
os.register_at_fork(after_in_child=_TEAMS.clear)


def team_of(library: Library, threads: int) -> Team | None:
    """The team of a number of threads, made once in a process; None while the caller is held to fewer CPUs than such a team needs.

    NOTE: threads that share a CPU take ten times as long as one alone, for each waits at every barrier until the other's turn comes. Other
    runtimes hold their callers to one CPU for a while, and a thread that is made then would be held there too.
    """
    team = _TEAMS.get(threads)
    if team is not None:
        return team
    if len(os.sched_getaffinity(0)) < min(threads, os.cpu_count() or 1):
        return None
    with _MAKING:
        if threads not in _TEAMS:
            _TEAMS[threads] = Team(library, threads)
        return _TEAMS[threads]
