"""OpenVINO's FakeQuantize, as its tools write it to ONNX: x within an input range, at one of `levels` places, which are
spread evenly over an output range.

Where that is what a QuantizeLinear and a DequantizeLinear do, it becomes these, so that quantization reads its
parameters; else it becomes the arithmetic of floats that says the same.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from ...graph import Array
from .body import Body

NEAR = 1e-3  # of a step: how far a zero point may be from an integer


class Grid(NamedTuple):
    """Scales and zero points, one or as many as an axis has, and the integers that there are."""

    scale: Array
    zero: Array
    axis: int | None
    levels: int


def fake_quantize(b: Body) -> None:
    """(x, input low, input high, output low, output high)"""
    levels, names = int(b.attribute("levels", 0)), [b.input(k) for k in range(1, 5)]
    bounds = [b.value(n) for n in names]
    if levels < 2 or b.attribute("auto_broadcast", "numpy") != "numpy":
        raise ValueError(f"{levels} levels, or another rule of broadcasting,")
    low, high = bounds[:2]
    if low is not None and high is not None and not (low < high).all():
        raise ValueError("a range whose low end is not below its high end")
    grid = _grid(b, [a for a in bounds if a is not None], levels)
    known = b.value(b.input(0))
    if grid is not None and known is not None:
        b.gives(0, _real(b, b.constant(_integers(known, grid), np.uint8), grid, known.ndim))
        return
    x = b.op("Min", b.op("Max", b.input(0), names[0]), names[1])
    if grid is not None:
        # NOTE: with all levels of the dtype the range is what the integers reach
        b.gives(0, _stored(b, b.input(0) if levels == 256 else x, grid))
        return
    if b.opset < 11:
        raise ValueError(f"a range that is no grid around 0, in a model of opset {b.opset},")
    last = b.constant(levels - 1)
    steps = b.op("Mul", b.op("Div", b.op("Sub", x, names[0]), b.op("Sub", names[1], names[0])), last)
    place = b.op("Div", b.op("Round", steps), last)
    b.gives(0, b.op("Add", b.op("Mul", place, b.op("Sub", names[3], names[2])), names[2]))


def _grid(b: Body, bounds: list[Array], levels: int) -> Grid | None:
    """The parameters by which uint8 stands for the same; None where 0 is no place of the grid, or where ranges differ,
    or vary along several axes."""
    if len(bounds) < 4 or levels > 256 or b.opset < 10:
        return None
    low, high, *out = (a.astype(np.float64) for a in np.broadcast_arrays(*bounds))
    scale = (high - low) / (levels - 1)
    zero = np.rint(-low / scale)
    on_grid = (zero >= 0) & (zero < levels) & (abs(low / scale + zero) < NEAR)
    if not on_grid.all() or any((abs(a - o) > NEAR * scale).any() for a, o in zip((low, high), out, strict=True)):
        return None
    along = [k for k, size in enumerate(scale.shape) if size > 1]
    if len(along) > 1 or (along and b.opset < 13):
        return None
    axis = along[0] - scale.ndim if along else None
    return Grid(scale.astype(np.float32).ravel(), zero.astype(np.uint8).ravel(), axis, levels)


def _integers(w: Array, grid: Grid) -> Array:
    """Those of a constant."""
    along = [-1 if grid.axis is not None and k == w.ndim + grid.axis else 1 for k in range(w.ndim)]
    scale, zero = (a.reshape(along if grid.axis is not None else ()) for a in (grid.scale, grid.zero))
    return np.asarray(np.clip(np.rint(w.astype(np.float32) / scale) + zero, 0, grid.levels - 1).astype(np.uint8))


def _parameters(b: Body, grid: Grid, rank: int) -> tuple[str, str, dict[str, int]]:
    """Scale, zero point, and the axis that they follow."""
    shape, by_axis = ((), {}) if grid.axis is None else ((-1,), {"axis": rank + grid.axis})
    return (
        b.constant(grid.scale.reshape(shape), np.float32), b.constant(grid.zero.reshape(shape), np.uint8), by_axis
    )  # fmt: skip


def _real(b: Body, q: str, grid: Grid, rank: int) -> str:
    scale, zero, by_axis = _parameters(b, grid, rank)
    return b.op("DequantizeLinear", q, scale, zero, **by_axis)


def _stored(b: Body, x: str, grid: Grid) -> str:
    rank = 0 if grid.axis is None else b.rank(b.input(0))
    scale, zero, by_axis = _parameters(b, grid, rank)
    return _real(b, b.op("QuantizeLinear", x, scale, zero, **by_axis), grid, rank)
