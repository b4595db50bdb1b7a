"""Of a small data set formats are chosen by samples that a graph was not calibrated on."""

from __future__ import annotations

import numpy as np
import onnxruntime

import qglow
from bench.accuracy import made
from bench.accuracy.agreement import powers, summary
from qglow.report.agreement import Agreement
from qglow.report.comparison import Error
from qglow.report.judging import gain_of_samples, noisiest_fold


def test_samples_that_reach_further_than_calibration_are_not_cut_off() -> None:
    """Pictures of log-normal brightness: calibration alone finds int8 good enough, cross-validation does not."""
    subject = made.MODELS["heavy_tailed"]()
    bundle = qglow.quantize(subject.proto, qglow.profile(subject.proto, subject.calibration))
    [output] = bundle.manifest["agreement"]["outputs"].values()
    assert bundle.manifest["wider"]["more_time_percent"] <= 50 and output["sqnr_db"] > 20
    real = onnxruntime.InferenceSession(subject.proto.SerializeToString(), providers=["CPUExecutionProvider"])
    session = qglow.InferenceSession(bundle, 1)
    pairs = [powers(real.run(None, t), session.run(None, t)) for t in subject.tests]
    assert summary(np.array([s for s, _ in pairs]), np.array([n for _, n in pairs]), None).mean > 27


def found(noise: list[float]) -> Agreement:
    error = Error()
    for n in noise:
        error.add(np.array([10.0]), np.array([10.0 + n**0.5]))
    return Agreement(outputs={"y": error})


def test_the_noisiest_fold_and_the_mean_gain() -> None:
    """Cross-validation adds fold after fold: of 10 samples 3, 3, 2 and 2."""
    noise = [1.0] * 10
    for place, fold in ((0, 0), (2, 0), (3, 1), (5, 1), (6, 2), (7, 2), (8, 3), (9, 3)):
        assert noisiest_fold(found([100.0 if k == place else n for k, n in enumerate(noise)])) == fold
    assert abs(gain_of_samples(found([10.0] * 10), found(noise)) - 10) < 1e-6
    one = found([1e6, *noise[1:]]), found([1.0, *(2 * n for n in noise[1:])])
    assert gain_of_samples(*one) < 60 / 10
