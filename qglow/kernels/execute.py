"""The executor of one thread: a list of instructions, each as a whole, one after the other."""

from __future__ import annotations

from llvmlite import ir
from numba import types
from numba.extending import intrinsic

from .jit import njit
from .memory import I64, load_i64

i64 = types.int64


@intrinsic
def call_kernel(context, address, instruction, worker, piece, pieces):
    """Call a kernel by its address."""

    def generate(ctx, b, sig, args):
        t = ir.FunctionType(ir.VoidType(), [I64] * 4)
        b.call(b.inttoptr(args[0], t.as_pointer()), args[1:])
        return ctx.get_dummy_value()

    return types.void(*[i64] * 5), generate


@njit(nogil=True)
def execute(rows, count):
    """rows: int64 addresses of instructions."""
    for k in range(count):
        row = load_i64(rows + 8 * k)
        call_kernel(load_i64(row), row, 0, 0, 1)


EXPORTED = {"execute": (execute, 2)}
