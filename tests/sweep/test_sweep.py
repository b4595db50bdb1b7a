"""Every op that qglow means, beside onnxruntime: attributes, defaults, ranks, broadcasting, axes, opsets, dtypes."""

from __future__ import annotations

import pytest
from sweep import pointwise, products, recurrent, reductions, shaping, windowing
from sweep.case import Case, Family
from sweep.expected_failures import EXPECTED, rows_of
from sweep.judge import ENGINES, models_of, verdicts

from qglow.reference import FLOAT

FAMILIES = [f for m in (pointwise, reductions, products, windowing, shaping, recurrent) for f in m.FAMILIES]
ELSEWHERE = {
    "Select",
    "DequantizeLinear",
    "QuantizeLinear",
}  # what has no ONNX node of its own, and what the quantized sweep holds


def distinct(family: Family) -> list[Case]:
    return list({c.name: c for c in family()}.values())


@pytest.mark.parametrize("family", FAMILIES, ids=lambda f: f.__name__)
def test_engines_agree_with_onnxruntime(family: Family) -> None:
    cases = distinct(family)
    found = [
        f"{engine}: {name}: {why}"
        for engine in ENGINES
        for group in models_of(cases)
        for name, why in verdicts(group, engine).items()
    ]
    names = [line.split(": ")[1] for line in found]
    wrong = [line for line, name in zip(found, names, strict=True) if not rows_of(name)]
    assert not wrong, "\n".join([f"{len(wrong)} of {len(ENGINES) * len(cases)} are wrong", *wrong])
    used = {k for name in names for k in rows_of(name)}
    meant = {k for c in cases for k in rows_of(c.name)}
    assert used == meant, f"rows that nothing fails by any more: {[EXPECTED[k] for k in sorted(meant - used)]}"


def test_every_op_is_swept() -> None:
    swept = {c.op for f in FAMILIES for c in f()}
    assert set(FLOAT) - swept == ELSEWHERE


def test_every_expected_failure_names_a_case() -> None:
    met = {k for f in FAMILIES for c in f() for k in rows_of(c.name)}
    assert met == set(range(len(EXPECTED)))
