"""Loop nests: they visit each element of strided operands once, in the order of the first operand's bytes."""

from __future__ import annotations

import itertools

import pytest

from qglow.instructions.coalesce_dims import coalesce_dims, offsets, padded, rows_for_threads, split_rows_for_threads

OPERANDS = {
    "dense": ((2, 3, 4), [(12, 4, 1), (12, 4, 1)], 1),
    "a row repeated": ((2, 3, 4), [(12, 4, 1), (0, 4, 1)], 2),
    "turned": ((2, 3, 4), [(12, 4, 1), (1, 2, 6)], 3),
    "an outer pair merges": ((2, 3, 4), [(12, 4, 1), (15, 5, 1)], 2),
    "single elements are left out": ((1, 5, 1), [(99, 2, 77), (3, 4, 5)], 1),
    "one element": ((1, 1), [(7, 7), (7, 7)], 0),
    "nothing": ((2, 0, 4), [(16, 16, 4), (8, 8, 2)], 1),
}


@pytest.mark.parametrize("name", OPERANDS)
def test_each_element_is_visited_once(name: str) -> None:
    shape, strides, count = OPERANDS[name]
    loops = coalesce_dims(shape, strides)
    places = [
        tuple(sum(k * s for k, s in zip(index, each, strict=True)) for each in strides)
        for index in itertools.product(*map(range, shape))
    ]
    assert offsets(loops, len(strides)) == sorted(places) and len(loops) == count
    assert all(d >= 0 for d, _ in loops)


def test_the_innermost_may_be_kept() -> None:
    assert coalesce_dims((3, 4), [(4, 1)], keep_last=True) == [(3, (4,)), (4, (1,))] and coalesce_dims(
        (3, 4), [(4, 1)]
    ) == [(12, (1,))]


def test_loops_of_nothing_have_no_iterations() -> None:
    assert coalesce_dims((3, 0), [(8, 4), (2, 1)]) == [(0, (4, 1))]


def test_single_loops_are_added_outside() -> None:
    loops = [(3, (8,)), (2, (1,))]
    assert (
        padded(loops, 4, 1) == [(1, (0,)), (1, (0,)), *loops]
        and padded(loops, 2, 1) == loops
        and padded(loops, 1, 1) is None
    )


def test_a_long_run_is_cut_in_rows() -> None:
    whole = [(1, (0, 0)), (1, (0, 0)), (1, (0, 0)), (24, (4, 1))]
    cut = split_rows_for_threads(whole, 5)
    assert [d for d, _ in cut] == [1, 4, 1, 6] and offsets(cut, 2) == offsets(whole, 2)
    assert split_rows_for_threads(whole, 13) == whole and split_rows_for_threads([(2, (96, 24)), *whole[1:]], 5) == [
        (2, (96, 24)),
        *whole[1:],
    ]
    assert [d for d, _ in split_rows_for_threads([*whole[:3], (23, (4, 1))], 5)] == [1, 1, 1, 23]


def test_a_row_of_runs_is_cut_in_rows() -> None:
    """Long runs are rows of their own; of short ones a row has many."""
    one = [(1, (0, 0)), (1, (0, 0))]
    long, short = [*one, (10, (80, 96)), (64, (1, 1))], [*one, (4420, (4, 2)), (2, (1, 1))]
    assert split_rows_for_threads(long, 4096) == [one[0], (10, (80, 96)), (1, (80, 96)), (64, (1, 1))]
    cut = split_rows_for_threads(short, 4096)
    assert [d for d, _ in cut] == [1, 13, 340, 2] and offsets(cut, 2) == offsets(short, 2)
    assert split_rows_for_threads([*one, (400, (4, 2)), (2, (1, 1))], 4096) == [*one, (400, (4, 2)), (2, (1, 1))]
    assert split_rows_for_threads([one[0], (2, (9, 9)), *long[2:]], 4096) == [one[0], (2, (9, 9)), *long[2:]]


def test_rows_of_4096_are_shared() -> None:
    """And stay as they are in a program for many lengths."""
    run = [(1, (0,)), (1, (0,)), (1, (0,)), (8192, (1,))]
    assert [d for d, _ in rows_for_threads(run, False)] == [1, 2, 1, 4096] and rows_for_threads(run, True) == run
    assert rows_for_threads([*run[:3], (8190, (1,))], False)[3] == (8190, (1,))
