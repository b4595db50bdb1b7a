"""Ops that only move data: views where strides allow, copies where they do not."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.lib.stride_tricks import as_strided

from ..graph import Kind, Node
from ..reference.float_shape import slice_index
from .lower import Lowering, rule
from .program import Place


def constants_of(low: Lowering, node: Node) -> list[np.ndarray | None]:
    return [low.graph.constants.get(i) if i else None for i in node.inputs]


@rule("Concat")
def concat(low: Lowering, node: Node) -> bool:
    types = [low.type(v) for v in node.inputs]
    out = node.outputs[0]
    if any(t.kind is not Kind.U8 or t.rank != 4 for t in types) or int(node.attr("axis")) % 4 != 1:
        return False
    if any(not low.places[v].is_channels_last for v in node.inputs):
        return False
    y = low.place(out)
    at = 0
    for v, t in zip(node.inputs, types, strict=True):
        part = replace(y, start=y.start + at, shape=(y.shape[0], t.static_shape[1], *y.shape[2:]), halo=(0, 0, 0, 0))
        low.emit_image("copy", low.places[v], part)
        at += t.static_shape[1]
    low.written(out)
    return True


@rule("Slice")
def slice_(low: Lowering, node: Node) -> bool:
    place = low.places.get(node.inputs[0])
    if place is None or any(c is None for c, i in zip(constants_of(low, node)[1:], node.inputs[1:], strict=True) if i):
        return False
    index = slice_index(len(place.shape), constants_of(low, node))
    start, strides = place.start, list(place.strides)
    for k, (s, d) in enumerate(zip(index, place.shape, strict=True)):
        first, _, step = s.indices(d)
        if step < 0:
            return False
        start += first * place.strides[k]
        strides[k] *= step
    shape = low.type(node.outputs[0]).static_shape
    return settle(low, node, replace(place, start=start, shape=shape, strides=tuple(strides), halo=(0, 0, 0, 0)))


@rule("Split")
def split(low: Lowering, node: Node) -> bool:
    place, axis = low.places.get(node.inputs[0]), int(node.attr("axis", 0))
    if place is None:
        return False
    at = 0
    for name in node.outputs:
        shape = low.type(name).static_shape
        low.places[name] = replace(low.use(place), start=place.start + at * place.strides[axis], shape=shape, halo=(0, 0, 0, 0))
        at += shape[axis]
    return True


@rule("Transpose")
def transpose(low: Lowering, node: Node) -> bool:
    place = low.places.get(node.inputs[0])
    if place is None:
        return False
    perm = node.attr("perm") or tuple(reversed(range(len(place.shape))))
    view = replace(place, shape=tuple(place.shape[p] for p in perm), strides=tuple(place.strides[p] for p in perm), halo=(0, 0, 0, 0))
    return settle(low, node, view)


@rule("Reshape", "Flatten", "Squeeze", "Unsqueeze", "Identity")
def reshape(low: Lowering, node: Node) -> bool:
    """A view where numpy can make one without a copy."""
    place = low.places.get(node.inputs[0])
    if place is None:
        return False
    fake = as_strided(np.empty(1, place.dtype), place.shape, place.strides)
    try:
        fake.shape = low.type(node.outputs[0]).static_shape
    except AttributeError:
        return False
    return settle(low, node, replace(place, shape=fake.shape, strides=fake.strides, halo=(0, 0, 0, 0)))


def settle(low: Lowering, node: Node, view: Place) -> bool:
    """Take a view as the value's place, unless its layout is one that the kernels after it could not read."""
    out = node.outputs[0]
    quantized_image = len(view.shape) == 4 and low.type(out).is_quantized
    if quantized_image and not view.is_channels_last or (len(view.shape) != 4 and low.type(out).is_quantized and not view.is_dense):
        return False
    low.places[out] = low.use(view)
    return True
