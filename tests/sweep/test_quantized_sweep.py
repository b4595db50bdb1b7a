"""Every op with an int8 variant, in models that come quantized: a step beside onnxruntime, and the reference's bits."""

from __future__ import annotations

import pytest
from sweep.case import Case
from sweep.expected_failures import EXPECTED_INT8, rows_of
from sweep.quantized import INT8, Results, groups, verdicts


@pytest.fixture(scope="module")
def known() -> list[tuple[list[Case], Results]]:
    return list(groups())


@pytest.mark.parametrize("before", [True, False], ids=["a product before", "a product beside"])
def test_quantized_ops_agree_with_onnxruntime(known: list[tuple[list[Case], Results]], before: bool) -> None:
    found: dict[str, str] = {}
    counts: dict[str, int] = {}
    for cases, results in known:
        found |= verdicts(cases, results, before, counts)
    wrong = {name: why for name, why in found.items() if not rows_of(name, EXPECTED_INT8)}
    assert not wrong, "\n".join([f"{len(wrong)} are wrong", *(f"{k}: {v}" for k, v in wrong.items())])
    used = {k for name in found for k in rows_of(name, EXPECTED_INT8)}
    assert used == set(range(len(EXPECTED_INT8))), "rows that nothing fails by any more"
    assert not (left := [op for op in INT8 if not counts.get(op)]), f"nothing computes these in integers: {left}"
