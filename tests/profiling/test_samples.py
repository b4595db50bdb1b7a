"""A profile keeps samples, some of which calibration does not see, and quantize is judged by them."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

import qglow
from qglow.errors import AccuracyError, DataError, ProfileError
from qglow.graph import DType, Graph, Node, TensorType, float_type
from qglow.pipeline import float_graph
from qglow.profiling import Observer, Profile, open_dataset
from qglow.profiling import samples as samples_module
from qglow.profiling.dataset import Sample
from qglow.profiling.observer_record import record_of
from qglow.profiling.samples import FEWEST, MOST, SMALL, Keeper, kept_dataset
from qglow.report.judging import HELD_BACK


@pytest.fixture(scope="module")
def graph(digits: Path) -> Graph:
    return float_graph(digits / "model.onnx")


@pytest.fixture(scope="module")
def profile(graph: Graph, digits: Path) -> Profile:
    return qglow.profile(graph, digits, samples=64, batch_size=3)


def test_samples_are_held_back_exactly_and_calibration_does_not_see_them(
    graph: Graph, profile: Profile, digits: Path, tmp_path: Path
) -> None:
    profile.save(tmp_path / "p.json")
    loaded = Profile.load(tmp_path / "p.json")
    assert loaded.to_json() == profile.to_json() and loaded.samples == 64
    kept = kept_dataset(loaded.held_back, graph)
    assert kept is not None and len(kept) == FEWEST == len(loaded.kept)
    for sample in kept:
        assert np.array_equal(sample.feeds["image"], np.load(digits / sample.name))
    held = {s.name for s in kept}
    others = [s.feeds for s in open_dataset(digits, graph).spread(64) if s.name not in held]
    assert len(others) == 56
    rest = qglow.profile(graph, others[:SMALL]).merge(qglow.profile(graph, others[SMALL:]))
    assert {n: record_of(o) for n, o in rest.tensors.items()} == {n: record_of(o) for n, o in profile.tensors.items()}


@pytest.mark.parametrize("total", [1, 2, 7, 8, SMALL, SMALL + 1, 50, 64, 100, 256, 1000, 5000])
@pytest.mark.parametrize("known", [True, False])
def test_how_many_are_held_back(total: int, known: bool) -> None:
    """Of a small set all are kept and none is held back; of any other enough, spread over what is known of it."""
    keeper = Keeper(("x",), total if known else None)
    held = [k for k in range(total) if keeper.holds_back(Sample(str(k), {"x": np.full(4, k, np.float32)}, None, k))]
    if total <= SMALL:
        assert not held and len(keeper.kept) == total
    elif known or total >= 2 * SMALL:
        assert FEWEST <= len(held) <= min(MOST, max(FEWEST, total // (8 if known else 6)))
        assert [s.name for s in keeper.kept] == [str(k) for k in held]
        assert not known or (held[0] < total / len(held) and held[-1] >= total - total / len(held))
    assert [s.name for s in keeper.kept if s.held_back] == [str(k) for k in held]


def test_a_few_large_samples_are_held_back(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where not all samples of a small set can be kept, cross-validation cannot be made."""
    noise = np.random.default_rng(0).normal(0, 1, (20, 1000)).astype(np.float32)
    samples = [Sample(str(k), {"x": noise[k]}, None, k) for k in range(20)]
    size = pack_size(samples[0])
    monkeypatch.setattr(samples_module, "LIMIT", 3 * size + size // 2)
    keeper = Keeper(("x",), 20)
    held = [s.name for s in samples if keeper.holds_back(s)]
    assert held == [s.name for s in keeper.kept] == ["3", "10", "16"]
    monkeypatch.setattr(samples_module, "LIMIT", 10)
    keeper = Keeper(("x",), 20)
    assert not [s for s in samples if keeper.holds_back(s)] and not keeper.kept


def pack_size(sample: Sample) -> int:
    kept = samples_module.kept_of(sample, tuple(sample.feeds))
    assert kept is not None and kept.size <= kept.most
    return kept.size


def test_what_is_held_back_may_not_be_nan_either() -> None:
    types = {"x": float_type(1, 4), "y": float_type(1, 4)}
    graph = Graph("g", ("x",), ("y",), (Node("Sqrt", ("x",), ("y",), name="root"),), types)
    feeds = [{"x": np.full((1, 4), k + 1, np.float32)} for k in range(40)]
    held = qglow.profile(graph, feeds).held_back[1]
    feeds[int(held.name.split()[1])]["x"] *= -1
    with pytest.raises(DataError, match=f"{held.name}: tensor 'y' holds NaN"):
        qglow.profile(graph, feeds)


def test_a_scalar_input_stays_a_scalar() -> None:
    """It was once kept with a dimension, and no kept sample fitted its model."""
    types = {"a": TensorType(DType.F32, (2,)), "s": TensorType(DType.I64, ()), "y": TensorType(DType.F32, (2,))}
    graph = Graph("g", ("a", "s"), ("y",), (Node("Relu", ("a",), ("y",), name="relu"),), types)
    profile = qglow.profile(graph, [{"a": np.ones(2, np.float32), "s": np.array(16000, np.int64)}])
    kept = kept_dataset(profile.kept, graph)
    assert kept is not None and next(iter(kept)).feeds["s"].shape == ()


def test_merge_keeps_all_of_a_small_set(graph: Graph, digits: Path) -> None:
    feeds = [{"image": np.load(digits / f"{k:03d}.npy")} for k in range(7)]
    parts = qglow.profile(graph, feeds[:3]).merge(qglow.profile(graph, feeds[3:]))
    whole = qglow.profile(graph, feeds)
    assert [s.inputs for s in parts.kept] == [s.inputs for s in whole.kept] and len(parts.kept) == 7
    many = parts.merge(qglow.profile(graph, digits, samples=64))
    assert many.samples == 71 and len(many.kept) == len(many.held_back) == FEWEST


def test_large_samples_are_left_out(graph: Graph, digits: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    size = qglow.profile(graph, digits, samples=1).kept[0].size
    monkeypatch.setattr(samples_module, "LIMIT", int(size * 2.5))
    assert len(qglow.profile(graph, digits, samples=64).kept) == 2
    monkeypatch.setattr(samples_module, "LARGEST", 10)
    assert not qglow.profile(graph, digits, samples=64).kept


def test_quantize_judges_by_them_by_default(graph: Graph, profile: Profile) -> None:
    agreement = qglow.quantize(graph, profile).manifest["agreement"]
    assert agreement["samples"] == FEWEST and agreement["outputs"]["scores"]["sqnr_db"] > 25
    assert agreement["judged_on"] == HELD_BACK
    assert qglow.quantize(graph, profile, check=False).manifest["agreement"] is None


def test_quantize_refuses_what_is_broken_and_names_the_layer(graph: Graph, profile: Profile) -> None:
    """The profile says that one layer stays near 0: int8 cuts it off there. Where formats may be wider, what reads it
    is not int8."""
    cut = Observer()
    cut.observe(np.array([-0.01, 0.01], np.float32))
    wrong = Profile(profile.graph, {**profile.tensors, "conv_b": cut, "relu_b": cut}, 1, profile.data, (), profile.kept)
    with pytest.raises(AccuracyError, match=r"'scores' has .* on 8 samples .*add .*relu_b,") as caught:
        qglow.quantize(graph, wrong, {"widen_percent": 0.0})
    assert caught.value.bundle.manifest["agreement"]["outputs"]["scores"]["sqnr_db"] < 3  # type: ignore[attr-defined]
    assert qglow.quantize(graph, wrong, check=False).graph.nodes
    wide = qglow.quantize(graph, wrong).manifest
    assert wide["agreement"]["outputs"]["scores"]["sqnr_db"] > 12
    read = {n.name for n in graph.nodes if {"conv_b", "relu_b"} & set(n.inputs)}
    assert read & {n["node"] for n in wide["wider"]["nodes"]}


def test_profiles_without_samples_still_load(profile: Profile, graph: Graph, tmp_path: Path) -> None:
    raw = json.loads(profile.to_json())
    del raw["kept_samples"]
    (tmp_path / "old.json").write_text(json.dumps(raw))
    old = Profile.load(tmp_path / "old.json")
    assert old.kept == () and "kept_samples" not in old.to_json()
    assert qglow.quantize(graph, old).manifest["agreement"] is None


def test_samples_of_another_shape_are_not_used(profile: Profile, graph: Graph) -> None:
    image = graph.types["image"]
    other = graph.with_(types={**graph.types, "image": type(image)(image.dtype, (2, 1, 8, 8))})
    assert kept_dataset(profile.kept, other) is None


@pytest.mark.parametrize("change", [{"data": "AAAA"}, {"data": "%"}, {"shape": [1, 1, 8, 9]}, {"shape": [-1]},
    {"kind": "str"},
                                    {"shape": [1 << 40, 1 << 40]}, {"kind": "f99"}, {"shape": None}])  # fmt: skip
def test_broken_samples_are_refused(profile: Profile, tmp_path: Path, change: dict[str, object]) -> None:
    raw = json.loads(profile.to_json())
    raw["kept_samples"][1]["inputs"][0] |= change
    (tmp_path / "bad.json").write_text(json.dumps(raw))
    with pytest.raises(ProfileError, match="bad.json"):
        Profile.load(tmp_path / "bad.json")
