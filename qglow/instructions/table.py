"""The instruction table: each kind once, with its operands and fields in the order of the native words.

A row of int64 words: word 0 the kernel's address, word 1 flags (bit 0: a barrier follows), then operands (absolute addresses at
run time) and fields. A field whose name starts with `f_` is a float32 in the low half of its word. Strides are in bytes; x, y and
residual have channels one element apart. Unless said otherwise N, H, W, C are those of the output.
"""

from __future__ import annotations

from dataclasses import dataclass

HEADER = 2


@dataclass(frozen=True, slots=True)
class Kind:
    """ins, outs: operands in the arena; consts: operands among the constants."""

    name: str
    meaning: str
    ins: tuple[str, ...]
    outs: tuple[str, ...]
    consts: tuple[str, ...]
    fields: tuple[str, ...]

    @property
    def words(self) -> tuple[str, ...]:
        return (*self.ins, *self.outs, *self.consts, *self.fields)

    def index(self, name: str) -> int:
        """The word of an operand or field."""
        return HEADER + self.words.index(name)


def _kind(name: str, meaning: str, ins: str, outs: str, consts: str, fields: str) -> Kind:
    return Kind(name, meaning, *(tuple(t.split()) for t in (ins, outs, consts, fields)))


_XY = "N H W C x_n x_h x_w y_n y_h y_w"
_WINDOW = "KH KW SH SW DH DW"
KINDS = {
    k.name: k
    for k in (
        _kind("conv2d", "sum over taps and channels of x * w, plus bias, requantized (y_f32 = 0) or scaled to float (1). "
              "x is at the first tap of the first output; C is per group; runs x run bytes are the taps of one kernel row.",
              "x", "y scratch", "w bias scale",
              f"{_XY} G x_c {_WINDOW} runs run y_f32 f_zero f_low f_high"),
        _kind("depthwise2d", "one channel in, one out", "x", "y", "w bias scale", f"{_XY} {_WINDOW} y_f32 f_zero f_low f_high"),
        _kind("add", "C(rint(f32(a - a_zero) * m_a + f32(b - b_zero) * m_b) + zero); strides of 0 repeat b", "a b", "y", "",
              "N H W C x_n x_h x_w b_n b_h b_w b_c y_n y_h y_w a_zero b_zero f_a f_b f_zero f_low f_high"),
        _kind("mul", "C(rint(f32((a - a_zero) (b - b_zero)) * m) + zero); strides of 0 repeat b", "a b", "y", "",
              "N H W C x_n x_h x_w b_n b_h b_w b_c y_n y_h y_w a_zero b_zero f_a f_zero f_low f_high"),
        _kind("lookup", "table[x]; t_c: bytes from one channel's table to the next, 0: all share one", "x", "y", "table", f"{_XY} t_c"),
        _kind("quantize", "C(rint(x / s) + zero) of float x with element strides x_c too", "x", "y", "",
              f"{_XY} x_c f_scale f_zero f_low f_high"),
        _kind("dequantize", "f32(x - zero) * s, with a channel stride y_c", "x", "y", "", f"{_XY} y_c x_zero f_scale"),
        _kind("copy", "bytes moved", "x", "y", "", _XY),
        _kind("halo", "the border of y filled with a byte", "", "y", "", "N H W C y_n y_h y_w top left bottom right value"),
        _kind("max_pool2d", "the largest of each window", "x", "y", "", f"{_XY} {_WINDOW}"),
        _kind("avg_pool2d", "the rounded mean of each window; taps outside of IH x IW are not in the sum nor, unless include, in the count",
              "x", "y", "", f"{_XY} {_WINDOW} IH IW top left include x_zero f_ratio f_zero f_low f_high y_f32"),
        _kind("resize_nearest", "x at the rows and columns of two int32 tables", "x", "y", "rows columns", _XY),
    )
}  # fmt: skip
