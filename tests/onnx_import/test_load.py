"""Every real model imports, and computes what onnxruntime computes; bad files are refused in one line."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnxruntime as ort
import pytest
import shared_models

from qglow.errors import ModelError
from qglow.graph.text import parse_graph, print_graph
from qglow.graph.verify import verify
from qglow.onnx_import import load
from qglow.reference import evaluate
from qglow.simplify import simplify

# sums in the reference's own order, each term rounded once, take a minute here; the other models have them
LONG = ("dnsmos_p835_sig_bak_ovr", "superres_modelzoo")


@pytest.mark.parametrize(
    "name", shared_models.with_made(shared_models.ALL, [*shared_models.MADE, shared_models.MADE_QUANTIZED])
)
def test_real_models_compute_what_onnxruntime_computes(name: str) -> None:
    path = shared_models.path(name)
    graph = verify(load(path))
    assert print_graph(parse_graph(print_graph(graph), graph.constants)) == print_graph(graph)
    feeds = shared_models.feeds(name, 1)[0]
    ours = evaluate(simplify(graph), feeds, fast=name in LONG)
    theirs = ort.InferenceSession(str(path), providers=["CPUExecutionProvider"]).run(None, feeds)
    for value, expected in zip(ours.values(), theirs, strict=True):
        scale = np.abs(expected.astype(np.float64)).max(initial=1e-9)
        assert value.shape == expected.shape
        # float32 sums in another order: a relative error of 2^-24 a term, over the depth of the network
        assert np.abs(value.astype(np.float64) - expected).max(initial=0) / scale < 1e-4


def test_bad_files_are_one_clear_line(tmp_path: Path, digits: Path) -> None:
    with pytest.raises(ModelError, match="no such model file"):
        load(tmp_path / "none.onnx")
    whole = (digits / "model.onnx").read_bytes()
    for data in (whole[: len(whole) // 2], b"not a model", b""):
        (tmp_path / "bad.onnx").write_bytes(data)
        with pytest.raises(ModelError):
            load(tmp_path / "bad.onnx")
