"""Exported models run in onnxruntime: floats as they were, QDQ close to the bundle's own bits; both profiling engines agree."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnxruntime as ort
import pytest
import shared_models

import qglow
from qglow.onnx_import.export_float import export_float
from qglow.onnx_import.export_qdq import export_qdq
from qglow.pipeline import float_graph
from qglow.reference import evaluate


def run(model: bytes, feeds: dict[str, np.ndarray]) -> list[np.ndarray]:
    return list(ort.InferenceSession(model, providers=["CPUExecutionProvider"]).run(None, feeds))


def close(ours: dict[str, np.ndarray], theirs: list[np.ndarray], tolerance: float) -> None:
    for a, b in zip(ours.values(), theirs, strict=True):
        assert np.linalg.norm(a.astype(np.float64) - b) <= tolerance * max(1e-9, np.linalg.norm(b.astype(np.float64)))


def test_demo_exports_both_ways(digits: Path) -> None:
    graph = float_graph(digits / "model.onnx")
    feeds = {"image": np.load(digits / "005.npy")}
    close(evaluate(graph, feeds), run(export_float(graph).SerializeToString(), feeds), 1e-5)
    bundle = qglow.quantize(graph, qglow.profile(graph, [feeds]))
    # runtimes may fuse or not fuse around Q/DQ: a tie may round the other way, which moves an output by a small part of a step
    close(evaluate(bundle.graph, feeds), run(export_qdq(bundle.graph).SerializeToString(), feeds), 0.02)


def test_both_engines_record_the_same_ranges(digits: Path) -> None:
    ours, theirs = (qglow.profile(digits / "model.onnx", digits, samples=6, engine=e) for e in ("qglow", "onnxruntime"))
    for name, o in ours.tensors.items():
        assert o.count == theirs.tensors[name].count
        np.testing.assert_allclose([o.min, o.max], [theirs.tensors[name].min, theirs.tensors[name].max], rtol=1e-4, atol=1e-5)


MODELS = ["cifar10_resnet20", "squeezenet1.1_imagenet", "mlperftiny_vww_mobilenet025", "mobilefacenet", "nanodet_m_320"]


@pytest.mark.models
@pytest.mark.parametrize("name", MODELS)
def test_real_models_export(name: str) -> None:
    graph = float_graph(shared_models.path(name))
    data = shared_models.feeds(name, 2)
    close(evaluate(graph, data[0]), run(export_float(graph).SerializeToString(), data[0]), 1e-3)
    bundle = qglow.quantize(graph, qglow.profile(graph, data))
    close(evaluate(bundle.graph, data[0]), run(export_qdq(bundle.graph).SerializeToString(), data[0]), 0.15)
