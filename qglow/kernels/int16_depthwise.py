"""Depthwise convolution of int16: some pixels of a vector of channels in registers over all taps, one tap a step
(49)."""

from __future__ import annotations

from llvmlite import ir
from numba.core import cgutils

from .depthwise_rows import depthwise
from .dots import pair_dot
from .int16_conv import size_of
from .int16_vector import BYTE, FLOAT, LANES, SHORT, limits_of, shorts, stored
from .vector import F32, I16, I32, I64, add_to, load_at, vec

INTS, FLOATS, PAIRS = vec(I32, LANES), vec(F32, LANES), vec(I16, 2 * LANES)


def sums(b, a, pixels, store):
    """Sums of int32, scaled. NOTE: an int32 is two int16 to `pair_dot`, of which the upper one meets a weight of 0."""
    at_block = b.shl(a["block"], ir.Constant(I64, 2))
    start = load_at(b, b.add(a["i"].bias, at_block), INTS)
    acc = [cgutils.alloca_once(b, INTS) for _ in range(pixels)]
    for x in acc:
        b.store(start, x)
    w = cgutils.alloca_once_value(b, a["w"])
    b.store(a["w"], w)
    with cgutils.for_range(b, a["KH"]) as kh, cgutils.for_range(b, a["KW"]) as kw:
        at = b.add(a["x"], b.add(b.mul(kh.index, a["row"]), b.mul(kw.index, a["tap"])))
        weights = b.bitcast(b.zext(load_at(b, b.load(w), vec(I16, LANES)), INTS), PAIRS)
        for p in range(pixels):
            x = b.bitcast(shorts(b, b.add(at, b.mul(a["pix"], ir.Constant(I64, p)))), PAIRS)
            b.store(pair_dot(b, b.load(acc[p]), x, weights), acc[p])
        b.store(add_to(b, b.load(w), 2 * LANES), w)
    item, limits = a["i"].y_item, limits_of(b, a["i"])
    scale = load_at(b, b.add(a["i"].scale, at_block), FLOATS)
    for size in (SHORT, FLOAT, BYTE):
        with b.if_then(b.icmp_signed("==", item, ir.Constant(I64, size))):
            for p in range(pixels):
                y = b.add(a["y"], b.mul(a["y_pix"], ir.Constant(I64, p)))
                store(y, stored(b, b.fmul(b.sitofp(b.load(acc[p]), FLOATS), scale), limits, size), size)


int16_depthwise2d = depthwise(sums, 8 if LANES == 16 else 4, 2, size_of)
