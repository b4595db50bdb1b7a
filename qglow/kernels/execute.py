"""The executor: every thread runs the whole list of instructions on its share of each, and waits for the others where flagged."""

from __future__ import annotations

import platform
import sys

from llvmlite import ir
from numba import njit, types
from numba.extending import intrinsic

from .memory import I64, load_i64, store_i64

i64 = types.int64
ON_LINUX_X86 = sys.platform == "linux" and platform.machine() == "x86_64"
SCHED_YIELD = 24
PATIENCE = 10_000
GLANCE = 256  # looks between two at who else is on this CPU
SEATS = 7  # threads whose CPU is known: the words of a cache line behind the barrier


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


@intrinsic
def cpu_number(context):
    """The CPU that this runs on, from 1, as Linux leaves it for RDTSCP; 0 elsewhere."""

    def generate(ctx, b, sig, args):
        if not ON_LINUX_X86:
            return ir.Constant(I64, 0)
        t = ir.FunctionType(ir.IntType(32), [])
        number = b.call(ir.InlineAsm(t, "rdtscp", "={ecx},~{eax},~{edx}", side_effect=True), [])
        return b.add(b.zext(b.and_(number, ir.Constant(ir.IntType(32), 4095)), I64), ir.Constant(I64, 1))

    return i64(), generate


@njit(nogil=True)
def is_crowded(barrier, thread, threads):
    """Whether another thread of the run was last seen on this CPU: then it cannot go on while this one waits. Also takes this one's seat."""
    seats = min(threads, SEATS)
    here = cpu_number()
    if thread < seats:
        store_i64(barrier + 8 + 8 * thread, here)
    if here == 0:
        return False
    for other in range(seats):
        if other != thread and load_i64(barrier + 8 + 8 * other) == here:
            return True
    return False


@njit(nogil=True)
def execute(rows, count, arena, constants, thread, threads, barrier):
    """rows: int64 addresses of instructions. barrier: a cache line that all threads of a run share; its first int64 is 0 at the start."""
    epoch = 0
    if threads > 1:
        is_crowded(barrier, thread, threads)
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
                if spins > PATIENCE or (spins % GLANCE == 0 and is_crowded(barrier, thread, threads)):
                    yield_cpu()
