"""Observers lose no count, profiles are the same bytes for the same inputs, and data that does not fit is refused."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import TensorProto, helper, numpy_helper

import qglow
from qglow.errors import DataError, ProfileError
from qglow.graph import Graph, Node, float_type
from qglow.pipeline import float_graph
from qglow.profiling import Observer, Profile
from qglow.profiling.observer_record import observer_of, record_of
from tests.trained.net import onnxruntime_session


@settings(deadline=None, max_examples=40)
@given(
    st.lists(st.lists(st.floats(-1e6, 1e6, width=32), min_size=1, max_size=20), min_size=1, max_size=6), st.randoms()
)
def test_counts_do_not_depend_on_order(batches: list[list[float]], random: object) -> None:
    arrays = [np.array(b, np.float32) for b in batches]
    one, other = Observer(), Observer()
    for a in arrays:
        one.observe(a)
    for a in reversed(arrays):
        other.observe(a)
    assert np.array_equal(one.histogram, other.histogram) and one.count == int(one.histogram.sum()) == sum(
        a.size for a in arrays
    )
    assert (one.min, one.max) == (min(a.min() for a in arrays), max(a.max() for a in arrays))


def test_same_inputs_same_bytes_and_round_trip(digits: Path, tmp_path: Path) -> None:
    first, second = (qglow.profile(digits / "model.onnx", digits, samples=9) for _ in range(2))
    assert first.to_json() == second.to_json()
    first.save(tmp_path / "p.json")
    assert Profile.load(tmp_path / "p.json").to_json() == first.to_json()
    batched = qglow.profile(digits / "model.onnx", digits, samples=9, batch_size=4)
    assert batched.samples == 9 and batched.tensors["image"].count == first.tensors["image"].count


def test_merge_is_the_profile_of_both(digits: Path) -> None:
    graph = float_graph(digits / "model.onnx")
    feeds = [{"image": np.load(digits / f"{k:03d}.npy")} for k in range(6)]
    whole = qglow.profile(graph, feeds)
    parts = qglow.profile(graph, feeds[:2]).merge(qglow.profile(graph, feeds[2:]))
    assert _tensors(whole) == _tensors(parts)


def test_batches_change_nothing(digits: Path) -> None:
    one, four = (qglow.profile(digits / "model.onnx", [{"image": np.load(digits / f"{k:03d}.npy")} for k in range(9)],
        batch_size=n)
                 for n in (1, 4))  # fmt: skip
    assert one.tensors["image"].channel_mean is not None and one.tensors["image"].count == four.tensors["image"].count
    assert record_of(one.tensors["image"]) == record_of(four.tensors["image"])


@settings(deadline=None, max_examples=40)
@given(
    st.lists(st.lists(st.floats(-(2.0**90), 2.0**90, width=32), min_size=6, max_size=6), min_size=2, max_size=6),
    st.integers(1, 5),
)
def test_channel_sums_are_exact(rows: list[list[float]], cut: int) -> None:
    """Order, batches and merging do not change a bit, nor does any magnitude overflow."""
    arrays = [np.array(r, np.float32).reshape(1, 2, 3) for r in rows]
    one, left, right, batch = Observer(), Observer(), Observer(), Observer()
    for k, a in enumerate(arrays):
        one.observe(a)
        (left if k < cut else right).observe(a)
    batch.observe(np.concatenate(arrays))
    for other in (right.merge(left), batch):
        assert one.channel_sum is not None and other.channel_sum is not None
        assert one.channel_sum.tolist() == other.channel_sum.tolist() and one.channel_count == other.channel_count
    expected = np.concatenate(arrays).astype(np.float64).mean((0, 2))
    largest = float(np.abs(np.concatenate(arrays)).max())
    assert one.channel_mean is not None and np.abs(one.channel_mean - expected).max() <= 1e-12 * largest + 1e-12


def _tensors(profile: Profile) -> str:
    return profile.to_json().partition('"tensors": {')[2].partition('"kept_samples"')[0]


def test_profile_of_another_model_is_refused(digits: Path) -> None:
    profile = qglow.profile(digits / "model.onnx", digits, samples=2)
    graph = float_graph(digits / "model.onnx")
    other = graph.with_(constants={k: a * 2 if k == "e.w" else a for k, a in graph.constants.items()})
    with pytest.raises(ProfileError, match="another model"):
        profile.matched(other)


@pytest.mark.parametrize("text", ["", "{", '{"tool": "other"}', '{"tool": "qglow", "format": 1}'])
def test_broken_profiles_are_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / "p.json").write_text(text)
    with pytest.raises(ProfileError):
        Profile.load(tmp_path / "p.json")


@pytest.mark.parametrize("field", ["channel_min", "channel_max"])
@pytest.mark.parametrize("value", [[], [0.0], [[0.0] * 16], ["nan"] * 16])
def test_channels_that_do_not_fit_are_refused(digits: Path, tmp_path: Path, field: str, value: list[object]) -> None:
    raw = json.loads(qglow.profile(digits / "model.onnx", digits, samples=1).to_json())
    raw["tensors"]["conv_c"][field] = value
    (tmp_path / "p.json").write_text(json.dumps(raw))
    with pytest.raises(ProfileError, match="channels"):
        Profile.load(tmp_path / "p.json")


def test_channels_of_another_number_are_refused(digits: Path, tmp_path: Path) -> None:
    raw = json.loads(qglow.profile(digits / "model.onnx", digits, samples=1).to_json())
    row = raw["tensors"]["conv_c"]
    raw["tensors"]["conv_c"] = {
        k: v[:3] if k.startswith("channel_") and k != "channel_count" else v for k, v in row.items()
    }
    (tmp_path / "p.json").write_text(json.dumps(raw))
    with pytest.raises(ProfileError, match="3 channels for 'conv_c'"):
        Profile.load(tmp_path / "p.json").matched(float_graph(digits / "model.onnx"))


def test_bad_samples_name_tensor_and_sample(digits: Path) -> None:
    good = np.zeros((1, 1, 8, 8), np.float32)
    for feeds, words in (
        ({"other": good}, "missing"), ({"image": good[0]}, "expected shape"), ({"image": good * np.nan}, "NaN"),
        ({"image": np.array("a")}, "expected float32"),
        ({"image": good.reshape(1, 8, 8, 1)}, "channels come last"),
    ):  # fmt: skip
        with pytest.raises(DataError, match=f"sample 1.*{words}"):
            qglow.profile(digits / "model.onnx", [{"image": good}, feeds])


def pictures(weights: float, shape: tuple[int, ...] = (4, 3, 3, 3)) -> Graph:
    """One convolution over RGB pictures, with weights of one size."""
    types = {"x": float_type("N", 3, 8, 8), "w": float_type(*shape), "y": float_type("N", 4, 6, 6)}
    return Graph(
        "g",
        ("x",),
        ("y",),
        (Node("Conv", ("x", "w"), ("y",), {}, "c"),),
        types,
        {"w": np.full(shape, weights, np.float32)},
    )


@pytest.mark.parametrize(
    ("weights", "low", "high", "words"),
    [
        (0.1, 0, 255, "pixels that were not scaled"),
        (0.1, 0, 1, None),
        (0.001, 0, 255, None),
        (0.001, 0, 1, "suits pixels of 0 to 255"),
        (0.1, 0.5, 0.5, "is constant"),
    ],
)
def test_implausible_inputs_are_warned_of(weights: float, low: float, high: float, words: str | None) -> None:
    rng = np.random.default_rng(0)
    feeds = [{"x": rng.uniform(low, high, (1, 3, 8, 8)).astype(np.float32)} for _ in range(3)]
    warnings = qglow.profile(pictures(weights), feeds).warnings
    assert len(warnings) == (words is not None) and all(words in w for w in warnings if words)


def test_a_constant_channel_is_warned_of() -> None:
    x = np.random.default_rng(0).uniform(0, 1, (1, 3, 8, 8)).astype(np.float32)
    x[:, 1] = 0
    [warning] = qglow.profile(pictures(0.1), [{"x": x}]).warnings
    assert "constant in channel 1 " in warning


def test_channels_whose_number_varies_are_none() -> None:
    """Whatever comes first, in one observer or in several; and a profile that was saved still knows it."""
    rng = np.random.default_rng(0)
    two, three = (rng.normal(0, 1, (1, c, 4)).astype(np.float32) for c in (2, 3))
    for first, second in ((two, three), (three, two)):
        one, left, right, again = Observer(), Observer(), Observer(), Observer()
        for o, x in ((one, first), (one, second), (left, first), (right, second), (again, first)):
            o.observe(x)
        assert one.channels.vary and one.channel_min is None and one.channel_mean is None
        loaded = observer_of(record_of(left.merge(right)))
        for o in (loaded, loaded.merge(again), again.merge(loaded)):
            assert o.channels.vary and o.channel_min is None and o.channel_mean is None
        assert record_of(left.merge(right)) == record_of(one) == record_of(loaded)
    one, left, right = Observer(), Observer(), Observer()
    for o, x in ((one, two[0, 0]), (one, three), (left, two[0, 0]), (right, three)):
        o.observe(x)
    assert record_of(left.merge(right)) == record_of(one) == record_of(right.merge(left))
    assert one.channel_min is not None


@pytest.mark.parametrize("declared", [[1, 8, 5, 5], ["N", 8, 5, 5], ["N", 9, "H", "W"], ["N", 4], None])
@pytest.mark.parametrize("where", ["inner", "output"])
def test_shapes_that_a_model_declares_and_its_values_do_not_have(where: str, declared: list[Any] | None) -> None:
    """onnxruntime warns of them and runs the model."""
    rng = np.random.default_rng(5)
    nodes = [
        helper.make_node("Conv", ["x", "w"], ["c"], pads=[1] * 4),
        helper.make_node("Relu", ["c"], ["r"]),
        helper.make_node("Transpose", ["r"], ["t"], perm=[0, 2, 3, 1]),
        helper.make_node("Mul", ["t", "t"], ["y"]),
    ]
    w = numpy_helper.from_array(rng.normal(0, 1, (8, 3, 3, 3)).astype(np.float32), "w")
    said = helper.make_tensor_value_info("r" if where == "inner" else "y", TensorProto.FLOAT, declared)
    outputs = [said] if where == "output" else [helper.make_tensor_value_info("y", TensorProto.FLOAT, None)]
    x = helper.make_tensor_value_info("x", TensorProto.FLOAT, ["N", 3, "H", "W"])
    graph = helper.make_graph(nodes, "g", [x], outputs, [w], value_info=[said] if where == "inner" else [])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    feeds = [{"x": rng.normal(0, 1, (1, 3, 7, 10)).astype(np.float32)} for _ in range(3)]
    session = qglow.InferenceSession(qglow.quantize(model, qglow.profile(model, feeds)))
    for size in ((1, 3, 7, 10), (2, 3, 4, 6)):
        x = rng.normal(0, 1, size).astype(np.float32)
        (got,), (real,) = session.run(None, {"x": x}), onnxruntime_session(model).run(None, {"x": x})
        assert got.shape == real.shape and np.abs(got - real).max() <= 0.05 * np.abs(real).max()
