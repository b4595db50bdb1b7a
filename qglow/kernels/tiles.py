"""AMX tiles: each instruction beside its executable meaning, a tile file of eight tiles of 16 rows of 64 bytes in plain
memory.

Tiles 0 to 3 hold accumulators, 4 and 5 pixels, 6 and 7 weights. Every function takes the rows in use and the tile
file's address; the hardware knows its rows from the configuration and ignores both.
"""

from __future__ import annotations

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from .target import EMULATE
from .vector import I8, I32, I64, add_to, const, dot4, load_at, splat, store_at, vec

i64 = types.int64
ROW = vec(I8, 64)
TILE = 1024


def _instruction(b, name, *args):
    t = ir.FunctionType(ir.VoidType(), [a.type for a in args])
    b.call(cgutils.get_or_insert_function(b.module, t, f"llvm.x86.{name}"), list(args))


def _number(n):
    return ir.Constant(I8, n)


def _pointer(b, address):
    return b.inttoptr(address, I8.as_pointer())


def _row(b, file, n, row):
    return b.add(add_to(b, file, n * TILE), b.shl(row, ir.Constant(I64, 6)))


def zero(n):
    """tile = 0: (rows, file)."""

    @intrinsic
    def function(context, rows, file):
        def emit(ctx, b, sig, args):
            if not EMULATE:
                _instruction(b, "tilezero", _number(n))
            else:
                with cgutils.for_range(b, args[0]) as r:
                    store_at(b, _row(b, args[1], n, r.index), const(ROW, 0))
            return ctx.get_dummy_value()

        return types.void(i64, i64), emit

    return function


def move(n, store):
    """Rows between memory and a tile: (address, stride, rows, file)."""

    @intrinsic
    def function(context, address, stride, rows, file):
        def emit(ctx, b, sig, args):
            if not EMULATE:
                _instruction(b, "tilestored64" if store else "tileloadd64", _number(n), _pointer(b, args[0]), args[1])
                return ctx.get_dummy_value()
            with cgutils.for_range(b, args[2]) as r:
                memory, tile = b.add(args[0], b.mul(r.index, args[1])), _row(b, args[3], n, r.index)
                source, target = (tile, memory) if store else (memory, tile)
                store_at(b, target, load_at(b, source, ROW))
            return ctx.get_dummy_value()

        return types.void(i64, i64, i64, i64), emit

    return function


def dot(d, a, w):
    """d[m][c] += sum over 16 groups of four products u8 * s8 of a[m] and w: (rows, file)."""

    @intrinsic
    def function(context, rows, file):
        def emit(ctx, b, sig, args):
            if not EMULATE:
                _instruction(b, "tdpbusd", _number(d), _number(a), _number(w))
                return ctx.get_dummy_value()
            wide = vec(I32, 16)
            with cgutils.for_range(b, args[0]) as m:
                at = _row(b, args[1], d, m.index)
                acc = cgutils.alloca_once_value(b, load_at(b, at, wide))
                b.store(load_at(b, at, wide), acc)
                with cgutils.for_range(b, ir.Constant(I64, 16)) as k:
                    word = load_at(b, b.add(_row(b, args[1], a, m.index), b.shl(k.index, ir.Constant(I64, 2))), I32)
                    u = b.bitcast(splat(b, word, 16), ROW)
                    b.store(dot4(b, b.load(acc), u, load_at(b, _row(b, args[1], w, k.index), ROW)), acc)
                store_at(b, at, b.load(acc))
            return ctx.get_dummy_value()

        return types.void(i64, i64), emit

    return function


@intrinsic
def configure(context, address):
    """Load the tile configuration of 64 bytes at an address."""

    def emit(ctx, b, sig, args):
        if not EMULATE:
            _instruction(b, "ldtilecfg", _pointer(b, args[0]))
        return ctx.get_dummy_value()

    return types.void(i64), emit


@intrinsic
def release(context):
    """Leave tile mode."""

    def emit(ctx, b, sig, args):
        if not EMULATE:
            _instruction(b, "tilerelease")
        return ctx.get_dummy_value()

    return types.void(), emit
