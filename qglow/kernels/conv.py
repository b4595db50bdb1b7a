"""Convolutions and matrix products: u8 pixels times packed s8 weights, requantized in registers. Their way is that of
product.py.

Where a target adds pairs of products in 16 bits (Target.pairs), a block takes its steps in an order of its own, `order`
(instructions/pairings.py): first those in which neighbouring taps are pairs that cannot saturate, three instructions a
vector; then those whose taps are brought into another order before; last those that are widened before they are
multiplied.
"""

from __future__ import annotations

from functools import partial

from llvmlite import ir
from numba.core import cgutils

from ..instructions.pairings import COUNTS, HEAD, WIDENED, WORDS
from .dots import IS_INSTRUCTION, dot_of_pairs, in_order, less_offset, pixel_dot
from .epilogue import ask_for_targets, epilogue, modes_of, size_of
from .epilogue_scratch import finish_pixels
from .product import Kernels, product
from .target import ISA
from .vector import I8, I32, I64, add_to, const, load_at, prefetch, prefetch_range, splat, vec

LANES = ISA.lanes
BURST = 1536  # bytes of the next weights that are asked for at once; more are asked for between the steps of the sum
CHAINS = 8  # sums in flight that hide the latency of a dot product


def micro(b, a, pixels, vectors, pixel_of, taps_of):
    """Sums from the biases, and then the epilogue. taps_of(b, a, pixels, vectors, pixel_of, start): makes the sums
    [pixel][vector] of all taps and `start`, values of each vector."""
    t = vec(I32, LANES)
    start = [load_at(b, add_to(b, a["bias"], 4 * LANES * v), t) for v in range(vectors)]
    totals = taps_of(b, a, pixels, vectors, pixel_of, start)
    sums = [(p, v, totals[p][v]) for p in range(pixels) for v in range(vectors)]
    epilogue(b, a, sums, pixels, vectors, pixel_of)


def in_turn(b, a, pixels, vectors, pixel_of, start):
    """Four taps a step, two or more of them at a time where there are few pixels and vectors."""
    ways = max(1, CHAINS // (pixels * vectors)) if IS_INSTRUCTION else 1
    size = 4 * LANES * vectors  # bytes of weights that one step reads
    zero = const(vec(I32, LANES), 0)
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

    def step(at, way, unrolled):
        wa = add_to(b, b.load(w), size * unrolled)
        ws = [load_at(b, add_to(b, wa, 4 * LANES * v), vec(I8, 4 * LANES)) for v in range(vectors)]
        for p in range(pixels):
            word = load_at(b, add_to(b, pixel_of("x", p, at), 4 * unrolled), I32)
            x = less_offset(b, b.bitcast(splat(b, word, LANES), vec(I8, 4 * LANES)))
            for v in range(vectors):
                b.store(pixel_dot(b, b.load(acc[way][p][v]), x, ws[v]), acc[way][p][v])

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
    return [[added(b, [acc[k][p][v] for k in range(ways)]) for v in range(vectors)] for p in range(pixels)]


def added(b, variables):
    total = b.load(variables[0])
    for other in variables[1:]:
        total = b.add(total, b.load(other))
    return total


def by_pairings(b, a, pixels, vectors, pixel_of, start):
    """Four taps a step, in the order of `order`, whose words say where a step reads."""
    acc = [[cgutils.alloca_once_value(b, start[v]) for v in range(vectors)] for _ in range(pixels)]
    t = vec(I8, 4 * LANES)
    line = b.mul(b.mul(a["KH"], a["runs"]), a["steps"])
    line = b.shl(add_to(b, b.shl(line, ir.Constant(I64, 1)), HEAD), ir.Constant(I64, 2))
    order = b.add(a["i"].order, b.mul(a["job"], line))
    now = cgutils.alloca_once_value(b, add_to(b, order, 4 * HEAD))
    ahead = cgutils.alloca_once_value(b, a["next"])
    interleave_prefetch = b.icmp_signed("!=", a["interleave_prefetch"], ir.Constant(I64, 0))
    further = b.select(interleave_prefetch, ir.Constant(I64, 32), ir.Constant(I64, 0))
    with b.if_then(b.not_(interleave_prefetch)):
        prefetch_range(b, a["next"], a["share"])
    ask_for_targets(b, a, pixels, pixel_of)
    xs = [pixel_of("x", p) for p in range(pixels)]

    def steps(pairing, dot, ordered=None):
        count = b.sext(load_at(b, b.add(order, b.shl(pairing, ir.Constant(I64, 2))), I32), I64)
        with cgutils.for_range(b, count):
            at = b.load(now)
            x_at, w_at = (b.sext(load_at(b, add_to(b, at, k), I32), I64) for k in (0, 4))
            b.store(add_to(b, at, 8), now)
            prefetch(b, b.load(ahead), 0, 2)
            b.store(b.add(b.load(ahead), further), ahead)
            ws = [load_at(b, add_to(b, b.add(a["w"], w_at), 4 * LANES * v), t) for v in range(vectors)]
            ws = ws if ordered is None else [ordered(w) for w in ws]
            for p in range(pixels):
                x = b.bitcast(splat(b, load_at(b, b.add(xs[p], x_at), I32), LANES), t)
                x = x if ordered is None else ordered(x)
                for v in range(vectors):
                    b.store(dot(b, b.load(acc[p][v]), x, ws[v]), acc[p][v])

    steps(ir.Constant(I64, 0), dot_of_pairs)
    with cgutils.for_range(b, ir.Constant(I64, len(WORDS))) as loop:
        which = add_to(b, loop.index, 1)
        # NOTE: read, where it is known too: LLVM would bring each pixel's four bytes into order before their splat
        word = load_at(b, b.add(order, b.shl(add_to(b, loop.index, COUNTS), ir.Constant(I64, 2))), I32)
        steps(which, dot_of_pairs, in_order(b, word, WORDS, t))
    steps(ir.Constant(I64, WIDENED), pixel_dot)
    return [[b.load(acc[p][v]) for v in range(vectors)] for p in range(pixels)]


def _kernel(taps_of):
    way = partial(micro, taps_of=taps_of)
    return product(
        Kernels(ISA.vectors, ISA.pixels, ISA.narrow_pixels, True, 4, BURST, 1, way, size_of, modes_of, finish_pixels)
    )


conv2d = _kernel(in_turn)
conv2d_of_pairs = _kernel(by_pairings) if ISA.pairs else conv2d
