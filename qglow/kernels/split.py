"""How threads share the work of an instruction: every kernel is given a `Share`, and computes that part of its work."""

from __future__ import annotations

from numba import types

from ..record import NamedTuple
from .jit import njit
from .sizes import SCRATCH_BYTES


class Share(NamedTuple):
    """Piece `piece` of `pieces`. worker: the thread that computes it, by which it finds its own part of the scratch."""

    worker: int
    piece: int
    pieces: int


SHARE = types.NamedUniTuple(types.int64, len(Share._fields), Share)


@njit(nogil=True)
def part_of(share, count):
    """First and end of the share of `count` items."""
    return count * share.piece // share.pieces, count * (share.piece + 1) // share.pieces


@njit(nogil=True)
def part_of_either(share, outer, inner, by_inner):
    """First and end of outer items, then of inner ones: threads share the inner items, each with all outer ones, or the
    outer ones."""
    if by_inner:
        first, end = part_of(share, inner)
        return 0, outer, first, end
    first, end = part_of(share, outer)
    return first, end, 0, inner


@njit(nogil=True)
def scratch_of(i, share):
    """The worker's own scratch memory, of SCRATCH_BYTES."""
    return i.scratch + share.worker * SCRATCH_BYTES


@njit(nogil=True)
def row_at(start, image_stride, row_stride, row, rows):
    """The address of a row, counted through all images of `rows` rows."""
    return start + row // rows * image_stride + row % rows * row_stride
