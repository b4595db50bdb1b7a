"""Every op that qglow means, beside onnxruntime: attributes, defaults, ranks, broadcasting, axes, opsets, dtypes."""

from __future__ import annotations

import pytest
from sweep import pointwise, products, recurrent, reductions, regions, shaping, windowing
from sweep.case import Case, Family
from sweep.expected_failures import EXPECTED, rows_of
from sweep.judge import ENGINES, models_of, verdicts

from qglow.onnx_import.onnx_fallback import HELD
from qglow.reference import FLOAT

FAMILIES = [f for m in (pointwise, reductions, products, windowing, shaping, recurrent, regions) for f in m.FAMILIES]
# they have no ONNX node of their own
ELSEWHERE = {"Select", "SafeSoftmax", "SequenceMask", "BoundedSuppression", "FirstRows"}


def distinct(family: Family) -> list[Case]:
    return list({c.name: c for c in family()}.values())


GROUPS = {f"{family.__name__}-{cases[0].opset}": cases for family in FAMILIES for cases in models_of(distinct(family))}


@pytest.mark.parametrize("group", GROUPS)
def test_engines_agree_with_onnxruntime(group: str) -> None:
    cases = GROUPS[group]
    found = [(engine, name, why) for engine in ENGINES for name, why in verdicts(cases, engine).items()]
    wrong = [": ".join(f) for f in found if not rows_of(f[1])]
    assert not wrong, "\n".join([f"{len(wrong)} of {len(ENGINES) * len(cases)} are wrong", *wrong])
    used = {k for _, name, _ in found for k in rows_of(name)}
    meant = {k for c in cases for k in rows_of(c.name)}
    assert used == meant, f"rows that nothing fails by any more: {[EXPECTED[k] for k in sorted(meant - used)]}"


def test_every_op_is_swept() -> None:
    swept = {c.op for cases in GROUPS.values() for c in cases}
    assert set(FLOAT) - swept == ELSEWHERE


def test_what_is_left_to_onnx_is_swept() -> None:
    swept = {c.op for f in FAMILIES for c in f()}
    assert not HELD - swept, "onnx.reference is trusted with what nothing holds it to"


def test_every_expected_failure_names_a_case() -> None:
    met = {k for cases in GROUPS.values() for c in cases for k in rows_of(c.name)}
    assert met == set(range(len(EXPECTED)))
