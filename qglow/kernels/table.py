"""Every kernel, one row each. A kernel that has no row is not compiled; nothing of numba is imported here."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import NamedTuple

from ..targets import Target


class KernelRow(NamedTuple):
    """A kernel `function`, as module.name within this folder, of an instruction, on the targets that `on` names.

    It is a numba function of an instruction's row (row.py) and a Share (split.py) of its work.
    """

    instruction: str
    function: str
    on: Callable[[Target], bool] = lambda target: True


def table(rows: Iterable[KernelRow]) -> tuple[KernelRow, ...]:
    """The rows. Raises ValueError for two of one function."""
    found: dict[str, KernelRow] = {}
    for row in rows:
        if found.setdefault(row.function, row) is not row:
            raise ValueError(f"two kernel rows name {row.function}")
    return tuple(found.values())


KERNELS = table((
    KernelRow("conv2d", "conv.conv2d", lambda target: not target.tiles),
    KernelRow("conv2d", "conv_tiles.conv2d", lambda target: target.tiles),
    KernelRow("depthwise2d", "depthwise.depthwise2d"),
    KernelRow("pack", "pack.pack"),
    KernelRow("add", "elementwise.add"),
    KernelRow("mul", "elementwise.mul"),
    KernelRow("lookup", "elementwise.lookup"),
    KernelRow("quantize", "elementwise.quantize"),
    KernelRow("dequantize", "elementwise.dequantize"),
    KernelRow("copy", "move.copy"),
    KernelRow("transpose", "move.transpose"),
    KernelRow("halo", "move.halo"),
    KernelRow("fill", "move.fill_all"),
    KernelRow("max_pool2d", "pool.max_pool2d"),
    KernelRow("avg_pool2d", "pool.avg_pool2d"),
    KernelRow("resize_nearest", "move.resize_nearest"),
    KernelRow("resize_linear", "resample.resize_linear"),
    KernelRow("softmax", "rows.softmax"),
    KernelRow("layer_norm", "rows.layer_norm"),
    KernelRow("lstm_cell", "recurrent.lstm_cell"),
    KernelRow("quantize_rows", "blockwise.quantize_rows"),
    KernelRow("blockwise_matmul", "blockwise.blockwise_matmul"),
    KernelRow("float_conv2d", "float_conv.float_conv2d"),
    KernelRow("float_depthwise2d", "float_depthwise.float_depthwise2d"),
    KernelRow("float_pack", "float_pack.float_pack"),
    KernelRow("float_binary", "floats.float_binary"),
    KernelRow("float_unary", "floats.float_unary"),
    KernelRow("float_pool2d", "float_windows.float_pool2d"),
    KernelRow("float_reduce", "float_rows.float_reduce"),
    KernelRow("float_resize", "float_windows.float_resize"),
    KernelRow("float_layer_norm", "float_rows.float_layer_norm"),
    KernelRow("float_softmax", "floats.float_softmax"),
))  # fmt: skip
