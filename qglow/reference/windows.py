"""Sliding windows over the spatial axes: the one place that knows kernel, stride, dilation and padding."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.lib.stride_tricks import as_strided

from ..graph import Array, Node
from ..graph.infer import Contradiction
from ..ops.traits import PRODUCT
from ..record import NamedTuple


class Window(NamedTuple):
    """Geometry of a convolution or pool. Sequences have one entry a spatial axis; `begin`/`end` are the padding."""

    kernel: tuple[int, ...]
    strides: tuple[int, ...]
    dilations: tuple[int, ...]
    begin: tuple[int, ...]
    end: tuple[int, ...]

    @staticmethod
    def of(node: Node, spatial: Sequence[int], kernel: Sequence[int]) -> Window:
        """Read the attributes of a node whose input has the sizes `spatial`; resolves auto_pad (ONNX Conv, newest
        opset)."""
        n = len(spatial)
        strides = tuple(node.attr("strides") or (1,) * n)
        # NOTE: MaxUnpool has neither these nor auto_pad
        dilations = tuple(node.attributes.get("dilations") or (1,) * n)
        pads = tuple(node.attr("pads") or (0,) * (2 * n))
        auto = node.attributes.get("auto_pad")
        if auto in ("SAME_UPPER", "SAME_LOWER") and max(dilations) > 1 and not node.has(PRODUCT):
            # NOTE: onnxruntime pads for windows without dilations there, others do not
            raise Contradiction(f"{auto} of a pool with dilations has different meanings; use pads")
        return Window._of(tuple(spatial), tuple(kernel), strides, dilations, pads, auto)

    @staticmethod
    @lru_cache(1024)
    def _of(
        spatial: tuple[int, ...], kernel: tuple[int, ...], strides: tuple[int, ...], dilations: tuple[int, ...],
        pads: tuple[int, ...], auto: str | None,
    ) -> Window:  # fmt: skip
        n = len(spatial)
        begin, end = pads[:n], pads[n:]
        if auto in ("SAME_UPPER", "SAME_LOWER"):
            total = [
                (-(-d // s) - 1) * s + (k - 1) * r + 1 - d
                for d, s, k, r in zip(spatial, strides, kernel, dilations, strict=True)
            ]
            if any(t < -1 and d for t, d in zip(total, spatial, strict=True)):
                # NOTE: onnxruntime crops the image there, others do not
                sizes = f"strides of {list(strides)} and a kernel of {list(kernel)} over {list(spatial)}"
                raise Contradiction(f"{auto} with {sizes} has no padding, and different meanings elsewhere; use pads")
            total = [max(0, t) for t in total]
            small, large = tuple(t // 2 for t in total), tuple(t - t // 2 for t in total)
            begin, end = (small, large) if auto == "SAME_UPPER" else (large, small)
        elif auto == "VALID":
            begin = end = (0,) * n
        complete = all(len(v) == n for v in (kernel, strides, dilations, begin, end))
        if not complete or min((*strides, *dilations, 1)) < 1 or min((*kernel, 0)) < 0:
            sizes = f"kernel {list(kernel)}, strides {list(strides)}, dilations {list(dilations)}, pads {list(pads)}"
            # NOTE: windows are views, which would reach out of the array
            raise ValueError(f"{sizes} are no window over {n} axes")
        return Window(kernel, strides, dilations, begin, end)

    def out(self, spatial: Sequence[int], ceil: bool = False) -> tuple[int, ...]:
        """Output sizes. With `ceil`, a window that would start in the end padding is left out, as onnxruntime does.

        Raises Contradiction for an image, not an empty one, that is smaller than the window.
        """
        sizes = []
        for d, k, s, r, b, e in zip(
            spatial, self.kernel, self.strides, self.dilations, self.begin, self.end, strict=True
        ):
            room = d + b + e - (k - 1) * r - 1
            if room < 0 < d and not ceil:
                size = (k - 1) * r + 1
                raise Contradiction(
                    f"windows of {size} do not fit: there are {d} elements, with a padding of {b} and {e}"
                )
            n = (-(-room // s) if ceil else room // s) + 1
            sizes.append(n - 1 if ceil and (n - 1) * s >= d + b else n)
        return tuple(sizes)


def pad_spatial(x: Array, begin: Sequence[int], end: Sequence[int], value: Any) -> Array:
    """x [N, C, spatial...] with its spatial axes padded by a value; x itself where there is nothing to pad."""
    if not any(begin) and not any(end):
        return x
    return np.pad(x, [(0, 0), (0, 0), *zip(begin, end, strict=True)], constant_values=value)


def windows(x: Array, w: Window, out: Sequence[int]) -> Array:
    """View [N, C, out..., kernel...] of a padded x [N, C, spatial...]."""
    ss = x.strides[2:]
    return as_strided(
        x,
        (*x.shape[:2], *out, *w.kernel),
        (
            *x.strides[:2],
            *(s * t for s, t in zip(ss, w.strides, strict=True)),
            *(s * r for s, r in zip(ss, w.dilations, strict=True)),
        ),
        writeable=False,
    )


def patches(x: Array, w: Window, value: Any, ceil: bool = False) -> tuple[Array, tuple[int, ...]]:
    """Windows of an unpadded x, padded with `value` (and beyond, where `ceil` makes the last window hang over), and
    output sizes."""
    out = w.out(x.shape[2:], ceil)
    need = [(o - 1) * s + (k - 1) * r + 1 for o, s, k, r in zip(out, w.strides, w.kernel, w.dilations, strict=True)]
    end = [max(e, n - d - b) for e, n, d, b in zip(w.end, need, x.shape[2:], w.begin, strict=True)]
    return windows(pad_spatial(x, w.begin, end, value), w, out), out
