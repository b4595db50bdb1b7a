"""The instruction table: each kind once, with its operands and fields in the order of the native words.

A row of int64 words: word 0 the kernel's address, word 1 flags (bit 0: a barrier follows; from bit 8 on: the number of
pieces for a pool of threads), then operands (absolute addresses at run time) and fields. A field whose name starts with
`f_` is a float32 in the low half of its word. Strides are in bytes; x, y and residual have channels one element apart.
Unless said otherwise N, H, W, C are those of the output.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Final

from ..ops.registry import FAMILIES, has
from ..ops.traits import JOINTLY_HOMOGENEOUS

HEADER = 2
APART = ("scratch", "fault")  # operands in no buffer: of a worker for itself, and a word of the plan
POST_NONE, POST_ADD, POST_TABLE = 0, 1, 2  # what a product's `post` does with its bytes
# values of the hint `split`: threads share pieces of rows of pixels, or blocks of output channels
BY_ROWS, BY_BLOCKS = 1, 2


def _lowered_by(rule: str) -> tuple[str, ...]:
    """Names of the ops whose declarations name a rule, in their order."""
    return tuple(row.name for family in FAMILIES for row in family.OPS if rule in (row.lower, row.lower_float))


# the functions that the field `op` counts; Clip, Square, Power, AtLeast and AtMost: what other ops become for some of
# their constants
FLOAT_BINARY = _lowered_by("lower_float.binary")
FLOAT_UNARY = (*_lowered_by("lower_float.unary"), "Clip", "Square", "Power", "AtLeast", "AtMost")
# two tensors of int8, or int16: an instruction each, named in lower case; a difference is a sum with a negative factor
INT8_BINARY = tuple(name for name in _lowered_by("lower_pointwise.binary") if name != "Sub")
SCALED_BEFORE = tuple(op for op in INT8_BINARY if has(op, JOINTLY_HOMOGENEOUS))  # operands are scaled, else the result
SCATTER = ("none", "add", "mul", "max", "min")  # the reductions that the field `op` of a scatter counts
GRID_MODES = ("nearest", "linear", "cubic")  # and those that `mode` and `padding` of a float_grid_sample do
GRID_PADDINGS = ("zeros", "border", "reflection")
FLOAT_REDUCE = tuple(name.removeprefix("Reduce") for name in _lowered_by("lower_float_window.reduce"))


class InstructionDef:
    """ins, outs: operands in the arena; consts: operands among the constants; hints: how the work is done, never what
    comes of it (0: as the kernel sees fit)."""

    __slots__ = ("consts", "fields", "hints", "ins", "meaning", "name", "outs", "words")

    def __init__(self, name: str, meaning: str, ins: str, outs: str, consts: str, fields: str, hints: str = "") -> None:
        self.name: Final = name
        self.meaning: Final = meaning
        self.ins: Final = tuple(ins.split())
        self.outs: Final = tuple(outs.split())
        self.consts: Final = tuple(consts.split())
        self.fields: Final = tuple(fields.split())
        self.hints: Final = tuple(hints.split())
        self.words: Final = (*self.ins, *self.outs, *self.consts, *self.fields, *self.hints)

    def index(self, name: str) -> int:
        """The word of an operand, a field or a hint."""
        return HEADER + self.words.index(name)


_row = InstructionDef
_XY = "N H W C x_n x_h x_w y_n y_h y_w"
_WINDOW = "KH KW SH SW DH DW"
_RANGE = "zero low high"
_DIMS = " ".join(f"{n}{k}" for n in ("D", "x", "y") for k in range(6))
_PRODUCT = (
    f"{_XY} G x_c y_g {_WINDOW} runs run y_f32 {_RANGE} "
    "post r_n r_h r_w r_g t_c a_zero r_zero f_a f_r p_zero p_low p_high"
)
_INT16_RANGE = "q_zero q_low q_high"
_PAIR = "N H W C a_n a_h a_w b_n b_h b_w b_c y_n y_h y_w"


def _pairs(prefix: str, fields: str, combined: Callable[[str], str]) -> Iterator[InstructionDef]:
    """The instructions of INT8_BINARY. combined: what they compute of an op, in words."""
    for op in INT8_BINARY:
        factors = "f_a f_b" if op in SCALED_BEFORE else "f_a"
        yield _row(prefix + op.lower(), combined(op), "a b", "y", "", f"{_PAIR} {fields.format(factors)}")


def _of_bytes(op: str) -> str:
    a, b = "f32(a - a_zero)", "f32(b - b_zero)"
    real = f"{op}({a} f_a, {b} f_b)" if op in SCALED_BEFORE else f"{op}({a}, {b}) f_a"
    return f"C(rint({real}) + zero); strides of 0 repeat b"


def _of_int16(op: str) -> str:
    a, b = "f32(a - q_a_zero)", "f32(b - q_b_zero)"
    real = f"{op}({a} f_a, {b} f_b)" if op in SCALED_BEFORE else f"{op}({a}, {b}) f_a"
    return f"C(rint({real}) + q_zero) of int16, to int16 or u8; strides of 0 repeat b"


_INDICES = "N H W C K index_item S0 S1 S2 S3 t0 t1 t2 t3 i_n i_h i_w"
_FLOAT_PRODUCT = f"{_XY} {_WINDOW} act f_low f_high"
INSTRUCTIONS = {
    k.name: k
    for k in (
        _row("conv2d",
             "sum over taps and channels of (x - offset) * w, offset that of the target, plus bias, requantized "
             "(y_f32 = 0) or scaled to float (1). x is at the first tap of the first output; C is per group; runs x "
             "run bytes are the taps of one kernel row; x_c, y_g, r_g: bytes from group to group. post 1: the bytes q "
             "become C(rint(f32(q - a_zero) f_a + f32(r - r_zero) f_r) + p_zero), where a_zero is zero; 2: table[q]. w "
             "and bias may lie in the arena. pairs: there is `order`, of each block of channels "
             "its steps of four taps by the pairs of products that are added in 16 bits, none of which can leave them",
             "x r", "y scratch", "w bias scale table order", f"{_PRODUCT} pairs", "tile limit split"),
        _row("depthwise2d",
             "one channel in, one out; words as in conv2d. w: of each of `blocks` blocks of channels, for four kernel "
             "rows and each column, four taps a channel; parts: the kernel's rows are there so often, and read the "
             "same; flat: blocks run along the row of all pixels' channels",
             "x r", "y scratch", "w bias scale table", f"{_PRODUCT} blocks flat parts"),
        _row("pack",
             "u8 matrices [G, K, C] with any strides (bytes) as weights of a conv2d, less 128, in the first of so many "
             "rows of taps; each weight of the others is `rest`; and the bias (offset - x_zero) * sum over taps and K",
             "x", "y bias", "", "G K C taps x_g x_k x_c y_g x_zero rest"),
        *_pairs("", f"a_zero b_zero {{}} {_RANGE}", _of_bytes),
        _row("lookup", "table[x]; t_c: bytes from one channel's table to the next, 0: all share one", "x",
              "y scratch", "table", f"{_XY} t_c"),
        _row("quantize",
             "C(rint(x / f_scale) + zero) of float x with element strides x_c too; P: channels that are written, "
             "those beyond C with any value",
             "x", "y", "", f"{_XY} x_c P f_scale {_RANGE}"),
        _row("dequantize",
             "f32(x - x_zero) * f_scale, with a channel stride y_c",
             "x", "y", "", f"{_XY} y_c x_zero f_scale"),
        _row("copy", "bytes moved", "x", "y", "", _XY),
        _row("transpose", "elements of `item` bytes moved, with any strides", "x", "y", "", f"{_DIMS} item"),
        _row("halo",
             "the border of y filled with a byte",
             "", "y", "", "N H W C y_n y_h y_w top left bottom right value"),
        _row("fill", "bytes set to a value", "", "y", "", "C value"),
        _row("max_pool2d",
             "the largest of each window, of the taps within IH x IW",
             "x", "y", "", f"{_XY} {_WINDOW} IH IW top left"),
        _row("avg_pool2d",
             "the rounded mean of each window; taps outside of IH x IW are not in the sum nor, unless include, in the "
             "count",
             "x", "y", "", f"{_XY} {_WINDOW} IH IW top left include x_zero f_ratio {_RANGE} y_f32"),
        _row("resize_nearest", "x at the rows and columns of two int32 tables", "x", "y", "rows columns", _XY),
        _row("resize_linear",
             "C(rint(f32(sum of four taps * weights) * f_m) + zero); tables are int32 [3, size]: low tap, high tap, "
             "weight of the high one; the weights of an axis sum to one_h and one_w",
             "x", "y", "rows columns", f"{_XY} one_h one_w x_zero f_m {_RANGE}"),
        _row("resize_truncated",
             "float sum of four taps * weights rounded toward zero, of bytes, signed or not; "
             "tables are 32-bit [4, size]: low tap, high tap, their float weights",
             "x", "y", "rows columns", f"{_XY} signed"),
        _row("softmax",
             "rows of C: C(rint(f32(table[max - x]) * (f_inverse / f32(sum of table[max - x]))) + zero); table: 256 "
             "int32, then their three lower bytes as planes of 256",
             "x", "y scratch", "table", f"H C x_h y_h f_inverse {_RANGE}"),
        _row("float_conv2d",
             "chains of fused multiply-adds from `bias` over kernel rows, columns and channels (28), words as in "
             "conv2d; run counts floats. post 1: plus r. act 1: what is below f_low becomes f_low; 2: and what is "
             "above f_high f_high. w may lie in the arena",
             "x r", "y scratch", "w bias", f"{_FLOAT_PRODUCT} G x_c y_g runs run post r_n r_h r_w r_g",
             "tile limit split"),
        _row("quantize_rows",
             "rows of C floats in blocks of `size` (42, 43): y the int8 of each block, a short last one filled up "
             "with zeros, scale its float32, sum -factor times the sum of its int8",
             "x", "y scale sum", "", "H C x_h size factor"),
        _row("blockwise_matmul",
             "rows of K blocks of `size` int8, their scales and sums, by C columns of `bits`-bit weights in blocks "
             "(44 to 46), then the bias; a sum begins with that of the row's block, multiplied by the column's zero "
             "point where there are `points`. w: PackedBlocks; scale, zero: [columns / block, K, block], bias: "
             "[columns]; a scale is a float of `scale_item` bytes",
             "x x_scale x_sum", "y scratch", "w scale zero bias", "H K C y_h size bits points scale_item"),
        _row("float_depthwise2d",
             "the same with one channel in, one out. w: [C / lanes, KH, KW, lanes], bias: [C / lanes, lanes]",
             "x", "y", "w bias", _FLOAT_PRODUCT),
        _row("float_pack",
             "float matrices [G, K, C] with any strides (bytes) as weights of a float_conv2d",
             "x", "y", "", "G K C x_g x_k x_c"),
        _row("float_binary",
             "float a op b, op an index of FLOAT_BINARY; a_c, b_c: 1, or 0 for one element that is repeated along the "
             "run",
             "a b", "y", "", "op N H W C a_n a_h a_w a_c b_n b_h b_w b_c y_n y_h y_w"),
        _row("float_unary",
             "op of float x, op an index of FLOAT_UNARY (reference/float_math.py). f_a, f_b: the factor of LeakyRelu "
             "and Swish, factor and addend of HardSigmoid, the bounds of Clip, the one of AtLeast, AtMost and "
             "ThresholdedRelu, of Elu and Celu, alpha and gamma of Selu, a power and 0, or 1 if it is odd, 2 if even",
             "x", "y", "", f"op {_XY} f_a f_b"),
        _row("float_pool2d",
             "op, an index of FLOAT_REDUCE, of the floats of each window, kernel rows and columns in order (29, 40); "
             "taps outside of IH x IW are not there nor, unless include, in the mean's count",
             "x", "y", "", f"op {_XY} {_WINDOW} IH IW top left include"),
        _row("float_reduce",
             "op, an index of FLOAT_REDUCE, of each row of C floats, in the order of a softmax's sum",
             "x", "y", "", "op H C x_h y_h"),
        _row("float_resize",
             "four taps of floats mixed; tables are 32-bit [3, size]: low tap, high tap, the float weight of the high "
             "one",
             "x", "y", "rows columns", _XY),
        _row("float_taps",
             "for each of H rows of C floats the sum of `taps` rows of x, at the places of an int32 table [taps, H], "
             "times float weights [taps, H]; each product and each sum is rounded, in the order of taps",
             "x", "y", "rows weights", "N H C taps x_n x_h y_n y_h"),
        _row("float_top_k",
             "of H rows of C floats the K largest (else the least), in order, and their places as int64; of equal ones "
             "the first comes first, and what is not a number is the largest",
             "x", "y place", "", "H C K x_h y_h place_h largest"),
        *(_row(f"{family}arg_extreme",
             "of N x H x W rows of C elements, x_c bytes apart, the place of the largest, or of the least: the first "
             "of equal ones, or the last; what is not a number is passed over, unless it comes first",
             "x", "y", "", "N H W C x_n x_h x_w x_c y_n y_h y_w largest last") for family in ("", "float_")),
        _row("gather",
             "rows of C bytes of x, each at a sum of K indices times t0 to t3 bytes. An index of int64 or int32 "
             "(index_item) is from -S0 to S0 - 1 (S1 to S3 of those behind it); of one that is not the word `fault` "
             "is set, and the row at 0 is taken",
             "x index", "y fault", "", f"{_INDICES} x_n x_h x_w y_n y_h y_w"),
        _row("scatter",
             "T bytes of x, then rows of C bytes of `update` one after the other at such places; op, an index of "
             "SCATTER: how they are combined with what is there, as floats",
             "x index update", "y fault", "", f"op T {_INDICES} y_n y_h y_w u_n u_h u_w"),
        _row("float_grid_sample",
             "images read at the points of a grid of floats [N, H, W, 2]: the sum of taps in order of rows, then "
             "columns, each the value times the product of the weights (reference/float_grid.py); mode, padding: "
             "indices of GRID_MODES and GRID_PADDINGS",
             "x grid", "y scratch", "", f"{_XY} IH IW g_n g_h g_w mode padding corners"),
        _row("float_roi_align",
             "averages, or with `largest` maxima, of samples in H x W cells of N regions, each of one of S0 images "
             "(reference/float_regions.py). `ratio` samples along a side of a cell; 0: as many as it has pixels. half: "
             "regions are half a pixel further. The word `fault` is set for an image that is not there, and for more "
             "samples than 65536 along a side",
             "x roi batch", "y scratch fault", "", f"{_XY} S0 IH IW ratio half largest f_ratio"),
        _row("float_nms",
             "of N batches and C classes of H boxes at most K each, by falling score above f_least (every: all), those "
             "that overlap none that is kept by more than f_overlap (reference/float_select.py): rows of batch, class, "
             "box as int64, zeros behind them, and their number. centers: boxes are x, y, width, height",
             "x score", "y count work", "", "N C H K centers every f_least f_overlap"),
        _row("float_layer_norm",
             "rows of C floats: ((x - mean) / sqrt(mean of squares + f_epsilon)) gain + shift, ordered sums",
             "x", "y", "gain shift", "H C x_h y_h f_epsilon"),
        _row("float_softmax",
             "rows of C floats: e^(x - max) over their ordered sum (reference/float_math.py); zero_nan: 0 instead of a "
             "row of NaN",
             "x", "y", "", "H C x_h y_h zero_nan"),
        _row("float_where",
             "elements of a where the condition's byte is not 0, else of b; condition_c, a_c, b_c: 1, or 0 for one "
             "element that is repeated along the run",
             "condition a b", "y", "",
             "N H W C condition_n condition_h condition_w condition_c a_n a_h a_w a_c b_n b_h b_w b_c y_n y_h y_w"),
        _row("float_lstm_cell",
             "rows of C units: gates i o f c, C floats each; c = s(f) c_in + s(i) tanh(c gate), h = y = s(o) tanh(c)",
             "gates c_in", "c h y", "", "N C gates_b c_in_b c_b h_b y_b"),
        _row("float_gru_cell",
             "rows of C units: z and r = s(gx + gh), n = tanh(gx + r gh), C floats each; h = y = (1 - z) n + z h_in",
             "gx gh h_in", "h y", "", "N C gx_b gh_b h_in_b h_b y_b"),
        _row("lstm_cell",
             "rows of C units: gates i o f c are (gx + gh) + bias, C floats each; c = s(f) c_in + s(i) tanh(c gate), "
             "y = s(o) tanh(c), q = y in the state's bytes (reference/recurrent.py)",
             "gx gh c_in", "c y q", "bias", "N C gx_b gh_b c_in_b c_b y_b q_b"),
        _row("int16_conv2d",
             "conv2d of int16 x and weights (49, 50), words as in conv2d; run counts elements. span: steps of two "
             "elements after which 32-bit sums are put by, so that none can overflow; 0: never. y_item: bytes of an "
             "element of y, which is u8 (1), int16 (2) or float (4)",
             "x", "y scratch", "w bias scale", f"{_XY} {_WINDOW} G x_c y_g runs run span {_INT16_RANGE} y_item",
             "tile limit split"),
        _row("int16_depthwise2d",
             "the same with one channel in, one out. w: int16 [C / lanes, KH, KW, lanes], bias, scale: [C / lanes, "
             "lanes]",
             "x", "y", "w bias scale", f"{_XY} {_WINDOW} {_INT16_RANGE} y_item"),
        _row("int16_quantize", "C(rint(x / f_scale) + q_zero) of float x with element strides x_c too", "x", "y", "",
              f"{_XY} x_c f_scale {_INT16_RANGE}"),
        _row("int16_dequantize", "f32(x - q_x_zero) * f_scale, with a channel stride y_c", "x", "y", "",
             f"{_XY} y_c q_x_zero f_scale"),
        *_pairs("int16_", f"q_a_zero q_b_zero {{}} {_INT16_RANGE} y_item", _of_int16),
        _row("int16_lookup",
             "table[x]: u8 to int16 (256 entries), or int16 to int16 or u8 (65536, from that of -32768 on)",
             "x", "y", "table", f"{_XY} x_item y_item"),
        _row("int16_max_pool2d", "max_pool2d of int16", "x", "y", "", f"{_XY} {_WINDOW} IH IW top left"),
        _row("int16_avg_pool2d", "avg_pool2d of int16, to int16, u8 or float", "x", "y", "",
              f"{_XY} {_WINDOW} IH IW top left include q_x_zero f_ratio {_INT16_RANGE} y_item"),
        _row("layer_norm",
             "rows of C: C(rint(f32(C x - S1) r g + b) + zero), r = 1 / sqrt(f32(C S2 - S1 S1) + f_epsilon)",
             "x", "y", "gain shift", f"H C x_h y_h f_epsilon {_RANGE}"),
    )
}  # fmt: skip
