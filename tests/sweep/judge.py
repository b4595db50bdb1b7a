"""Hold qglow beside onnxruntime on many nodes at once: the cases of one opset are one model with many outputs."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence

import numpy as np
import onnx
import onnxruntime as ort
from onnx import helper, numpy_helper

import qglow
from qglow.onnx_import import load
from qglow.pipeline import float_graph
from qglow.reference import evaluate

from .case import Array, Case, Fixed

ENGINES = ("session", "reference", "fast reference", "symbolic session")
SYMBOLIC = "symbolic session"


def models_of(cases: Iterable[Case]) -> list[list[Case]]:
    """The cases by opset."""
    groups: dict[int, list[Case]] = defaultdict(list)
    for c in cases:
        groups[c.opset].append(c)
    return [groups[k] for k in sorted(groups)]


def model_of(cases: Sequence[Case], symbolic: bool = False) -> tuple[onnx.ModelProto, dict[str, Array]]:
    """One model of all cases, and its inputs. symbolic: no dimension of an input is known."""
    nodes, constants, inputs, outputs, feeds = [], [], [], [], {}
    for number, c in enumerate(cases):
        names = []
        for k, given in enumerate(c.inputs):
            name = "" if given is None else f"i{number}_{k}"
            names.append(name)
            if isinstance(given, Fixed):
                constants.append(numpy_helper.from_array(given.array, name))
            elif given is not None:
                feeds[name] = given
                dims = [f"{name}_{j}" for j in range(given.ndim)] if symbolic else given.shape
                inputs.append(helper.make_tensor_value_info(name, helper.np_dtype_to_tensor_dtype(given.dtype), dims))
        made = ["" if k in c.unused else f"o{number}_{k}" for k in range(c.outputs)]
        nodes.append(helper.make_node(c.op, names, made, f"{c.op}_{number}", domain=c.domain, **c.attributes))
        outputs += [helper.make_empty_tensor_value_info(o) for o in made if o]
    graph = helper.make_graph(nodes, "sweep", inputs, outputs, constants)
    opsets = [helper.make_opsetid(d, 1) for d in sorted({c.domain for c in cases} - {""})]
    opsets.append(helper.make_opsetid("", cases[0].opset))
    return helper.make_model(graph, opset_imports=opsets, ir_version=10), feeds


def with_types(model: onnx.ModelProto, results: Mapping[str, Array], symbolic: bool = False) -> onnx.ModelProto:
    """The model with the types of its outputs; symbolic: of their shape the rank alone."""
    for o in model.graph.output:
        a = results[o.name]
        dims = [f"{o.name}_{j}" for j in range(a.ndim)] if symbolic else a.shape
        o.CopyFrom(helper.make_tensor_value_info(o.name, helper.np_dtype_to_tensor_dtype(a.dtype), dims))
    return model


def oracle(model: onnx.ModelProto, feeds: dict[str, Array], optimize: bool = True) -> dict[str, Array]:
    options = ort.SessionOptions()
    options.log_severity_level, options.intra_op_num_threads = 4, 1
    if not optimize:
        options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
    session = ort.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    names = [o.name for o in model.graph.output]
    return dict(zip(names, session.run(names, feeds), strict=True))


def answers(engine: str, model: onnx.ModelProto, feeds: dict[str, Array]) -> dict[str, Array]:
    """What an engine of qglow makes of a float model."""
    if engine.endswith("session"):
        session = qglow.InferenceSession(float_graph(model), threads=1)
        return dict(zip((o.name for o in session.get_outputs()), session.run(None, feeds), strict=True))
    return evaluate(load(model), feeds, fast=engine.startswith("fast"))


def difference(got: Array, want: Array, tolerance: float) -> str | None:
    """What is wrong with an answer: integers are equal; floats near, with NaN and infinities in the same places."""
    got, want = np.asarray(got), np.asarray(want)
    if (got.shape, got.dtype) != (want.shape, want.dtype):
        return f"expected {want.dtype}{list(want.shape)}, got {got.dtype}{list(got.shape)}"
    if want.dtype.kind != "f":
        return None if np.array_equal(got, want) else f"{(got != want).sum()} of {want.size} elements differ"
    finite = np.isfinite(want)
    if not np.array_equal(finite, np.isfinite(got)) or not np.array_equal(got[~finite], want[~finite], equal_nan=True):
        return "NaN or infinity in other places"
    a, b = got[finite].astype(np.float64), want[finite].astype(np.float64)
    size = float(np.abs(b).max(initial=0))
    error = np.abs(a - b) - tolerance * (np.abs(b) + 0.1 * size)
    return None if (error <= 0).all() else f"off by {np.abs(a - b).max():.3g} where the largest is {size:.3g}"


def verdicts(cases: Sequence[Case], engine: str) -> dict[str, str]:
    """What is wrong, by the case's name; of one case or of many together."""
    model, feeds = model_of(cases)
    try:
        want = oracle(model, feeds)
    except Exception as error:  # noqa: BLE001  (whatever onnxruntime raises)
        return _one_by_one(cases, engine, f"onnxruntime: {error}")
    try:
        symbolic = engine == SYMBOLIC
        got = answers(engine, with_types(model_of(cases, symbolic)[0], want, symbolic), feeds)
    except Exception as error:  # noqa: BLE001  (what an engine raises is what is told)
        return _one_by_one(cases, engine, f"{type(error).__name__}: {error}")
    found: dict[str, str] = {}
    for number, c in enumerate(cases):
        for k in range(c.outputs):
            name = f"o{number}_{k}"
            if k not in c.unused and (wrong := difference(got[name], want[name], c.tolerance)):
                found.setdefault(c.name, f"output {k}: {wrong}")
    return found


def _one_by_one(cases: Sequence[Case], engine: str, error: str) -> dict[str, str]:
    if len(cases) == 1:
        return {cases[0].name: error[:300]}
    half = len(cases) // 2
    return verdicts(cases[:half], engine) | verdicts(cases[half:], engine)
