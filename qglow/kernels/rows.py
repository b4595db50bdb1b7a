"""Kernels over rows of adjacent elements: softmax and layer normalization."""

from __future__ import annotations

import math

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from .dots import dot
from .elementwise_u8 import bytes_of, find, table_of
from .jit import njit
from .memory import load_i32, load_u8, store_u8
from .split import part_of, scratch_of
from .target import HARDWARE_TABLE, ISA
from .vector import F32, I8, I32, I64, add_to, call, const, load_at, requantize, splat, store_at, vec, widened, within
from .vector_loops import accumulator, chunks, masked, store_chunk

LANES = ISA.lanes
CHUNK = 4 * LANES
f32, i64 = types.float32, types.int64
PLANES = 1024  # bytes into a softmax's table: its entries once more, as three planes of bytes


@intrinsic
def row_max(context, x, count):
    """The largest of a row's bytes."""

    def generate(ctx, b, sig, args):
        t = vec(I8, CHUNK)
        best = accumulator(b, t)

        def body(at, mask):
            old, new = b.load(best), masked(b, load_at(b, b.add(args[0], at), t), mask)
            b.store(b.select(b.icmp_unsigned(">", old, new), old, new), best)

        chunks(b, args[1], CHUNK, body)
        return b.zext(call(b, f"llvm.vector.reduce.umax.v{CHUNK}i8", I8, b.load(best)), I64)

    return i64(i64, i64), generate


@intrinsic
def exponentials(context, x, count, largest, planes):
    """Sum of T[largest - x], a plane of bytes at a time."""

    def generate(ctx, b, sig, args):
        x, count, largest, planes = args
        tables = [table_of(b, add_to(b, planes, 256 * p)) for p in range(3)]
        sums = [accumulator(b, vec(I64, 8)) for _ in range(3)]
        top, zero = splat(b, b.trunc(largest, I8), 64), const(vec(I8, 64), 0)

        def body(at, mask):
            index = b.sub(top, load_at(b, b.add(x, at), vec(I8, 64)))
            for table, total in zip(tables, sums):
                eight = call(
                    b, "llvm.x86.avx512.psad.bw.512", vec(I64, 8), masked(b, find(b, table, index), mask), zero
                )
                b.store(b.add(b.load(total), eight), total)

        chunks(b, count, 64, body)
        planes = [call(b, "llvm.vector.reduce.add.v8i64", I64, b.load(s)) for s in sums]
        return b.add(planes[0], b.add(b.shl(planes[1], ir.Constant(I64, 8)), b.shl(planes[2], ir.Constant(I64, 16))))

    return i64(i64, i64, i64, i64), generate


@intrinsic
def scaled_table(context, table, m, zero, low, high, y):
    """C(rint(f32(T[d]) m) + zero) of all 256 distances d, as bytes at y."""

    def generate(ctx, b, sig, args):
        table, m, zero, low, high, y = args
        factor = splat(b, m, LANES)
        with cgutils.for_range(b, ir.Constant(I64, 256 // CHUNK)) as loop:
            at = b.mul(loop.index, ir.Constant(I64, CHUNK))
            source = b.add(table, b.mul(at, ir.Constant(I64, 4)))
            ints = [load_at(b, add_to(b, source, 4 * LANES * k), vec(I32, LANES)) for k in range(4)]
            reals = [within(b, b.fmul(b.sitofp(v, vec(F32, LANES)), factor)) for v in ints]
            store_at(b, b.add(y, at), requantize(b, reals, zero, low, high))
        return ctx.get_dummy_value()

    return types.void(i64, f32, i64, i64, i64, i64), generate


@intrinsic
def distances(context, x, y, count, largest, table):
    """y = table[largest - x] over a row of bytes."""

    def generate(ctx, b, sig, args):
        x, y, count, largest, table = args
        entries, top = table_of(b, table), splat(b, b.trunc(largest, I8), 64)

        def body(at, mask):
            found = find(b, entries, b.sub(top, load_at(b, b.add(x, at), vec(I8, 64))))
            store_chunk(b, b.add(y, at), found, mask, b.sub(count, at))

        chunks(b, count, 64, body)
        return ctx.get_dummy_value()

    return types.void(i64, i64, i64, i64, i64), generate


@njit(nogil=True)
def softmax_row(i, x, y, c, scaled):
    """A row's results depend on the distance from its maximum alone: they are made for all 256 distances, then looked
    up."""
    table = i.table
    largest = row_max(x, c)
    if HARDWARE_TABLE:
        total = exponentials(x, c, largest, table + PLANES)
    else:
        total = i64(0)
        for k in range(c):
            total += load_i32(table + 4 * (largest - load_u8(x + k)))
    m = i.f_inverse / f32(total)
    scaled_table(table, m, i.zero, i.low, i.high, scaled)
    if HARDWARE_TABLE:
        distances(x, y, c, largest, scaled)
    else:
        for k in range(c):
            store_u8(y + k, load_u8(scaled + largest - load_u8(x + k)))


@njit(nogil=True)
def softmax(i, share):
    h, c = i.H, i.C
    scaled = scratch_of(i, share)
    first, end = part_of(share, h)
    for r in range(first, end):
        softmax_row(i, i.x + r * i.x_h, i.y + r * i.y_h, c, scaled)


@intrinsic
def row_sums(context, x, count):
    """(sum of q, sum of q (q - 128)) over a row of bytes q: two dot products."""

    def generate(ctx, b, sig, args):
        bytes_, ints = vec(I8, CHUNK), vec(I32, LANES)
        plain, squares = accumulator(b, ints), accumulator(b, ints)

        def body(at, mask):
            q = masked(b, load_at(b, b.add(args[0], at), bytes_), mask)
            b.store(dot(b, b.load(plain), q, const(bytes_, 1)), plain)
            b.store(dot(b, b.load(squares), q, b.xor(q, const(bytes_, 128))), squares)

        chunks(b, args[1], CHUNK, body)
        totals = [b.sext(call(b, f"llvm.vector.reduce.add.v{LANES}i32", I32, b.load(s)), I64) for s in (plain, squares)]
        return ctx.make_tuple(b, sig.return_type, totals)

    return types.UniTuple(i64, 2)(i64, i64), generate


def _normalized(b, at, v):
    """f32(n q - S1) r g + b."""
    ints = b.mul(widened(b, at[0], LANES), splat(b, b.trunc(v[0], I32), LANES))
    real = b.fmul(b.sitofp(b.sub(ints, splat(b, b.trunc(v[1], I32), LANES)), vec(F32, LANES)), splat(b, v[2], LANES))
    gain, shift = (load_at(b, a, vec(F32, LANES)) for a in at[1:3])
    return within(b, b.fadd(b.fmul(real, gain), shift))


normalize_run = bytes_of((1, 4, 4), "iifiii", _normalized)


@njit(nogil=True)
def layer_norm(i, share):
    h, c, gain, shift = i.H, i.C, i.gain, i.shift
    zero, low, high = i.zero, i.low, i.high
    first, end = part_of(share, h)
    for r in range(first, end):
        x, y = i.x + r * i.x_h, i.y + r * i.y_h
        s1, rest = row_sums(x, c)
        s2 = rest + 128 * s1
        inverse = f32(1) / f32(math.sqrt(f32(c * s2 - s1 * s1) + i.f_epsilon))
        normalize_run((x, gain, shift, y, c, s1, inverse, zero, low, high), c)
