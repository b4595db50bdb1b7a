"""Threads that work together on a list of instructions, none of which has to come.

The work is cut into pieces, which are the same however many threads come (`runtime/pieces.py`). Every piece has an
owner, so that a thread meets the data of its own last piece again; but whoever finds no piece of its own takes
another's. Instructions between two barriers are a phase: who completes the last piece of a phase opens the next. The
caller is one of the workers, and returns when all pieces are done: it waits for pieces that another thread has begun,
never for a thread.

One word of each owner holds all that is asked before a piece is taken: the number of the run, how many pieces are
taken, and how many are open. To take one is to exchange this word, which fails if the run is another one by then. So a
thread that comes late touches nothing of a run that is over, whose memory may be gone: only the pool's own, which is
never freed.
"""

from __future__ import annotations

from .atomics import atomic_add, atomic_load, atomic_store, compare_exchange, pause, ticks
from .company import goes_alone, note, note_work
from .execute import call_kernel, execute
from .futex import futex_wait, futex_wake
from .jit import njit
from .memory import load_i64, store_i64
from .sizes import POOL_BYTES, SLEEPS, WORKER_BYTES

# The pool's memory, in bytes. The words of an owner stand a cache line apart from all else.
BUSY, GENERATION, SCHEDULE, OWNERS, MILLISECOND = range(0, 40, 8)
DONE, EVENTS, SLEEPERS = 64, 128, 192
CLAIMS, SPENT, OWNER = POOL_BYTES, POOL_BYTES + 64, WORKER_BYTES
# A schedule, in words: pieces in all, six of company.py, the first phase, then each owner's list of pieces.
TOTAL, FIRST, LISTS = 0, 56, 64
# A piece, in words: instruction, number, how many pieces are done when its phase is, the phase after it.
PIECE = 32
# A phase, in words: its pieces, how many owners have any, then the number of each owner's.
PIECES, SOME, EACH = range(0, 24, 8)

HESITATION = 24  # looks at its own word before a thread takes another's piece: its owner may be just a moment late
CALLER_LOOKS = 2500  # looks for a piece before the caller sleeps, about 50 microseconds


@njit(nogil=True)
def claim(pool, owner):
    """Take a piece of an owner: its place in the owner's list, or -1 where none is open."""
    at = pool + CLAIMS + OWNER * owner
    word = atomic_load(at)
    while (word >> 16) & 0xFFFF < word & 0xFFFF:
        if compare_exchange(at, word, word + 0x10000):
            return (word >> 16) & 0xFFFF
        word = atomic_load(at)
    return -1


@njit(nogil=True)
def is_open(pool):
    """Whether any owner has a piece to take."""
    for owner in range(load_i64(pool + OWNERS)):
        word = atomic_load(pool + CLAIMS + OWNER * owner)
        if (word >> 16) & 0xFFFF < word & 0xFFFF:
            return True
    return False


@njit(nogil=True)
def wake(pool):
    """Wake those that sleep."""
    if atomic_load(pool + SLEEPERS) > 0:
        atomic_add(pool + EVENTS, 1)
        futex_wake(pool + EVENTS, 0x7FFFFFFF)


@njit(nogil=True)
def begin(pool, phase, worker):
    """Open the pieces of a phase, the worker's own last. NOTE: once all are open the run may end at any moment, so
    nothing of it is read after that."""
    left, several, owners = load_i64(phase + SOME), load_i64(phase + PIECES) > 1, load_i64(pool + OWNERS)
    owner = worker
    while left > 0:
        owner = owner + 1 if owner + 1 < owners else 0
        pieces = load_i64(phase + EACH + 8 * owner)
        if pieces > 0:
            left -= 1
            atomic_add(pool + CLAIMS + OWNER * owner, pieces)
    if several:  # else the thread that is here takes it
        wake(pool)


@njit(nogil=True)
def perform(pool, worker, owner, k):
    """Compute a piece that was taken, and open the next phase if it was the last of its own."""
    piece = load_i64(load_i64(pool + SCHEDULE) + LISTS + 8 * owner) + PIECE * k
    row, number, end, following = load_i64(piece), load_i64(piece + 8), load_i64(piece + 16), load_i64(piece + 24)
    start = ticks()
    call_kernel(load_i64(row), row, worker, number, load_i64(row + 8) >> 8)
    spent = pool + SPENT + OWNER * worker
    store_i64(spent, load_i64(spent) + ticks() - start)
    if atomic_add(pool + DONE, 1) + 1 < end:
        return
    if following == 0:
        wake(pool)
    else:
        begin(pool, following, worker)


@njit(nogil=True)
def take(pool, worker, reach):
    """Take a piece and compute it: one of the worker's own, else of the next owners, `reach` in all. False where none
    is open."""
    owners = load_i64(pool + OWNERS)
    for j in range(reach):
        owner = worker + j
        if owner >= owners:
            owner -= owners
        k = claim(pool, owner)
        if k >= 0:
            perform(pool, worker, owner, k)
            return True
    return False


@njit(nogil=True)
def sleep(pool, total):
    """Sleep until something happens, unless a piece is open, or (total > 0) all are done."""
    atomic_add(pool + SLEEPERS, 1)
    event = atomic_load(pool + EVENTS)
    if not is_open(pool) and (total == 0 or atomic_load(pool + DONE) < total):
        futex_wait(pool + EVENTS, event)
    atomic_add(pool + SLEEPERS, -1)


@njit(nogil=True)
def serve(pool, worker, patience):
    """A helper's life: take pieces, and sleep when there was none for `patience` looks. It returns there only where it
    cannot sleep."""
    owners, looks = load_i64(pool + OWNERS), 0
    while True:
        if take(pool, worker, owners if looks > HESITATION else 1):
            looks = 0
            continue
        pause()
        looks += 1
        if looks > patience:
            if not SLEEPS:
                return
            sleep(pool, 0)
            looks = 0


@njit(nogil=True)
def post(pool, schedule):
    """Begin a run."""
    owners, generation = load_i64(pool + OWNERS), (load_i64(pool + GENERATION) + 1) & 0x7FFFFFFF
    store_i64(pool + GENERATION, generation)
    store_i64(pool + SCHEDULE, schedule)
    atomic_store(pool + DONE, 0)
    for owner in range(owners):
        store_i64(pool + SPENT + OWNER * owner, 0)
        atomic_store(pool + CLAIMS + OWNER * owner, generation << 32)
    begin(pool, load_i64(schedule + FIRST), 0)


@njit(nogil=True)
def lead(pool, total):
    """The caller's part of a run: take pieces until all are done."""
    owners, looks = load_i64(pool + OWNERS), 0
    while atomic_load(pool + DONE) < total:
        if take(pool, 0, owners if looks > HESITATION else 1):
            looks = 0
            continue
        pause()
        looks += 1
        if looks > CALLER_LOOKS:
            sleep(pool, total)
            looks = 0


@njit(nogil=True)
def spent_ticks(pool):
    """Ticks that all workers spent on the pieces of the run that has ended."""
    spent = 0
    for worker in range(load_i64(pool + OWNERS)):
        spent += load_i64(pool + SPENT + OWNER * worker)
    return spent


@njit(nogil=True)
def run_together(pool, schedule, rows, count):
    """Run a list of instructions: with the pool, or alone where another caller has it, or where that takes less time
    (company.py)."""
    start, millisecond = ticks(), load_i64(pool + MILLISECOND)
    if goes_alone(schedule) or atomic_load(pool + BUSY) != 0 or not compare_exchange(pool + BUSY, 0, 1):
        execute(rows, count)
        note(schedule, True, ticks() - start, millisecond)
        return
    post(pool, schedule)
    lead(pool, load_i64(schedule + TOTAL))
    note_work(schedule, spent_ticks(pool))
    note(schedule, False, ticks() - start, millisecond)
    atomic_store(pool + BUSY, 0)


@njit(nogil=True)
def clock(to):
    """Store what the clock says."""
    store_i64(to, ticks())


EXPORTED = {"serve": (serve, 3), "run_together": (run_together, 4), "clock": (clock, 1)}
