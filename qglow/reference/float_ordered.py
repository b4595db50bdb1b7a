"""The law of float reductions and functions: sums and maxima in one order, functions from single operations
(docs/quantization.md, 29)."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from itertools import product
from math import prod
from typing import Any

import numpy as np
from numpy.lib.array_utils import normalize_axis_index

from ..graph import Array, Node
from . import float_math
from .float_conv import given, optional
from .float_pool import max_indices, of_nothing, pool_counts
from .float_reduce import reduction_axes
from .float_sums import sum_in_blocks, sum_of_terms
from .float_table import FLOAT, FloatOp
from .windows import Window, patches

F32 = np.float32


def of_rows(name: str, x: Array) -> Array:
    """Max, Sum or Mean over the last axis: 16 partial results of every 16th element, whose halves are combined again
    and again."""
    if name == "Max":
        return float_math.ordered_max(x)
    total = float_math.ordered_sum(x)
    return total if name == "Sum" else np.asarray(total / x.dtype.type(x.shape[-1]))


def in_order(name: str, terms: Iterable[Array], count: Array | int) -> Array:
    """Max, Sum or Mean of arrays, one after the other; sums in blocks. count: of the mean."""
    if name != "Max":
        total = sum_in_blocks(terms) if isinstance(terms, np.ndarray) else sum_of_terms(terms)
        return np.asarray(total / np.asarray(count, total.dtype)) if name == "Mean" else total
    best: Array | None = None
    for x in terms:
        best = float_math.larger(np.full(x.shape, -np.inf, x.dtype) if best is None else best, x)
    assert best is not None, "a window without taps"
    return np.asarray(best)


def is_by_rows(rank: int, axes: tuple[int, ...]) -> bool:
    """Whether a reduction over these axes is one of rows: of the last axes, but for the two of images."""
    return axes == tuple(range(rank - len(axes), rank)) and (rank, len(axes)) != (4, 2)


def reduced(name: str, x: Array, axes: tuple[int, ...], keep: bool) -> Array:
    axes = tuple(sorted(axes))
    kept = tuple(1 if k in axes else d for k, d in enumerate(x.shape))
    shape = kept if keep else tuple(d for k, d in enumerate(x.shape) if k not in axes)
    if is_by_rows(x.ndim, axes):
        return of_rows(name, x.reshape(*x.shape[: x.ndim - len(axes)], prod(x.shape[x.ndim - len(axes) :]))).reshape(
            shape
        )
    front = np.moveaxis(x, axes, range(len(axes)))
    front = front.reshape(prod(front.shape[: len(axes)]), *front.shape[len(axes) :])
    return in_order(name, front, len(front)).reshape(shape)


Before = Callable[[Array], Array]


def _reduction(name: str, before: Before | None = None, after: Before | None = None) -> FloatOp:
    """The reduction (29) of what `before` makes of the input, then `after`. Without axes: only the functions."""

    def run(node: Node, inputs: list[Array | None]) -> list[Array]:
        x = given(inputs, 0)
        axes, keep = reduction_axes(node, inputs, x.ndim), bool(node.attr("keepdims"))
        if x.size == 0 or (not axes and before is None and after is None):
            return FLOAT[node.op](node, inputs)
        terms = x if before is None else before(x)
        y = reduced(name, terms, axes, keep) if axes else terms
        return [np.asarray(y if after is None else after(y))]

    return run


def _square(x: Array) -> Array:
    return x * x


def _same(x: Array) -> Array:
    return x


reduce_max, reduce_sum, reduce_mean = _reduction("Max"), _reduction("Sum"), _reduction("Mean")
reduce_l1, reduce_l2 = _reduction("Sum", np.abs), _reduction("Sum", _square, np.sqrt)
reduce_sum_square, reduce_log_sum = _reduction("Sum", _square), _reduction("Sum", _same, float_math.log)


def reduce_min(node: Node, inputs: list[Array | None]) -> list[Array]:
    x = given(inputs, 0)
    axes = reduction_axes(node, inputs, x.ndim)
    return FLOAT[node.op](node, inputs) if x.size == 0 else [-reduced("Max", -x, axes, bool(node.attr("keepdims")))]


def reduce_log_sum_exp(node: Node, inputs: list[Array | None]) -> list[Array]:
    x = given(inputs, 0)
    axes = reduction_axes(node, inputs, x.ndim)
    return FLOAT[node.op](node, inputs) if x.size == 0 else [log_sum_exp(x, axes, bool(node.attr("keepdims")))]


def log_sum_exp(x: Array, axes: tuple[int, ...], keep: bool) -> Array:
    """max + log(sum of e^(x - max)), with 0 for a maximum that is not finite."""
    if not axes:
        return x
    best = reduced("Max", x, axes, True)
    best = np.where(np.abs(best) < np.inf, best, x.dtype.type(0))
    y = float_math.log(reduced("Sum", float_math.exp(x - best), axes, True)) + best
    return y if keep else y.reshape(tuple(d for k, d in enumerate(x.shape) if k not in axes))


def reduce_prod(node: Node, inputs: list[Array | None]) -> list[Array]:
    """One factor after the other, beginning with 1."""
    x = given(inputs, 0)
    axes = reduction_axes(node, inputs, x.ndim)
    if not axes or x.size == 0:
        return FLOAT[node.op](node, inputs)
    front = np.moveaxis(x, axes, range(len(axes)))
    y = np.ones(front.shape[len(axes) :], x.dtype)
    for part in front.reshape(prod(front.shape[: len(axes)]), *front.shape[len(axes) :]):
        y = y * part
    return [np.asarray(np.expand_dims(y, axes) if node.attr("keepdims") else y)]


def global_max_pool(node: Node, inputs: list[Array | None]) -> list[Array]:
    return _whole_image("Max", node, inputs)


def global_average_pool(node: Node, inputs: list[Array | None]) -> list[Array]:
    return _whole_image("Mean", node, inputs)


def _whole_image(name: str, node: Node, inputs: list[Array | None]) -> list[Array]:
    x = given(inputs, 0)
    if x.size == 0:
        return FLOAT[node.op](node, inputs)
    flat = np.moveaxis(x.reshape(*x.shape[:2], prod(x.shape[2:])), -1, 0)
    return [in_order(name, flat, len(flat)).reshape(*x.shape[:2], *(1,) * (x.ndim - 2))]


def _taps(view: Array, kernel: tuple[int, ...]) -> Iterator[Array]:
    for tap in product(*map(range, kernel)):
        at: tuple[Any, ...] = tap
        yield view[(..., *at)]


def max_pool(node: Node, inputs: list[Array | None]) -> list[Array]:
    x = given(inputs, 0)
    win = Window.of(node, x.shape[2:], node.attr("kernel_shape"))
    view, out = patches(x, win, -np.inf, bool(node.attr("ceil_mode")))
    best = of_nothing(in_order("Max", _taps(view, win.kernel), 1), x, win, out)
    return [best, *max_indices(node, x, win, view)]


def average_pool(node: Node, inputs: list[Array | None]) -> list[Array]:
    """Zeros around an average's image change no sum, for one that starts from 0 is never -0."""
    x = given(inputs, 0)
    win = Window.of(node, x.shape[2:], node.attr("kernel_shape"))
    view, _ = patches(x, win, 0, bool(node.attr("ceil_mode")))
    counts = pool_counts(node, x, win).astype(x.dtype)
    if len(win.kernel) == 3:  # the sums of slices, one after the other
        slices = np.moveaxis(view, -3, 0)
        sums = (sum_of_terms(_taps(part, win.kernel[1:])) for part in slices)
        return [np.asarray(sum_of_terms(sums) / counts)]
    return [in_order("Mean", _taps(view, win.kernel), counts)]


def normalized(x: Array, epsilon: float | np.floating[Any]) -> tuple[Array, Array, Array]:
    """(x - mean) / sqrt(variance + epsilon), the means [...], and the inverse roots [...] of rows of the last axis."""
    mean = of_rows("Mean", x)
    minus_zero_point = x - mean[..., None]
    inverse = x.dtype.type(1) / np.sqrt(of_rows("Mean", minus_zero_point * minus_zero_point) + x.dtype.type(epsilon))
    return minus_zero_point * inverse[..., None], mean, inverse


def layer_norm(x: Array, gain: Array, shift: Array, epsilon: float | np.floating[Any]) -> Array:
    """Rows of the last axis."""
    return np.asarray(normalized(x, epsilon)[0] * gain + shift)


def layer_normalization(node: Node, inputs: list[Array | None]) -> list[Array]:
    """Rows of all axes from `axis` on; Mean and InvStdDev too."""
    x = given(inputs, 0)
    axis = normalize_axis_index(int(node.attr("axis")), x.ndim)
    if x.size == 0:
        return FLOAT[node.op](node, inputs)
    y, mean, inverse = normalized(x.reshape(*x.shape[:axis], prod(x.shape[axis:])), node.attr("epsilon"))
    y = y.reshape(x.shape) * given(inputs, 1)
    bias, kept = optional(inputs, 2), (*x.shape[:axis], *(1,) * (x.ndim - axis))
    shift = np.zeros(1, x.dtype) if bias is None else bias
    return [np.asarray(y + shift), mean.reshape(kept), inverse.reshape(kept)][: len(node.outputs)]


def instance_normalization(node: Node, inputs: list[Array | None]) -> list[Array]:
    """Each channel of an image is a row of (29); then scale and shift."""
    x, scale, shift = (given(inputs, k) for k in range(3))
    if x.size == 0:
        return [x]
    y = normalized(x.reshape(*x.shape[:2], prod(x.shape[2:])), node.attr("epsilon"))[0].reshape(x.shape)
    along = (-1, *(1,) * (x.ndim - 2))
    return [y * scale.reshape(along) + shift.reshape(along)]


def power(x: Array, y: np.float32) -> Array:
    """x^y for one y: a single operation where there is one."""
    known: dict[float, Callable[[], Array]] = {
        1.0: lambda: x,
        2.0: lambda: x * x,
        0.5: lambda: np.sqrt(x),
        -1.0: lambda: F32(1) / x,
    }
    return np.asarray(known[float(y)]() if float(y) in known else float_math.power(x, y))


def is_single_power(y: float) -> bool:
    """Whether `power` has the exponent: finite, not 0; of odd negative ones -1 alone, for of the others -0 has another
    infinity."""
    return bool(np.isfinite(y)) and y != 0 and (y == -1 or y > 0 or y % 2 != 1)


def pow_(node: Node, inputs: list[Array | None]) -> list[Array]:
    """Of float32 by one exponent, as kernels have it; the rest in float64, rounded once."""
    x, y = given(inputs, 0), given(inputs, 1)
    one = y.size == 1 and y.ndim <= x.ndim and is_single_power(float(y.reshape(-1)[0]))
    return [power(x, F32(y.reshape(-1)[0]))] if one and x.dtype == F32 else FLOAT[node.op](node, inputs)
