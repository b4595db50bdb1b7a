"""Nodes that are nearly right are refused, or mean the same to every engine and to onnxruntime where it takes them."""

from __future__ import annotations

from random import Random

import numpy as np
import onnxruntime as ort
import pytest
from sweep.case import Case, Fixed
from sweep.judge import difference, model_of, oracle
from sweep.odd import odd_cases
from sweep.test_sweep import GROUPS

import qglow
from qglow.onnx_import import load
from qglow.pipeline import float_graph
from qglow.reference import evaluate

EACH = 14  # of every op
KNOWN = {
    "Resize": "keep_aspect_ratio_policy with negative axes: onnxruntime leaves the axis as it is",
    "HannWindow": "periodic is 0 or 1", "HammingWindow": "periodic is 0 or 1", "BlackmanWindow": "periodic is 0 or 1",
    "AffineGrid": "align_corners is 0 or 1", "Cast": "to float16 is to float32, which holds what it holds",
    "TopK": "sorted=0 leaves the order open", "ReverseSequence": "negative axes, which ONNX does not have",
    "NegativeLogLikelihoodLoss": "a negative class, which onnxruntime reads before its array",
    "SoftmaxCrossEntropyLoss": "likewise",
}  # fmt: skip


def chosen() -> dict[str, list[Case]]:
    random, by_op = Random(11), dict[str, list[Case]]()
    for case in (c for cases in GROUPS.values() for c in cases):
        by_op.setdefault(case.op, []).append(case)
    found = {}
    for op, cases in sorted(by_op.items()):
        odd = [o for case in random.sample(cases, min(6, len(cases))) for o in odd_cases(case, random)]
        found[op] = random.sample(odd, min(EACH, len(odd)))
    return found


CHOSEN = chosen()


def answer(case: Case) -> list[np.ndarray] | None:
    model, feeds = model_of([case])
    try:
        return qglow.InferenceSession(float_graph(model), threads=1).run(None, feeds)
    except qglow.QGlowError:
        return None


def reference(case: Case) -> list[np.ndarray] | None:
    model, feeds = model_of([case])
    try:
        return [*evaluate(load(model), feeds).values()]
    except qglow.QGlowError:
        return None


def by_onnxruntime(case: Case) -> list[np.ndarray] | None:
    try:
        return [*oracle(*model_of([case])).values()]
    except Exception:  # noqa: BLE001  (whatever it raises is a refusal)
        return None


def wrong(case: Case) -> str | None:
    got = answer(case)
    if got is None:
        return None  # NOTE: and it is not given to onnxruntime, which some of these end
    meant = reference(case)
    if meant is None:
        return f"the session answers {[a.shape for a in got]} where the reference refuses"
    theirs = None if case.op in KNOWN else by_onnxruntime(case)
    for name, wanted in (("the reference", meant), ("onnxruntime", theirs)):
        for a, b in zip(got, wanted or (), strict=False):
            if said := difference(a, b, max(case.tolerance, 1e-4)):
                return f"{name}: {said}"
    return None


@pytest.mark.parametrize("part", range(6))
def test_odd_nodes_are_refused_or_right(part: int) -> None:
    ort.set_default_logger_severity(4)
    cases = [c for op in list(CHOSEN)[part::6] for c in CHOSEN[op]]
    found = [(c.name, c.attributes, said) for c in cases if (said := wrong(c)) is not None]
    assert not found, "\n".join(map(str, found))


def test_most_ops_have_odd_cases() -> None:
    assert sum(len(c) for c in CHOSEN.values()) > 1000


X = np.arange(24, dtype=np.float32).reshape(2, 3, 4)
IMAGE = np.arange(72, dtype=np.float32).reshape(1, 1, 8, 9)
ONES = Fixed(np.ones((1, 1, 3, 3), np.float32))


@pytest.mark.parametrize("case", [
    Case("Gather", (X, Fixed(np.array([2, 0]))), {"axis": 0}, 13),
    Case("Squeeze", (X[None],), {"axes": [9]}, 11),
    Case("Unsqueeze", (X,), {"axes": [4, -1]}, 11),
    Case("Pad", (X,), {"pads": [0] * 5}, 7),
    Case("Slice", (X, *(Fixed(np.array([v])) for v in (0, 2**63 - 1, 3))), {}, 13),
    Case("Softmax", (X,), {"axis": 7}, 13),
    Case("GatherND", (X, Fixed(np.array([[0], [1]]))), {"batch_dims": -2}, 18),
    Case("ConvTranspose", (IMAGE, ONES), {"pads": [1, -1, 1, 1]}, 18),
    Case("Conv", (IMAGE, ONES), {"auto_pad": "SAME_UPPER", "strides": [9, 1]}, 18),
    Case("AveragePool", (IMAGE,), {"kernel_shape": [9, 3], "strides": [3, 1]}, 18),
], ids=lambda c: f"{c.op}-{c.opset}")  # fmt: skip
def test_is_refused(case: Case) -> None:
    assert answer(case) is None


@pytest.mark.parametrize("end", [2**31 - 1, 2**63 - 1])
@pytest.mark.parametrize("start", [0, 2, 2**63 - 1])
def test_the_far_end_of_a_negative_step(start: int, end: int) -> None:
    case = Case("Slice", (X, *(Fixed(np.array([v])) for v in (start, end, 2, -1))), {}, 13)
    assert wrong(case) is None and answer(case)[0].shape[2] > 0  # type: ignore[index]


@pytest.mark.parametrize("exponent", [-2.5, -0.5, 0.3, 1.5])
def test_powers_of_infinities(exponent: float) -> None:
    x = np.array([-np.inf, np.inf, np.nan, -2, -0.0, 0, 2] * 3, np.float32)
    assert wrong(Case("Pow", (x, Fixed(np.array(exponent, np.float32))), {}, 15)) is None


@pytest.mark.parametrize("dtype", ["float32", "float64", "int8", "int64", "uint64", "bool"])
def test_numbers_as_strings_and_back(dtype: str) -> None:
    values = [0, 1, 100] if dtype[0] in "iub" else [0.0, -0.0, 1 / 3, 1e10, 1e-10, np.inf, -np.inf, np.nan]
    assert wrong(Case("Cast", (np.array(values, dtype),), {"to": 8}, 13)) is None
    words = ["1.5", "-2", " 4", "+3", "1e3", *(["nan", "-INF"] if dtype[0] == "f" else [])]
    number = {"float32": 1, "float64": 11, "int8": 3, "int64": 7, "uint64": 13, "bool": 9}[dtype]
    assert wrong(Case("Cast", (np.array(words, object),), {"to": number}, 13)) is None
    assert answer(Case("Cast", (np.array(["abc"], object),), {"to": number}, 13)) is None
