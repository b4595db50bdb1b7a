"""The ways that a convolution is computed in give the same: exact on whole numbers."""

from __future__ import annotations

import numpy as np
import pytest

from qglow.graph import Node
from qglow.reference import float_conv
from qglow.reference.windows import Window, pad_spatial, windows

RNG = np.random.default_rng(0)


def plain(x: np.ndarray, w: np.ndarray, node: Node) -> np.ndarray:
    groups = int(node.attr("group"))
    win = Window.of(node, x.shape[2:], w.shape[2:])
    view = windows(pad_spatial(x, win.begin, win.end, 0), win, win.out(x.shape[2:]))
    per_in, per_out = w.shape[1], w.shape[0] // groups
    parts = [
        np.einsum("nchwkl,ockl->nohw", view[:, g * per_in : (g + 1) * per_in], w[g * per_out : (g + 1) * per_out]) for g in range(groups)
    ]
    return np.concatenate(parts, 1)


@pytest.mark.parametrize("large", [0, 1 << 40])
@pytest.mark.parametrize("near", [64, 1 << 17])
@pytest.mark.parametrize(("channels", "outputs", "groups"), [(8, 6, 1), (8, 6, 2), (8, 8, 8), (8, 16, 8)])
@pytest.mark.parametrize("dilation", [1, 3])
@pytest.mark.parametrize("stride", [1, 2])
def test_every_way(
    large: int, near: int, channels: int, outputs: int, groups: int, dilation: int, stride: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(float_conv, "LARGE", large)
    monkeypatch.setattr(float_conv, "NEAR", near)
    x = RNG.integers(-9, 9, (2, channels, 20, 17)).astype(np.float64)
    w = RNG.integers(-9, 9, (outputs, channels // groups, 3, 2)).astype(np.float64)
    attributes = {
        "pads": (1, 2, 1, 0),
        "strides": (stride, stride),
        "dilations": (dilation, dilation),
        "group": groups,
        "kernel_shape": (3, 2),
    }
    node = Node("Conv", ("x", "w"), ("y",), attributes, "n")
    assert np.array_equal(float_conv.convolve(x, w, node), plain(x, w, node))
