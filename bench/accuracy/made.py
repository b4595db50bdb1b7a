"""Ten models that are hard for int8, each in its own way, with calibration data, tests and scores. What grew them is
`grown.py` and `tests/trained/families.py`; as stored they are the same on every machine."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import onnx

from tests.trained import families, stored

from . import grown
from .grown import CALIBRATED, Array

TRAINED, TESTS = families.HELD_OUT, 100


@dataclass(frozen=True, slots=True)
class Made:
    """score: of a test's place and its outputs, in points of 0 to 100."""

    proto: onnx.ModelProto
    family: str
    calibration: list[dict[str, Array]]
    tests: list[dict[str, Array]]
    score: Callable[[int, Sequence[Array]], float] | None


def _digits(name: str, family: str, side: int = 16, calibrated: int = CALIBRATED) -> Made:
    """A classifier of handwritten digits, and pictures that it was not trained on."""
    pictures, labels = families.digits(side)
    calibration = [{"image": pictures[TRAINED + k : TRAINED + k + 1]} for k in range(calibrated)]
    first = TRAINED + CALIBRATED
    tests = [{"image": pictures[k : k + 1]} for k in range(first, first + TESTS)]
    return Made(
        stored.model(name),
        family,
        calibration,
        tests,
        lambda k, out: 100.0 * (int(np.argmax(out[0])) == labels[first + k]),
    )


def depthwise() -> Made:
    return _digits("depthwise", "depthwise")


def transformer() -> Made:
    return _digits("transformer", "transformer")


def few() -> Made:
    """Of the residual network three samples calibrate."""
    return _digits("residual", "resnet", calibrated=3)


def detector() -> Made:
    made = _digits("detector", "detector", 32)
    return Made(made.proto, "detector", made.calibration, made.tests[:40], None)


def outliers() -> Made:
    """A few hidden channels are 60 times as large as the others, as in large transformers; nothing needs that."""
    return _digits("outliers", "mlp")


def unequal() -> Made:
    """Channels whose ranges differ by a factor of 1000, evened out by the next weights."""
    return _digits("unequal", "unequal")


def heavy_tailed() -> Made:
    """Pictures whose brightness is log-normal: what comes is larger than what was seen."""
    lit, _ = grown.lit_digits()
    made = _digits("heavy_tailed", "heavy_tailed")
    first = TRAINED + CALIBRATED
    calibration = [{"image": lit[TRAINED + k : TRAINED + k + 1]} for k in range(CALIBRATED)]
    tests = [{"image": lit[k : k + 1]} for k in range(first, first + TESTS)]
    return Made(made.proto, "heavy_tailed", calibration, tests, made.score)


def mlp() -> Made:
    return _digits("mlp", "mlp", 8)


def segmenter() -> Made:
    """Which of its pixels belong to the digit, of a noisy picture: an encoder, a decoder, and a skip between them."""
    clean, noisy = grown.noisy_digits()
    first = TRAINED + CALIBRATED
    calibration, tests = (
        [{"image": noisy[k : k + 1]} for k in span] for span in (range(TRAINED, first), range(first, first + TESTS))
    )
    return Made(
        stored.model("segmenter"),
        "segmenter",
        calibration,
        tests,
        lambda k, o: 100 * float(((o[0][0] > 0) == (clean[first + k] > 0.4)).mean()),
    )


def denoiser() -> Made:
    """Spectra of 48 bands that fall off as speech does: an LSTM and a mask, by which they are multiplied."""
    _, noisy, _ = grown.spectra(np.random.default_rng(36))
    calibration, tests = (
        [{"image": noisy[k : k + 1]} for k in span]
        for span in (range(200, 200 + CALIBRATED), range(200 + CALIBRATED, len(noisy)))
    )
    return Made(stored.model("denoiser"), "recurrent", calibration, tests, None)


MODELS: dict[str, Callable[[], Made]] = {
    "depthwise": depthwise, "transformer": transformer, "outliers": outliers, "unequal": unequal, "few": few,
    "heavy_tailed": heavy_tailed, "denoiser": denoiser, "detector": detector, "segmenter": segmenter, "mlp": mlp,
}  # fmt: skip
