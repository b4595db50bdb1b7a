"""Pools over channels-last int16."""

from __future__ import annotations

from llvmlite import ir
from numba import types

from .int16_vector import BYTE, FLOAT, SHORT, shorts, splats, stored
from .jit import njit
from .pool import max_pool, mean_of, of_windows
from .vector import I16, I64
from .vector_loops import store_first

f32 = types.float32


def _stored(b, y, reals, limits, count):
    """As int16, floats or bytes."""
    *limits, item = limits
    limits = splats(b, *limits)
    for size in (SHORT, FLOAT, BYTE):
        with b.if_then(b.icmp_signed("==", item, ir.Constant(I64, size))):
            store_first(b, y, stored(b, reals[0], limits, size), b.mul(count, ir.Constant(I64, size)))


@njit(nogil=True)
def _item(i):
    return i.y_item


@njit(nogil=True)
def _mean(i, taps, inside):
    return -i.q_x_zero * inside, i.f_ratio / f32(taps), i.q_zero, i.q_low, i.q_high, i.y_item


_STEP = (1, mean_of(1, shorts, SHORT, _stored))
int16_max_pool2d = max_pool(I16, SHORT, -32768, lambda b, u, v: b.icmp_signed(">", u, v))
int16_avg_pool2d = of_windows(_STEP, _STEP, SHORT, _item, _mean)
