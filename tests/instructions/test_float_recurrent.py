"""LSTM, GRU and RNN of floats as instructions: random forms have the reference's bits, on threads as alone, and are
written once however many steps they have."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import qglow
from qglow.graph import DType, Graph, Node, TensorType, float_type
from qglow.instructions.interpret import Interpreter
from qglow.instructions.lower import lower
from qglow.instructions.program import HostCall
from qglow.instructions.prove import is_quick
from qglow.instructions.repeat import Repeat, parts_of
from qglow.reference import evaluate
from qglow.runtime.step_profile import host_steps

GATES = {"LSTM": 4, "GRU": 3, "RNN": 1}
FUNCTIONS = {"LSTM": 3, "GRU": 2, "RNN": 1}
NAMES = (
    "Affine", "LeakyRelu", "ThresholdedRelu", "ScaledTanh", "HardSigmoid", "Relu", "Tanh", "Sigmoid", "Softsign",
)  # fmt: skip
ALPHA, BETA = (
    {"Affine": 0.7, "LeakyRelu": 0.2, "ThresholdedRelu": 0.3, "ScaledTanh": 1.3, "HardSigmoid": 0.3},
    {"Affine": 0.1, "ScaledTanh": 0.6},
)


def draw(op: str, rng: np.random.Generator, steps: int = 0) -> tuple[Graph, dict[str, np.ndarray]]:
    """A layer of random form; about half of everything optional is there. steps: as many, 0: some."""
    steps = steps or int(rng.integers(1, 7))
    batch, width, hidden = (int(rng.choice(c)) for c in ((1, 1, 3), (1, 5, 17), (1, 6, 20, 33)))
    direction = str(rng.choice(["forward", "reverse", "bidirectional"]))
    sides, gates = 1 + (direction == "bidirectional"), GATES[op] * hidden
    shapes = {
        "w": (sides, gates, width), "r": (sides, gates, hidden), "b": (sides, 2 * gates), "h0": (sides, batch, hidden),
        "c0": (sides, batch, hidden), "p": (sides, 3 * hidden),
    }  # fmt: skip
    optional = ("b", "lens", "h0", "c0", "p") if op == "LSTM" else ("b", "lens", "h0")
    names = ["x", "w", "r", *(n if rng.random() < 0.5 else "" for n in optional)]
    constants: dict[str, Any] = {
        n: rng.normal(0, 0.5, shapes[n]).astype(np.float32) for n in names if n in ("w", "r", "b", "p")
    }
    feeds: dict[str, Any] = {n: rng.normal(0, 1, shapes[n]).astype(np.float32) for n in names if n in ("h0", "c0")}
    feeds = {"x": np.random.default_rng(steps).normal(0, 1, (steps, batch, width)).astype(np.float32), **feeds}
    lengths = rng.integers(0, steps + 1, batch).astype(np.int32)
    if "lens" in names and rng.random() < 0.3:
        constants["lens"] = lengths
    elif "lens" in names:
        feeds["lens"] = lengths
    attributes: dict[str, Any] = {"direction": direction, "hidden_size": hidden}
    if rng.random() < 0.4:
        attributes["clip"] = 0.4
    if rng.random() < 0.6:
        chosen = tuple(str(n) for n in rng.choice(NAMES, FUNCTIONS[op] * sides))
        attributes["activations"] = chosen
        attributes["activation_alpha"] = tuple(ALPHA[n] for n in chosen if n in ALPHA)
        attributes["activation_beta"] = tuple(BETA[n] for n in chosen if n in BETA)
    flag = {"GRU": "linear_before_reset", "LSTM": "input_forget"}.get(op)
    if flag and rng.random() < 0.5:
        attributes[flag] = 1
    made = ["y", *(n if rng.random() < 0.7 else "" for n in ("y_h", "y_c")[: 2 if op == "LSTM" else 1])]
    while not names[-1]:
        names.pop()
    while not made[-1]:
        made.pop()
    outputs = {"y": float_type(steps, sides, batch, hidden)} | {
        n: float_type(sides, batch, hidden) for n in ("y_h", "y_c")
    }
    types = {n: TensorType(DType.of(a.dtype), a.shape) for n, a in {**constants, **feeds}.items()} | {
        n: outputs[n] for n in made if n
    }
    node = Node(op, tuple(names), tuple(made), attributes, "layer")
    read = [n for n in made[1:] if n]
    read = read if read and rng.random() < 0.3 else ["y", *read]
    return Graph("layer", tuple(feeds), tuple(read), (node,), types, constants), feeds


@pytest.mark.parametrize("op", GATES)
def test_random_forms_have_the_bits_of_the_reference(op: str) -> None:
    rng = np.random.default_rng(len(op))
    for k in range(24):
        graph, feeds = draw(op, rng)
        want = evaluate(graph, feeds)
        session = qglow.InferenceSession(graph, threads=1 + k % 2)
        for name, got in zip(graph.outputs, session.run(None, feeds), strict=True):
            assert np.array_equal(got, want[name], equal_nan=True), f"{k} {name}: {graph.nodes[0]}"
        assert not host_steps(session, feeds).keys() - {"SequenceMask"}, f"{k}: {graph.nodes[0]}"


@pytest.mark.parametrize("op", GATES)
def test_instructions_mean_the_layer_on_every_set(op: str) -> None:
    rng = np.random.default_rng(10 + len(op))
    for isa in ("avx512_vbmi", "avx2", "generic"):
        graph, feeds = draw(op, rng)
        program, want = lower(graph, isa), evaluate(graph, feeds)
        assert is_quick(program)
        got = Interpreter(program).run(feeds)
        assert all(np.array_equal(got[o], want[o], equal_nan=True) for o in graph.outputs), f"{isa}: {graph.nodes[0]}"


@pytest.mark.parametrize("op", GATES)
def test_as_many_parts_for_any_number_of_steps(op: str) -> None:
    few, many = (parts_of(lower(draw(op, np.random.default_rng(3), n)[0], "avx2").steps) for n in (7, 300))
    assert len(few) == len(many)


def test_lengths_that_are_none_are_refused() -> None:
    rng = np.random.default_rng(4)
    graph, feeds = next((g, f) for g, f in (draw("GRU", rng) for _ in range(99)) if "lens" in f)
    session = qglow.InferenceSession(graph)
    for wrong in (-1, feeds["x"].shape[0] + 1):
        with pytest.raises(qglow.errors.QGlowError, match="sequence_lens"):
            session.run(None, {**feeds, "lens": np.full_like(feeds["lens"], wrong)})


def test_usual_layers_are_a_product_and_a_cell() -> None:
    for op, more, cell in (("LSTM", {}, "float_lstm_cell"), ("GRU", {"linear_before_reset": 1}, "float_gru_cell")):
        r = np.ones((1, 8 * GATES[op], 8), np.float32)
        node = Node(op, ("x", "w", "r"), ("y",), {"direction": "forward", "hidden_size": 8, **more}, "layer")
        types = {
            "x": float_type(5, 1, 8),
            "y": float_type(5, 1, 1, 8),
            "w": float_type(*r.shape),
            "r": float_type(*r.shape),
        }
        program = lower(Graph("layer", ("x",), ("y",), (node,), types, {"w": r, "r": r}), "avx2")
        last = parts_of(program.steps)[-1]
        assert isinstance(last, Repeat) and [s.kind for s in last.body] == ["float_conv2d", cell]


def refused(graph: Graph) -> str:
    (step,) = [s for s in lower(graph, "avx2").steps if isinstance(s, HostCall)]
    return step.reason


def test_a_layer_whose_weights_are_computed_runs_on_the_host() -> None:
    graph, _ = draw("RNN", np.random.default_rng(0))
    inputs = (*graph.inputs, "r")
    rest = {n: a for n, a in graph.constants.items() if n != "r"}
    assert refused(graph.with_(inputs=inputs, constants=rest)) == "its weights are no constants"
