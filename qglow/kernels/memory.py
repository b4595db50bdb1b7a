"""Loads and stores by absolute address."""

from __future__ import annotations

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from .jit import njit

I8, I16, I32, I64, F32 = ir.IntType(8), ir.IntType(16), ir.IntType(32), ir.IntType(64), ir.FloatType()


def load_at(b, address, t):
    """Unaligned load of an LLVM type from an int64 address."""
    value = b.load(b.inttoptr(address, t.as_pointer()))
    value.align = 1
    return value


def store_at(b, address, value):
    s = b.store(value, b.inttoptr(address, value.type.as_pointer()))
    s.align = 1


def _loader(llvm, numba_type, extend=None):
    @intrinsic
    def load(context, address):
        def generate(ctx, b, sig, args):
            value = load_at(b, args[0], llvm)
            return extend(b, value) if extend else value

        return numba_type(types.int64), generate

    return load


def _storer(llvm, numba_type, narrow=None):
    @intrinsic
    def store(context, address, value):
        def generate(ctx, b, sig, args):
            store_at(b, args[0], narrow(b, args[1]) if narrow else args[1])
            return ctx.get_dummy_value()

        return types.void(types.int64, numba_type), generate

    return store


load_i64 = _loader(I64, types.int64)
load_i32 = _loader(I32, types.int64, lambda b, v: b.sext(v, I64))
load_i16 = _loader(I16, types.int64, lambda b, v: b.sext(v, I64))
load_u8 = _loader(I8, types.int64, lambda b, v: b.zext(v, I64))
load_f32 = _loader(F32, types.float32)
store_i64 = _storer(I64, types.int64)
store_i32 = _storer(I32, types.int64, lambda b, v: b.trunc(v, I32))
store_i16 = _storer(I16, types.int64, lambda b, v: b.trunc(v, I16))
store_u8 = _storer(I8, types.int64, lambda b, v: b.trunc(v, I8))
store_f32 = _storer(F32, types.float32)


@intrinsic
def rint_f32(context, x):
    """Round to nearest, ties to even."""

    def generate(ctx, b, sig, args):
        f = cgutils.get_or_insert_function(b.module, ir.FunctionType(F32, [F32]), "llvm.rint.f32")
        return b.call(f, [args[0]])

    return types.float32(types.float32), generate


@intrinsic
def copy_bytes(context, target, source, count):
    """Copy bytes that do not overlap."""

    def generate(ctx, b, sig, args):
        i8p = I8.as_pointer()
        t = ir.FunctionType(ir.VoidType(), [i8p, i8p, I64, ir.IntType(1)])
        f = cgutils.get_or_insert_function(b.module, t, "llvm.memcpy.p0.p0.i64")
        b.call(f, [b.inttoptr(args[0], i8p), b.inttoptr(args[1], i8p), args[2], ir.Constant(ir.IntType(1), 0)])
        return ctx.get_dummy_value()

    return types.void(types.int64, types.int64, types.int64), generate


def _mover(llvm):
    @intrinsic
    def move(context, target, source):
        def generate(ctx, b, sig, args):
            store_at(b, args[0], load_at(b, args[1], llvm))
            return ctx.get_dummy_value()

        return types.void(types.int64, types.int64), generate

    return move


move_1, move_2, move_4, move_8 = (_mover(t) for t in (I8, I16, I32, I64))
move_16, move_32 = (_mover(ir.VectorType(I8, n)) for n in (16, 32))


@njit(nogil=True)
def copy_small(target, source, count):
    """Copy bytes that do not overlap, few of them: two pieces that meet or overlap in the middle."""
    if count > 64:
        copy_bytes(target, source, count)
    elif count >= 32:
        move_32(target, source)
        move_32(target + count - 32, source + count - 32)
    elif count >= 16:
        move_16(target, source)
        move_16(target + count - 16, source + count - 16)
    elif count >= 8:
        move_8(target, source)
        move_8(target + count - 8, source + count - 8)
    elif count >= 4:
        move_4(target, source)
        move_4(target + count - 4, source + count - 4)
    elif count >= 2:
        move_2(target, source)
        move_2(target + count - 2, source + count - 2)
    elif count == 1:
        move_1(target, source)


@intrinsic
def fill_bytes(context, target, value, count):
    """Set bytes."""

    def generate(ctx, b, sig, args):
        t = ir.FunctionType(ir.VoidType(), [I8.as_pointer(), I8, I64, ir.IntType(1)])
        f = cgutils.get_or_insert_function(b.module, t, "llvm.memset.p0.i64")
        b.call(f, [b.inttoptr(args[0], I8.as_pointer()), b.trunc(args[1], I8), args[2], ir.Constant(ir.IntType(1), 0)])
        return ctx.get_dummy_value()

    return types.void(types.int64, types.int64, types.int64), generate


@intrinsic
def _fill_16(context, target, value):
    def generate(ctx, b, sig, args):
        byte = b.trunc(args[1], I8)
        v = b.insert_element(ir.Constant(ir.VectorType(I8, 16), ir.Undefined), byte, ir.Constant(I32, 0))
        v = b.shuffle_vector(v, ir.Constant(v.type, ir.Undefined), ir.Constant(ir.VectorType(I32, 16), [0] * 16))
        store_at(b, args[0], v)
        return ctx.get_dummy_value()

    return types.void(types.int64, types.int64), generate


@njit(nogil=True)
def fill(target, value, count):
    """Set bytes, few of them or many."""
    if count >= 128:
        fill_bytes(target, value, count)
    elif count >= 16:
        for k in range(0, count - 16, 16):
            _fill_16(target + k, value)
        _fill_16(target + count - 16, value)
    else:
        for k in range(count):
            store_u8(target + k, value)
