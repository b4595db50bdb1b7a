"""Metrics beside plain implementations of others, and scores of float and int8 with an interval."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from sklearn.metrics import jaccard_score, log_loss, top_k_accuracy_score

import qglow
from qglow import metrics
from qglow.errors import ConfigError, DataError

RNG = np.random.default_rng(0)


@pytest.mark.parametrize("k", [1, 5])
def test_top_k_is_that_of_scikit_learn(k: int) -> None:
    scores, labels = RNG.normal(0, 1, (200, 10)).astype(np.float32), RNG.integers(0, 10, 200)
    found = metrics.top_k("y", k)([{"y": s[None]} for s in scores], labels.tolist())
    assert found == pytest.approx(top_k_accuracy_score(labels, scores, k=k, labels=range(10)))


@pytest.mark.parametrize("as_classes", [False, True])
def test_mean_iou_is_that_of_scikit_learn(as_classes: bool) -> None:
    scores, labels = RNG.normal(0, 1, (5, 1, 4, 9, 7)).astype(np.float32), RNG.integers(0, 4, (5, 1, 9, 7))
    labels[:, :, 0] = 255
    got = scores.argmax(2)
    outputs = [{"y": g} for g in got] if as_classes else [{"y": s} for s in scores]
    known = labels != 255
    wanted = jaccard_score(labels[known], got[known], average="macro")
    assert metrics.mean_iou("y", 4)(outputs, list(labels)) == pytest.approx(wanted)
    assert metrics.mean_iou("y", 9)(outputs, list(labels)) == pytest.approx(wanted)  # classes that are not there


def plain_f1(found: list[list[float]], wanted: list[list[float]], iou: float) -> tuple[int, int]:
    left, matched = list(wanted), 0
    for box in sorted(found, key=lambda b: -b[4]):
        best, chosen = 0.0, None
        for other in left:
            w = min(box[2], other[2]) - max(box[0], other[0])
            h = min(box[3], other[3]) - max(box[1], other[1])
            both = max(0.0, w) * max(0.0, h)
            area = (box[2] - box[0]) * (box[3] - box[1]) + (other[2] - other[0]) * (other[3] - other[1])
            if other[4] == box[5] and both / (area - both) > best:
                best, chosen = both / (area - both), other
        if chosen is not None and best >= iou:
            left.remove(chosen)
            matched += 1
    return 2 * matched, len(found) + len(wanted)


def test_boxes_are_matched_as_by_a_plain_loop() -> None:
    outputs, labels, sums = [], [], np.zeros(2)
    for _ in range(20):
        corner = RNG.uniform(0, 20, (RNG.integers(0, 8), 2))
        wanted = np.hstack([corner, corner + RNG.uniform(3, 8, corner.shape), RNG.integers(0, 2, (len(corner), 1))])
        near = wanted[:, :4] + RNG.normal(0, 0.8, (len(wanted), 4))
        found = np.hstack([near, RNG.uniform(0, 1, (len(wanted), 1)), wanted[:, 4:]])
        outputs.append({"boxes": found})
        labels.append(wanted)
        sums += plain_f1(found.tolist(), wanted.tolist(), 0.5)
    assert 0.2 < sums[0] / sums[1] < 0.95
    assert metrics.box_agreement(lambda o: o["boxes"])(outputs, labels) == pytest.approx(sums[0] / sums[1])
    assert metrics.box_agreement(lambda o: np.zeros((0, 5)))([{}], [np.zeros((0, 4))]) == 1.0


def test_texts_are_decoded_and_counted() -> None:
    alphabet, steps = "-abc", [1, 1, 0, 1, 2, 2, 0, 3]
    scores = np.eye(4, dtype=np.float32)[steps][None]
    decode = metrics.greedy_ctc("y", alphabet)
    assert decode({"y": scores}) == decode({"y": scores.transpose(1, 0, 2)}) == "aabc"

    def plain(a: str, b: str) -> int:
        if not a or not b:
            return len(a) + len(b)
        return min(plain(a[1:], b) + 1, plain(a, b[1:]) + 1, plain(a[1:], b[1:]) + (a[0] != b[0]))

    texts = [("kitten", "sitting"), ("", "ab"), ("abc", "abc"), ("flaw", "lawn"), ("abcd", "")]
    rate = metrics.character_error_rate(lambda o: str(o["t"]))([{"t": a} for a, _ in texts], [b for _, b in texts])
    assert rate == pytest.approx(sum(plain(a, b) for a, b in texts) / sum(len(b) for _, b in texts))


def test_perplexity_is_e_to_the_log_loss_of_scikit_learn() -> None:
    logits, tokens = RNG.normal(0, 3, (6, 1, 8, 11)), RNG.integers(0, 11, (6, 1, 8))
    p = np.exp(logits) / np.exp(logits).sum(-1, keepdims=True)
    wanted = np.exp(log_loss(tokens.ravel(), p.reshape(-1, 11), labels=range(11)))
    found = metrics.perplexity("y")([{"y": x.astype(np.float32)} for x in logits], list(tokens))
    assert found == pytest.approx(wanted, rel=1e-5)
    padded = np.concatenate([tokens, np.full((6, 1, 2), -1)], -1)
    longer = np.concatenate([logits, RNG.normal(0, 9, (6, 1, 2, 11))], 2)
    assert metrics.perplexity("y")([{"y": x} for x in longer], list(padded)) == pytest.approx(wanted)


def test_noise_by_step() -> None:
    real = [RNG.normal(0, 1, (1, 40)) for _ in range(6)]
    made = [a + 10.0 ** -(1 + 0.5 * k) * np.sign(a) * np.sqrt((a * a).mean()) for k, a in enumerate(real)]
    assert metrics.noise_by_step(real, made) == pytest.approx([20 + 10 * k for k in range(6)])
    along = metrics.noise_by_step([np.concatenate(real)], [np.concatenate(made)], axis=0)
    assert along == pytest.approx([20 + 10 * k for k in range(6)])
    assert metrics.noise_by_step(real, real).tolist() == [200.0] * 6


def test_any_function_is_a_metric_of_float_and_int8(digits: Path) -> None:
    recorded = qglow.profile(digits / "model.onnx", digits, samples=8)
    config = {"activations": "int8", "calibration": "percentile", "percentile": 90.0}
    bundle = qglow.quantize(digits / "model.onnx", recorded, config, check=False)
    samples = [{"image": np.load(digits / f"{k:03d}.npy")} for k in range(100)]
    labels = [int(line.split(",")[1]) for line in (digits / "labels.csv").read_text().split()[1:101]]

    def right(outputs: list[dict[str, np.ndarray]], wanted: list[int]) -> float:
        return sum(int(o["scores"].argmax()) == w for o, w in zip(outputs, wanted, strict=True)) / len(wanted)

    asked = {"right": right, "top-1": metrics.top_k("scores")}
    report = qglow.compare(digits / "model.onnx", bundle, samples, labels, metrics=asked, layer_samples=1)
    first, second = report.to_dict()["metrics"]
    plain = qglow.compare(digits / "model.onnx", bundle, samples, labels, layer_samples=1)
    known = plain.to_dict()["outputs"]["scores"]
    assert (first["fp32"], first["int8"]) == (second["fp32"], second["int8"])
    assert (first["fp32"], first["int8"]) == pytest.approx((known["top1_fp32"], known["top1_int8"]))
    assert first["low"] <= first["int8"] - first["fp32"] <= first["high"] and first["high"] - first["low"] < 0.2
    assert "right: " in report.summary()
    with pytest.raises(ConfigError, match="metric 'bad' failed: ZeroDivisionError"):
        qglow.compare(digits / "model.onnx", bundle, samples[:2], labels[:2], metrics={"bad": lambda o, w: 1 / 0})
    with pytest.raises(DataError, match="3 labels for 2 samples"):
        qglow.compare(digits / "model.onnx", bundle, samples[:2], labels[:3], metrics=asked)
    with pytest.raises(ConfigError, match="metrics need labels"):
        qglow.compare(digits / "model.onnx", bundle, samples[:2], metrics=asked)
