"""Models and inputs for tests: trained ones that the repository carries (`MADE`), and real ones that lie beside the
repository.

Tests of real models skip, with the reason, where they are absent; what they hold is held of the made ones everywhere.
"""

from __future__ import annotations

import importlib
import importlib.util
import os
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from tests.trained import stored

FOLDER = Path(os.environ.get("QGLOW_SHARED_MODELS", Path(__file__).resolve().parents[2] / "shared"))
CONV_MODELS = [
    "squeezenet1.1_imagenet", "cifar10_resnet20", "cifar10_resnet56", "mlperftiny_cifar10_resnet8",
    "mlperftiny_vww_mobilenet025",
    "mnist_cntk_8", "yolox_nano_416", "nanodet_m_320", "ultraface_rfb320", "yunet_n_320", "scrfd_500m", "mobilefacenet",
    "pfld_landmark", "ppocr_v3_det_ch", "lprnet", "sinet_portrait", "superres_modelzoo", "oww_embedding",
    "dnsmos_p835_sig_bak_ovr",
]  # fmt: skip
OTHERS = [
    "vittrack_opencv",
    "stories260K_llama",
    "magika_v3_3",
    "silero_vad_16k_op15",
    "dtln_1",
    "tract_byte_sb_bidi_lstm",
]
MADE = ["residual", "depthwise", "shuffle", "transformer", "transformer_of_two", "lstm", "detector"]
MADE_QUANTIZED = "qdq"  # the residual one, as onnxruntime quantizes it
ALL = [*CONV_MODELS, *OTHERS]


def with_made(names: list[str], made: list[str] = MADE) -> list[Any]:
    """Parameters of a test: models that are made, and real ones, which are marked as such."""
    return [*made, *(pytest.param(n, marks=pytest.mark.models) for n in names)]


def made(name: str) -> ModuleType | None:
    """The module that makes a model; None of one that lies beside the repository."""
    return importlib.import_module("tests.trained.families") if name in (*MADE, MADE_QUANTIZED) else None


def path(name: str) -> Path:
    """The model's file; skips the test where it is absent."""
    if made(name) is not None:
        return stored.path(name)
    file = FOLDER / "models" / f"{name}.onnx"
    if not file.is_file():
        pytest.skip(f"no {file}: set QGLOW_SHARED_MODELS to the folder that holds models/ and recipes.py")
    return file


def _recipes() -> ModuleType:
    spec = importlib.util.spec_from_file_location("recipes", FOLDER / "recipes.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def feeds(name: str, count: int) -> list[dict[str, Any]]:
    if (maker := made(name)) is not None:
        return list(maker.feeds(name, count))
    path(name)
    return list(_recipes().feeds(name, count))


def metric(name: str) -> Any:
    if made(name) is not None:
        return None
    path(name)
    return _recipes().metric(name)
