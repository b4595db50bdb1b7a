"""LSTM, GRU and RNN in every form: random combinations of attributes and inputs beside onnxruntime, float and
quantized."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
import onnxruntime as ort
import pytest
from onnx import TensorProto, helper, numpy_helper

import qglow
from qglow.onnx_import import load
from qglow.pipeline import float_graph
from qglow.reference import evaluate

GATES = {"LSTM": 4, "GRU": 3, "RNN": 1}
FUNCTIONS = {"LSTM": 3, "GRU": 2, "RNN": 1}
ALPHA = {"Affine": 0.7, "LeakyRelu": 0.2, "ThresholdedRelu": 0.3, "ScaledTanh": 1.3, "HardSigmoid": 0.3, "Elu": 0.8}
BETA = {"Affine": 0.1, "ScaledTanh": 0.6, "HardSigmoid": 0.4}
NAMES = [
    "Affine",
    "LeakyRelu",
    "ThresholdedRelu",
    "ScaledTanh",
    "HardSigmoid",
    "Elu",
    "Relu",
    "Tanh",
    "Sigmoid",
    "Softsign",
    "Softplus",
]
INTEGERS = ("lens",)


def draw(op: str, seed: int) -> tuple[onnx.ModelProto, dict[str, np.ndarray]]:
    """A model of one node, of random form, and its inputs: about half of everything optional is there."""
    rng = np.random.default_rng([seed, len(op)])
    steps, batch, width, hidden = (int(rng.integers(1, n)) for n in (7, 4, 9, 20))
    direction = str(rng.choice(["forward", "reverse", "bidirectional"]))
    sides, gates = 1 + (direction == "bidirectional"), GATES[op]

    def maybe(name: str, chance: float = 0.5) -> str:
        return name if rng.random() < chance else ""

    constants = {"W": (sides, gates * hidden, width), "R": (sides, gates * hidden, hidden)}
    names = ["x", "W", "R", maybe("B"), maybe("lens"), maybe("h0")]
    names += [maybe("c0"), maybe("P")] if op == "LSTM" else []
    shapes = {"x": (steps, batch, width), "h0": (sides, batch, hidden), "c0": (sides, batch, hidden), "lens": (batch,)}
    constants |= {k: s for k, s in {"B": (sides, 2 * gates * hidden), "P": (sides, 3 * hidden)}.items() if k in names}
    feeds = {n: rng.normal(0, 1, s).astype(np.float32) for n, s in shapes.items() if n in names}
    if "lens" in feeds:
        feeds["lens"] = rng.integers(0, steps + 1, batch).astype(np.int32)
    attributes: dict[str, Any] = {"hidden_size": hidden, "direction": direction}
    if maybe("clip"):
        attributes["clip"] = float(np.float32(0.3))
    if maybe("activations"):
        chosen = [str(a) for a in rng.choice(NAMES, FUNCTIONS[op] * sides)]
        values = {"alpha": [ALPHA[a] for a in chosen if a in ALPHA], "beta": [BETA[a] for a in chosen if a in BETA]}
        attributes |= {"activations": chosen, **{f"activation_{k}": v for k, v in values.items() if v}}
    if op == "GRU":
        attributes["linear_before_reset"] = int(rng.integers(0, 2))
    if op == "LSTM" and maybe("input_forget", 0.3):
        attributes["input_forget"] = 1
    made = [n if rng.random() < 0.7 else "" for n in ("y", "h", "c")[: 3 if op == "LSTM" else 2]]
    made = made if any(made) else ["y"]
    while not made[-1]:
        made.pop()
    while not names[-1]:
        names.pop()
    arrays = [numpy_helper.from_array(rng.normal(0, 0.4, s).astype(np.float32), n) for n, s in constants.items()]
    node = helper.make_node(op, names, made, "layer", **attributes)
    kinds = {n: TensorProto.INT32 if n in INTEGERS else TensorProto.FLOAT for n in feeds}
    inputs = [helper.make_tensor_value_info(n, kinds[n], a.shape) for n, a in feeds.items()]
    outputs = [
        helper.make_tensor_value_info(n, TensorProto.FLOAT, [f"{n}{k}" for k in range(4 if n == "y" else 3)])
        for n in made
        if n
    ]
    graph = helper.make_graph([node], "recurrent", inputs, outputs, arrays)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 14)], ir_version=9), feeds


def decibels(got: np.ndarray, want: np.ndarray) -> float:
    noise, signal = float(((got - want) ** 2).sum()), float((want.astype(np.float64) ** 2).sum())
    return np.inf if noise == 0 else 10 * np.log10(signal / noise) if signal else -np.inf


@pytest.mark.parametrize("op", GATES)
def test_float_forms_agree_with_onnxruntime(op: str) -> None:
    for seed in range(60):
        proto, feeds = draw(op, seed)
        want = ort.InferenceSession(proto.SerializeToString()).run(None, feeds)
        graph = load(proto)
        for fast in (False, True):
            got = evaluate(graph, feeds, fast=fast)
            for o, y in zip(proto.graph.output, want, strict=True):
                assert got[o.name].shape == y.shape and decibels(got[o.name], y) > 100, (
                    f"seed {seed}, {o.name}, {proto.graph.node[0]}"
                )


@pytest.mark.parametrize("op", GATES)
def test_quantized_forms_agree_with_onnxruntime(op: str) -> None:
    for seed in range(12):
        proto, feeds = draw(op, 1000 + seed)
        for name in {"h0"} & set(feeds):
            feeds[name] = np.tanh(feeds[name])
        graph = float_graph(proto)
        samples = [
            {
                n: np.tanh(a + k) if n == "h0" else a * (1 - k / 4) if a.dtype.kind == "f" else a
                for n, a in feeds.items()
            }
            for k in range(2)
        ]
        session = qglow.InferenceSession(qglow.quantize(graph, qglow.profile(graph, samples)), threads=1)
        want = ort.InferenceSession(proto.SerializeToString()).run(None, feeds)
        for o, got, y in zip(proto.graph.output, session.run(None, feeds), want, strict=True):
            assert decibels(got, y) > 20, f"seed {seed}, {o.name}, {proto.graph.node[0]}"


@pytest.mark.parametrize("op", GATES)
def test_batch_first_is_the_same_turned(op: str) -> None:
    for seed in range(8):
        proto, feeds = draw(op, 2000 + seed)
        graph = load(proto)
        want = evaluate(graph, feeds)
        turned = onnx.ModelProto.FromString(proto.SerializeToString())
        turned.graph.node[0].attribute.append(helper.make_attribute("layout", 1))
        for value in turned.graph.input:
            if value.name != "lens":
                feeds[value.name] = feeds[value.name].swapaxes(0, 1)
                first, second = (feeds[value.name].shape[k] for k in (0, 1))
                value.type.tensor_type.shape.dim[0].dim_value, value.type.tensor_type.shape.dim[1].dim_value = (
                    first,
                    second,
                )
        got = evaluate(load(turned), feeds)
        for o in proto.graph.output:
            expected = want[o.name].transpose((2, 0, 1, 3) if o.name == "y" else (1, 0, 2))
            assert np.array_equal(got[o.name], expected), f"seed {seed}, {o.name}"


def test_double_precision_forms() -> None:
    """The float64 meaning beside that of float32."""
    for op in GATES:
        proto, feeds = draw(op, 3000)
        graph = load(proto)
        wide = graph.with_(constants={n: a.astype(np.float64) for n, a in graph.constants.items()})
        got = evaluate(wide, {n: a.astype(np.float64) if a.dtype.kind == "f" else a for n, a in feeds.items()})
        for name, y in evaluate(graph, feeds).items():
            assert got[name].dtype == np.float64 and decibels(y, got[name]) > 100
