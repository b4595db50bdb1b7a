"""Rows of bytes at places that indices in memory say, read and written.

An index counts from the end where it is negative. One outside of its axis is taken as 0, so that no address is outside
of the operand, and noted in the word `fault`.
"""

from __future__ import annotations

from .jit import njit
from .memory import copy_small, load_f32, load_i32, load_i64, store_f32, store_i64
from .split import part_of


@njit(nogil=True)
def component(at, item, size, fault):
    """The index at an address, from 0 on."""
    k = load_i64(at) if item == 8 else load_i32(at)
    if k < 0:
        k += size
    if k < 0 or k >= size:
        store_i64(fault, 1)
        return 0
    return k


@njit(nogil=True)
def offset_of(i, at):
    """Bytes to the row that `K` indices from an address on choose."""
    item, fault = i.index_item, i.fault
    total = component(at, item, i.S0, fault) * i.t0
    if i.K > 1:
        total += component(at + item, item, i.S1, fault) * i.t1
    if i.K > 2:
        total += component(at + 2 * item, item, i.S2, fault) * i.t2
    if i.K > 3:
        total += component(at + 3 * item, item, i.S3, fault) * i.t3
    return total


@njit(nogil=True)
def gather(i, share):
    h, w, c = i.H, i.W, i.C
    first, end = part_of(share, i.N * h)
    for r in range(first, end):
        x, y = i.x + r // h * i.x_n + r % h * i.x_h, i.y + r // h * i.y_n + r % h * i.y_h
        at = i.index + r // h * i.i_n + r % h * i.i_h
        for k in range(w):
            copy_small(y + k * i.y_w, x + k * i.x_w + offset_of(i, at + k * i.i_w), c)


@njit(nogil=True)
def larger(a, b):
    """What is not a number where either is; the first of equal ones."""
    return a if a >= b or a != a else b


@njit(nogil=True)
def smaller(a, b):
    return a if a <= b or a != a else b


@njit(nogil=True)
def combine(op, y, x, count):
    """One row of floats reduced into another: their sums, products, maxima or minima."""
    for k in range(0, count, 4):
        a, b = load_f32(y + k), load_f32(x + k)
        if op == 1:
            store_f32(y + k, a + b)
        elif op == 2:
            store_f32(y + k, a * b)
        elif op == 3:
            store_f32(y + k, larger(a, b))
        else:
            store_f32(y + k, smaller(a, b))


@njit(nogil=True)
def scatter(i, share):
    """Of several rows at one place the later ones come later: the work is not divided."""
    if share.piece:
        return
    h, w, c, op = i.H, i.W, i.C, i.op
    copy_small(i.y, i.x, i.T)
    for r in range(i.N * h):
        y, x = i.y + r // h * i.y_n + r % h * i.y_h, i.update + r // h * i.u_n + r % h * i.u_h
        at = i.index + r // h * i.i_n + r % h * i.i_h
        for k in range(w):
            place = y + k * i.y_w + offset_of(i, at + k * i.i_w)
            if op == 0:
                copy_small(place, x + k * i.u_w, c)
            else:
                combine(op, place, x + k * i.u_w, c)
