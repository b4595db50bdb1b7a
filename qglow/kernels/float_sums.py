"""Long sums: chains of BLOCK float vectors, whose sums are added in float64 (docs/quantization.md, 40)."""

from __future__ import annotations

from llvmlite import ir
from numba.core import cgutils

from ..reference.float_sums import BLOCK
from .fused import F64
from .vector import F32, I64, const, vec
from .vector_loops import SUMS, floats, halves


class Totals:
    """Sums of some float vectors in blocks. `chains` are the running sums, variables that the caller adds to;
    `end_block` moves them on."""

    def __init__(self, b, vectors, lanes):
        self.zero, self.wide_zero = const(vec(F32, lanes), 0.0), const(vec(F64, lanes), 0.0)
        self.chains = [cgutils.alloca_once_value(b, self.zero) for _ in range(vectors)]
        self.totals = [cgutils.alloca_once_value(b, self.wide_zero) for _ in range(vectors)]
        for chain, total in zip(self.chains, self.totals):
            b.store(self.zero, chain)
            b.store(self.wide_zero, total)

    def end_block(self, b):
        for chain, total in zip(self.chains, self.totals):
            b.store(b.fadd(b.load(total), b.fpext(b.load(chain), self.wide_zero.type)), total)
            b.store(self.zero, chain)

    def rounded(self, b):
        """The totals of the blocks that have ended, as float32."""
        return [b.fptrunc(b.load(total), self.zero.type) for total in self.totals]


def sum_of_row(b, x, count, visit):
    """The sum of visit(byte offset, vector of SUMS floats, mask or None) over a row of floats; visit gives zeros beyond
    the mask."""
    block = ir.Constant(I64, SUMS * BLOCK)
    sums = Totals(b, 1, SUMS)
    chain = sums.chains[0]
    done = cgutils.alloca_once_value(b, sums.zero)

    def add_all(offset, size):
        def add(here, v, mask):
            b.store(b.fadd(b.load(chain), visit(b.add(offset, here), v, mask)), chain)

        floats(b, b.add(x, offset), size, add)

    with b.if_else(b.icmp_signed(">", count, block)) as (several, one):
        with several:
            with cgutils.for_range(b, b.sdiv(b.add(count, ir.Constant(I64, SUMS * BLOCK - 1)), block)) as loop:
                first = b.mul(loop.index, block)
                left = b.sub(count, first)
                add_all(b.shl(first, ir.Constant(I64, 2)), b.select(b.icmp_signed("<", left, block), left, block))
                sums.end_block(b)
            b.store(sums.rounded(b)[0], done)
        with one:  # NOTE: short rows pay for nothing else
            add_all(ir.Constant(I64, 0), count)
            b.store(b.load(chain), done)
    return halves(b, b.load(done), b.fadd)
