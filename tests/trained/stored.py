"""The trained models as they are stored. Training leans on BLAS, LAPACK and onnxruntime, whose sums differ from CPU to
CPU, and a sign of an eigenvector makes another network: what tests say of a model holds for the one that is stored."""

from __future__ import annotations

from pathlib import Path

import onnx

FOLDER = Path(__file__).parent / "models"


def path(name: str) -> Path:
    return FOLDER / f"{name}.onnx"


def model(name: str) -> onnx.ModelProto:
    return onnx.load(path(name))
