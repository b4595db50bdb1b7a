"""Of a small data set the rule of ranges is that which is better in cross-validation."""

from __future__ import annotations

import numpy as np
import onnxruntime
import pytest
from onnx import ModelProto, TensorProto, helper, numpy_helper

import qglow
from qglow.report import judging, range_choice
from qglow.report.agreement import Agreement
from qglow.report.comparison import Error
from qglow.report.gain import powers
from qglow.report.range_choice import is_better

Samples = list[dict[str, np.ndarray]]


def model() -> ModelProto:
    """y = 2 x by a convolution, x float32 [1, 1, 48, 48]."""
    w = numpy_helper.from_array(np.full((1, 1, 1, 1), 2, np.float32), "w")
    x, y = (helper.make_tensor_value_info(n, TensorProto.FLOAT, [1, 1, 48, 48]) for n in "xy")
    graph = helper.make_graph([helper.make_node("Conv", ["x", "w"], ["y"])], "g", [x], [y], [w])
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)


def samples(count: int, seed: int, is_heavy: bool) -> Samples:
    """Pictures of noise, Laplace's or normal, each of a brightness of its own."""
    rng = np.random.default_rng(seed)
    draw, spread = (rng.laplace, 0.3) if is_heavy else (rng.normal, 0.6)
    found = []
    for _ in range(count):
        x = draw(0, 1, (1, 1, 48, 48)) * np.exp(rng.normal(0, spread))
        found.append({"x": x.astype(np.float32)})
    return found


def noise(config: dict[str, str], calibration: Samples, tests: Samples) -> tuple[float, str]:
    """Over signal on the tests, and the rule that was taken."""
    proto = model()
    bundle = qglow.quantize(proto, qglow.profile(proto, calibration), {"widen_percent": 0, **config})
    real = onnxruntime.InferenceSession(proto.SerializeToString(), providers=["CPUExecutionProvider"])
    session = qglow.InferenceSession(bundle, 1)
    pairs = [(real.run(None, t)[0], session.run(None, t)[0]) for t in tests]
    made = sum(float(((a - b) ** 2).sum()) for a, b in pairs) / sum(float((a**2).sum()) for a, _ in pairs)
    return made, bundle.manifest["config"].get("calibration", "mse")


@pytest.mark.parametrize(
    ("count", "is_heavy", "better"), [(6, True, "minmax"), (12, True, "minmax"), (12, False, "mse")]
)
def test_the_rule_that_is_better_on_new_samples(count: int, is_heavy: bool, better: str) -> None:
    """6 samples are judged by those that calibration saw, 12 by cross-validation: ranges are chosen alike."""
    calibration, tests = samples(count, 1, is_heavy), samples(40, 101, is_heavy)
    shares = {rule: noise({"calibration": rule}, calibration, tests)[0] for rule in ("mse", "minmax")}
    assert 1.05 * shares[better] < max(shares.values())
    assert noise({}, calibration, tests) == (shares[better], better)


def test_what_takes_long_or_was_held_back_is_not_validated(monkeypatch: pytest.MonkeyPatch) -> None:
    graph = qglow.pipeline.float_graph(model())
    few, small, many = (qglow.profile(graph, samples(n, 1, True)) for n in (3, 4, 40))
    grounds = [range_choice.cross_validated(p, graph) for p in (few, small, many)]
    assert [g is not None for g in grounds] == [False, True, False]
    assert grounds[1] is not None and grounds[1].how == judging.CROSS_VALIDATION and len(grounds[1].data) == 4
    monkeypatch.setattr(range_choice, "SECONDS", 0.0)
    assert range_choice.cross_validated(small, graph) is None


def found(noise: list[float], samples: int | None = None) -> Agreement:
    error = Error()
    for n in noise:
        error.add(np.array([10.0]), np.array([10.0 + n**0.5]))
    return Agreement(outputs={"y": error}, samples=len(noise) if samples is None else samples)


def test_both_the_whole_and_the_mean_sample_gain() -> None:
    assert is_better(found([1, 1, 1]), found([0.5, 0.5, 0.5]))
    assert not is_better(found([1, 1, 1]), found([1, 1, 1]))
    assert not is_better(found([9, 1, 1]), found([5, 1.9, 1.9]))  # the whole alone
    assert not is_better(found([9, 1, 1]), found([12, 0.1, 0.1]))  # the mean sample alone
    assert is_better(found([1, 1]), found([0.5, 0.5]), 9) and not is_better(found([1, 1]), found([0.5, 0.5]), 11)
    assert is_better(found([10, 10]), found([5, 5]), 40)  # below 20 dB time is no matter
    assert powers(found([4.0, 1.0], 3)).round(6).tolist() == [[[4], [1], [0]], [[100], [100], [0]]]
