"""A profile keeps the first few samples, and quantize holds int8 against float on them."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

import qglow
from qglow.errors import AccuracyError, ProfileError
from qglow.graph import DType, Graph, Node, TensorType
from qglow.pipeline import float_graph
from qglow.profiling import Observer, Profile
from qglow.profiling import samples as samples_module
from qglow.profiling.samples import COUNT, kept_dataset


@pytest.fixture(scope="module")
def graph(digits: Path) -> Graph:
    return float_graph(digits / "model.onnx")


@pytest.fixture(scope="module")
def profile(graph: Graph, digits: Path) -> Profile:
    return qglow.profile(graph, digits, batch_size=3)


def test_the_first_samples_are_kept_exactly(graph: Graph, profile: Profile, digits: Path, tmp_path: Path) -> None:
    profile.save(tmp_path / "p.json")
    kept = kept_dataset(Profile.load(tmp_path / "p.json").kept, graph)
    assert kept is not None and [s.name for s in kept] == ["000.npy", "001.npy", "002.npy", "003.npy"]
    for sample in kept:
        assert np.array_equal(sample.feeds["image"], np.load(digits / sample.name))


def test_a_scalar_input_stays_a_scalar() -> None:
    """It was once kept with a dimension, and no kept sample fitted its model."""
    types = {"a": TensorType(DType.F32, (2,)), "s": TensorType(DType.I64, ()), "y": TensorType(DType.F32, (2,))}
    graph = Graph("g", ("a", "s"), ("y",), (Node("Relu", ("a",), ("y",), name="relu"),), types)
    profile = qglow.profile(graph, [{"a": np.ones(2, np.float32), "s": np.array(16000, np.int64)}])
    kept = kept_dataset(profile.kept, graph)
    assert kept is not None and next(iter(kept)).feeds["s"].shape == ()


def test_merge_keeps_the_first_ones(graph: Graph, digits: Path) -> None:
    feeds = [{"image": np.load(digits / f"{k:03d}.npy")} for k in range(7)]
    parts = qglow.profile(graph, feeds[:3]).merge(qglow.profile(graph, feeds[3:]))
    whole = qglow.profile(graph, feeds)
    assert [s.inputs for s in parts.kept] == [s.inputs for s in whole.kept] and len(parts.kept) == COUNT


def test_large_samples_are_left_out(graph: Graph, digits: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    size = qglow.profile(graph, digits, samples=1).kept[0].size
    monkeypatch.setattr(samples_module, "LIMIT", int(size * 2.5))
    assert len(qglow.profile(graph, digits).kept) == 2
    monkeypatch.setattr(samples_module, "LARGEST", 10)
    assert not qglow.profile(graph, digits).kept


def test_quantize_checks_on_them_by_default(graph: Graph, profile: Profile) -> None:
    agreement = qglow.quantize(graph, profile).manifest["agreement"]
    assert agreement["samples"] == COUNT and agreement["outputs"]["scores"]["sqnr_db"] > 25
    assert qglow.quantize(graph, profile, check=False).manifest["agreement"] is None


def test_quantize_refuses_what_is_broken_and_names_the_layer(graph: Graph, profile: Profile) -> None:
    """The profile says that one layer stays near 0, so int8 cuts it off there."""
    cut = Observer()
    cut.observe(np.array([-0.01, 0.01], np.float32))
    wrong = Profile(profile.graph, {**profile.tensors, "conv_b": cut, "relu_b": cut}, 1, profile.data, (), profile.kept)
    with pytest.raises(AccuracyError, match=r"'scores' has .* on 4 samples .*add .*relu_b,") as caught:
        qglow.quantize(graph, wrong)
    assert caught.value.bundle.manifest["agreement"]["outputs"]["scores"]["sqnr_db"] < 3  # type: ignore[attr-defined]
    assert qglow.quantize(graph, wrong, check=False).graph.nodes


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
