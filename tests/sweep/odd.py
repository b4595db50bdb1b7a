"""Nodes of the sweep with one thing changed to what may not be: a number of an attribute, an index, a size, a rank."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from random import Random
from typing import Any

import numpy as np

from .case import Array, Case, Fixed

NUMBERS = (-1, -2, 0, 7, 9, -9)
MOST = 1 << 30  # larger ones ask for memory, which other tests hold


def odd_cases(case: Case, random: Random) -> Iterator[Case]:
    """The case with one attribute or input changed; each may be refused, or mean something."""
    for name, value in case.attributes.items():
        for changed in _of_attribute(value):
            yield replace(case, attributes={**case.attributes, name: changed})
    for k, given in enumerate(case.inputs):
        array = given.array if isinstance(given, Fixed) else given
        if array is None:
            continue
        for changed in _of_integers(array, random) if k else _of_floats(array, random):
            for one in [Fixed(changed)] if isinstance(given, Fixed) else [changed, Fixed(changed)]:
                yield replace(case, inputs=(*case.inputs[:k], one, *case.inputs[k + 1 :]))


def _of_attribute(value: Any) -> Iterator[Any]:
    if isinstance(value, int):
        yield from (v for v in (*NUMBERS, value + 1, -value) if v != value)
    elif isinstance(value, (list, tuple)) and value and all(isinstance(v, int) and abs(v) < MOST for v in value):
        for k, v in enumerate(value):
            yield from ([*value[:k], n, *value[k + 1 :]] for n in (*NUMBERS, v + 1, -v) if n != v)
        if len(value) > 1:
            yield list(value)[:-1]
        yield [*value, 0]
    elif isinstance(value, (list, tuple)) and value:
        yield from ([*value, value[0]], *([list(value)[:-1]] if len(value) > 1 else ()))
        if isinstance(value[0], str):
            yield ["Nothing", *value[1:]]
    elif isinstance(value, str):
        yield "nothing"


def _of_integers(array: Array, random: Random) -> Iterator[Array]:
    """Axes, indices, sizes and pads with one of another value, one fewer and one more."""
    if array.dtype.kind != "i" or array.dtype.itemsize < 4 or not array.size or np.abs(array).max() > MOST:
        yield from _of_floats(array, random)
        return
    for n in (*NUMBERS, int(array.flat[0]) + 1, -int(array.flat[-1])):
        changed = array.copy()
        changed.flat[random.randrange(array.size)] = n
        yield changed
    if array.ndim == 1:
        yield np.append(array, array[:1])
        if array.size > 1:
            yield array[:-1]


def _of_floats(array: Array, random: Random) -> Iterator[Array]:
    """One axis longer or shorter, one axis more or fewer."""
    if array.dtype.kind != "f" or not array.ndim or not array.size:
        return
    axis = random.randrange(array.ndim)
    if array.shape[axis] > 1:
        yield np.delete(array, 0, axis)
    yield np.concatenate([array, array.take([0], axis)], axis)
    yield array[None]
    if array.ndim > 1:
        yield array[0]
