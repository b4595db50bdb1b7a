"""Operators of training: optimizers, and the forms of BatchNormalization and Dropout that only training has.

Results have the dtypes of what they update; onnx.reference gives others.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from ..graph import Array

Attributes = Mapping[str, Any]
Update = Callable[[Attributes, float, int, list[Array]], list[Array]]


def _adagrad(a: Attributes, rate: float, step: int, values: list[Array]) -> list[Array]:
    x, gradient, h = values
    g = a["norm_coefficient"] * x + gradient
    h = h + g * g
    return [x - rate / (1 + step * a["decay_factor"]) * g / (np.sqrt(h) + a["epsilon"]), h]


def _adam(a: Attributes, rate: float, step: int, values: list[Array]) -> list[Array]:
    x, gradient, v, h = values
    alpha, beta = a["alpha"], a["beta"]
    g = a["norm_coefficient"] * x + gradient
    v = alpha * v + (1 - alpha) * g
    h = beta * h + (1 - beta) * (g * g)
    if step > 0:
        rate = rate * float(np.sqrt(1 - beta**step)) / (1 - alpha**step)
    return [(1 - a["norm_coefficient_post"]) * (x - rate * (v / (np.sqrt(h) + a["epsilon"]))), v, h]


def _momentum(a: Attributes, rate: float, step: int, values: list[Array]) -> list[Array]:
    x, gradient, v = values
    g = a["norm_coefficient"] * x + gradient
    v = a["alpha"] * v + (a["beta"] if step > 0 else 1.0) * g
    return [x - rate * (g + a["alpha"] * v if a["mode"] == b"nesterov" else v), v]


def _optimizer(update: Update, kinds: int) -> Callable[[Attributes, Sequence[Any], int], list[Array]]:
    """An optimizer of any number of tensors: first all of them, then their gradients, then each kind of their
    states."""

    def evaluate(attributes: Attributes, inputs: Sequence[Any], outputs: int) -> list[Array]:
        rate, step, *values = inputs
        count, rest = divmod(len(values), kinds)
        if rest or rate.size != 1 or step.size != 1:
            raise ValueError(f"expected a rate, a step and {kinds} inputs a tensor, got {len(inputs)} inputs")
        if attributes.get("mode", b"standard") not in (b"standard", b"nesterov"):
            raise ValueError(f"mode {attributes['mode'].decode()!r} is not supported")
        made: list[list[Array]] = []
        for k in range(count):
            own = values[k::count]
            results = update(attributes, float(rate.item()), int(step.item()), own)
            made.append([np.asarray(r, v.dtype) for r, v in zip(results, (own[0], *own[2:]), strict=True)])
        return [results[kind] for kind in range(kinds - 1) for results in made]

    return evaluate


OPTIMIZERS = {"Adagrad": _optimizer(_adagrad, 3), "Adam": _optimizer(_adam, 4), "Momentum": _optimizer(_momentum, 3)}


def is_batch_normalization(opset: int, attributes: Attributes) -> bool:
    return (
        opset >= 14
        and attributes.get("training_mode") == 1
        and set(attributes) <= {"epsilon", "momentum", "training_mode"}
    )


def batch_normalization(attributes: Attributes, inputs: Sequence[Any], outputs: int) -> list[Array]:
    """Normalized by the mean and the variance of what is given, [N, C, ...]; then the running mean and variance [C]."""
    x, scale, bias, mean, var = inputs
    kept, wide = attributes["momentum"], np.float64 if x.dtype == np.float64 else np.float32
    axes, column = (0, *range(2, x.ndim)), (-1, *(1,) * (x.ndim - 2))
    real = x.astype(wide)
    average = real.mean(axes, keepdims=True)
    variance = np.square(real - average).mean(axes, keepdims=True)
    factor, offset = (v.astype(wide).reshape(column) for v in (scale, bias))
    y = (real - average) / np.sqrt(variance + wide(attributes["epsilon"])) * factor + offset
    running = [old * kept + new.reshape(-1) * (1 - kept) for old, new in ((mean, average), (var, variance))]
    return [y.astype(x.dtype), *(r.astype(mean.dtype) for r in running)]


def dropout(attributes: Attributes, inputs: Sequence[Any], outputs: int) -> list[Array]:
    """Whether anything is dropped is known when it runs: at random, by the seed where there is one, what is kept
    divided by its share."""
    x, ratio, trains = (*inputs, None, None)[:3]
    share = 0.5 if ratio is None else float(ratio.reshape(-1)[0])
    mask = np.ones(x.shape, np.bool_)
    if trains is not None and bool(trains.reshape(-1)[0]) and share:
        if not 0 < share < 1:
            raise ValueError(f"a ratio of {share}")
        mask = np.random.RandomState(attributes.get("seed")).uniform(0, 1, x.shape) >= share
        x = np.where(mask, x * x.dtype.type(1 / (1 - share)), x.dtype.type(0))
    return [x, mask][:outputs]
