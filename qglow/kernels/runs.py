"""Kernels of adjacent elements, of whatever dtype: a run of them four vectors at a time, then one, then what is left of
one; and loops over the runs of an image, whose rows threads share.

A last part is computed as a whole vector and stored piece by piece, so that nothing is written beyond the run; reading
beyond it is allowed everywhere (the arena and the constants end in slack).
"""

from __future__ import annotations

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from .jit import njit
from .split import part_of, row_at
from .target import ISA
from .vector import I64, add_to, store_at
from .vector_loops import store_some

LANES = ISA.lanes
WIDE = 4  # vectors at a time
i64, f32 = types.int64, types.float32


def run_of(moves, scalars, real, stored, size):
    """A function ((addresses ..., y, scalars ...), count) over a run of `count` elements.

    moves: bytes from one element to the next at each address (0 repeats it). scalars: "i" int64 or "f" float32 each.
    real(b, addresses, scalars): a float vector. stored(b, real vectors, scalars): the vectors that are written one
    behind the other, of one real vector or of four. size: bytes of an element of y.
    """
    operand_types = types.Tuple([i64] * (len(moves) + 1) + [i64 if s == "i" else f32 for s in scalars])

    def step(vectors, partial):
        def generate(ctx, b, sig, args):
            operands = cgutils.unpack_tuple(b, args[0])
            k, (y, *values) = args[1], operands[len(moves) :]
            at = [b.add(a, b.mul(k, ir.Constant(I64, m))) if m else a for a, m in zip(operands, moves)]
            y = b.add(y, b.mul(k, ir.Constant(I64, size)))
            reals = [real(b, [add_to(b, a, v * LANES * m) for a, m in zip(at, moves)], values) for v in range(vectors)]
            for n, result in enumerate(stored(b, reals, values)):
                if partial:
                    store_some(b, y, result, b.mul(args[2], ir.Constant(I64, size)))
                else:
                    store_at(b, add_to(b, y, n * LANES * size), result)
            return ctx.get_dummy_value()

        return types.void(operand_types, i64, *([i64] if partial else [])), generate

    @intrinsic
    def wide(context, operands, k):
        return step(WIDE, False)

    @intrinsic
    def one(context, operands, k):
        return step(1, False)

    @intrinsic
    def some(context, operands, k, count):
        return step(1, True)

    @njit(nogil=True)
    def run(operands, count):
        k = 0
        while k + WIDE * LANES <= count:
            wide(operands, k)
            k += WIDE * LANES
        while k + LANES <= count:
            one(operands, k)
            k += LANES
        if k < count:
            some(operands, k, count - k)

    return run


def as_floats(b, reals, scalars):
    """Float results, as they are."""
    return reals


@intrinsic
def moved(context, addresses, steps):
    """Each address a step on."""

    def generate(ctx, b, sig, args):
        pairs = zip(*(cgutils.unpack_tuple(b, a) for a in args))
        return ctx.make_tuple(b, sig.return_type, [b.add(a, s) for a, s in pairs])

    return addresses(addresses, steps), generate


def over_runs(run, starts, steps, scalars):
    """The kernel of `run` over the runs of an image, one a pixel. starts(i, r, h): the addresses in row r of rows of h.
    steps(i): from one run to the next, at each. scalars(i): what `run` takes behind the addresses."""

    @njit(nogil=True)
    def kernel(i, share):
        h, w, c = i.H, i.W, i.C
        step, values = steps(i), scalars(i)
        first, end = part_of(share, i.N * h)
        for r in range(first, end):
            at = starts(i, r, h)
            for _ in range(w):
                run(at + values, c)
                at = moved(at, step)

    return kernel


@njit(nogil=True)
def starts_of_one(i, r, h):
    return row_at(i.x, i.x_n, i.x_h, r, h), row_at(i.y, i.y_n, i.y_h, r, h)


@njit(nogil=True)
def steps_of_one(i):
    return i.x_w, i.y_w


@njit(nogil=True)
def starts_of_two(i, r, h):
    return row_at(i.a, i.a_n, i.a_h, r, h), row_at(i.b, i.b_n, i.b_h, r, h), row_at(i.y, i.y_n, i.y_h, r, h)


@njit(nogil=True)
def steps_of_two(i):
    return i.a_w, i.b_w, i.y_w


def of_one(run, scalars):
    """The kernel of runs of one operand."""
    return over_runs(run, starts_of_one, steps_of_one, scalars)


def of_two(run, scalars):
    """The kernel of runs of two operands."""
    return over_runs(run, starts_of_two, steps_of_two, scalars)
