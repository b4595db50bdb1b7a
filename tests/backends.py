"""Hold every backend of a session against the reference, bit for bit."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

import qglow
from qglow.graph import Array, Graph
from qglow.reference import evaluate
from qglow.runtime.backends import BACKENDS


def backends_agree(graph: Graph, feeds: Mapping[str, Array]) -> None:
    """Raises AssertionError, with the backend and the output, where one has other bits than the reference."""
    want = evaluate(graph, feeds)
    for backend in BACKENDS:
        got = qglow.InferenceSession(graph, 1, backend=backend).run(None, feeds)
        for name, array in zip(graph.outputs, got, strict=True):
            assert array.dtype == want[name].dtype, f"{backend}: {name} is {array.dtype}"
            assert np.array_equal(array, want[name], equal_nan=array.dtype.kind == "f"), f"{backend}: {name} differs"
