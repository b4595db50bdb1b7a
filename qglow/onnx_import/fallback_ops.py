"""What the package hands to the reference: meanings and types of the nodes that keep an op of ONNX as data."""

from __future__ import annotations

from ..fallback import FallbackOps
from .fallback_types import infer
from .onnx_fallback import evaluate

FALLBACK_OPS = FallbackOps(evaluate, infer)
