"""Kernels that visit each element once: loops over images of runs, threads share the rows."""

from __future__ import annotations

from llvmlite import ir
from numba import types
from numba.extending import intrinsic

from .channel_tables import CHANNELS, look_up_channels
from .elementwise_u8 import LANES, add_repeated, add_run, dequantize_run, lookup_run, mul_repeated, mul_run, quantize_run
from .jit import njit
from .memory import load_f32, load_i64, load_u8, rint_f32, store_f32, store_u8, words
from .sizes import SCRATCH_BYTES
from .table import kernel
from .target import HARDWARE_TABLE
from .vector import F32, I32, I64, const, load_at, splat, store_at, to_int, vec, within

f32, i64 = types.float32, types.int64
BINARY = "a b y N H W C x_n x_h x_w b_n b_h b_w b_c y_n y_h y_w a_zero b_zero f_a zero low high"
A, B, Y, N, H, W, C, XN, XH, XW, BN, BH, BW, BC, YN, YH, YW, AZ, BZ, FA, FZ, FL, FH = words("add", BINARY)
(FB,) = words("add", "f_b")
MA, MB_, MY, MN, MH, MW, MC, MXN, MXH, MXW, MBN, MBH, MBW, MBC, MYN, MYH, MYW, MAZ, MBZ, MFA, MFZ, MFL, MFH = words("mul", BINARY)


@kernel("add")
@njit(nogil=True)
def add(i, arena, constants, thread, threads):
    n, h, w, c, bc = load_i64(i + N), load_i64(i + H), load_i64(i + W), load_i64(i + C), load_i64(i + BC)
    az, bz, fa, fb = load_i64(i + AZ), load_i64(i + BZ), load_f32(i + FA), load_f32(i + FB)
    z, lo, hi = load_i64(i + FZ), load_i64(i + FL), load_i64(i + FH)
    for r in range(n * h * thread // threads, n * h * (thread + 1) // threads):
        a = load_i64(i + A) + r // h * load_i64(i + XN) + r % h * load_i64(i + XH)
        b = load_i64(i + B) + r // h * load_i64(i + BN) + r % h * load_i64(i + BH)
        y = load_i64(i + Y) + r // h * load_i64(i + YN) + r % h * load_i64(i + YH)
        for _ in range(w):
            if bc == 1:
                add_run((a, b, y, az, bz, fa, fb, z, lo, hi), c)
            else:
                add_repeated((a, b, y, az, bz, fa, fb, z, lo, hi), c)
            a += load_i64(i + XW)
            b += load_i64(i + BW)
            y += load_i64(i + YW)


@kernel("mul")
@njit(nogil=True)
def mul(i, arena, constants, thread, threads):
    n, h, w, c, bc = load_i64(i + MN), load_i64(i + MH), load_i64(i + MW), load_i64(i + MC), load_i64(i + MBC)
    az, bz, m = load_i64(i + MAZ), load_i64(i + MBZ), load_f32(i + MFA)
    z, lo, hi = load_i64(i + MFZ), load_i64(i + MFL), load_i64(i + MFH)
    for r in range(n * h * thread // threads, n * h * (thread + 1) // threads):
        a = load_i64(i + MA) + r // h * load_i64(i + MXN) + r % h * load_i64(i + MXH)
        b = load_i64(i + MB_) + r // h * load_i64(i + MBN) + r % h * load_i64(i + MBH)
        y = load_i64(i + MY) + r // h * load_i64(i + MYN) + r % h * load_i64(i + MYH)
        for _ in range(w):
            if bc == 1:
                mul_run((a, b, y, az, bz, m, z, lo, hi), c)
            else:
                mul_repeated((a, b, y, az, bz, m, z, lo, hi), c)
            a += load_i64(i + MXW)
            b += load_i64(i + MBW)
            y += load_i64(i + MYW)


XY = "x y N H W C x_n x_h x_w y_n y_h y_w"
LX, LY, LN, LH, LW, LC, LXN, LXH, LXW, LYN, LYH, LYW = words("lookup", XY)
LT, LTC, LS = words("lookup", "table t_c scratch")


@kernel("lookup")
@njit(nogil=True)
def lookup(i, worker, constants, thread, threads):
    n, h, w, c = load_i64(i + LN), load_i64(i + LH), load_i64(i + LW), load_i64(i + LC)
    table, tc = load_i64(i + LT), load_i64(i + LTC)
    if HARDWARE_TABLE and tc == 256 and c >= CHANNELS:
        scratch, pixels = load_i64(i + LS) + worker * SCRATCH_BYTES, n * h * w
        strides = load_i64(i + LXN), load_i64(i + LXH), load_i64(i + LXW), load_i64(i + LYN), load_i64(i + LYH), load_i64(i + LYW)
        first, last = pixels * thread // threads, pixels * (thread + 1) // threads
        look_up_channels(load_i64(i + LX), load_i64(i + LY), n, h, w, c, *strides, table, tc, scratch, first, last)
        return
    for r in range(n * h * thread // threads, n * h * (thread + 1) // threads):
        x = load_i64(i + LX) + r // h * load_i64(i + LXN) + r % h * load_i64(i + LXH)
        y = load_i64(i + LY) + r // h * load_i64(i + LYN) + r % h * load_i64(i + LYH)
        for _ in range(w):
            lookup_run(x, y, c, table, tc)
            x += load_i64(i + LXW)
            y += load_i64(i + LYW)


@intrinsic
def quantize_pixels(context, x0, x1, x2, x3, y, y_w, scale, zero, low, high):
    """Quantize LANES pixels of four planes and store them as one int32 each, y_w bytes apart."""

    def generate(ctx, b, sig, args):
        *planes, y, y_w, scale, zero, low, high = args
        t, total = vec(I32, LANES), None
        z, lo, hi = (splat(b, b.trunc(v, I32), LANES) for v in (zero, low, high))
        for c, plane in enumerate(planes):
            q = b.add(to_int(b, within(b, b.fdiv(load_at(b, plane, vec(F32, LANES)), splat(b, scale, LANES)))), z)
            q = b.select(b.icmp_signed(">", q, lo), q, lo)
            q = b.select(b.icmp_signed("<", q, hi), q, hi)
            total = q if total is None else b.or_(total, b.shl(q, const(t, 8 * c)))
        with b.if_else(b.icmp_signed("==", y_w, ir.Constant(I64, 4))) as (dense, apart):
            with dense:
                store_at(b, y, total)
            with apart:
                for p in range(LANES):
                    store_at(b, b.add(y, b.mul(y_w, ir.Constant(I64, p))), b.extract_element(total, ir.Constant(I32, p)))
        return ctx.get_dummy_value()

    return types.void(i64, i64, i64, i64, i64, i64, f32, i64, i64, i64), generate


@njit(nogil=True)
def quantize_one(x, y, s, z, lo, hi):
    real = rint_f32(load_f32(x) / s)
    real = real if real > f32(-1e6) else f32(-1e6)  # NOTE: so is NaN, as in `vector.clamp`
    store_u8(y, min(max(i64(min(real, f32(1e6))) + z, lo), hi))


QX, QY, QN, QH, QW, QC, QXN, QXH, QXW, QYN, QYH, QYW = words("quantize", XY)
QXC, QP, QS, QZ, QL, QHI = words("quantize", "x_c P f_scale zero low high")


@kernel("quantize")
@njit(nogil=True)
def quantize(i, arena, constants, thread, threads):
    """Planes to pixels four channels at a time; where the channels are dense in x, runs."""
    n, h, w, c, padded = load_i64(i + QN), load_i64(i + QH), load_i64(i + QW), load_i64(i + QC), load_i64(i + QP)
    s, z, lo, hi = load_f32(i + QS), load_i64(i + QZ), load_i64(i + QL), load_i64(i + QHI)
    xw, yw, xc = load_i64(i + QXW), load_i64(i + QYW), load_i64(i + QXC)
    for r in range(n * h * thread // threads, n * h * (thread + 1) // threads):
        x = load_i64(i + QX) + r // h * load_i64(i + QXN) + r % h * load_i64(i + QXH)
        y = load_i64(i + QY) + r // h * load_i64(i + QYN) + r % h * load_i64(i + QYH)
        if xc == 4:
            for col in range(w):
                quantize_run((x + col * xw, y + col * yw, s, z, lo, hi), c)
            continue
        vectors = w // LANES if xw == 4 else 0
        for k in range(0, padded // 4 * 4, 4):
            p0 = x + k * xc
            p1, p2, p3 = p0 + min(1, c - 1 - k) * xc, p0 + min(2, c - 1 - k) * xc, p0 + min(3, c - 1 - k) * xc
            for v in range(vectors):
                at = v * LANES * 4
                quantize_pixels(p0 + at, p1 + at, p2 + at, p3 + at, y + v * LANES * yw + k, yw, s, z, lo, hi)
        for k in range(c):
            for col in range(vectors * LANES if k < padded // 4 * 4 else 0, w):
                quantize_one(x + k * xc + col * xw, y + col * yw + k, s, z, lo, hi)


@intrinsic
def dequantize_pixels(context, x, x_w, y, y_c, zero, scale):
    """Four channels of LANES pixels, x_w bytes apart, as floats into four planes y_c bytes apart."""

    def generate(ctx, b, sig, args):
        x, x_w, y, y_c, zero, scale = args
        t = vec(I32, LANES)
        four = ir.Constant(t, ir.Undefined)
        for p in range(LANES):
            four = b.insert_element(four, load_at(b, b.add(x, b.mul(x_w, ir.Constant(I64, p))), I32), ir.Constant(I32, p))
        z, s = splat(b, b.trunc(zero, I32), LANES), splat(b, scale, LANES)
        for c in range(4):
            q = b.and_(b.lshr(four, const(t, 8 * c)), const(t, 255))
            store_at(b, b.add(y, b.mul(y_c, ir.Constant(I64, c))), b.fmul(b.sitofp(b.sub(q, z), vec(F32, LANES)), s))
        return ctx.get_dummy_value()

    return types.void(i64, i64, i64, i64, i64, f32), generate


DX, DY, DN, DH, DW, DC, DXN, DXH, DXW, DYN, DYH, DYW = words("dequantize", XY)
DYC, DXZ, DS = words("dequantize", "y_c x_zero f_scale")


@kernel("dequantize")
@njit(nogil=True)
def dequantize(i, arena, constants, thread, threads):
    """Pixels to planes four channels at a time; where the channels are dense in y, runs."""
    n, h, w, c = load_i64(i + DN), load_i64(i + DH), load_i64(i + DW), load_i64(i + DC)
    z, s, yc, xw, yw = load_i64(i + DXZ), load_f32(i + DS), load_i64(i + DYC), load_i64(i + DXW), load_i64(i + DYW)
    for r in range(n * h * thread // threads, n * h * (thread + 1) // threads):
        x = load_i64(i + DX) + r // h * load_i64(i + DXN) + r % h * load_i64(i + DXH)
        y = load_i64(i + DY) + r // h * load_i64(i + DYN) + r % h * load_i64(i + DYH)
        if yc == 4:
            for col in range(w):
                dequantize_run((x + col * xw, y + col * yw, z, s), c)
            continue
        vectors = w // LANES if yw == 4 else 0
        for k in range(0, c // 4 * 4, 4):
            for v in range(vectors):
                dequantize_pixels(x + v * LANES * xw + k, xw, y + k * yc + v * LANES * 4, yc, z, s)
        for k in range(c):
            for col in range(vectors * LANES if k < c // 4 * 4 else 0, w):
                store_f32(y + col * yw + k * yc, f32(load_u8(x + col * xw + k) - z) * s)
