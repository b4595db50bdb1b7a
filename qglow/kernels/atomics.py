"""Words that threads share: atomic loads and changes, the pause of a loop that waits, and a clock."""

from __future__ import annotations

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from .memory import I32, I64
from .target import ARCHITECTURE

i64 = types.int64


@intrinsic
def atomic_add(context, address, value):
    """Add to an int64 and return what it was before."""

    def generate(ctx, b, sig, args):
        return b.atomic_rmw("add", b.inttoptr(args[0], I64.as_pointer()), args[1], "seq_cst")

    return i64(i64, i64), generate


@intrinsic
def compare_exchange(context, address, expected, value):
    """Store an int64 where the expected one stands, and say whether it was."""

    def generate(ctx, b, sig, args):
        pair = b.cmpxchg(b.inttoptr(args[0], I64.as_pointer()), args[1], args[2], "seq_cst", "seq_cst")
        return b.extract_value(pair, 1)

    return types.boolean(i64, i64, i64), generate


@intrinsic
def atomic_load(context, address):
    def generate(ctx, b, sig, args):
        return b.load_atomic(b.inttoptr(args[0], I64.as_pointer()), "seq_cst", 8)

    return i64(i64), generate


@intrinsic
def atomic_store(context, address, value):
    def generate(ctx, b, sig, args):
        b.store_atomic(args[1], b.inttoptr(args[0], I64.as_pointer()), "seq_cst", 8)
        return ctx.get_dummy_value()

    return types.void(i64, i64), generate


@intrinsic
def pause(context):
    """The CPU's hint that a loop only waits."""

    def generate(ctx, b, sig, args):
        nothing = ir.FunctionType(ir.VoidType(), [])
        if ARCHITECTURE == "x86_64":
            b.call(ir.InlineAsm(nothing, "pause", "~{memory}", side_effect=True), [])
        elif ARCHITECTURE == "aarch64":  # yield
            hint = cgutils.get_or_insert_function(b.module, ir.FunctionType(ir.VoidType(), [I32]), "llvm.aarch64.hint")
            b.call(hint, [ir.Constant(I32, 1)])
        return ctx.get_dummy_value()

    return types.void(), generate


@intrinsic
def ticks(context):
    """A clock that runs evenly on all CPUs of the machine, in a unit of its own; always 0 where a program cannot read
    one."""

    def generate(ctx, b, sig, args):
        if ARCHITECTURE == "x86_64":
            return b.call(b.module.declare_intrinsic("llvm.readcyclecounter", (), ir.FunctionType(I64, [])), [])
        if ARCHITECTURE == "aarch64":
            t = ir.FunctionType(I64, [ir.MetaDataType()])
            read = cgutils.get_or_insert_function(b.module, t, "llvm.read_volatile_register.i64")
            return b.call(read, [b.module.add_metadata([ir.MetaDataString(b.module, "CNTVCT_EL0")])])
        return ir.Constant(I64, 0)

    return i64(), generate
