"""The executor: every thread runs the whole list of instructions on its share of each, and waits for the others where flagged."""

from __future__ import annotations

from llvmlite import ir
from numba import njit, types
from numba.extending import intrinsic

from .memory import I64, load_i64

i64 = types.int64


@intrinsic
def call_kernel(context, address, instruction, arena, constants, thread, threads):
    """Call a kernel by its address."""

    def generate(ctx, b, sig, args):
        t = ir.FunctionType(ir.VoidType(), [I64] * 5)
        b.call(b.inttoptr(args[0], t.as_pointer()), args[1:])
        return ctx.get_dummy_value()

    return types.void(*[i64] * 6), generate


@intrinsic
def atomic_add(context, address, value):
    def generate(ctx, b, sig, args):
        return b.atomic_rmw("add", b.inttoptr(args[0], I64.as_pointer()), args[1], "seq_cst")

    return i64(i64, i64), generate


@intrinsic
def load_acquire(context, address):
    def generate(ctx, b, sig, args):
        return b.load_atomic(b.inttoptr(args[0], I64.as_pointer()), "acquire", 8)

    return i64(i64), generate


@njit(nogil=True)
def execute(rows, count, arena, constants, thread, threads, barrier):
    """rows: int64 addresses of instructions. barrier: one int64, 0 at the start, that all threads of a run share."""
    epoch = 0
    for k in range(count):
        row = load_i64(rows + 8 * k)
        call_kernel(load_i64(row), row, arena, constants, thread, threads)
        if threads > 1 and load_i64(row + 8) & 1:
            epoch += 1
            atomic_add(barrier, 1)
            while load_acquire(barrier) < epoch * threads:
                pass
