"""Sleep and wake on a word of memory: the futex of Linux, as a system call of a few lines of assembly, for kernels link to no library.

Elsewhere both do nothing, and `SLEEPS` in sizes.py says so to those who then have to sleep in Python.
"""

from __future__ import annotations

from llvmlite import ir
from numba import types
from numba.extending import intrinsic

from .memory import I64
from .sizes import SLEEPS
from .target import ARCHITECTURE

WAIT_PRIVATE, WAKE_PRIVATE = 128, 129
i64 = types.int64
_CALLS = {
    "x86_64": (202, "syscall", "={rax},0,{rdi},{rsi},{rdx},{r10},~{rcx},~{r11},~{memory}"),
    "aarch64": (98, "svc #0", "={x0},{x8},0,{x1},{x2},{x3},~{memory}"),
}


def _futex(b, address, operation, value):
    if not SLEEPS:
        return
    number, text, constraints = _CALLS[ARCHITECTURE]
    t = ir.FunctionType(I64, [I64] * 5)
    arguments = [ir.Constant(I64, number), address, ir.Constant(I64, operation), value, ir.Constant(I64, 0)]
    b.call(ir.InlineAsm(t, text, constraints, side_effect=True), arguments)


@intrinsic
def futex_wait(context, address, value):
    """Sleep until the word is woken, unless its low 32 bits are not those of value. It may also return for no reason."""

    def generate(ctx, b, sig, args):
        _futex(b, args[0], WAIT_PRIVATE, b.and_(args[1], ir.Constant(I64, 0xFFFFFFFF)))
        return ctx.get_dummy_value()

    return types.void(i64, i64), generate


@intrinsic
def futex_wake(context, address, count):
    """Wake so many of those that sleep on the word."""

    def generate(ctx, b, sig, args):
        _futex(b, args[0], WAKE_PRIVATE, args[1])
        return ctx.get_dummy_value()

    return types.void(i64, i64), generate
