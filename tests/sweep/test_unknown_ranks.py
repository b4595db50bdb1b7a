"""The sweep's operators on values of which not even the rank is known before they are there: onnxruntime's answers all
the same."""

from __future__ import annotations

import numpy as np
import onnx
import pytest
from onnx import helper
from sweep.case import Array, Case
from sweep.expected_failures import rows_of
from sweep.judge import difference, model_of, oracle, with_types
from sweep.test_sweep import GROUPS

import qglow
from qglow.errors import ModelError
from qglow.pipeline import float_graph

REFUSED = "GroupNormalization"  # its meaning here is made of other ops, by its rank


def hidden(model: onnx.ModelProto, feeds: dict[str, Array]) -> tuple[onnx.ModelProto, dict[str, Array]]:
    """The model with each input behind a Reshape to a shape of unknown length, where Reshape can keep it."""
    inputs = [i.name for i in model.graph.input if feeds[i.name].size and feeds[i.name].dtype.kind not in "OUS"]
    for node in model.graph.node:
        node.input[:] = [f"{i}.hidden" if i in inputs else i for i in node.input]
    nodes = [helper.make_node("Reshape", [i, f"{i}.shape"], [f"{i}.hidden"]) for i in inputs] + list(model.graph.node)
    del model.graph.node[:]
    model.graph.node.extend(nodes)
    model.graph.input.extend(
        helper.make_tensor_value_info(f"{i}.shape", onnx.TensorProto.INT64, [f"{i}.rank"]) for i in inputs
    )
    return model, feeds | {f"{i}.shape": np.array(feeds[i].shape, np.int64) for i in inputs}


def forms() -> dict[str, list[Case]]:
    """By op: a case of each opset and set of attributes."""
    found: dict[str, dict[object, Case]] = {}
    for c in (c for cases in GROUPS.values() for c in cases if not rows_of(c.name)):
        found.setdefault(c.op, {})[c.opset, tuple(sorted(c.attributes))] = c
    return {op: list(cases.values()) for op, cases in found.items()}


def wrong(c: Case) -> list[str]:
    model, feeds = model_of([c])
    want = oracle(model, feeds)
    model, feeds = hidden(with_types(model, want, symbolic=True), feeds)
    session = qglow.InferenceSession(float_graph(model), threads=1)
    got = dict(zip((o.name for o in session.get_outputs()), session.run(None, feeds), strict=True))
    return [f"{c.name}: {why}" for name, a in want.items() if (why := difference(got[name], a, c.tolerance))]


FORMS = forms()


@pytest.mark.parametrize("op", [op for op in FORMS if op != REFUSED])
def test_values_of_unknown_rank(op: str) -> None:
    assert not [fault for c in FORMS[op] for fault in wrong(c)]


def test_what_needs_the_rank_says_so() -> None:
    for c in FORMS[REFUSED]:
        with pytest.raises(ModelError, match="the rank of .* must be known"):
            wrong(c)


@pytest.mark.parametrize("opset", [12, 13, 22])
def test_a_mask_of_unknown_rank(opset: int) -> None:
    assert not wrong(Case("Dropout", (np.arange(6, dtype=np.float32).reshape(2, 3),), {}, opset, outputs=2))
