"""Common architectures as exporters write them, profiled at one shape and run at others, in int8 and in float, beside
onnxruntime."""

from __future__ import annotations

import pytest

from . import convnets, decoders, dense, encoders, layouts, masks, sequences, vision_transformers
from .judging import judge

FAMILIES = (convnets, decoders, dense, encoders, layouts, masks, sequences, vision_transformers)
CASES = {name: make for family in FAMILIES for name, make in family.CASES.items()}


@pytest.mark.parametrize("name", CASES)
def test_model(name: str) -> None:
    judge(CASES[name]())
