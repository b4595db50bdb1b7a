"""Attention whose values are centred: the float model stays what it is, what is lost in the rounding of a Softmax is
less, layers are compared with those of the float model, and what is read elsewhere is left alone."""

from __future__ import annotations

from functools import cache

import numpy as np
import pytest

import qglow
from qglow import quantizing
from qglow.graph import Graph, GraphBuilder, float_type
from qglow.graph.verify import verify
from qglow.quantization.centred_values import centred, find_attentions, offsets_of
from qglow.reference import evaluate

KEYS, HEADS, SIZE = 96, 2, 8
WIDTH = HEADS * SIZE


@cache
def attention(aside: str = "", heads_first: bool = True) -> Graph:
    """Two heads of 96 keys, of which few get large weights, and values with a mean; `aside`: what else is made of a
    value of this name."""
    rng, b = np.random.default_rng(5), GraphBuilder()
    b.types["x"] = float_type(1, KEYS, WIDTH)
    b.fresh("x")
    w = rng.normal(0, 1, (WIDTH, 3 * WIDTH)).astype(np.float32)
    w[:, : 2 * WIDTH] *= 0.2
    bias = np.concatenate([np.zeros(2 * WIDTH), rng.normal(0, 4, WIDTH)]).astype(np.float32)
    joint = b.add("MatMul", ("x", b.add_constant("w", w), b.add_constant("bias", bias)), float_type(1, KEYS, 3 * WIDTH),
                  "joint")  # fmt: skip
    shape = b.add_constant("shape", np.array([1, KEYS, 3, HEADS, SIZE]))
    five = b.add("Reshape", (joint, shape), float_type(1, KEYS, 3, HEADS, SIZE), "five")
    turned = b.add("Transpose", (five,), float_type(3, 1, HEADS, KEYS, SIZE), "turned", perm=(2, 0, 3, 1, 4))
    head, other = float_type(1, HEADS, KEYS, SIZE), float_type(1, HEADS, SIZE, KEYS)
    q, k, v = (
        b.add("Gather", (turned, b.add_constant("k", np.array(i))), head, n, axis=0) for i, n in enumerate("qkv")
    )
    scores = b.add("MatMul", (q, b.add("Transpose", (k,), other, "kt", perm=(0, 1, 3, 2))),
                   float_type(1, HEADS, KEYS, KEYS), "scores")  # fmt: skip
    shares = b.add("Softmax", (scores,), float_type(1, HEADS, KEYS, KEYS), "shares", axis=-1)
    y = b.add("MatMul", (shares, v), head, "y")
    after = b.add("Transpose", (y,), float_type(1, KEYS, HEADS, SIZE), "after", perm=(0, 2, 1, 3))
    rows = b.add(
        "Reshape", (after, b.add_constant("flat", np.array([1, KEYS, WIDTH]))), float_type(1, KEYS, WIDTH), "rows"
    )
    last = b.add_constant("last", rng.normal(0, 1, (WIDTH, 4)).astype(np.float32))
    out = b.add("MatMul", (rows, last), float_type(1, KEYS, 4), "out")
    more = (b.add("Relu", (aside,), b.types[aside], "more"),) if aside else ()
    graph = b.build("attention", ("x",), (out, *more))
    verify(graph)
    return graph


def samples(count: int) -> list[dict[str, np.ndarray]]:
    rng = np.random.default_rng(6)
    return [{"x": rng.normal(0, 1, (1, KEYS, WIDTH)).astype(np.float32)} for _ in range(count)]


def test_the_float_model_stays_what_it_is() -> None:
    graph, feeds = attention(), samples(1)[0]
    before: dict[str, np.ndarray] = {}
    evaluate(graph, feeds, keep=before.__setitem__)
    [found] = find_attentions(graph)
    mean = before["joint"].mean((0, 1))
    offsets = offsets_of(graph, found, mean, before["joint"].shape, before["y"].shape)
    assert not offsets["joint"].ravel()[: 2 * WIDTH].any()
    assert np.array_equal(offsets["joint"].ravel()[2 * WIDTH :], mean[2 * WIDTH :])
    made, after = centred(graph, found, offsets), dict[str, np.ndarray]()
    verify(made)
    evaluate(made, feeds, keep=after.__setitem__)
    assert sorted(offsets) == ["after", "five", "joint", "rows", "turned", "v", "y"]
    for name, value in before.items():
        expected = value - offsets[name] if name in offsets else value
        assert np.abs(after[name] - expected).max() < 1e-4 * np.abs(value).max(), name
    assert np.abs(after["v"].mean((0, 2))).max() < 1e-5 < 1 < np.abs(before["v"].mean((0, 2))).max()


@pytest.mark.parametrize("aside", ["joint", "v", "y", "rows"])
def test_what_is_read_elsewhere_is_left_alone(aside: str) -> None:
    assert not find_attentions(attention(aside))


def test_other_channels_may_be_read_elsewhere() -> None:
    assert find_attentions(attention("q"))


def test_less_noise_on_other_samples_and_layers_beside_those_of_float(monkeypatch: pytest.MonkeyPatch) -> None:
    graph, made = attention(), []
    profile, tests = qglow.profile(graph, samples(12)), samples(16)[12:]
    for _ in range(2):
        made.append(qglow.compare(graph, qglow.quantize(graph, profile, {"widen_percent": 0.0}), tests))
        monkeypatch.setattr(quantizing, "centre", lambda state, data: (state, {}))
    own, plain = ({row.name: row.own_sqnr_db or 0.0 for row in report.layers} for report in made)
    assert own["y"] > plain["y"] + 3 and min(own[n] for n in ("joint", "v", "rows", "out")) > 35
    better, worse = (report.to_dict()["outputs"]["out"]["sqnr_db"] for report in made)
    assert better > worse
