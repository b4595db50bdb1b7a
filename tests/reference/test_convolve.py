"""The ways that a convolution is computed in give the same: exact on whole numbers."""

from __future__ import annotations

import numpy as np
import pytest

from qglow.graph import Graph, Node, float_type
from qglow.reference import FLOAT, evaluate, float_conv, float_product
from qglow.reference.evaluate import evaluate_node
from qglow.reference.windows import Window, pad_spatial, windows

RNG = np.random.default_rng(0)


def plain(x: np.ndarray, w: np.ndarray, node: Node) -> np.ndarray:
    groups = int(node.attr("group"))
    win = Window.of(node, x.shape[2:], w.shape[2:])
    view = windows(pad_spatial(x, win.begin, win.end, 0), win, win.out(x.shape[2:]))
    per_in, per_out = w.shape[1], w.shape[0] // groups
    parts = [
        np.einsum("nchwkl,ockl->nohw", view[:, g * per_in : (g + 1) * per_in], w[g * per_out : (g + 1) * per_out])
        for g in range(groups)
    ]
    return np.concatenate(parts, 1)


@pytest.mark.parametrize("large", [0, 1 << 40])
@pytest.mark.parametrize("near", [64, 350, 1 << 17])  # bytes: of the ways by rows, one row at a time, some, and all
@pytest.mark.parametrize(("channels", "outputs", "groups"), [(8, 6, 1), (8, 6, 2), (8, 8, 8), (8, 16, 8)])
@pytest.mark.parametrize("dilations", [(1, 1), (3, 2)])
@pytest.mark.parametrize("strides", [(1, 1), (2, 3)])
def test_every_way(
    large: int,
    near: int,
    channels: int,
    outputs: int,
    groups: int,
    dilations: tuple[int, int],
    strides: tuple[int, int],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(float_conv, "LARGE", large)
    monkeypatch.setattr(float_conv, "NEAR", near)
    x = RNG.integers(-9, 9, (2, channels, 20, 17)).astype(np.float64)
    w = RNG.integers(-9, 9, (outputs, channels // groups, 3, 2)).astype(np.float64)
    attributes = {
        "pads": (1, 2, 1, 0),
        "strides": strides,
        "dilations": dilations,
        "group": groups,
        "kernel_shape": (3, 2),
    }
    node = Node("Conv", ("x", "w"), ("y",), attributes, "n")
    assert np.array_equal(float_conv.convolve(x, w, node), plain(x, w, node))


def test_large_images_in_the_order_of_the_law_are_computed_in_parts() -> None:
    x, w = RNG.normal(size=(2, 128, 300, 3)).astype(np.float32), RNG.normal(size=(3, 128, 1, 2)).astype(np.float32)
    bias, win = RNG.normal(size=3).astype(np.float32), Window((1, 2), (1, 1), (1, 1), (0, 0), (0, 0))
    whole = float_product.convolve(np.tile(x, (1, 1, 30, 1)), w, bias, win, 1)
    part = float_product.convolve(x, w, bias, win, 1)
    assert whole.shape == (2, 3, 9000, 2) and np.array_equal(whole, np.tile(part, (1, 1, 30, 1)))
    plain_sum = np.einsum("nchwk,ock->nohw", np.stack([x[..., :2], x[..., 1:]], -1), w[:, :, 0], dtype=np.float64)
    assert np.allclose(part, plain_sum + bias[:, None, None], atol=1e-4)


def test_a_node_by_itself_is_summed_in_the_order_of_the_law(monkeypatch: pytest.MonkeyPatch) -> None:
    """Unless it is asked for in whatever order is fast."""
    x, w = RNG.normal(0, 1, (4, 7)).astype(np.float32), RNG.normal(0, 1, (7, 3)).astype(np.float32)
    node = Node("MatMul", ("x", "w"), ("y",), {}, "n")
    graph = Graph(
        "g", ("x", "w"), ("y",), (node,), {"x": float_type(4, 7), "w": float_type(7, 3), "y": float_type(4, 3)}
    )
    want = evaluate(graph, {"x": x, "w": w})["y"]
    monkeypatch.setattr(float_conv, "matmul", lambda node, inputs: [np.zeros((4, 3), np.float32)])
    monkeypatch.setattr(FLOAT, "_found", {})
    assert np.array_equal(evaluate_node(graph, node, [x, w])[0], want) and want.all()
    assert not evaluate_node(graph, node, [x, w], fast=True)[0].any()
