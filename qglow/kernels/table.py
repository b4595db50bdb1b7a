"""Every kernel, one row each, and which of an instruction's kernels computes it.

A row is all that makes a kernel exist: it is compiled, chosen, shown in the program's text, tested at the edges of its
tiles (tests/kernels/test_kernel_rows.py) and measured (bench/kernels.py, `qglow tune`). Of the rows of one instruction
the first that accepts its fields is chosen, so that special kernels stand before general ones. Nothing of numba is
imported here.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import cache
from typing import TYPE_CHECKING

from ..errors import KernelError
from ..instructions.packing import FLOAT_VECTORS
from ..instructions.table import FLOAT_REDUCE, INT8_BINARY
from ..record import NamedTuple
from ..reference.float_sums import BLOCK as LONG
from ..targets import Target, target

if TYPE_CHECKING:
    from ..instructions.program import Instruction

Fields = Mapping[str, int | float]
# costs: a product, or an element that is moved, or computed
PRODUCT, INT16_PRODUCT, FLOAT_PRODUCT, ELEMENT, FUNCTION = 1, 2, 4, 20, 150
MAX = FLOAT_REDUCE.index("Max")


class KernelRow(NamedTuple):
    """A kernel.

    name: that of its instruction, then where there are several a dot and what is special. function: module.name within
    this folder, a numba function of an instruction's row (row.py) and a share of its work (split.py). dtypes: of its
    operands, in and out. blocking: by fields of the instruction, the sizes of the tiles that the kernel cuts them into
    on a target. accepts: whether the kernel computes an instruction with such fields on a target. on: whether it is
    compiled for a target. cost: of one element, or one product, in the time of an int8 product.
    """

    name: str
    function: str
    dtypes: str
    blocking: Callable[[Target], dict[str, int]]
    cost: int = ELEMENT
    accepts: Callable[[Fields, Target], bool] = lambda f, t: True
    on: Callable[[Target], bool] = lambda t: True

    @property
    def instruction(self) -> str:
        return self.name.partition(".")[0]


def table(rows: Iterable[KernelRow]) -> dict[str, KernelRow]:
    """Rows by name. Raises ValueError for two of one name."""
    found: dict[str, KernelRow] = {}
    for row in rows:
        if found.setdefault(row.name, row) is not row:
            raise ValueError(f"two kernels are named {row.name}")
    return found


def lanes(t: Target) -> dict[str, int]:
    """A vector of channels at a time."""
    return {"C": t.lanes}


def wide(t: Target) -> dict[str, int]:
    """Four vectors of channels at a time."""
    return {"C": 4 * t.lanes}


def columns(t: Target) -> dict[str, int]:
    """A vector of pixels at a time."""
    return {"W": t.lanes, "C": 4}


def pixels(t: Target) -> dict[str, int]:
    """Some pixels of a vector of channels; as many as there are registers for."""
    return {"C": t.lanes, "W": 8 if t.lanes == 16 else 4}


def square(size: int, stride: int) -> Callable[[Fields, Target], bool]:
    """A square window without dilation, of weights in one part."""
    return lambda f, t: f["KH"] == f["KW"] == size and f["SW"] == stride and f["DW"] == f.get("parts", 1) == 1


def product(t: Target) -> dict[str, int]:
    return {"C": t.lanes * t.vectors, "W": t.pixels, "run": t.step}


def float_product(t: Target) -> dict[str, int]:
    return {"C": t.lanes * FLOAT_VECTORS, "W": t.float_pixels[0]}


def blocks(t: Target) -> dict[str, int]:
    return {"C": t.lanes * t.vectors, "H": 6 if t.lanes == 16 else 3}


def int16_product(t: Target) -> dict[str, int]:
    return {"C": t.lanes * FLOAT_VECTORS, "W": min(14, t.pixels), "run": 2}


KERNELS = table((
    KernelRow("conv2d.tiles", "conv_tiles.conv2d", "u8 s8 -> u8 f32", product, PRODUCT, on=lambda t: t.tiles),
    KernelRow("conv2d.pairs", "conv.conv2d_of_pairs", "u8 s8 -> u8 f32", product, PRODUCT,
              accepts=lambda f, t: f["pairs"] == 1, on=lambda t: t.pairs),
    KernelRow("conv2d", "conv.conv2d", "u8 s8 -> u8 f32", product, PRODUCT, on=lambda t: not t.tiles),
    KernelRow("depthwise2d.k3s1", "depthwise.k3s1", "u8 s8 -> u8 f32", pixels, PRODUCT, square(3, 1)),
    KernelRow("depthwise2d.k3s2", "depthwise.k3s2", "u8 s8 -> u8 f32", pixels, PRODUCT, square(3, 2)),
    KernelRow("depthwise2d.k5s1", "depthwise.k5s1", "u8 s8 -> u8 f32", pixels, PRODUCT, square(5, 1)),
    KernelRow("depthwise2d.k5s2", "depthwise.k5s2", "u8 s8 -> u8 f32", pixels, PRODUCT, square(5, 2)),
    KernelRow("depthwise2d", "depthwise.any_kernel", "u8 s8 -> u8 f32", pixels, PRODUCT),
    KernelRow("pack", "pack.pack", "u8 -> s8", lambda t: {"C": t.lanes * t.vectors, "K": t.step}),
    *(KernelRow(f"{op}{suffix}", f"pairs.{op}{function}", "u8 u8 -> u8", wide, accepts=accepts)
      for op in map(str.lower, INT8_BINARY)
      for suffix, function, accepts in ((".one", "_one", lambda f, t: f["b_c"] == 0),
                                        ("", "", lambda f, t: f["b_c"] == 1))),
    KernelRow("lookup.channels", "elementwise.lookup_channels", "u8 -> u8", lambda t: {"C": 16, "W": 64},
              accepts=lambda f, t: f["t_c"] == 256 and f["C"] >= 16, on=lambda t: t.byte_tables),
    KernelRow("lookup", "elementwise.lookup", "u8 -> u8", lambda t: {"C": 64}),
    KernelRow("quantize.runs", "elementwise.quantize_runs", "f32 -> u8", wide, accepts=lambda f, t: f["x_c"] == 4),
    KernelRow("quantize", "elementwise.quantize", "f32 -> u8", columns),
    KernelRow("dequantize.runs", "elementwise.dequantize_runs", "u8 -> f32", wide, accepts=lambda f, t: f["y_c"] == 4),
    KernelRow("dequantize", "elementwise.dequantize", "u8 -> f32", columns),
    KernelRow("copy", "move.copy", "any", lambda t: {"C": 64}),
    KernelRow("transpose", "move.transpose", "any", lambda t: {"D4": 16, "D5": 16}),
    KernelRow("halo", "move.halo", "u8", lambda t: {"W": 16}),
    KernelRow("fill", "move.fill_all", "u8", lambda t: {"C": 128}),
    KernelRow("max_pool2d", "pool.max_pool2d", "u8 -> u8", wide),
    KernelRow("avg_pool2d.four", "pool.avg_four", "u8 -> u8 f32", wide, accepts=lambda f, t: f["C"] >= 4 * t.lanes),
    KernelRow("avg_pool2d", "pool.avg_one", "u8 -> u8 f32", lanes),
    KernelRow("resize_nearest", "move.resize_nearest", "any", lambda t: {"C": 64}),
    KernelRow("resize_linear", "resample.resize_linear", "u8 -> u8", lanes),
    KernelRow("resize_truncated", "resample.resize_truncated", "u8 -> u8", lanes),
    KernelRow("softmax", "rows.softmax", "u8 -> u8", wide, FUNCTION),
    KernelRow("layer_norm", "rows.layer_norm", "u8 -> u8", wide, FUNCTION),
    KernelRow("lstm_cell", "recurrent.lstm_cell", "f32 -> f32 u8", lanes, FUNCTION),
    KernelRow("float_lstm_cell", "recurrent.float_lstm_cell", "f32 -> f32", lanes, FUNCTION),
    KernelRow("float_gru_cell", "recurrent.float_gru_cell", "f32 -> f32", lanes, FUNCTION),
    KernelRow("float_where", "float_where.float_where", "u8 f32 f32 -> f32", lanes, FUNCTION),
    KernelRow("quantize_rows", "blockwise.quantize_rows", "f32 -> s8 f32 s32", lambda t: {"C": 32}),
    KernelRow("blockwise_matmul.u4", "blockwise.of_4_bits", "s8 u4 -> f32", blocks, PRODUCT, lambda f,
    t: f["bits"] == 4),
    KernelRow("blockwise_matmul.u8", "blockwise.of_8_bits", "s8 u8 -> f32", blocks, PRODUCT, lambda f,
    t: f["bits"] == 8),
    KernelRow("float_conv2d", "float_conv.float_conv2d", "f32 -> f32", float_product, FLOAT_PRODUCT),
    KernelRow("float_depthwise2d.k3", "float_depthwise.of_3_columns", "f32 -> f32", pixels, FLOAT_PRODUCT,
              lambda f, t: f["KW"] == 3),
    KernelRow("float_depthwise2d", "float_depthwise.of_any_columns", "f32 -> f32", pixels, FLOAT_PRODUCT),
    KernelRow("int16_conv2d", "int16_conv.int16_conv2d", "s16 s8 -> s16 u8 f32", int16_product, INT16_PRODUCT),
    KernelRow("int16_depthwise2d", "int16_depthwise.int16_depthwise2d", "s16 s8 -> s16 u8 f32", pixels, INT16_PRODUCT),
    KernelRow("int16_quantize.runs", "int16_elementwise.quantize_runs", "f32 -> s16", wide,
              accepts=lambda f, t: f["x_c"] == 4),
    KernelRow("int16_quantize", "int16_elementwise.quantize", "f32 -> s16", columns),
    KernelRow("int16_dequantize.runs", "int16_elementwise.dequantize_runs", "s16 -> f32", wide,
              accepts=lambda f, t: f["y_c"] == 4),
    KernelRow("int16_dequantize", "int16_elementwise.dequantize", "s16 -> f32", columns),
    *(
        KernelRow(f"int16_{op}{suffix}", f"pairs.int16_{op}{function}", made, wide, accepts=accepts)
        for op in map(str.lower, INT8_BINARY)
        for suffix, function, made, accepts in (
            ("", "", "s16 s16 -> s16", lambda f, t: f["b_c"] == 1 and f["y_item"] == 2),
            (".bytes", "_bytes", "s16 s16 -> u8", lambda f, t: f["b_c"] == f["y_item"] == 1),
            (".one", "_one", "s16 s16 -> s16", lambda f, t: f["b_c"] == 0 and f["y_item"] == 2),
            (".one_bytes", "_one_bytes", "s16 s16 -> u8", lambda f, t: f["b_c"] == 0 and f["y_item"] == 1),
        )
    ),
    KernelRow("int16_lookup", "int16_elementwise.lookup", "u8 s16 -> s16 u8", lanes),
    KernelRow("int16_max_pool2d", "int16_pool.int16_max_pool2d", "s16 -> s16", lanes),
    KernelRow("int16_avg_pool2d", "int16_pool.int16_avg_pool2d", "s16 -> s16 u8 f32", lanes),
    KernelRow("float_pack", "float_pack.float_pack", "f32 -> f32", float_product),
    KernelRow("float_binary.right", "floats.of_one_right", "f32 f32 -> f32", wide, FUNCTION, lambda f,
    t: f["b_c"] == 0),
    KernelRow("float_binary.left", "floats.of_one_left", "f32 f32 -> f32", wide, FUNCTION, lambda f, t: f["a_c"] == 0),
    KernelRow("float_binary", "floats.of_runs", "f32 f32 -> f32", wide, FUNCTION, lambda f,
    t: f["a_c"] == f["b_c"] == 1),
    KernelRow("float_unary", "floats.float_unary", "f32 -> f32", wide, FUNCTION),
    KernelRow("float_pool2d.max", "float_windows.pool_max", "f32 -> f32", wide, accepts=lambda f, t: f["op"] == MAX),
    KernelRow("float_pool2d.sum", "float_windows.pool_sum", "f32 -> f32", wide,
              accepts=lambda f, t: f["op"] != MAX and f["KH"] * f["KW"] <= LONG),
    KernelRow("float_pool2d.long", "float_windows.pool_long_sum", "f32 -> f32", wide, accepts=lambda f,
    t: f["op"] != MAX),
    KernelRow("float_reduce.max", "float_rows.reduce_max", "f32 -> f32", lambda t: {"C": 16}, accepts=lambda f,
    t: f["op"] == MAX),
    KernelRow("float_reduce.sum", "float_rows.reduce_sum", "f32 -> f32", lambda t: {"C": 16}, accepts=lambda f,
    t: f["op"] != MAX),
    KernelRow("float_resize", "float_windows.float_resize", "f32 -> f32", lanes),
    KernelRow("float_taps", "float_taps.float_taps", "f32 -> f32", lanes),
    KernelRow("float_top_k", "top_k.float_top_k", "f32 -> f32 s64", lambda t: {"C": 16, "K": 4}),
    KernelRow("arg_extreme", "arg_extreme.arg_extreme", "u8 -> s64", lambda t: {"C": 4, "W": 4}),
    KernelRow("float_arg_extreme", "arg_extreme.float_arg_extreme", "f32 -> s64", lambda t: {"C": 4, "W": 4}),
    KernelRow("gather", "data_index.gather", "any s64 -> any", lambda t: {"C": 16, "W": 4}),
    KernelRow("scatter", "data_index.scatter", "any s64 any -> any", lambda t: {"C": 16, "W": 4}),
    KernelRow("float_grid_sample", "grid_sample.float_grid_sample", "f32 f32 -> f32", lanes, FUNCTION),
    KernelRow("float_roi_align", "roi_align.float_roi_align", "f32 f32 s64 -> f32", lanes, FUNCTION),
    KernelRow("float_nms", "suppression.float_nms", "f32 f32 -> s64 s64 any", lambda t: {"H": 64, "K": 16}, FUNCTION),
    KernelRow("float_layer_norm", "float_rows.float_layer_norm", "f32 -> f32", lambda t: {"C": 16}, FUNCTION),
    KernelRow("float_softmax", "floats.float_softmax", "f32 -> f32", lambda t: {"C": 16}, FUNCTION),
))  # fmt: skip


@cache
def rows_of(instruction: str, isa: str) -> tuple[KernelRow, ...]:
    """The kernels of an instruction that are compiled for a target, in the order in which they are preferred."""
    return tuple(k for k in KERNELS.values() if k.instruction == instruction and k.on(target(isa)))


def accepting(step: Instruction, isa: str) -> Iterator[KernelRow]:
    """The kernels that compute an instruction, the preferred one first."""
    return (k for k in rows_of(step.kind, isa) if k.accepts(step.fields, target(isa)))


def kernel_of(step: Instruction, isa: str) -> KernelRow:
    """The kernel that computes an instruction: the one that was chosen for it, or the preferred one.

    Raises KernelError where no such kernel is compiled for the target, or it does not accept the instruction's fields.
    """
    found = next((k for k in accepting(step, isa) if step.kernel in ("", k.name)), None)
    if found is None:
        raise KernelError(f"no kernel {step.kernel or step.kind} of {isa} computes a {step.kind} with such fields")
    return found
