"""Sleep and wake on a word of memory: the futex of Linux, as a system call of a few lines of assembly, for kernels link
to no library. On Arm these are words of machine code: LLVM is built without an assembler for any machine but its own.

Elsewhere both do nothing, and `SLEEPS` in sizes.py says so to those who then have to sleep in Python.
"""

from __future__ import annotations

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from .memory import I64
from .sizes import SLEEPS
from .target import ARCHITECTURE

WAIT_PRIVATE, WAKE_PRIVATE = 128, 129
i64 = types.int64
FUTEX = "qglow.futex"  # what kernels of Arm call; build.py links DEFINED in
WORDS = {0xD2800C48: "mov x8, #98", 0xD4000001: "svc #0", 0xD65F03C0: "ret"}
DEFINED = f"""
define i64 @{FUTEX}(i64 %address, i64 %operation, i64 %value, i64 %timeout) naked noinline optnone
    prologue <{{ {", ".join(["i32"] * len(WORDS))} }}> <{{ {", ".join(f"i32 {w - (1 << 32)}" for w in WORDS)} }}> {{
  unreachable
}}
"""


def _futex(b, address, operation, value):
    if not SLEEPS:
        return
    arguments = [address, ir.Constant(I64, operation), value, ir.Constant(I64, 0)]
    if ARCHITECTURE == "aarch64":
        b.call(cgutils.get_or_insert_function(b.module, ir.FunctionType(I64, [I64] * 4), FUTEX), arguments)
        return
    t = ir.FunctionType(I64, [I64] * 5)
    constraints = "={rax},0,{rdi},{rsi},{rdx},{r10},~{rcx},~{r11},~{memory}"
    b.call(ir.InlineAsm(t, "syscall", constraints, side_effect=True), [ir.Constant(I64, 202), *arguments])


@intrinsic
def futex_wait(context, address, value):
    """Sleep until the word is woken, unless its low 32 bits are not those of value. It may also return for no
    reason."""

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
