"""Real models and inputs that lie beside the repository, for whoever has them; tests skip, with the reason, where they are absent."""

from __future__ import annotations

import importlib.util
import os
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

FOLDER = Path(os.environ.get("QGLOW_SHARED_MODELS", Path(__file__).resolve().parents[2] / "shared"))
CONV_MODELS = [
    "squeezenet1.1_imagenet", "cifar10_resnet20", "cifar10_resnet56", "mlperftiny_cifar10_resnet8", "mlperftiny_vww_mobilenet025",
    "mnist_cntk_8", "yolox_nano_416", "nanodet_m_320", "ultraface_rfb320", "yunet_n_320", "scrfd_500m", "mobilefacenet",
    "pfld_landmark", "ppocr_v3_det_ch", "lprnet", "sinet_portrait", "superres_modelzoo", "oww_embedding", "dnsmos_p835_sig_bak_ovr",
]  # fmt: skip
OTHERS = ["vittrack_opencv", "stories260K_llama", "magika_v3_3", "silero_vad_16k_op15", "dtln_1", "tract_byte_sb_bidi_lstm"]
ALL = [*CONV_MODELS, *OTHERS]


def path(name: str) -> Path:
    """The model's file; skips the test where it is absent."""
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
    path(name)
    return list(_recipes().feeds(name, count))


def metric(name: str) -> Any:
    path(name)
    return _recipes().metric(name)
