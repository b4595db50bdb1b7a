"""When the helpers of a team come: simulated runs of known cost, in place of a clock."""

from __future__ import annotations

import numba
import numpy as np
import pytest

from qglow.kernels import company
from qglow.kernels.thread_pool import FIRST
from qglow.runtime.pieces import NOTES

MILLISECOND = 1000  # ticks
WORK = 2 * MILLISECOND  # of a run, on one thread


@numba.njit
def goes_alone(address):  # type: ignore[no-untyped-def]
    """Functions of kernels have no wrapper that Python could call."""
    return company.goes_alone(address)


@numba.njit
def note_work(address, work):  # type: ignore[no-untyped-def]
    company.note_work(address, work)


@numba.njit
def note(address, alone, took, unit):  # type: ignore[no-untyped-def]
    company.note(address, alone, took, unit)


@numba.njit
def average(address, took):  # type: ignore[no-untyped-def]
    company.average(address, took)


class Schedule:
    """The words of a schedule that runs are noted in."""

    def __init__(self) -> None:
        self.words = np.zeros(1 + NOTES, np.int64)
        self.address = self.words.ctypes.data

    def run(self, together: int, alone: int) -> bool:
        """A run that takes so long either way: whether it went alone."""
        goes = bool(goes_alone(self.address))
        if not goes:
            note_work(self.address, WORK)
        note(self.address, goes, alone if goes else together, MILLISECOND)
        return goes

    def runs(self, count: int, together: int, alone: int) -> list[bool]:
        return [self.run(together, alone) for _ in range(count)]


@pytest.fixture
def schedule() -> Schedule:
    return Schedule()


def test_the_words_stand_where_the_schedule_has_room_for_them() -> None:
    assert 8 * (1 + NOTES) == FIRST == company.LEFT + 8


def test_on_an_idle_machine_no_run_is_alone(schedule: Schedule) -> None:
    assert not any(schedule.runs(2000, WORK * 6 // 10, WORK))


def test_first_runs_that_are_slow_say_nothing(schedule: Schedule) -> None:
    schedule.runs(company.COLD, 20 * WORK, WORK)
    assert not any(schedule.runs(500, WORK * 6 // 10, WORK))


def test_helpers_that_hold_up_the_caller_stay_away_and_are_tried_ever_more_rarely(schedule: Schedule) -> None:
    went = schedule.runs(4000, 3 * WORK, WORK)
    tried = [k for k, alone in enumerate(went) if not alone]
    gaps = np.diff(tried)[-8:]
    assert gaps[-1] == company.LONGEST + 1 and all(a <= b for a, b in zip(gaps, gaps[1:], strict=False))
    assert np.mean(went[2000:]) > 0.99


def test_helpers_come_again_when_the_machine_is_idle_again(schedule: Schedule) -> None:
    schedule.runs(4000, 3 * WORK, WORK)
    went = schedule.runs(company.LONGEST + 60, WORK * 6 // 10, WORK)
    assert not any(went[-30:])


def test_a_load_that_hurts_the_caller_alone_even_more_is_borne_together(schedule: Schedule) -> None:
    """A busy machine: either way takes longer than the work, and the team's way is the shorter one."""
    schedule.runs(100, WORK * 6 // 10, WORK)
    went = schedule.runs(4000, 2 * WORK, 3 * WORK)
    assert np.mean(went[1000:]) < 0.01


def test_one_slow_run_changes_nothing(schedule: Schedule) -> None:
    schedule.runs(100, WORK * 6 // 10, WORK)
    assert not schedule.run(50 * WORK, WORK) and not any(schedule.runs(200, WORK * 6 // 10, WORK))


def test_long_runs_are_tried_again_within_seconds(schedule: Schedule) -> None:
    scale = 50
    went = [schedule.run(3 * WORK * scale, WORK * scale) for _ in range(200)]
    tried = [k for k, alone in enumerate(went) if not alone]
    assert max(np.diff(tried)[-3:]) <= 1 + max(company.SHORTEST, company.LONGEST_TIME * MILLISECOND // (WORK * scale))


def test_means_of_runs(schedule: Schedule) -> None:
    word = np.zeros(1, np.int64)
    average(word.ctypes.data, 1600)
    assert word[0] == 1600
    average(word.ctypes.data, 3200)
    assert word[0] == 1700
    average(word.ctypes.data, 10**9)
    assert word[0] == 1700 + (3 * 1700 >> 4)
