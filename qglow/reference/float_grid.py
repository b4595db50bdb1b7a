"""Float meaning of GridSample: an image read at the points of a grid."""

from __future__ import annotations

from itertools import product

import numpy as np

from ..graph import Array, Node
from .float_conv import given

NOWHERE = 2.0**62
FAR = 2.0**51  # turns from which on a float64 coordinate has no place within the image
Taps = list[tuple[Array, Array]]  # (index, weight) of each point's neighbours along one axis; an index may lie outside


def grid_sample(node: Node, inputs: list[Array | None]) -> list[Array]:
    """x [N, C, spatial...] at grid [N, out..., axes], whose last axis counts from the last spatial axis back, in [-1,
    1] over the image."""
    corners = bool(node.attr("align_corners"))
    return [sampled(given(inputs, 0), given(inputs, 1), node.attr("mode"), node.attr("padding_mode"), corners)]


def sampled(x: Array, grid: Array, mode: str, padding: str, corners: bool) -> Array:
    """A tap outside of the image is 0. A coordinate of no place, not finite or beyond 2^62 pixels, is taken for -1."""
    sizes = x.shape[2:]
    at = [_pixels(grid[..., len(sizes) - 1 - k], size, corners) for k, size in enumerate(sizes)]
    if mode != "cubic" and padding != "zeros":
        at = [_inside(a, size, padding, corners) for a, size in zip(at, sizes, strict=True)]
    taps = [_TAPS[mode](a) for a in at]
    y = np.zeros((x.shape[0], x.shape[1], *grid.shape[1:-1]), x.dtype)
    batch = np.arange(x.shape[0]).reshape(-1, *(1,) * len(sizes))
    for chosen in product(*taps):
        weight, within = np.ones(grid.shape[:-1], x.dtype), np.ones(grid.shape[:-1], np.bool_)
        where: list[Array] = []
        for (index, w), size in zip(chosen, sizes, strict=True):
            if padding == "zeros":
                within &= (index >= 0) & (index < size)
            elif padding == "reflection":
                index = np.rint(_inside(index.astype(np.float64), size, padding, corners))
            where.append(np.clip(index, 0, size - 1).astype(np.int64))
            weight = weight * w.astype(x.dtype)
        at_points = np.moveaxis(np.moveaxis(x, 1, -1)[(batch, *where)], -1, 1)
        y += np.where(within[:, None], at_points, x.dtype.type(0)) * weight[:, None]
    return y


def _pixels(g: Array, size: int, corners: bool) -> Array:
    """Pixel coordinates of grid coordinates; corners: -1 and 1 are the centres of the outermost pixels, not their outer
    edges."""
    one, two = g.dtype.type(1), g.dtype.type(2)
    at = (g + one) / two * g.dtype.type(size - 1) if corners else ((g + one) * g.dtype.type(size) - one) / two
    return np.where(np.abs(at) < NOWHERE, at, g.dtype.type(0 if corners else -0.5))


def _inside(at: Array, size: int, padding: str, corners: bool) -> Array:
    """Coordinates moved into the image: to its border, or reflected at it as often as it takes."""
    if padding == "border":
        return np.clip(at, 0, size - 1)
    low, high = (0.0, size - 1.0) if corners else (-0.5, size - 0.5)
    span = high - low
    if span <= 0:
        return np.zeros_like(at)
    beyond = at.astype(np.float64) - low
    turns = beyond / (2 * span)
    beyond = beyond - np.where(np.abs(turns) < FAR, np.floor(turns), np.nan) * (2 * span)
    beyond = np.where(np.abs(turns) < FAR, np.minimum(beyond, 2 * span - beyond), at - at)
    return np.clip((low + beyond).astype(at.dtype), low, high)


def _nearest(at: Array) -> Taps:
    return [(np.rint(at), np.ones_like(at))]


def _linear(at: Array) -> Taps:
    low = np.floor(at)
    return [(low, 1 - (at - low)), (low + 1, at - low)]


def _cubic(at: Array, a: float = -0.75) -> Taps:
    """Four neighbours with the weights of the cubic convolution kernel."""
    low = np.floor(at)
    t = at - low
    near = [((a + 2) * s - (a + 3)) * s * s + 1 for s in (t, 1 - t)]
    far = [((a * s - 5 * a) * s + 8 * a) * s - 4 * a for s in (t + 1, 2 - t)]
    return [(low - 1, far[0]), (low, near[0]), (low + 1, near[1]), (low + 2, far[1])]


_TAPS = {"nearest": _nearest, "linear": _linear, "cubic": _cubic}
