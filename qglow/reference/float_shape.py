"""Meaning of the ops that move, select or describe data. They hold for integers and floats alike."""

from __future__ import annotations

from collections.abc import Sequence
from math import ceil, prod
from typing import Any

import numpy as np
from numpy.lib.array_utils import normalize_axis_index

from ..graph import Array, Node
from .casts import cast
from .float_conv import given, optional


def ints(array: Array) -> list[int]:
    return [int(v) for v in np.asarray(array).ravel()]


def reshape(node: Node, inputs: list[Array | None]) -> list[Array]:
    x, shape = given(inputs, 0), ints(given(inputs, 1))
    if min(shape, default=0) < -1:  # NOTE: numpy takes any negative size for -1
        raise ValueError(f"a shape of {shape}")
    if not node.attr("allowzero"):
        shape = [x.shape[k] if d == 0 else d for k, d in enumerate(shape)]
    return [x.reshape(shape)]


def flatten(node: Node, inputs: list[Array | None]) -> list[Array]:
    x, axis = given(inputs, 0), int(node.attr("axis"))
    axis = axis + x.ndim if axis < 0 else axis
    return [x.reshape(prod(x.shape[:axis]), prod(x.shape[axis:]))]


def transpose(node: Node, inputs: list[Array | None]) -> list[Array]:
    x = given(inputs, 0)
    return [x.transpose(node.attr("perm") or tuple(reversed(range(x.ndim))))]


def squeeze(node: Node, inputs: list[Array | None]) -> list[Array]:
    x, axes = given(inputs, 0), optional(inputs, 1)
    return [x.squeeze() if axes is None else x.squeeze(tuple(ints(axes)))]


def unsqueeze(node: Node, inputs: list[Array | None]) -> list[Array]:
    return [np.expand_dims(given(inputs, 0), tuple(ints(given(inputs, 1))))]


def concat(node: Node, inputs: list[Array | None]) -> list[Array]:
    return [np.concatenate([given(inputs, k) for k in range(len(inputs))], int(node.attr("axis")))]


def split_sizes(node: Node, size: int, sizes: Array | None) -> list[int]:
    """Sizes along its axis of the outputs of a Split of so many elements; without sizes parts are equal, but for a
    smaller last one."""
    if sizes is not None:
        parts = ints(sizes)
    else:
        part = -(-size // len(node.outputs))
        parts = [max(0, min(part, size - part * k)) for k in range(len(node.outputs))]
    if len(parts) != len(node.outputs) or sum(parts) != size or min(parts) < 0:
        raise ValueError(f"cannot split {size} elements into parts of {parts} for {len(node.outputs)} outputs")
    return parts


def split(node: Node, inputs: list[Array | None]) -> list[Array]:
    x, axis = given(inputs, 0), int(node.attr("axis"))
    return list(np.split(x, np.cumsum(split_sizes(node, x.shape[axis], optional(inputs, 1)))[:-1], axis))


_FAR = (2**31 - 1, 2**63 - 1)


def slice_index(shape: Sequence[int | str], inputs: Sequence[Array | None]) -> tuple[slice, ...]:
    """Python slices of a Slice (x, starts, ends, axes, steps) on a tensor of a shape. An end of the largest int32 or
    int64 is the far one, of a negative step too, as in onnxruntime. A start before the first element is the first, of
    a negative step too; of a size that is only a name it is left as it is."""
    rank = len(shape)
    starts, ends = ints(given(inputs, 1)), ints(given(inputs, 2))
    axes, steps = optional(inputs, 3), optional(inputs, 4)
    where = [normalize_axis_index(a, rank) for a in (ints(axes) if axes is not None else range(len(starts)))]
    if len(set(where)) < len(where):
        raise ValueError(f"axes {where} name one twice")
    stride = ints(steps) if steps is not None else [1] * len(starts)
    index = [slice(None)] * rank
    for a, s, e, t in zip(where, starts, ends, stride, strict=True):
        size = shape[a]
        if t < 0 and s < 0 and isinstance(size, int):
            s = max(0, s + size)
        index[a] = slice(s, None if e in _FAR or (t < 0 and e < -(2**31) + 2) else e, t)
    return tuple(index)


def slice_(node: Node, inputs: list[Array | None]) -> list[Array]:
    x = given(inputs, 0)
    return [x[slice_index(x.shape, inputs)]]


def pad_widths(rank: int, inputs: Sequence[Array | None]) -> list[tuple[int, int]]:
    """(before, after) of every axis of a Pad (x, pads, value, axes). Raises ValueError where pads are not two for each
    axis."""
    pads, axes = ints(given(inputs, 1)), optional(inputs, 3)
    where = [normalize_axis_index(a, rank) for a in ints(axes)] if axes is not None else list(range(rank))
    if len(pads) != 2 * len(where):
        raise ValueError(f"expected {2 * len(where)} pads, two for each of {len(where)} axes, got {len(pads)}")
    widths = [(0, 0)] * rank
    for k, a in enumerate(where):
        widths[a] = (pads[k], pads[k + len(where)])
    return widths


def pad(node: Node, inputs: list[Array | None]) -> list[Array]:
    x, value = given(inputs, 0), optional(inputs, 2)
    widths = pad_widths(x.ndim, inputs)
    # a negative width cuts
    if any(min(b, 0) + min(a, 0) + d < 0 for (b, a), d in zip(widths, x.shape, strict=True)):
        raise ValueError(f"pads of {widths} cut off more than there is of {list(x.shape)}")
    x = x[tuple(slice(max(0, -b), d - max(0, -a)) for (b, a), d in zip(widths, x.shape, strict=True))]
    widths = [(max(0, b), max(0, a)) for b, a in widths]
    mode = node.attr("mode")
    if mode == "constant":
        return [np.pad(x, widths, constant_values=0 if value is None else value.ravel()[0])]
    known: dict[str, Any] = {"reflect": "reflect", "edge": "edge", "wrap": "wrap"}
    return [np.pad(x, widths, mode=known[mode])]


def gather(node: Node, inputs: list[Array | None]) -> list[Array]:
    return [np.asarray(np.take(given(inputs, 0), given(inputs, 1), int(node.attr("axis"))))]


def gather_elements(node: Node, inputs: list[Array | None]) -> list[Array]:
    x, at, axis = given(inputs, 0), given(inputs, 1), int(node.attr("axis"))
    beside = tuple(slice(None) if k == normalize_axis_index(axis, x.ndim) else slice(d) for k, d in enumerate(at.shape))
    return [np.take_along_axis(x[beside], at, axis)]


def gather_nd(node: Node, inputs: list[Array | None]) -> list[Array]:
    x, at, batch = given(inputs, 0), given(inputs, 1), int(node.attr("batch_dims"))
    if at.shape[-1] == 0 or x.shape[:batch] != at.shape[:batch] or batch >= at.ndim:
        raise ValueError(f"indices of {list(at.shape)} in {list(x.shape)} with batch_dims {batch}")
    beside = [np.arange(d).reshape((-1,) + (1,) * (at.ndim - 2 - k)) for k, d in enumerate(x.shape[:batch])]
    return [x[(*beside, *np.moveaxis(at, -1, 0))]]


def expand(node: Node, inputs: list[Array | None]) -> list[Array]:
    x = given(inputs, 0)
    return [np.broadcast_to(x, np.broadcast_shapes(x.shape, tuple(ints(given(inputs, 1)))))]


def tile(node: Node, inputs: list[Array | None]) -> list[Array]:
    x, repeats = given(inputs, 0), ints(given(inputs, 1))
    if len(repeats) != x.ndim:
        raise ValueError(f"{len(repeats)} repeats of {x.ndim} dimensions")
    return [np.tile(x, repeats)]


def shape(node: Node, inputs: list[Array | None]) -> list[Array]:
    return [np.array(given(inputs, 0).shape, np.int64)[node.attr("start") : node.attr("end")]]


def size(node: Node, inputs: list[Array | None]) -> list[Array]:
    return [np.array(given(inputs, 0).size, np.int64)]


def range_(node: Node, inputs: list[Array | None]) -> list[Array]:
    """start + k step, each a product and a sum."""
    start, stop, step = (given(inputs, k).ravel()[0] for k in range(3))
    count = (
        max(0, ceil((float(stop) - float(start)) / float(step)))
        if start.dtype.kind == "f"
        else len(range(int(start), int(stop), int(step)))
    )
    return [np.arange(count).astype(start.dtype) * step + start]


def constant_of_shape(node: Node, inputs: list[Array | None]) -> list[Array]:
    value = node.attr("value")
    fill = np.zeros(1, np.float32) if value is None else value.ravel()
    return [np.full(ints(given(inputs, 0)), fill[0], fill.dtype)]


def cast_(node: Node, inputs: list[Array | None]) -> list[Array]:
    return [cast(given(inputs, 0), np.dtype(node.attr("to")))]


def non_zero(node: Node, inputs: list[Array | None]) -> list[Array]:
    return [np.array(np.nonzero(np.atleast_1d(given(inputs, 0))), np.int64)]


def depth_to_space(node: Node, inputs: list[Array | None]) -> list[Array]:
    x, b = given(inputs, 0), int(node.attr("blocksize"))
    n, c, h, w = x.shape
    if node.attr("mode") == "DCR":
        y = x.reshape(n, b, b, c // (b * b), h, w).transpose(0, 3, 4, 1, 5, 2)
    else:
        y = x.reshape(n, c // (b * b), b, b, h, w).transpose(0, 1, 4, 2, 5, 3)
    return [y.reshape(n, c // (b * b), h * b, w * b)]


def space_to_depth(node: Node, inputs: list[Array | None]) -> list[Array]:
    x, b = given(inputs, 0), int(node.attr("blocksize"))
    n, c, h, w = x.shape
    order = (0, 3, 5, 1, 2, 4) if node.attr("mode") == "DCR" else (0, 1, 3, 5, 2, 4)
    return [x.reshape(n, c, h // b, b, w // b, b).transpose(order).reshape(n, c * b * b, h // b, w // b)]


def trilu(node: Node, inputs: list[Array | None]) -> list[Array]:
    x, k = given(inputs, 0), optional(inputs, 1)
    keep = np.triu if node.attr("upper") else np.tril
    return [keep(x, 0 if k is None else int(k))]


def _along_axis(node: Node, inputs: list[Array | None]) -> tuple[Array, Array, Array | None]:
    """(x, scale, zero point), the parameters in a shape that broadcasts over x."""
    x, s, z = given(inputs, 0), given(inputs, 1), optional(inputs, 2)
    if s.ndim and s.size > 1:
        shape = [1] * x.ndim
        shape[int(node.attr("axis"))] = -1
        s, z = s.reshape(shape), None if z is None else z.reshape(shape)
    return x, s, z


def quantize_linear(node: Node, inputs: list[Array | None]) -> list[Array]:
    x, s, z = _along_axis(node, inputs)
    dtype = np.dtype(np.uint8) if z is None else z.dtype
    limits = np.iinfo(dtype)
    steps = np.rint(x / s) + (0 if z is None else z.astype(np.float32))
    # NOTE: no integer stands for NaN, which becomes the lowest one, as in onnxruntime
    return [np.where(np.isnan(steps), limits.min, np.clip(steps, limits.min, limits.max)).astype(dtype)]


def dequantize_linear(node: Node, inputs: list[Array | None]) -> list[Array]:
    x, s, z = _along_axis(node, inputs)
    return [((x.astype(np.int32) - (0 if z is None else z.astype(np.int32))).astype(np.float32) * s).astype(s.dtype)]
