"""Convolutions and matrix products: u8 pixels times packed s8 weights, requantized in registers. Their way is that of
product.py.

Where a target adds pairs of products in 16 bits (Target.pairs), a byte of each step says which way is exact: it is 0
where no pair can saturate, which is three instructions a vector, else the weights are widened first. The bytes are the
same for all pixels, so that the CPU foresees the branch.
"""

from __future__ import annotations

from functools import partial

from llvmlite import ir
from numba.core import cgutils

from .dots import IS_INSTRUCTION, dot_of_pairs, less_offset, pixel_dot
from .epilogue import ask_for_targets, epilogue, modes_of, size_of
from .epilogue_scratch import finish_pixels
from .product import Kernels, product
from .target import ISA
from .vector import I8, I32, I64, add_to, load_at, prefetch, prefetch_range, splat, vec

LANES = ISA.lanes
BURST = 1536  # bytes of the next weights that are asked for at once; more are asked for between the steps of the sum
CHAINS = 8  # sums in flight that hide the latency of a dot product


def micro(b, a, pixels, vectors, pixel_of, pairs=False):
    """Sums of four taps a step, two or more of them at a time where there are few; then the epilogue. pairs: as
    `wide_of` says."""
    ways = max(1, CHAINS // (pixels * vectors)) if IS_INSTRUCTION else 1
    size = 4 * LANES * vectors  # bytes of weights that one step reads
    t = vec(I32, LANES)
    start = [load_at(b, add_to(b, a["bias"], 4 * LANES * v), t) for v in range(vectors)]
    zero = ir.Constant(t, [0] * LANES)
    acc = [
        [[cgutils.alloca_once_value(b, zero if k else start[v]) for v in range(vectors)] for _ in range(pixels)]
        for k in range(ways)
    ]
    w = cgutils.alloca_once_value(b, a["w"])
    ahead = cgutils.alloca_once_value(b, a["next"])
    interleave_prefetch = b.icmp_signed("!=", a["interleave_prefetch"], ir.Constant(I64, 0))
    with b.if_then(b.not_(interleave_prefetch)):
        prefetch_range(b, a["next"], a["share"])
    ask_for_targets(b, a, pixels, pixel_of)
    wide = wide_of(b, a) if pairs else None

    def step(at, way, unrolled):
        wa = add_to(b, b.load(w), size * unrolled)
        ws = [load_at(b, add_to(b, wa, 4 * LANES * v), vec(I8, 4 * LANES)) for v in range(vectors)]

        def add(dot):
            for p in range(pixels):
                word = load_at(b, add_to(b, pixel_of("x", p, at), 4 * unrolled), I32)
                x = less_offset(b, b.bitcast(splat(b, word, LANES), vec(I8, 4 * LANES)))
                for v in range(vectors):
                    b.store(dot(b, b.load(acc[way][p][v]), x, ws[v]), acc[way][p][v])

        if wide is None:
            add(pixel_dot)
            return
        is_wide = b.icmp_unsigned("!=", load_at(b, b.load(wide), I8), ir.Constant(I8, 0))
        b.store(add_to(b, b.load(wide), 1), wide)
        with b.if_else(is_wide) as (apart, together):
            with apart:
                add(pixel_dot)
            with together:
                add(dot_of_pairs)

    with cgutils.for_range(b, a["KH"]) as kh, cgutils.for_range(b, a["runs"]) as r:
        base = b.add(a["x"], b.add(b.mul(kh.index, a["row"]), b.mul(r.index, a["tap"])))
        if ways > 1:
            many = b.sdiv(a["steps"], ir.Constant(I64, ways))
            with cgutils.for_range(b, many) as s:
                for k in range(ways):
                    step(b.add(base, b.mul(s.index, ir.Constant(I64, 4 * ways))), k, k)
                b.store(add_to(b, b.load(w), size * ways), w)
            done = b.mul(many, ir.Constant(I64, ways))
            base = b.add(base, b.mul(done, ir.Constant(I64, 4)))
        else:
            many = b.select(interleave_prefetch, b.lshr(a["steps"], ir.Constant(I64, 3)), ir.Constant(I64, 0))
            with cgutils.for_range(b, many) as eight:
                for line in range(4):
                    prefetch(b, add_to(b, b.load(ahead), 64 * line), 0, 2)
                b.store(add_to(b, b.load(ahead), 256), ahead)
                at = b.add(base, b.shl(eight.index, ir.Constant(I64, 5)))
                with cgutils.for_range(b, ir.Constant(I64, 8)) as s:
                    step(b.add(at, b.shl(s.index, ir.Constant(I64, 2))), 0, 0)
                    b.store(add_to(b, b.load(w), size), w)
            done = b.shl(many, ir.Constant(I64, 3))
            base = b.add(base, b.shl(done, ir.Constant(I64, 2)))
        with cgutils.for_range(b, b.sub(a["steps"], done)) as s:
            step(b.add(base, b.shl(s.index, ir.Constant(I64, 2))), 0, 0)
            b.store(add_to(b, b.load(w), size), w)
    sums = []
    for p in range(pixels):
        for v in range(vectors):
            total = b.load(acc[0][p][v])
            for k in range(1, ways):
                total = b.add(total, b.load(acc[k][p][v]))
            sums.append((p, v, total))
    epilogue(b, a, sums, pixels, vectors, pixel_of)


def wide_of(b, a):
    """A variable of where the byte of the next step is, in `wide` [vectors of channels, steps]."""
    steps = b.mul(b.mul(a["KH"], a["runs"]), a["steps"])
    vector = b.sdiv(a["first"], ir.Constant(I64, LANES))
    return cgutils.alloca_once_value(b, b.add(a["i"].wide, b.mul(vector, steps)))


def _kernel(way):
    return product(
        Kernels(ISA.vectors, ISA.pixels, ISA.narrow_pixels, True, 4, BURST, 1, way, size_of, modes_of, finish_pixels)
    )


conv2d = _kernel(micro)
conv2d_of_pairs = _kernel(partial(micro, pairs=True)) if ISA.pairs else conv2d
