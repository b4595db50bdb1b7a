"""Every op with an int8 variant, in models that come quantized: a step beside onnxruntime, and the reference's bits."""

from __future__ import annotations

from functools import cache

import pytest
from sweep.case import Case
from sweep.expected_failures import EXPECTED_INT8, rows_of
from sweep.judge import models_of
from sweep.quantized import INT8, candidates, results_of, verdicts

GROUPS: dict[str, list[Case]] = {}
for _cases in models_of(candidates()):
    for _first in range(0, len(_cases), 150):
        GROUPS[f"{_cases[0].opset}.{_first // 150}"] = _cases[_first : _first + 150]


@cache
def outcome(group: str, before: bool) -> tuple[dict[str, str], dict[str, int]]:
    """What is wrong, by the case's name, and how many nodes of each op compute in integers."""
    counts: dict[str, int] = {}
    return verdicts(*results_of(GROUPS[group]), before, counts), counts


@pytest.mark.parametrize("before", [True, False], ids=["before", "beside"])
@pytest.mark.parametrize("group", GROUPS)
def test_quantized_ops_agree_with_onnxruntime(group: str, before: bool) -> None:
    found, _ = outcome(group, before)
    wrong = {name: why for name, why in found.items() if not rows_of(name, EXPECTED_INT8)}
    assert not wrong, "\n".join([f"{len(wrong)} are wrong", *(f"{k}: {v}" for k, v in wrong.items())])


def test_expected_failures_fail_and_every_op_computes_in_integers() -> None:
    outcomes = [outcome(group, before) for group in GROUPS for before in (True, False)]
    used = {k for found, _ in outcomes for name in found for k in rows_of(name, EXPECTED_INT8)}
    assert used == set(range(len(EXPECTED_INT8))), "rows that nothing fails by any more"
    left = [op for op in INT8 if not any(counts.get(op) for _, counts in outcomes)]
    assert not left, f"nothing computes these in integers: {left}"
