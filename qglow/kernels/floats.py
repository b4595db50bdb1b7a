"""Kernels of what stays float: sums, products, quotients, functions of one number, softmax. Each operation is IEEE's,
in a fixed order."""

from __future__ import annotations

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from ..instructions.table import FLOAT_BINARY, FLOAT_UNARY
from . import double_math
from .double_math import widened
from .float_math import erf, exp, gelu, hard_sigmoid, limited, log, magnitude, negated, power, sigmoid, tanh
from .float_sums import sum_of_row
from .jit import chosen, njit
from .runs import LANES, as_floats, of_one, of_two, run_of
from .split import part_of
from .vector import F32, I64, call, const, load_at, rint, splat, vec
from .vector_loops import SUMS, floats, halves, masked, store_chunk

i64, f32 = types.int64, types.float32


def larger(b, x, y):
    """numpy's maximum: NaN where either is."""
    return b.select(b.fcmp_unordered("uno", x, x), x, b.select(b.fcmp_unordered(">=", y, x), y, x))


def smaller(b, x, y):
    return b.select(b.fcmp_unordered("uno", x, x), x, b.select(b.fcmp_unordered("<=", y, x), y, x))


OPERATIONS = {
    "Add": lambda b, x, y: b.fadd(x, y), "Sub": lambda b, x, y: b.fsub(x, y), "Mul": lambda b, x, y: b.fmul(x, y),
    "Div": lambda b, x, y: b.fdiv(x, y), "Max": larger, "Min": smaller,
    "PRelu": lambda b, x, y: b.select(b.fcmp_ordered(">=", x, const(x.type, 0.0)), x, b.fmul(x, y)),
}  # fmt: skip


def every(b, value):
    return splat(b, value, LANES)


def parity(b, value):
    return b.fptosi(value, I64)


def shrunk(b, x, bias, bound):
    """0 within the bound, else nearer to it by the bias."""
    y = b.select(b.fcmp_ordered(">", x, bound), b.fsub(x, bias), const(x.type, 0.0))
    return b.select(b.fcmp_ordered("<", x, negated(b, bound)), b.fadd(x, bias), y)


def sign(b, x):
    """-1, 0 or 1; of what is not a number itself."""
    zero, one, less = (const(x.type, value) for value in (0.0, 1.0, -1.0))
    y = b.select(b.fcmp_ordered("<", x, zero), less, b.select(b.fcmp_ordered("==", x, zero), zero, x))
    return b.select(b.fcmp_ordered(">", x, zero), one, y)


FUNCTIONS = {
    "Sqrt": lambda b, x, p, q: call(b, f"llvm.sqrt.v{LANES}f32", x.type, x),
    "Exp": lambda b, x, p, q: exp(b, x),
    "Sigmoid": lambda b, x, p, q: sigmoid(b, x),
    "Tanh": lambda b, x, p, q: tanh(b, x),
    "Log": lambda b, x, p, q: log(b, x),
    "Relu": lambda b, x, p, q: b.select(b.fcmp_ordered("<", x, const(x.type, 0.0)), const(x.type, 0.0), x),
    "Abs": lambda b, x, p, q: magnitude(b, x),
    "Neg": lambda b, x, p, q: negated(b, x),
    "Reciprocal": lambda b, x, p, q: b.fdiv(const(x.type, 1.0), x),
    "Square": lambda b, x, p, q: b.fmul(x, x),
    "Erf": lambda b, x, p, q: erf(b, x),
    "Gelu": lambda b, x, p, q: gelu(b, x),
    "LeakyRelu": lambda b, x, p, q: b.select(b.fcmp_ordered(">=", x, const(x.type, 0.0)), x, b.fmul(x, every(b, p))),
    "HardSigmoid": lambda b, x, p, q: hard_sigmoid(b, x, every(b, p), every(b, q)),
    "HardSwish": lambda b, x, p, q: b.fmul(x, hard_sigmoid(b, x, const(x.type, 1 / 6), const(x.type, 0.5))),
    "Swish": lambda b, x, p, q: b.fmul(x, sigmoid(b, b.fmul(x, every(b, p)))),
    "Softsign": lambda b, x, p, q: b.fdiv(x, b.fadd(const(x.type, 1.0), magnitude(b, x))),
    "ThresholdedRelu": lambda b, x, p, q: b.select(b.fcmp_ordered(">", x, every(b, p)), x, const(x.type, 0.0)),
    "Shrink": lambda b, x, p, q: shrunk(b, x, every(b, p), every(b, q)),
    "Softplus": lambda b, x, p, q: widened(double_math.softplus)(b, x),
    "Mish": lambda b, x, p, q: widened(double_math.mish)(b, x),
    "Elu": lambda b, x, p, q: widened(double_math.elu)(b, x, every(b, p)),
    "Selu": lambda b, x, p, q: widened(double_math.elu)(b, x, every(b, p), every(b, q)),
    "Celu": lambda b, x, p, q: widened(double_math.celu)(b, x, every(b, p)),
    "Tan": lambda b, x, p, q: widened(double_math.tan)(b, x),
    "Sin": lambda b, x, p, q: widened(double_math.sin)(b, x),
    "Cos": lambda b, x, p, q: widened(double_math.cos)(b, x),
    "Floor": lambda b, x, p, q: call(b, f"llvm.floor.v{LANES}f32", x.type, x),
    "Ceil": lambda b, x, p, q: call(b, f"llvm.ceil.v{LANES}f32", x.type, x),
    "Round": lambda b, x, p, q: rint(b, x),
    "Sign": lambda b, x, p, q: sign(b, x),
    "Clip": lambda b, x, p, q: limited(b, x, every(b, p), every(b, q)),
    "Power": lambda b, x, p, q: power(b, x, p, parity(b, q)),
    "AtLeast": lambda b, x, p, q: b.select(b.fcmp_ordered("<", x, every(b, p)), every(b, p), x),
    "AtMost": lambda b, x, p, q: b.select(b.fcmp_ordered(">", x, every(b, p)), every(b, p), x),
}


def operand(b, address, move):
    return load_at(b, address, vec(F32, LANES)) if move else splat(b, load_at(b, address, F32), LANES)


def binary_run(op, a, c):
    def real(b, at, scalars):
        return OPERATIONS[op](b, operand(b, at[0], a), operand(b, at[1], c))

    return run_of((4 * a, 4 * c), "", real, as_floats, 4)


@njit(nogil=True)
def operation(i):
    return (i.op,)


def binary(a_c, b_c):
    """The kernel of operands that move along the run, 1, or are one element, 0."""
    run = chosen({k: binary_run(op, a_c, b_c) for k, op in enumerate(FLOAT_BINARY)}, "operands, count")

    @njit(nogil=True)
    def chosen_run(operands, count):
        a, b, y, op = operands
        run(op, (a, b, y), count)

    return of_two(chosen_run, operation)


of_runs, of_one_right, of_one_left = binary(1, 1), binary(1, 0), binary(0, 1)


def unary_run(op):
    return run_of((4,), "ff", lambda b, at, scalars: FUNCTIONS[op](b, operand(b, at[0], 1), *scalars), as_floats, 4)


function = chosen({k: unary_run(op) for k, op in enumerate(FLOAT_UNARY)}, "operands, count")


@njit(nogil=True)
def chosen_function(operands, count):
    x, y, f_a, f_b, op = operands
    function(op, (x, y, f_a, f_b), count)


@njit(nogil=True)
def of_function(i):
    return i.f_a, i.f_b, i.op


float_unary = of_one(chosen_function, of_function)


@intrinsic
def softmax_row(context, x, y, count, zero_nan):
    """y = exp(x - max) / sum of a row, all NaN where one is or all are -inf; 0 instead with zero_nan."""

    def generate(ctx, b, sig, args):
        x, y, count, zero_nan = args
        t, size = vec(F32, SUMS), b.mul(count, ir.Constant(I64, 4))
        best = cgutils.alloca_once_value(b, const(t, float("-inf")))

        def compare(at, v, mask):
            v = v if mask is None else b.select(mask, v, const(t, float("-inf")))
            b.store(b.select(b.fcmp_ordered(">", v, b.load(best)), v, b.load(best)), best)

        floats(b, x, count, compare)
        largest = splat(b, halves(b, b.load(best), lambda p, q: b.select(b.fcmp_ordered(">", p, q), p, q)), SUMS)

        def exponentials(at, v, mask):
            e = exp(b, b.fsub(v, largest))
            store_chunk(b, b.add(y, at), e, mask, b.sub(size, at))
            return masked(b, e, mask)

        total = splat(b, sum_of_row(b, x, count, exponentials), SUMS)

        wanted = splat(b, b.icmp_signed("!=", zero_nan, ir.Constant(I64, 0)), SUMS)
        none = b.and_(wanted, b.fcmp_unordered("uno", total, total))

        def divide(at, v, mask):
            y_ = b.select(none, const(t, 0.0), b.fdiv(v, total))
            store_chunk(b, b.add(y, at), y_, mask, b.sub(size, at))

        floats(b, y, count, divide)
        return ctx.get_dummy_value()

    return types.void(i64, i64, i64, i64), generate


@njit(nogil=True)
def float_softmax(i, share):
    h = i.H
    first, end = part_of(share, h)
    for r in range(first, end):
        softmax_row(i.x + r * i.x_h, i.y + r * i.y_h, i.C, i.zero_nan)
