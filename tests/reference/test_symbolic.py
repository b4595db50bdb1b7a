"""Shapes that follow before dimensions have sizes agree with those of the values themselves."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import shared_models

from qglow.graph import Graph, TensorType
from qglow.pipeline import float_graph
from qglow.reference import evaluate
from qglow.reference.refine import refine


def forgotten(graph: Graph) -> Graph:
    """The graph with no shapes but those of its inputs and constants."""
    known = {*graph.inputs, *graph.constants}
    return graph.with_(
        types={v: t if v in known else TensorType(t.dtype, None, t.quant) for v, t in graph.types.items()}
    )


def agreed(graph: Graph, feeds: dict[str, np.ndarray]) -> float:
    """Holds every shape that follows against the value's own; the part of the values that have one."""
    values: dict[str, np.ndarray] = {}
    evaluate(graph, feeds, keep=values.__setitem__)
    types = refine(forgotten(graph)).types
    for name, array in values.items():
        shape = types[name].shape
        if shape is not None:
            assert len(shape) == array.ndim, f"{name}: expected {array.shape}, got {shape}"
            for d, size in zip(shape, array.shape, strict=True):
                assert not isinstance(d, int) or d == size, f"{name}: expected {array.shape}, got {shape}"
    return sum(types[v].shape is not None for v in values) / len(values)


def test_the_demo_is_known_as_a_whole(digits: Path) -> None:
    assert agreed(float_graph(digits / "model.onnx"), {"image": np.load(digits / "005.npy")}) == 1


@pytest.mark.parametrize("name", shared_models.with_made([
    "dtln_1", "vittrack_opencv", "yunet_n_320", "ppocr_v3_det_ch", "stories260K_llama", "lprnet",
    "tract_byte_sb_bidi_lstm",
    "magika_v3_3",
]))  # fmt: skip
def test_real_models_are_known_as_a_whole(name: str) -> None:
    assert agreed(float_graph(shared_models.path(name)), shared_models.feeds(name, 1)[0]) == 1


@pytest.mark.models
@pytest.mark.parametrize("name", ["silero_vad_16k_op15"])
def test_what_a_shape_depends_on_is_not_guessed(name: str) -> None:
    """A branch of two ranks."""
    assert 0.1 < agreed(float_graph(shared_models.path(name)), shared_models.feeds(name, 1)[0]) < 0.5
