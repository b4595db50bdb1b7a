"""The report measures what it says: known errors give known ratios, a layer's own error is apart from what arrives,
pages stand alone."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import qglow
from qglow.errors import DataError
from qglow.graph import DType, Graph, Quant, TensorType
from qglow.pipeline import float_graph, measure_peers
from qglow.report.agreement import Error, evaluate_all
from qglow.report.distribution import Distribution
from qglow.report.html import page
from qglow.runtime import Bundle


@pytest.fixture(scope="module")
def bundle(digits: Path) -> Bundle:
    return qglow.quantize(digits / "model.onnx", qglow.profile(digits / "model.onnx", digits, samples=16))


@pytest.fixture(scope="module")
def report(bundle: Bundle, digits: Path) -> qglow.AccuracyReport:
    return qglow.compare(digits / "model.onnx", bundle, digits)


def test_error_of_known_noise() -> None:
    error = Error()
    for _ in range(3):
        error.add(np.full(100, 10.0), np.full(100, 9.0))
    assert error.sqnr_db == pytest.approx(20.0) and error.cosine == pytest.approx(1.0) and error.largest == 1.0
    same = Error()
    same.add(np.arange(5.0), np.arange(5.0))
    assert same.sqnr_db == 200.0


def test_labels_give_accuracy(bundle: Bundle, digits: Path) -> None:
    feeds = [{"image": np.load(digits / f"{k:03d}.npy")} for k in range(4)]
    session = qglow.InferenceSession(bundle)
    right = [int(session.run(None, f)[0].argmax()) for f in feeds]
    result = qglow.compare(digits / "model.onnx", bundle, feeds, labels=right).to_dict()["outputs"]["scores"]
    assert result["top1_int8"] == 1.0
    with pytest.raises(DataError, match="3 labels for 4 samples"):
        qglow.compare(digits / "model.onnx", bundle, feeds, labels=right[:3])


def test_a_broken_layer_is_blamed_by_its_own_error(bundle: Bundle, digits: Path) -> None:
    """Weights of one layer are shuffled: later layers suffer, but only this one has a bad error of its own."""
    graph = bundle.graph
    shuffled = np.asarray(graph.constants["conv_b.w"])[::-1].copy()
    broken: Graph = graph.with_(constants={**graph.constants, "conv_b.w": shuffled})
    report = qglow.compare(digits / "model.onnx", qglow.Bundle(broken, bundle.manifest), digits)
    rows = {r.name: r for r in report.layers}
    assert report.to_dict()["proposed_exclude"][0] == "relu_b"
    alone = {name: row.own_sqnr_db or 0.0 for name, row in rows.items()}
    assert alone["relu_b"] < 10 < 30 < alone["relu_a"]
    assert rows["conv_c"].sqnr_db < 10 and alone["conv_c"] > 30


def test_report_is_the_same_bytes_each_time(
    bundle: Bundle, digits: Path, report: qglow.AccuracyReport, tmp_path: Path
) -> None:
    report.save(tmp_path / "a.json")
    qglow.compare(digits / "model.onnx", bundle, digits).save(tmp_path / "b.json")
    assert (tmp_path / "a.json").read_bytes() == (tmp_path / "b.json").read_bytes()


def test_layers_are_looked_at_on_some_samples(bundle: Bundle, digits: Path) -> None:
    """Outputs are of all samples; layers of some that are spread evenly, the same as those samples alone would give."""
    feeds = [{"image": np.load(digits / f"{k:03d}.npy")} for k in range(9)]
    some = qglow.compare(digits / "model.onnx", bundle, feeds, layer_samples=3).to_dict()
    whole = qglow.compare(digits / "model.onnx", bundle, feeds).to_dict()
    alone = qglow.compare(digits / "model.onnx", bundle, [feeds[0], feeds[4], feeds[8]]).to_dict()
    assert some["outputs"] == whole["outputs"] and (some["samples"], some["layer_samples"], whole["layer_samples"]) == (
        9,
        3,
        9,
    )
    assert some["layers"] == alone["layers"] != whole["layers"]
    stream = qglow.compare(digits / "model.onnx", bundle, iter(feeds), layer_samples=2).to_dict()
    assert stream["layers"] == qglow.compare(digits / "model.onnx", bundle, feeds[:2]).to_dict()["layers"]


def test_labels_may_end_before_a_stream_does(bundle: Bundle, digits: Path) -> None:
    stream = ({"image": np.load(digits / f"{k:03d}.npy")} for k in range(4))
    with pytest.raises(DataError, match="3 labels for more samples: sample 3 has none"):
        qglow.compare(digits / "model.onnx", bundle, stream, labels=[0, 0, 0])
    stream = ({"image": np.load(digits / f"{k:03d}.npy")} for k in range(4))
    with pytest.raises(DataError, match="5 labels for 4 samples"):
        qglow.compare(digits / "model.onnx", bundle, stream, labels=[0] * 5)


def test_distributions_are_of_the_float_values(bundle: Bundle, digits: Path) -> None:
    feeds = [{"image": np.load(digits / f"{k:03d}.npy")} for k in range(5)]
    graph = float_graph(digits / "model.onnx")
    real = np.stack([evaluate_all(graph, f)["conv_c"] for f in feeds])
    row = next(r for r in qglow.compare(graph, bundle, feeds).to_dict()["layers"] if r["name"] == "conv_c")
    quant = bundle.graph.types["conv_c"].quant
    assert quant is not None
    low, high = -quant.z * float(quant.s), (255 - quant.z) * float(quant.s)
    assert (row["int8_low"], row["int8_high"]) == pytest.approx((low, high), rel=1e-4)
    assert (row["min"], row["max"]) == pytest.approx((real.min(), real.max()), rel=1e-4)
    assert sum(row["histogram"]) == real.size
    beyond = ((real < low - float(quant.s) / 2) | (real > high + float(quant.s) / 2)).mean()
    assert row["clipped"] == pytest.approx(beyond, rel=1e-3)
    expected, _ = np.histogram(real, len(row["histogram"]), (min(low, real.min()), max(high, real.max())))
    assert np.abs(np.cumsum(expected) - np.cumsum(row["histogram"])).max() <= 0.01 * real.size


def test_a_range_that_is_too_small_shows_as_cut_off() -> None:
    t = TensorType(DType.U8, (4,), Quant.per_tensor(0.1, 0))
    d = Distribution.of(t)
    assert d is not None
    d.add(np.array([0.0, 25.54, 25.56, 51.0], np.float32), "x", "s")
    found = d.figures()
    assert found is not None and found.clipped == 0.5


def test_beside_onnxruntime(bundle: Bundle, digits: Path, report: qglow.AccuracyReport, tmp_path: Path) -> None:
    bundle.save(tmp_path / "d.qglow")
    beside = measure_peers(tmp_path / "d.qglow", digits / "model.onnx", digits)
    assert set(beside.latency) == {"qglow int8", "onnxruntime fp32", "onnxruntime int8"} and not beside.notes
    assert all(0 < t["min"] <= t["median"] for t in beside.latency.values())
    assert 25 < beside.noise["onnxruntime int8"]["sqnr_db"] < 60 and beside.noise["qglow int8"]["samples"] == 8
    full = replace(report, beside=beside)
    for text in (full.summary(), page(full.figures())):
        assert "x the speed of onnxruntime int8" in text and "34." in text
    beside = measure_peers(tmp_path / "d.qglow", tmp_path / "none.onnx", digits)
    assert set(beside.latency) == {"qglow int8"} and len(beside.notes) == 2 and not beside.noise


def test_page_names_every_layer_and_nothing_elsewhere(report: qglow.AccuracyReport, tmp_path: Path) -> None:
    report.save(tmp_path / "r.html")
    text = (tmp_path / "r.html").read_text()
    assert all(r.name in text for r in report.layers)
    places = re.findall(r"""(?:src|href|srcset|action|poster|data)\s*=\s*["']?([^"'\s>]*)""", text)
    assert places and all(p.startswith(("#", "data:image/")) for p in places)
    without_pictures = re.sub(r'"data:image/[a-z]+;base64,[A-Za-z0-9+/=]*"', "", text)
    assert not any(w in without_pictures for w in ("http", "@import", "url(", "fetch", "//"))
