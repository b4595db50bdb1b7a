"""Threads that work together on one program after the other: a job is posted in memory, and found by threads that wait without the GIL.

A job is a block of int64: its number, what `execute` wants, and how many of the team are done. Every thread of a team takes part in every
job, and the next is posted only when all are done.
"""

from __future__ import annotations

from numba import njit

from .execute import atomic_add, execute, load_acquire, pause, yield_cpu
from .memory import load_i64, store_i64

NUMBER, ROWS, COUNT, ARENA, CONSTANTS, THREADS, BARRIER, DONE = 0, 64, 72, 80, 88, 96, 104, 128
EAGER = 10_000  # looks at the others' work before the caller begins to let other threads run


@njit(nogil=True)
def share(job, thread):
    threads = load_i64(job + THREADS)
    execute(
        load_i64(job + ROWS),
        load_i64(job + COUNT),
        load_i64(job + ARENA),
        load_i64(job + CONSTANTS),
        thread,
        threads,
        load_i64(job + BARRIER),
    )


@njit(nogil=True)
def serve(job, thread, slot, patience):
    """Take part in jobs until none came for `patience` looks. slot: address of the number of the last job that this thread took part in."""
    seen, idle = load_i64(slot), 0
    while idle < patience:
        number = load_acquire(job + NUMBER)
        if number != seen:
            share(job, thread)
            seen, idle = number, 0
            store_i64(slot, seen)
            atomic_add(job + DONE, 1)
            continue
        pause()  # NOTE: never a yield: what then runs in its place keeps the CPU for a whole time slice, and a sleeper is woken at once
        idle += 1


@njit(nogil=True)
def post(job, rows, count, arena, constants, threads, barrier):
    store_i64(job + ROWS, rows)
    store_i64(job + COUNT, count)
    store_i64(job + ARENA, arena)
    store_i64(job + CONSTANTS, constants)
    store_i64(job + THREADS, threads)
    store_i64(job + BARRIER, barrier)
    store_i64(job + DONE, 0)
    store_i64(barrier, 0)
    atomic_add(job + NUMBER, 1)


@njit(nogil=True)
def join(job):
    """The first thread's share, and the wait for the others."""
    share(job, 0)
    others, looks = load_i64(job + THREADS) - 1, 0
    while load_acquire(job + DONE) < others:
        pause()
        looks += 1
        if looks > EAGER:
            yield_cpu()


EXPORTED = {"serve": (serve, 4), "post": (post, 7), "join": (join, 1)}
