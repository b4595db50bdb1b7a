"""The straight line once, on the demo model: profile, quantize, save, load, run, with the reference and the kernels
agreeing."""

from __future__ import annotations

from pathlib import Path

import numpy as np

import qglow
from qglow.reference import evaluate


def test_the_straight_line(digits: Path, tmp_path: Path) -> None:
    profile = qglow.profile(digits / "model.onnx", digits, samples=8)
    qglow.quantize(digits / "model.onnx", profile).save(tmp_path / "d.qglow")
    bundle = qglow.load(tmp_path / "d.qglow")
    feeds = {"image": np.load(digits / "007.npy")}
    [scores] = qglow.InferenceSession(bundle, threads=1).run(None, feeds)
    assert np.array_equal(scores, evaluate(bundle.graph, feeds)["scores"])
    [label] = [
        int(line.split(",")[1]) for line in (digits / "labels.csv").read_text().split() if line.startswith("007.npy")
    ]
    assert scores.argmax() == label
