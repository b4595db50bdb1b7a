"""Elements of 32 bits of one operand or of another, by a byte each."""

from __future__ import annotations

from llvmlite import ir
from numba import types
from numba.extending import intrinsic

from .jit import njit
from .runs import LANES
from .split import part_of, row_at
from .vector import I8, I32, I64, const, load_at, splat, vec
from .vector_loops import store_first

i64 = types.int64


@intrinsic
def choose(context, condition, a, b_, y, condition_c, a_c, b_c, k, count):
    """`count` elements from the k-th on, at most a vector of them; of an operand that does not move, its only one."""

    def generate(ctx, b, sig, args):
        condition, a, other, y, *moves, k, count = args

        def elements(address, move, t, size):
            moves = b.icmp_signed("!=", move, ir.Constant(I64, 0))
            at = b.add(address, b.select(moves, b.mul(k, ir.Constant(I64, size)), ir.Constant(I64, 0)))
            return b.select(moves, load_at(b, at, vec(t, LANES)), splat(b, load_at(b, at, t), LANES))

        chosen = b.icmp_signed("!=", elements(condition, moves[0], I8, 1), const(vec(I8, LANES), 0))
        value = b.select(chosen, elements(a, moves[1], I32, 4), elements(other, moves[2], I32, 4))
        store_first(b, b.add(y, b.mul(k, ir.Constant(I64, 4))), value, b.mul(count, ir.Constant(I64, 4)))
        return ctx.get_dummy_value()

    return types.void(*[i64] * 9), generate


@njit(nogil=True)
def float_where(i, share):
    h, c = i.H, i.C
    first, end = part_of(share, i.N * h)
    for r in range(first, end):
        condition = row_at(i.condition, i.condition_n, i.condition_h, r, h)
        a = row_at(i.a, i.a_n, i.a_h, r, h)
        b = row_at(i.b, i.b_n, i.b_h, r, h)
        y = row_at(i.y, i.y_n, i.y_h, r, h)
        for _ in range(i.W):
            k = 0
            while k < c:
                choose(condition, a, b, y, i.condition_c, i.a_c, i.b_c, k, c - k)
                k += LANES
            condition += i.condition_w
            a += i.a_w
            b += i.b_w
            y += i.y_w
