"""Rows of any length in vectors: whole ones, and what is left of the last. Reading beyond a row is allowed, writing is
not."""

from __future__ import annotations

from llvmlite import ir
from numba.core import cgutils

from .vector import F32, I8, I64, add_to, const, load_at, part, splat, store_at, vec

SUMS = 16  # partial results of a float row, whatever the set's lanes are


def chunks(b, count, size, body):
    """body(offset, mask or None) for each whole vector of `size` elements, then for what is left of one, with the mask
    of its elements."""
    full = b.sdiv(count, ir.Constant(I64, size))
    with cgutils.for_range(b, full) as loop:
        body(b.mul(loop.index, ir.Constant(I64, size)), None)
    rest = b.srem(count, ir.Constant(I64, size))
    with b.if_then(b.icmp_signed(">", rest, ir.Constant(I64, 0))):
        order = ir.Constant(vec(I8, size), list(range(size)))
        body(b.mul(full, ir.Constant(I64, size)), b.icmp_unsigned("<", order, splat(b, b.trunc(rest, I8), size)))


def floats(b, address, count, body):
    """body(address offset in bytes, vector of SUMS floats, mask or None) over a row."""

    def visit(at, mask):
        at = b.mul(at, ir.Constant(I64, 4))
        body(at, load_at(b, b.add(address, at), vec(F32, SUMS)), mask)

    chunks(b, count, SUMS, visit)


def masked(b, value, mask):
    """The elements of a chunk, and zeros beyond it."""
    return value if mask is None else b.select(mask, value, const(value.type, 0))


def accumulator(b, t):
    """A variable of a vector type, zero."""
    return cgutils.alloca_once_value(b, ir.Constant(t, [0] * t.count))


def halves(b, v, combine):
    """One number from a vector: its halves combined, again and again."""
    while v.type.count > 1:
        n = v.type.count // 2
        v = combine(part(b, v, 0, n), part(b, v, n, n))
    return b.extract_element(v, ir.Constant(ir.IntType(32), 0))


def store_chunk(b, address, value, mask, left):
    """Store what the body of `chunks` made: the whole vector, or where there is a mask, its first `left` bytes."""
    if mask is None:
        store_at(b, address, value)
    else:
        store_some(b, address, value, left)


def store_first(b, address, value, count):
    """Store the first `count` bytes of a vector; all of it where they are as many or more."""
    with b.if_else(b.icmp_signed("<", count, ir.Constant(I64, bytes_of(value.type)))) as (less, enough):
        with less:
            store_some(b, address, value, count)
        with enough:
            store_at(b, address, value)


def store_some(b, address, value, count):
    """Store the first `count` bytes of a vector, fewer than it has: the power-of-two pieces that the binary digits of
    the count name."""
    kept = cgutils.alloca_once(b, value.type)
    b.store(value, kept)
    source, size = b.ptrtoint(kept, I64), bytes_of(value.type) // 2
    at = cgutils.alloca_once_value(b, ir.Constant(I64, 0))
    while size:
        with b.if_then(b.icmp_unsigned("!=", b.and_(count, ir.Constant(I64, size)), ir.Constant(I64, 0))):
            here = b.load(at)
            store_at(b, b.add(address, here), load_at(b, b.add(source, here), ir.IntType(8 * size)))
            b.store(add_to(b, here, size), at)
        size //= 2


def bytes_of(t):
    """Size of a vector type of bytes, int16 or float32."""
    return t.count * (4 if t.element == F32 else t.element.width // 8)
