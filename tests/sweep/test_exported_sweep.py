"""The sweep's cases as models that qglow exports: onnxruntime gives the same for them as for the models that they came
from.

A graph of floats comes back as it was read. A quantized one comes back with QDQ nodes, and is within a step of the
integers' law.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import onnx
import pytest
from onnx import helper
from sweep.case import Array, Case
from sweep.expected_failures import rows_of
from sweep.judge import difference, model_of, oracle, with_types
from sweep.quantized import build, results_of
from sweep.test_quantized_sweep import GROUPS as QUANTIZED
from sweep.test_sweep import GROUPS

import qglow
from qglow.errors import ModelError
from qglow.onnx_import.export_float import OPSET, export_float
from qglow.onnx_import.export_qdq import export_qdq
from qglow.pipeline import float_graph
from qglow.reference import evaluate

REFUSED = ("DFT.17",)  # of other opsets than the one that models are exported in


def run(model: onnx.ModelProto, feeds: dict[str, Array]) -> dict[str, Array]:
    """Constants that were inputs of a node without effect are not inputs of the exported model."""
    names = {i.name for i in model.graph.input}
    return oracle(model, {k: v for k, v in feeds.items() if k in names}, optimize=False)


def is_exported(c: Case) -> bool:
    return not c.name.startswith(REFUSED) and not rows_of(c.name)


@pytest.mark.parametrize("group", GROUPS)
def test_floats(group: str) -> None:
    cases = [c for c in GROUPS[group] if is_exported(c)]
    if not cases:
        return
    model, feeds = model_of(cases)
    want = oracle(model, feeds)
    got = run(export_float(float_graph(with_types(model, want))), feeds)
    wrong = {name: why for name, a in want.items() if (why := difference(got[name], a, 1e-5))}
    assert not wrong, [f"{cases[int(name[1:].split('_')[0])].name}: {why}" for name, why in wrong.items()]


def faults(cases: Sequence[Case], results: Sequence[Sequence[Array]]) -> list[str]:
    """Cases whose exported model is further than a step from the law."""
    model, steps = build(cases, results, True)
    graph = qglow.quantize(model.proto(), check=False).graph
    law, got, wrong = evaluate(graph, model.feeds), run(export_qdq(graph), model.feeds), []
    for number, (c, widths) in enumerate(zip(cases, steps, strict=True)):
        for k, step in enumerate(widths):
            name = f"o{number}_{k}" + ("_d" if step else "")
            a, b = law[name], got[name]
            if (a.shape, a.dtype) != (b.shape, b.dtype) or np.abs(a.astype(np.float64) - b).max(
                initial=0
            ) > step * 1.001:
                wrong.append(c.name)
    return wrong


@pytest.mark.parametrize("group", QUANTIZED)
def test_quantized(group: str) -> None:
    forms = {
        (c.op, *sorted(c.attributes), *(type(i).__name__ for i in c.inputs)): c
        for c in QUANTIZED[group]
        if not rows_of(c.name)
    }
    cases, results = results_of(list(forms.values()))
    assert not faults(cases, results)


@pytest.mark.parametrize("name", REFUSED)
def test_an_operator_that_is_another_one_later_is_refused(name: str) -> None:
    case = next(c for cases in GROUPS.values() for c in cases if c.name.startswith(name))
    model, feeds = model_of([case])
    with pytest.raises(ModelError, match=f"of opset {case.opset} cannot be exported"):
        export_float(float_graph(with_types(model, oracle(model, feeds))))


def test_a_body_of_an_old_opset_is_refused() -> None:
    """Softmax over the last axis is another one before opset 13: as a part of a Loop it is kept as it was."""
    x, c = helper.make_tensor_value_info("x", 1, (2, 3, 4)), helper.make_tensor_value_info("c", 9, ())
    inner = [helper.make_node("Softmax", ["h"], ["z"]), helper.make_node("Identity", ["k"], ["j"])]
    kept = [helper.make_tensor_value_info(n, t, s) for n, t, s in (("i", 7, ()), ("k", 9, ()), ("h", 1, (2, 3, 4)))]
    made = [helper.make_tensor_value_info(n, t, s) for n, t, s in (("j", 9, ()), ("z", 1, (2, 3, 4)))]
    loop = helper.make_node(
        "Loop", ["n", "c", "x"], ["y"], name="loop", body=helper.make_graph(inner, "body", kept, made)
    )
    count = helper.make_tensor_value_info("n", 7, ())
    y = helper.make_tensor_value_info("y", 1, (2, 3, 4))
    for opset in (11, OPSET):
        graph = helper.make_graph([loop], "g", [x, c, count], [y])
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=8)
        feeds = {
            "x": np.random.default_rng(0).normal(size=(2, 3, 4)).astype(np.float32),
            "c": np.array(True),
            "n": np.array(2),
        }
        if opset == OPSET:
            assert (
                difference(run(export_float(float_graph(model)), feeds)["y"], oracle(model, feeds)["y"], 1e-6) is None
            )
        else:
            with pytest.raises(ModelError, match="Softmax of opset 11 cannot be exported"):
                export_float(float_graph(model))
