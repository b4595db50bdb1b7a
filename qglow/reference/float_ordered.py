"""The law of float reductions and functions: sums and maxima in one order, functions from single operations (docs/quantization.md, 29)."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from itertools import product
from typing import Any

import numpy as np

from ..graph import Array, Node
from . import float_math
from .float_conv import given, optional
from .float_pool import max_indices, of_nothing, pool_counts
from .float_reduce import reduction_axes
from .float_table import FLOAT, exact_op
from .windows import Window, patches

F32 = np.float32


def of_rows(name: str, x: Array) -> Array:
    """Max, Sum or Mean over the last axis: 16 partial results of every 16th element, whose halves are combined again and again."""
    if name == "Max":
        return float_math.ordered_max(x)
    total = float_math.ordered_sum(x)
    return total if name == "Sum" else np.asarray(total / F32(x.shape[-1]))


def in_order(name: str, terms: Iterable[Array], count: Array | int) -> Array:
    """Max, Sum or Mean of arrays, one after the other. count: of the mean."""
    total: Array | None = None
    for x in terms:
        if total is None:
            total = np.full(x.shape, -np.inf if name == "Max" else 0, F32)
        total = float_math.larger(total, x) if name == "Max" else total + x
    assert total is not None, "a window without taps"
    return np.asarray(total / np.asarray(count, F32), F32) if name == "Mean" else np.asarray(total)


def is_by_rows(rank: int, axes: tuple[int, ...]) -> bool:
    """Whether a reduction over these axes is one of rows: of the last axes, but for the two of images."""
    return axes == tuple(range(rank - len(axes), rank)) and (rank, len(axes)) != (4, 2)


def reduced(name: str, x: Array, axes: tuple[int, ...], keep: bool) -> Array:
    axes = tuple(sorted(axes))
    kept = tuple(1 if k in axes else d for k, d in enumerate(x.shape))
    shape = kept if keep else tuple(d for k, d in enumerate(x.shape) if k not in axes)
    if is_by_rows(x.ndim, axes):
        return of_rows(name, x.reshape(*x.shape[: x.ndim - len(axes)], -1)).reshape(shape)
    front = np.moveaxis(x, axes, range(len(axes)))
    front = front.reshape(-1, *front.shape[len(axes) :])
    return in_order(name, front, len(front)).reshape(shape)


_NAMES = {"ReduceMax": "Max", "ReduceSum": "Sum", "ReduceMean": "Mean", "GlobalAveragePool": "Mean", "GlobalMaxPool": "Max"}


@exact_op("ReduceMax", "ReduceSum", "ReduceMean")
def reduce(node: Node, inputs: list[Array | None]) -> list[Array]:
    x = given(inputs, 0)
    axes = reduction_axes(node, inputs, x.ndim)
    if not axes or x.size == 0:
        return FLOAT[node.op](node, inputs)
    return [reduced(_NAMES[node.op], x, axes, bool(node.attr("keepdims", 1)))]


@exact_op("GlobalAveragePool", "GlobalMaxPool")
def global_pool(node: Node, inputs: list[Array | None]) -> list[Array]:
    x = given(inputs, 0)
    if x.size == 0:
        return FLOAT[node.op](node, inputs)
    flat = np.moveaxis(x.reshape(*x.shape[:2], -1), -1, 0)
    return [in_order(_NAMES[node.op], flat, len(flat)).reshape(*x.shape[:2], *(1,) * (x.ndim - 2))]


def _taps(view: Array, kernel: tuple[int, ...]) -> Iterator[Array]:
    for tap in product(*map(range, kernel)):
        at: tuple[Any, ...] = tap
        yield view[(..., *at)]


@exact_op("MaxPool", "AveragePool")
def pool(node: Node, inputs: list[Array | None]) -> list[Array]:
    """Zeros around an average's image change no sum, for one that starts from 0 is never -0."""
    x = given(inputs, 0)
    win, name = Window.of(node, x.shape[2:], node.attr("kernel_shape")), node.op.removesuffix("Pool").removesuffix("erage")
    view, out = patches(x, win, -np.inf if name == "Max" else 0, bool(node.attr("ceil_mode", 0)))
    if name == "Max":
        best = of_nothing(in_order("Max", _taps(view, win.kernel), 1), x, win, out)
        return [best, *max_indices(node, x, win, view)]
    return [in_order("Mean", _taps(view, win.kernel), pool_counts(node, x, win).astype(F32))]


@exact_op("Resize")
def resize(node: Node, inputs: list[Array | None]) -> list[Array]:
    """Its float meaning has one order of operations."""
    return FLOAT["Resize"](node, inputs)


def layer_norm(x: Array, gain: Array, shift: Array, epsilon: np.float32) -> Array:
    """Rows of the last axis."""
    centred = x - of_rows("Mean", x)[..., None]
    inverse = F32(1) / np.sqrt(of_rows("Mean", centred * centred) + epsilon)
    return np.asarray((centred * inverse[..., None]) * gain + shift)


@exact_op("LayerNormalization")
def layer_normalization(node: Node, inputs: list[Array | None]) -> list[Array]:
    x, axis = given(inputs, 0), int(node.attr("axis", -1))
    if axis % x.ndim != x.ndim - 1 or any(node.outputs[1:]) or x.size == 0:
        return FLOAT[node.op](node, inputs)
    bias = optional(inputs, 2)
    return [layer_norm(x, given(inputs, 1), np.zeros(1, F32) if bias is None else bias, F32(node.attr("epsilon", 1e-5)))]


def power(x: Array, y: np.float32) -> Array:
    """x^y for one y: a single operation where there is one."""
    known: dict[float, Callable[[], Array]] = {1.0: lambda: x, 2.0: lambda: x * x, 0.5: lambda: np.sqrt(x), -1.0: lambda: F32(1) / x}
    return np.asarray(known[float(y)]() if float(y) in known else float_math.power(x, y))


@exact_op("Pow")
def pow_(node: Node, inputs: list[Array | None]) -> list[Array]:
    x, y = given(inputs, 0), given(inputs, 1)
    one = y.size == 1 and y.ndim <= x.ndim and np.isfinite(y).all() and y.reshape(-1)[0] != 0
    return [power(x, F32(y.reshape(-1)[0]))] if one and x.dtype == F32 else FLOAT[node.op](node, inputs)


def _gelu(x: Array, node: Node) -> Array:
    if node.attr("approximate", "none") == "none":
        return float_math.gelu(x)
    third = F32(0.044715) * x * x * x
    return np.asarray((F32(0.5) * x) * (F32(1) + float_math.tanh(F32(np.sqrt(2 / np.pi)) * (x + third))))


_FUNCTIONS: dict[str, Callable[[Array, Node], Array]] = {
    "Relu": lambda x, n: float_math.relu(x),
    "Log": lambda x, n: float_math.log(x),
    "Erf": lambda x, n: float_math.erf(x),
    "Gelu": _gelu,
    "HardSigmoid": lambda x, n: float_math.hard_sigmoid(x, F32(n.attr("alpha", 0.2)), F32(n.attr("beta", 0.5))),
    "HardSwish": lambda x, n: x * float_math.hard_sigmoid(x, F32(1 / 6), F32(0.5)),
}
for _name, _function in _FUNCTIONS.items():
    exact_op(_name)(lambda node, inputs, f=_function: [f(given(inputs, 0), node)])  # type: ignore[misc]


@exact_op("Clip")
def clip(node: Node, inputs: list[Array | None]) -> list[Array]:
    x, low, high = given(inputs, 0), optional(inputs, 1), optional(inputs, 2)
    x = x if low is None else np.where(x < low, low, x)
    return [x if high is None else np.where(x > high, high, x)]
