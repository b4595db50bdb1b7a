"""The executor: every thread runs the whole list of instructions on its share of each, and waits for the others where flagged."""

from __future__ import annotations

import platform
import sys

from llvmlite import ir
from numba import njit, types
from numba.extending import intrinsic

from .memory import I64, load_i64

i64 = types.int64
ON_LINUX_X86 = sys.platform == "linux" and platform.machine() == "x86_64"
SCHED_YIELD = 24
PATIENCE = 10_000


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


@intrinsic
def yield_cpu(context):
    """sched_yield of Linux on x86-64, a plain pause elsewhere: a thread that waits long lets the one that it waits for run."""

    def generate(ctx, b, sig, args):
        if ON_LINUX_X86:
            t = ir.FunctionType(I64, [I64])
            b.call(ir.InlineAsm(t, "syscall", "={rax},0,~{rcx},~{r11},~{memory}", side_effect=True), [ir.Constant(I64, SCHED_YIELD)])
        return ctx.get_dummy_value()

    return types.void(), generate


@intrinsic
def pause(context):
    """The CPU's hint that a loop only waits."""

    def generate(ctx, b, sig, args):
        if ON_LINUX_X86:
            b.call(ir.InlineAsm(ir.FunctionType(ir.VoidType(), []), "pause", "~{memory}", side_effect=True), [])
        return ctx.get_dummy_value()

    return types.void(), generate


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
            spins = 0
            while load_acquire(barrier) < epoch * threads:
                pause()
                spins += 1
                if spins > PATIENCE:
                    yield_cpu()
