"""Float depthwise convolution: some pixels of a vector of channels in registers over all taps, in the law's order."""

from __future__ import annotations

from functools import partial

from llvmlite import ir
from numba.core import cgutils

from .depthwise_rows import LANES, depthwise
from .float_conv import limited, limits_of, size_of
from .fused import HARDWARE_FMA, fma
from .vector import F32, I64, add_to, load_at, vec


def sums(unrolled, b, a, pixels, store):
    """Chains of fused multiply-adds from the bias. unrolled: columns of a kernel row, known, or 0."""
    t = vec(F32, LANES)
    start = load_at(b, b.add(a["i"].bias, b.shl(a["block"], ir.Constant(I64, 2))), t)
    acc = [cgutils.alloca_once_value(b, start) for _ in range(pixels)]
    for x in acc:
        b.store(start, x)
    w = cgutils.alloca_once_value(b, a["w"])
    b.store(a["w"], w)

    def step(at, k):
        weights = load_at(b, add_to(b, b.load(w), 4 * LANES * k), t)
        for p in range(pixels):
            x = load_at(b, b.add(at, b.mul(a["pix"], ir.Constant(I64, p))), t)
            b.store(fma(b, x, weights, b.load(acc[p])), acc[p])

    with cgutils.for_range(b, a["KH"]) as kh:
        line = b.add(a["x"], b.mul(kh.index, a["row"]))
        if unrolled:
            for k in range(unrolled):
                step(b.add(line, b.mul(a["tap"], ir.Constant(I64, k))), k)
            b.store(add_to(b, b.load(w), 4 * LANES * unrolled), w)
        else:
            with cgutils.for_range(b, a["KW"]) as k:
                step(b.add(line, b.mul(k.index, a["tap"])), 0)
                b.store(add_to(b, b.load(w), 4 * LANES), w)
    low, high = limits_of(b, a["i"])
    for p in range(pixels):
        store(b.add(a["y"], b.mul(a["y_pix"], ir.Constant(I64, p))), limited(b, b.load(acc[p]), low, high), 4)


PIXELS = 8 if HARDWARE_FMA else 2
of_3_columns, of_any_columns = (depthwise(partial(sums, columns), PIXELS, 4, size_of) for columns in (3, 0))
