"""What is measured: a model, samples that calibrate it, others that test it, and the score of an answer.

Groups: `shared`, trained models that lie beside the repository; `made`, models that the repository makes itself; and
models of a folder, each NAME.onnx with its samples in NAME.npz, as `bench.exports make` writes them.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from tests import shared_models

from ..exports import TESTED
from ..exports.measure import inputs_of
from ..models import real
from . import made

Arrays = dict[str, np.ndarray]
Answers = Sequence[Sequence[np.ndarray]]
CALIBRATED, TESTS = 24, 16


@dataclass(frozen=True, slots=True)
class Subject:
    """score: of a sample's place among the tests and its outputs, in points of 0 to 100 or nats; larger is better."""

    name: str
    family: str
    group: str
    path: Path
    calibration: list[Arrays]
    tests: list[Arrays]
    score: Callable[[int, Sequence[np.ndarray]], float] | None = None


def names(folder: Path | None) -> dict[str, str]:
    """The group of every model that can be measured, by its name."""
    found = {name: "made" for name in made.MODELS} | {name: "shared" for name in real.available()}
    files = sorted(folder.glob("*.onnx")) if folder is not None else []
    return found | {p.stem: "folder" for p in files if p.with_suffix(".npz").is_file()}


def load(name: str, group: str, folder: Path | None, cache: Path) -> Subject:
    """The model and its samples; a model that is made is written to `cache`."""
    if group == "made":
        return _made(name, cache)
    if group == "shared":
        return _shared(name)
    assert folder is not None
    samples = inputs_of(folder / f"{name}.onnx")[0]
    split = max(1, len(samples) - TESTED)
    return Subject(name, name.split("_")[0], group, folder / f"{name}.onnx", samples[:split], samples[split:])


def _made(name: str, cache: Path) -> Subject:
    model = made.MODELS[name]()
    path = cache / f"{name}.onnx"
    path.write_bytes(model.proto.SerializeToString())
    return Subject(name, model.family, "made", path, model.calibration, model.tests, model.score)


def _shared(name: str) -> Subject:
    samples = shared_models.feeds(name, CALIBRATED + TESTS)
    order = np.random.default_rng(11).permutation(len(samples))
    count = min(TESTS, len(samples) // 3)
    tests, calibration = order[:count].tolist(), order[count:].tolist()
    metric, family = shared_models.metric(name), FAMILY.get(name, "vision")
    score = None if metric is None else _one_by_one(name, metric, samples, tests)
    return Subject(name, family, "shared", shared_models.path(name), [samples[k] for k in calibration],
                   [samples[k] for k in tests], score)  # fmt: skip


def _one_by_one(
    name: str, metric: Any, samples: list[Arrays], tests: list[int]
) -> Callable[[int, Sequence[np.ndarray]], float]:
    """The score of one sample of a metric that takes all answers in their order and gives a mean over them (of
    perplexity: of its logarithm): what it changes when that answer stands among float ones."""
    from qglow.report.peers import onnxruntime_session

    run = onnxruntime_session(shared_models.path(name), 1).run
    floats = [run(None, s) for s in samples]

    def points(answers: Answers) -> float:
        kind, value = next(iter(metric(answers).items()))
        return -float(np.log(value)) if kind == "perplexity" else 100 * float(value)

    base = points(floats)

    def score(k: int, outputs: Sequence[np.ndarray]) -> float:
        changed = [*floats]
        changed[tests[k]] = list(outputs)
        return (points(changed) - base) * len(samples)

    return score


FAMILIES = {
    "transformer": ("vittrack_opencv", "stories260K_llama"),
    "text": ("magika_v3_3",),
    "recurrent": ("silero_vad_16k_op15", "dtln_1", "tract_byte_sb_bidi_lstm"),
    "audio": ("oww_embedding", "dnsmos_p835_sig_bak_ovr"),
    "detector": (
        "yolox_nano_416", "nanodet_m_320", "ultraface_rfb320", "yunet_n_320", "scrfd_500m", "ppocr_v3_det_ch",
    ),
    "resnet": ("cifar10_resnet20", "cifar10_resnet56", "mlperftiny_cifar10_resnet8"),
}  # fmt: skip
FAMILY = {name: family for family, members in FAMILIES.items() for name in members}
