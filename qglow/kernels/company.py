"""Whether the helpers of a pool come to a run, or the caller goes alone: whichever took less time lately, on this
machine as it is now.

Where other processes want the CPUs, a helper loses its own in the middle of a piece and the caller waits for that; but
then the caller loses its own as well, and a pool gets the larger share of the machine. Which weighs more depends on the
load and on the program, so both ways are timed: means over some sixteen runs, and the other way is tried again after a
gap that is twice as long each time that it was no better. A run alone is never tried where the pool takes less time
than the sum of its work, as it does on an idle machine.
"""

from __future__ import annotations

from .jit import njit
from .memory import load_i64, store_i64

# Words of a schedule, in bytes: ticks of all work of a run at the least, mean ticks of a run with helpers and of a run
# without, runs
# with helpers so far, runs between two trials of the other way, and runs until the next.
LEAST, TOGETHER, ALONE, SEEN, GAP, LEFT = range(8, 56, 8)
COLD = 2  # runs with helpers that are not counted: their data is in no cache
SHORTEST, LONGEST = 8, 256  # runs between two trials
LONGEST_TIME = 1000  # milliseconds between two trials, unless that is less than SHORTEST runs
OUTLIER = 4  # times the mean: more than that counts as that


@njit(nogil=True)
def average(at, spent):
    """Add a run's ticks to a mean over some sixteen runs."""
    mean = load_i64(at)
    store_i64(at, spent if mean == 0 else mean + ((min(spent, OUTLIER * mean) - mean) >> 4))


@njit(nogil=True)
def better_alone(schedule):
    """Whether runs without helpers took less time lately."""
    alone = load_i64(schedule + ALONE)
    return 0 < alone < load_i64(schedule + TOGETHER)


@njit(nogil=True)
def goes_alone(schedule):
    """Whether the next run is without helpers: the better way, or the other when it is time to try that."""
    alone, left = better_alone(schedule), load_i64(schedule + LEFT)
    if left > 0:
        store_i64(schedule + LEFT, left - 1)
        return alone
    if not alone and load_i64(schedule + TOGETHER) <= load_i64(schedule + LEAST):
        return False  # no run alone can be as short
    return not alone


@njit(nogil=True)
def note_work(schedule, spent):
    """Note the ticks of all pieces of a run: the least is what one thread needs where nothing disturbs it, unless that
    was long ago."""
    known = load_i64(schedule + LEAST)
    store_i64(schedule + LEAST, spent if known == 0 else min(known + (known >> 8), spent))


@njit(nogil=True)
def note(schedule, alone, spent, millisecond):
    """Note the ticks of a run, and when to try the other way. A trial that is shorter than the better way's mean is
    followed by another."""
    usual = better_alone(schedule)
    if not alone and load_i64(schedule + SEEN) < COLD:
        store_i64(schedule + SEEN, load_i64(schedule + SEEN) + 1)
        store_i64(schedule + LEFT, SHORTEST)
        return
    mean = load_i64(schedule + (ALONE if usual else TOGETHER))
    average(schedule + (ALONE if alone else TOGETHER), spent)
    if better_alone(schedule) != usual:
        store_i64(schedule + GAP, SHORTEST)
        store_i64(schedule + LEFT, SHORTEST)
    elif alone != usual and spent >= mean:
        longest = max(SHORTEST, min(LONGEST, LONGEST_TIME * millisecond // max(mean, 1)))
        gap = min(max(2 * load_i64(schedule + GAP), SHORTEST), longest)
        store_i64(schedule + GAP, gap)
        store_i64(schedule + LEFT, gap)
