"""Weights of a product of two tensors: a u8 matrix in the order of a convolution's packed weights, made anew in each
run."""

from __future__ import annotations

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from .dots import OFFSET, dot
from .jit import njit
from .memory import load_u8, store_i32, store_u8
from .split import part_of
from .target import ISA
from .vector import I8, I32, I64, add_to, const, joined, load_at, mask, part, splat, store_at, vec
from .vector_loops import accumulator

LANES, VECTORS = ISA.lanes, ISA.vectors
STEP, NARROW = ISA.step, ISA.narrow
PER_STEP = STEP // 4
i64 = types.int64


class Packer:
    """A vector of output channels: four rows of K at a time are stored, and their sums kept for the bias."""

    def __init__(self, b, y, vectors, k, channels, more):
        self.b, self.y, self.k, self.sums = b, y, k, accumulator(b, vec(I32, LANES))
        there = b.icmp_signed("<", mask(range(LANES)), splat(b, b.trunc(channels, I32), LANES))
        b.store(b.select(there, splat(b, b.trunc(more, I32), LANES), const(vec(I32, LANES), 0)), self.sums)
        self.block = b.mul(vectors, ir.Constant(I64, LANES * STEP))
        self.bytes = vec(I8, 4 * LANES)
        lane = ir.Constant(self.bytes, [j // 4 for j in range(4 * LANES)])
        self.lanes = b.icmp_unsigned("<", lane, splat(b, b.trunc(channels, I8), 4 * LANES))

    def valid(self, s):
        """Which of the bytes of rows 4 s to 4 s + 3 are weights."""
        b = self.b
        left = b.sub(self.k, b.shl(s, ir.Constant(I64, 2)))
        left = b.select(b.icmp_signed("<", left, ir.Constant(I64, 4)), left, ir.Constant(I64, 4))
        turn = ir.Constant(self.bytes, [j % 4 for j in range(4 * LANES)])
        return b.and_(self.lanes, b.icmp_signed("<", turn, splat(b, b.trunc(left, I8), 4 * LANES)))

    def store(self, s, value):
        """Rows 4 s to 4 s + 3: bytes [lane][4], less 128; what lies beyond K or the channels is 0."""
        b = self.b
        value = b.select(self.valid(s), b.xor(value, const(self.bytes, 128)), const(self.bytes, 0))
        b.store(dot(b, b.load(self.sums), const(self.bytes, 1), value), self.sums)
        store_at(b, self.place(s), value)

    def store_rest(self, s, rest):
        """Of rows 4 s to 4 s + 3 one number, and 0 beyond."""
        store_at(self.b, self.place(s), self.b.select(self.valid(s), rest, const(self.bytes, 0)))

    def place(self, s):
        b = self.b
        far = b.mul(b.sdiv(s, ir.Constant(I64, PER_STEP)), self.block)
        near = b.mul(b.srem(s, ir.Constant(I64, PER_STEP)), ir.Constant(I64, 4 * LANES))
        return b.add(self.y, b.add(far, near))

    def store_correction(self, bias, zero):
        b = self.b
        store_at(b, bias, b.mul(b.load(self.sums), splat(b, b.trunc(b.neg(zero), I32), LANES)))


def at_most(b, value, limit):
    return b.select(b.icmp_signed("<", value, limit), value, limit)


SIGNATURE = types.void(*[i64] * 10)


@intrinsic
def pack_rows(context, x, stride, k, channels, steps, y, vectors, bias, zero, more):
    """Channels are adjacent, rows `stride` bytes apart: four rows are interleaved."""

    def generate(ctx, b, sig, args):
        x, stride, k, channels, steps, y, vectors, bias, zero, more = args
        packer = Packer(b, y, vectors, k, channels, more)
        last = b.sub(k, ir.Constant(I64, 1))
        with cgutils.for_range(b, steps) as loop:
            rows = [
                at_most(b, b.add(b.shl(loop.index, ir.Constant(I64, 2)), ir.Constant(I64, t)), last) for t in range(4)
            ]
            rows_joined = joined(b, [load_at(b, b.add(x, b.mul(r, stride)), vec(I8, LANES)) for r in rows])
            order = mask([t * LANES + lane for lane in range(LANES) for t in range(4)])
            packer.store(loop.index, b.shuffle_vector(rows_joined, ir.Constant(rows_joined.type, ir.Undefined), order))
        packer.store_correction(bias, zero)
        return ctx.get_dummy_value()

    return SIGNATURE, generate


@intrinsic
def pack_columns(context, x, stride, k, channels, steps, y, vectors, bias, zero, more):
    """K is adjacent, channels `stride` bytes apart: 16 bytes of each channel are turned at once."""

    def generate(ctx, b, sig, args):
        x, stride, k, channels, steps, y, vectors, bias, zero, more = args
        packer = Packer(b, y, vectors, k, channels, more)
        last = b.sub(channels, ir.Constant(I64, 1))
        starts = [b.add(x, b.mul(at_most(b, ir.Constant(I64, n), last), stride)) for n in range(LANES)]
        turn = mask([4 * n + j for j in range(4) for n in range(4)])
        with cgutils.for_range(b, b.sdiv(b.add(steps, ir.Constant(I64, 3)), ir.Constant(I64, 4))) as loop:
            at = b.shl(loop.index, ir.Constant(I64, 4))
            quads = []
            for q in range(0, LANES, 4):
                v = joined(b, [load_at(b, b.add(starts[q + n], at), vec(I32, 4)) for n in range(4)])
                quads.append(b.shuffle_vector(v, ir.Constant(v.type, ir.Undefined), turn))
            for j in range(4):
                s = add_to(b, b.shl(loop.index, ir.Constant(I64, 2)), j)
                with b.if_then(b.icmp_signed("<", s, steps)):
                    packer.store(s, b.bitcast(joined(b, [part(b, v, 4 * j, 4) for v in quads]), vec(I8, 4 * LANES)))
        packer.store_correction(bias, zero)
        return ctx.get_dummy_value()

    return SIGNATURE, generate


@intrinsic
def pack_rest(context, k, channels, steps, y, vectors, rest):
    """Weights that are all one number."""

    def generate(ctx, b, sig, args):
        k, channels, steps, y, vectors, rest = args
        packer = Packer(b, y, vectors, k, channels, ir.Constant(I64, 0))
        value = splat(b, b.trunc(rest, I8), 4 * LANES)
        with cgutils.for_range(b, steps) as loop:
            packer.store_rest(loop.index, value)
        return ctx.get_dummy_value()

    return types.void(*[i64] * 6), generate


@njit(nogil=True)
def pack_any(x, x_k, x_c, k, channels, steps, y, vectors, bias, zero, more):
    """One byte after the other."""
    for lane in range(LANES):
        total = more if lane < channels else 0
        for s in range(steps):
            for t in range(4):
                value = 0
                if lane < channels and 4 * s + t < k:
                    value = load_u8(x + (4 * s + t) * x_k + lane * x_c) - 128
                total += value
                store_u8(y + s // PER_STEP * vectors * LANES * STEP + s % PER_STEP * LANES * 4 + lane * 4 + t, value)
        store_i32(bias + lane * 4, -zero * total)


@njit(nogil=True)
def pack(i, share):
    """One vector of output channels after the other; a block's weights lie as [steps, vectors, STEP / 4, lanes, 4], its
    bias as [channels]; behind a block's weights come those of further rows of taps, `rest` each."""
    groups, k, c, zero = i.G, i.K, i.C, i.x_zero - OFFSET
    more = k * i.rest * (i.taps - 1)
    x_k, x_c = i.x_k, i.x_c
    multiple = LANES if NARROW else LANES * VECTORS
    padded, steps = (c + multiple - 1) // multiple * multiple, (k + STEP - 1) // STEP * PER_STEP
    vectors_of_all = padded // LANES
    first, end = part_of(share, groups * vectors_of_all)
    for job in range(first, end):
        g, v = job // vectors_of_all, job % vectors_of_all
        block, within = v // VECTORS, v % VECTORS
        vectors = min(VECTORS, vectors_of_all - block * VECTORS)
        y = i.y + g * i.y_g + block * VECTORS * LANES * steps * 4 * i.taps + within * LANES * STEP
        bias = i.bias + (g * padded + v * LANES) * 4
        channels = min(LANES, c - v * LANES)
        x = i.x + g * i.x_g + min(v * LANES, c - 1) * x_c
        if channels > 0 and x_c == 1:
            pack_rows(x, x_k, k, channels, steps, y, vectors, bias, zero, more)
        elif channels > 0 and x_k == 1:
            pack_columns(x, x_c, k, channels, steps, y, vectors, bias, zero, more)
        else:
            pack_any(x, x_k, x_c, k, channels, steps, y, vectors, bias, zero, more)
        for _ in range(1, i.taps):
            y += vectors * LANES * steps * 4
            pack_rest(k, max(0, channels), steps, y, vectors, i.rest)
