"""The stored models are those that their scripts make, but for what another CPU trains; they are good at their task."""

from __future__ import annotations

import numpy as np
import onnx
import pytest
from onnx import numpy_helper

from bench.accuracy import made
from bench.accuracy.grown import GROWN
from tests.trained import families, stored
from tests.trained.net import onnxruntime_session

MAKERS = {**families.FAMILIES, **GROWN, families.QUANTIZED: families.quantized}


def structure(model: onnx.ModelProto) -> list[object]:
    """All but the numbers that are learned."""
    constants = [(c.name, c.data_type, tuple(c.dims)) for c in model.graph.initializer]
    nodes = [(n.op_type, list(n.input), list(n.output), sorted(map(str, n.attribute))) for n in model.graph.node]
    kept = [numpy_helper.to_array(c).tolist() for c in model.graph.initializer if c.data_type == onnx.TensorProto.INT64]
    return [model.opset_import[0].version, list(model.graph.input), list(model.graph.output), constants, nodes, kept]


def test_no_other_file_is_stored() -> None:
    assert {f.stem for f in stored.FOLDER.iterdir()} == set(MAKERS)


@pytest.mark.parametrize("name", MAKERS)
def test_a_stored_model_is_what_its_script_makes(name: str) -> None:
    assert structure(stored.model(name)) == structure(MAKERS[name]())


@pytest.mark.parametrize("name", made.MODELS)
def test_a_stored_model_is_good_at_its_task(name: str) -> None:
    model = made.MODELS[name]()
    session = onnxruntime_session(model.proto)
    answers = [session.run(None, feed) for feed in model.tests]
    assert all(np.isfinite(a).all() for answer in answers for a in answer)
    if model.score is not None:
        assert np.mean([model.score(k, answer) for k, answer in enumerate(answers)]) >= 50  # chance has 10
