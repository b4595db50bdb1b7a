"""Sums, products, tables, quantization, copies, halos: kernels that visit each element once. 16 bytes at a time where they can."""

from __future__ import annotations

from numba import njit, types
from numba.extending import intrinsic

from ..instructions.table import KINDS
from .memory import copy_bytes, load_f32, load_i32, load_i64, load_u8, rint_f32, store_f32, store_u8
from .table import kernel
from .vector import F32, I8, I32, centred, load_at, splat, store_at, to_bytes, vec

STEP = 16
f32, i64 = types.float32, types.int64


def words(kind, names):
    return tuple(8 * KINDS[kind].index(n) for n in names.split())


def _binary_step(combine):
    @intrinsic
    def step(context, a, b_, y, a_zero, b_zero, m_a, m_b, zero, low, high):
        def generate(ctx, b, sig, args):
            pa, pb, py, za, zb, ma, mb, z, lo, hi = args
            za, zb = (splat(b, b.trunc(v, I32), STEP) for v in (za, zb))
            ma, mb, z, lo, hi = (splat(b, v, STEP) for v in (ma, mb, z, lo, hi))
            store_at(b, py, to_bytes(b, combine(b, pa, pb, za, zb, ma, mb), z, lo, hi))
            return ctx.get_dummy_value()

        return types.void(i64, i64, i64, i64, i64, f32, f32, f32, f32, f32), generate

    return step


def _sum(b, pa, pb, za, zb, ma, mb):
    return b.fadd(b.fmul(centred(b, pa, za, STEP), ma), b.fmul(centred(b, pb, zb, STEP), mb))


def _product(b, pa, pb, za, zb, ma, mb):
    wide = vec(I32, STEP)
    a = b.sub(b.zext(load_at(b, pa, vec(I8, STEP)), wide), za)
    c = b.sub(b.zext(load_at(b, pb, vec(I8, STEP)), wide), zb)
    return b.fmul(b.sitofp(b.mul(a, c), vec(F32, STEP)), ma)


add_step, mul_step = _binary_step(_sum), _binary_step(_product)
BINARY = "a b y N H W C x_n x_h x_w b_n b_h b_w b_c y_n y_h y_w a_zero b_zero f_a f_zero f_low f_high"
A, B, Y, N, H, W, C, XN, XH, XW, BN, BH, BW, BC, YN, YH, YW, AZ, BZ, FA, FZ, FL, FH = words("add", BINARY)
FB = words("add", "f_b")[0]
MA, MB_, MY, MN, MH, MW, MC, MXN, MXH, MXW, MBN, MBH, MBW, MBC, MYN, MYH, MYW, MAZ, MBZ, MFA, MFZ, MFL, MFH = words("mul", BINARY)


@kernel("add")
@njit(nogil=True)
def add(i, arena, constants, thread, threads):
    n, h, w, c, bc = load_i64(i + N), load_i64(i + H), load_i64(i + W), load_i64(i + C), load_i64(i + BC)
    az, bz, fa, fb = load_i64(i + AZ), load_i64(i + BZ), load_f32(i + FA), load_f32(i + FB)
    z, lo, hi = load_f32(i + FZ), load_f32(i + FL), load_f32(i + FH)
    for r in range(n * h * thread // threads, n * h * (thread + 1) // threads):
        for col in range(w):
            a = load_i64(i + A) + r // h * load_i64(i + XN) + r % h * load_i64(i + XH) + col * load_i64(i + XW)
            b = load_i64(i + B) + r // h * load_i64(i + BN) + r % h * load_i64(i + BH) + col * load_i64(i + BW)
            y = load_i64(i + Y) + r // h * load_i64(i + YN) + r % h * load_i64(i + YH) + col * load_i64(i + YW)
            k = 0
            if bc == 1:
                while k + STEP <= c:
                    add_step(a + k, b + k, y + k, az, bz, fa, fb, z, lo, hi)
                    k += STEP
            while k < c:
                real = f32(load_u8(a + k) - az) * fa + f32(load_u8(b + k * bc) - bz) * fb
                store_u8(y + k, i64(min(max(rint_f32(real) + z, lo), hi)))
                k += 1


@kernel("mul")
@njit(nogil=True)
def mul(i, arena, constants, thread, threads):
    n, h, w, c, bc = load_i64(i + MN), load_i64(i + MH), load_i64(i + MW), load_i64(i + MC), load_i64(i + MBC)
    az, bz, m = load_i64(i + MAZ), load_i64(i + MBZ), load_f32(i + MFA)
    z, lo, hi = load_f32(i + MFZ), load_f32(i + MFL), load_f32(i + MFH)
    for r in range(n * h * thread // threads, n * h * (thread + 1) // threads):
        for col in range(w):
            a = load_i64(i + MA) + r // h * load_i64(i + MXN) + r % h * load_i64(i + MXH) + col * load_i64(i + MXW)
            b = load_i64(i + MB_) + r // h * load_i64(i + MBN) + r % h * load_i64(i + MBH) + col * load_i64(i + MBW)
            y = load_i64(i + MY) + r // h * load_i64(i + MYN) + r % h * load_i64(i + MYH) + col * load_i64(i + MYW)
            k = 0
            if bc == 1:
                while k + STEP <= c:
                    mul_step(a + k, b + k, y + k, az, bz, m, m, z, lo, hi)
                    k += STEP
            while k < c:
                real = f32((load_u8(a + k) - az) * (load_u8(b + k * bc) - bz)) * m
                store_u8(y + k, i64(min(max(rint_f32(real) + z, lo), hi)))
                k += 1


XY = "x y N H W C x_n x_h x_w y_n y_h y_w"
LX, LY, LN, LH, LW, LC, LXN, LXH, LXW, LYN, LYH, LYW = words("lookup", XY)
LT, LTC = words("lookup", "table t_c")


@kernel("lookup")
@njit(nogil=True)
def lookup(i, arena, constants, thread, threads):
    n, h, w, c = load_i64(i + LN), load_i64(i + LH), load_i64(i + LW), load_i64(i + LC)
    table, tc = load_i64(i + LT), load_i64(i + LTC)
    for r in range(n * h * thread // threads, n * h * (thread + 1) // threads):
        x = load_i64(i + LX) + r // h * load_i64(i + LXN) + r % h * load_i64(i + LXH)
        y = load_i64(i + LY) + r // h * load_i64(i + LYN) + r % h * load_i64(i + LYH)
        for col in range(w):
            for k in range(c):
                store_u8(y + k, load_u8(table + k * tc + load_u8(x + k)))
            x += load_i64(i + LXW)
            y += load_i64(i + LYW)


QX, QY, QN, QH, QW, QC, QXN, QXH, QXW, QYN, QYH, QYW = words("quantize", XY)
QXC, QS, QZ, QL, QHI = words("quantize", "x_c f_scale f_zero f_low f_high")


@kernel("quantize")
@njit(nogil=True)
def quantize(i, arena, constants, thread, threads):
    n, h, w, c = load_i64(i + QN), load_i64(i + QH), load_i64(i + QW), load_i64(i + QC)
    s, z, lo, hi = load_f32(i + QS), load_f32(i + QZ), load_f32(i + QL), load_f32(i + QHI)
    xw, yw, xc = load_i64(i + QXW), load_i64(i + QYW), load_i64(i + QXC)
    for r in range(n * h * thread // threads, n * h * (thread + 1) // threads):
        x = load_i64(i + QX) + r // h * load_i64(i + QXN) + r % h * load_i64(i + QXH)
        y = load_i64(i + QY) + r // h * load_i64(i + QYN) + r % h * load_i64(i + QYH)
        for k in range(c):
            for col in range(w):
                real = load_f32(x + k * xc + col * xw) / s
                store_u8(y + col * yw + k, i64(min(max(rint_f32(real) + z, lo), hi)))


DX, DY, DN, DH, DW, DC, DXN, DXH, DXW, DYN, DYH, DYW = words("dequantize", XY)
DYC, DXZ, DS = words("dequantize", "y_c x_zero f_scale")


@kernel("dequantize")
@njit(nogil=True)
def dequantize(i, arena, constants, thread, threads):
    n, h, w, c = load_i64(i + DN), load_i64(i + DH), load_i64(i + DW), load_i64(i + DC)
    z, s, yc = load_i64(i + DXZ), load_f32(i + DS), load_i64(i + DYC)
    for r in range(n * h * thread // threads, n * h * (thread + 1) // threads):
        x = load_i64(i + DX) + r // h * load_i64(i + DXN) + r % h * load_i64(i + DXH)
        y = load_i64(i + DY) + r // h * load_i64(i + DYN) + r % h * load_i64(i + DYH)
        for k in range(c):
            for col in range(w):
                store_f32(y + col * load_i64(i + DYW) + k * yc, f32(load_u8(x + col * load_i64(i + DXW) + k) - z) * s)


CX, CY, CN, CH, CW, CC, CXN, CXH, CXW, CYN, CYH, CYW = words("copy", XY)


@kernel("copy")
@njit(nogil=True)
def copy(i, arena, constants, thread, threads):
    n, h, w, c = load_i64(i + CN), load_i64(i + CH), load_i64(i + CW), load_i64(i + CC)
    for r in range(n * h * thread // threads, n * h * (thread + 1) // threads):
        x = load_i64(i + CX) + r // h * load_i64(i + CXN) + r % h * load_i64(i + CXH)
        y = load_i64(i + CY) + r // h * load_i64(i + CYN) + r % h * load_i64(i + CYH)
        if load_i64(i + CXW) == c and load_i64(i + CYW) == c:
            copy_bytes(y, x, w * c)
            continue
        for col in range(w):
            copy_bytes(y + col * load_i64(i + CYW), x + col * load_i64(i + CXW), c)


RX, RY, RN, RH, RW, RC, RXN, RXH, RXW, RYN, RYH, RYW = words("resize_nearest", XY)
RR, RCOL = words("resize_nearest", "rows columns")


@kernel("resize_nearest")
@njit(nogil=True)
def resize_nearest(i, arena, constants, thread, threads):
    n, h, w, c = load_i64(i + RN), load_i64(i + RH), load_i64(i + RW), load_i64(i + RC)
    for r in range(n * h * thread // threads, n * h * (thread + 1) // threads):
        x = load_i64(i + RX) + r // h * load_i64(i + RXN) + load_i32(load_i64(i + RR) + 4 * (r % h)) * load_i64(i + RXH)
        y = load_i64(i + RY) + r // h * load_i64(i + RYN) + r % h * load_i64(i + RYH)
        for col in range(w):
            copy_bytes(y + col * load_i64(i + RYW), x + load_i32(load_i64(i + RCOL) + 4 * col) * load_i64(i + RXW), c)


HY, HN, HH, HW, HC, HYN, HYH, HYW, HT, HL, HB, HR, HV = words("halo", "y N H W C y_n y_h y_w top left bottom right value")


@njit(nogil=True)
def fill(y, count, value):
    for k in range(count):
        store_u8(y + k, value)


@kernel("halo")
@njit(nogil=True)
def halo(i, arena, constants, thread, threads):
    """y points to the first pixel inside of the border; rows and columns beyond it are laid out densely around it."""
    n, h, w, c, v = load_i64(i + HN), load_i64(i + HH), load_i64(i + HW), load_i64(i + HC), load_i64(i + HV)
    top, left, bottom, right = load_i64(i + HT), load_i64(i + HL), load_i64(i + HB), load_i64(i + HR)
    rows = top + h + bottom
    for r in range(n * rows * thread // threads, n * rows * (thread + 1) // threads):
        y = load_i64(i + HY) + r // rows * load_i64(i + HYN) + (r % rows - top) * load_i64(i + HYH) - left * c
        if r % rows < top or r % rows >= top + h:
            fill(y, (left + w + right) * c, v)
        else:
            fill(y, left * c, v)
            fill(y + (left + w) * c, right * c, v)
