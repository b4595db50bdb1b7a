"""Products of rows, quantized when they come, with block-wise quantized weights: equations (42) to (46) of
docs/quantization.md.

A micro-kernel keeps some rows times a block of columns in registers: int32 sums over the elements of a block, which
start from the row's own sum times the zero point, and float32 sums over blocks, in their order. Weights are the
unsigned operand of the byte dot product, rows the signed one. Of 4-bit weights a vector of bytes holds four elements
of each column in the lower halves, the next four in the upper ones. Scales of two bytes are float16, none of them
denormal. They are widened by operations of integers and one exact product, on every instruction set alike.
"""

from __future__ import annotations

from collections import namedtuple

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from .dots import dot, half_dot
from .epilogue_scratch import copy_pixels
from .fused import fma
from .jit import chosen, function_of, njit
from .memory import I8, I16, fill_bytes
from .row import operands
from .split import part_of, part_of_either, scratch_of
from .target import ISA
from .vector import F32, I32, I64, add_to, call, const, load_at, splat, store_at, to_int, vec
from .vector_loops import accumulator, chunks, masked

LANES, VECTORS = ISA.lanes, ISA.vectors
BLOCK = LANES * VECTORS
MOST = 6 if LANES == 16 else 3  # rows of a micro-kernel
i64 = types.int64
SMALLEST = 2.0**-100  # see reference/blockwise.py


def largest_bits(b, x, count):
    """The largest magnitude of a run of floats, as its bits: those of NaN are above all others."""
    best, magnitude_bits = accumulator(b, vec(I32, LANES)), const(vec(I32, LANES), 0x7FFFFFFF)

    def body(at, mask):
        bits = load_at(b, b.add(x, b.mul(at, ir.Constant(I64, 4))), vec(I32, LANES))
        bits = masked(b, b.and_(bits, magnitude_bits), mask)
        old = b.load(best)
        b.store(b.select(b.icmp_signed(">", old, bits), old, bits), best)

    chunks(b, count, LANES, body)
    return call(b, f"llvm.vector.reduce.smax.v{LANES}i32", I32, b.load(best))


@intrinsic
def quantize_block(context, x, count, y, scale, total, factor):
    """(42, 43) `count` floats at x as int8 at y, their scale, and -factor times their sum."""

    def generate(ctx, b, sig, args):
        x, count, y, scale, total, factor = args
        bits = largest_bits(b, x, count)
        largest, one27 = b.bitcast(bits, F32), ir.Constant(F32, 127.0)
        endless = b.icmp_signed(">=", bits, ir.Constant(I32, 0x7F800000))
        nothing = b.fcmp_ordered("<", largest, ir.Constant(F32, SMALLEST))
        none = ir.Constant(F32, 0.0)
        step = b.select(nothing, none, b.fdiv(largest, one27))
        store_at(b, scale, b.select(endless, ir.Constant(F32, float("nan")), step))
        inverse = splat(b, b.select(b.or_(endless, nothing), none, b.fdiv(one27, largest)), LANES)
        sums = accumulator(b, vec(I32, LANES))

        def body(at, mask):
            real = b.fmul(load_at(b, b.add(x, b.mul(at, ir.Constant(I64, 4))), vec(F32, LANES)), inverse)
            real = b.select(b.fcmp_ordered("==", real, real), real, const(real.type, 0.0))
            q = masked(b, to_int(b, real), mask)
            b.store(b.add(b.load(sums), q), sums)
            store_at(b, b.add(y, at), b.trunc(q, vec(I8, LANES)))

        chunks(b, count, LANES, body)
        sum_of_lanes = call(b, f"llvm.vector.reduce.add.v{LANES}i32", I32, b.load(sums))
        store_at(b, total, b.neg(b.mul(sum_of_lanes, b.trunc(factor, I32))))
        return ctx.get_dummy_value()

    return types.void(i64, i64, i64, i64, i64, i64), generate


@njit(nogil=True)
def quantize_rows(i, share):
    h, c, size, factor = i.H, i.C, i.size, i.factor
    blocks = (c + size - 1) // size
    first, end = part_of(share, h * blocks)
    for job in range(first, end):
        r, k = job // blocks, job % blocks
        x, y = i.x + r * i.x_h + 4 * k * size, i.y + job * size
        count = min(size, c - k * size)
        if count < size:
            fill_bytes(y, 0, size)
        quantize_block(x, count, y, i.scale + 4 * job, i.sum + 4 * job, factor)


Rows = namedtuple("Rows", "x x_scale x_sum pitch blocks size w scale scale_item zero bias points y y_h")


def _halves(b, v):
    """The lower and the upper four bits of each byte."""
    low = const(v.type, 15)
    return b.and_(v, low), b.and_(b.lshr(v, const(v.type, 4)), low)


def _widened(b, half):
    """float32 of float16 bits: exponents are biased by 15 there, by 127 here."""
    ints = b.shl(b.sext(half, vec(I32, LANES)), const(vec(I32, LANES), 13))
    bits = b.and_(ints, const(ints.type, 0x8FFFFFFF))
    return b.fmul(b.bitcast(bits, vec(F32, LANES)), const(vec(F32, LANES), 2.0**112))


def _scales(b, first, item, columns):
    """Where the scales of the columns of a block are, from column `columns` on: of four bytes, or of two."""
    made = [cgutils.alloca_once(b, vec(F32, LANES)) for _ in range(VECTORS)]
    at = b.add(first, b.mul(columns, item))
    with b.if_else(b.icmp_signed("==", item, ir.Constant(I64, 2))) as (halves, floats):
        with halves:
            for v in range(VECTORS):
                b.store(_widened(b, load_at(b, add_to(b, at, 2 * LANES * v), vec(I16, LANES))), made[v])
        with floats:
            for v in range(VECTORS):
                b.store(load_at(b, add_to(b, at, 4 * LANES * v), vec(F32, LANES)), made[v])
    return made


def micro_kernel(rows, bits):
    """An intrinsic of Rows: `rows` rows by one block of columns. pitch: bytes from row to row of x, `blocks` times
    4 those of its scales and sums."""
    groups = 8 // bits  # of four elements that a vector of weights holds
    multiply = half_dot if bits == 4 else dot
    apart = 2 if rows * VECTORS < 8 else 1  # sums that are kept apart, so that they do not wait for each other

    def generate(ctx, b, sig, args):
        a = operands(b, sig, args)
        ints, floats, bytes_ = vec(I32, LANES), vec(F32, LANES), vec(I8, 4 * LANES)
        cells = [(p, v) for p in range(rows) for v in range(VECTORS)]
        y = {cell: cgutils.alloca_once_value(b, const(floats, 0.0)) for cell in cells}
        acc = {cell: [cgutils.alloca_once(b, ints) for _ in range(apart)] for cell in cells}
        for cell in cells:
            b.store(const(floats, 0.0), y[cell])
        w = cgutils.alloca_once(b, I64)
        b.store(a["w"], w)
        steps = b.udiv(a["size"], ir.Constant(I64, 4 * groups))
        row = b.mul(a["blocks"], ir.Constant(I64, 4))
        row_of = [[b.add(a[n], b.mul(a[m] if m else row, ir.Constant(I64, p))) for p in range(rows)] for n, m in (
            ("x", "pitch"), ("x_scale", ""), ("x_sum", ""))]  # fmt: skip
        with cgutils.for_range(b, a["blocks"]) as k:
            at = b.mul(k.index, ir.Constant(I64, 4))
            columns = b.mul(k.index, ir.Constant(I64, BLOCK))
            for p in range(rows):
                start = splat(b, load_at(b, b.add(row_of[2][p], at), I32), LANES)
                for v in range(VECTORS):
                    b.store(start, acc[p, v][0])
                    for other in acc[p, v][1:]:
                        b.store(const(ints, 0), other)
            with b.if_then(b.icmp_signed("!=", a["points"], ir.Constant(I64, 0))):
                for v in range(VECTORS):
                    zero = b.zext(load_at(b, add_to(b, b.add(a["zero"], columns), LANES * v), vec(I8, LANES)), ints)
                    for p in range(rows):
                        b.store(b.mul(b.load(acc[p, v][0]), zero), acc[p, v][0])
            base = b.mul(k.index, a["size"])
            with cgutils.for_range(b, steps) as s:
                here = b.add(base, b.mul(s.index, ir.Constant(I64, 4 * groups)))
                parts = []
                for v in range(VECTORS):
                    packed = load_at(b, add_to(b, b.load(w), 4 * LANES * v), bytes_)
                    parts.append(_halves(b, packed) if groups == 2 else (packed,))
                b.store(add_to(b, b.load(w), 4 * LANES * VECTORS), w)
                for p in range(rows):
                    for g in range(groups):
                        word = splat(b, load_at(b, add_to(b, b.add(row_of[0][p], here), 4 * g), I32), LANES)
                        for v in range(VECTORS):
                            target = acc[p, v][g % apart]
                            b.store(multiply(b, b.load(target), parts[v][g], b.bitcast(word, bytes_)), target)
            for v, made in enumerate(_scales(b, a["scale"], a["scale_item"], columns)):
                scale = b.load(made)
                for p in range(rows):
                    sum_of_lanes = b.load(acc[p, v][0])
                    for other in acc[p, v][1:]:
                        sum_of_lanes = b.add(sum_of_lanes, b.load(other))
                    term = b.fmul(b.sitofp(sum_of_lanes, floats), scale)
                    factor = splat(b, load_at(b, b.add(row_of[1][p], at), F32), LANES)
                    b.store(fma(b, term, factor, b.load(y[p, v])), y[p, v])
        for p, v in cells:
            bias = load_at(b, add_to(b, a["bias"], 4 * LANES * v), floats)
            target = add_to(b, b.add(a["y"], b.mul(a["y_h"], ir.Constant(I64, p))), 4 * LANES * v)
            store_at(b, target, b.fadd(b.load(y[p, v]), bias))
        return ctx.get_dummy_value()

    @intrinsic
    def run(context, rows_of_block):
        return types.void(rows_of_block), generate

    return run


def blockwise(bits):
    """The kernel of weights of so many bits."""
    run = chosen({p: function_of(micro_kernel(p, bits)) for p in range(1, MOST + 1)})

    @njit(nogil=True)
    def kernel(i, share):
        """Threads share blocks of columns; where these are fewer, rows."""
        h, k, c, y_h = i.H, i.K, i.C, i.y_h
        size, points, item = i.size, i.points, i.scale_item
        jobs = (c + BLOCK - 1) // BLOCK
        job0, job1, first, end = part_of_either(share, jobs, h, jobs < share.pieces)
        parts = (end - first + MOST - 1) // MOST
        scratch = scratch_of(i, share)
        for job in range(job0, job1):
            w = i.w + job * (BLOCK * k * size * bits // 8)
            scale, zero = i.scale + job * (BLOCK * k * item), i.zero + job * (BLOCK * k)
            bias, valid = i.bias + job * (BLOCK * 4), min(BLOCK, c - job * BLOCK)
            for part in range(parts):
                r0 = first + (end - first) * part // parts
                count = first + (end - first) * (part + 1) // parts - r0
                y = i.y + r0 * y_h + job * (BLOCK * 4)
                target, pitch = (y, y_h) if valid == BLOCK else (scratch, BLOCK * 4)
                operands = Rows(
                    x=i.x + r0 * k * size, x_scale=i.x_scale + r0 * k * 4, x_sum=i.x_sum + r0 * k * 4, pitch=k * size,
                    blocks=k, size=size, w=w,
                    scale=scale, scale_item=item, zero=zero, bias=bias, points=points, y=target, y_h=pitch,
                )  # fmt: skip
                run(count, operands)
                if valid < BLOCK:
                    copy_pixels(y, y_h, scratch, pitch, count, valid * 4)

    return kernel


of_4_bits, of_8_bits = blockwise(4), blockwise(8)
