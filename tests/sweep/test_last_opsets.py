"""The sweep's forms in the last opset before each schema changes: what an op was holds up to there, beside
onnxruntime."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import replace

import pytest
from sweep.case import NEWEST, Case, versions
from sweep.expected_failures import rows_of
from sweep.judge import verdicts
from sweep.test_sweep import GROUPS


def last_of(c: Case) -> int:
    """The last opset with the schema that a case's op has in the case's own."""
    return next((v - 1 for v in versions(c.op) if v > c.opset), NEWEST)


def forms() -> dict[int, list[Case]]:
    """By opset: of each op the cases of other attributes and numbers of inputs, moved to the last opset with their
    schema."""
    found: dict[object, Case] = {}
    for c in (c for cases in GROUPS.values() for c in cases if not c.domain and not rows_of(c.name)):
        last = last_of(c)
        if c.opset < last < NEWEST:
            found[c.op, last, tuple(sorted(c.attributes)), len(c.inputs)] = replace(c, opset=last)
    moved = defaultdict(list)
    for c in found.values():
        if not rows_of(c.name):
            moved[c.opset].append(c)
    return dict(moved)


FORMS = forms()


@pytest.mark.parametrize("opset", sorted(FORMS))
def test_the_last_opset_of_each_schema(opset: int) -> None:
    assert not verdicts(FORMS[opset], "session")


def test_every_schema_that_ended_is_met() -> None:
    met = {(c.op, c.opset) for cases in FORMS.values() for c in cases}
    assert ("Pad", 10) in met and ("Softmax", 12) in met and ("Split", 17) in met and len(met) > 150
