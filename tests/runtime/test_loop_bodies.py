"""Bodies of loops on kernels: the bits of the reference, weights as constants, shapes that grow, loops within loops,
and the limit of work."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx.parser
import onnxruntime
import pytest
from onnx import numpy_helper

import qglow
from qglow.errors import LimitError
from qglow.pipeline import float_graph
from qglow.reference import evaluate
from qglow.runtime import loop_bodies

# weights go round as carried values, as TensorFlow's loops have them, and are captured
RECURRENT = """g (float[n, 6] x, int64 trips) => (float[n, 6] last, float[t, n, 6] all) {
  w, last, all = Loop (trips, , w0, x)
    <body = b (int64 i, bool go, float[6, 6] w_in, float[n, 6] s) => (bool on, float[6, 6] w_out, float[n, 6] t,
                                                                      float[n, 6] kept) {
    on = Identity (go)
    w_out = Identity (w_in)
    m = MatMul (s, w_in)
    m2 = MatMul (m, w2)
    t = Tanh (m2)
    kept = Sub (t, x)
  }>
}"""
GROWING = """g (float[n, 6] x, int64 trips) => (float[m, 6] last) {
  last = Loop (trips, , x)
    <body = b (int64 i, bool go, float[k, 6] s) => (bool on, float[l, 6] t) {
    on = Identity (go)
    m = MatMul (s, w2)
    t = Concat <axis = 0> (m, x)
  }>
}"""
NESTED = """g (float[n, 6] x, int64 trips) => (float[n, 6] last) {
  last = Loop (trips, , x)
    <body = b (int64 i, bool go, float[n, 6] s) => (bool on, float[n, 6] t) {
    on = Identity (go)
    inner = Loop (trips, , s)
      <body = c (int64 j, bool go2, float[n, 6] u) => (bool on2, float[n, 6] v) {
      on2 = Identity (go2)
      p = MatMul (u, w2)
      q = Add (p, s)
      v = Tanh (q)
    }>
    t = Sub (inner, x)
  }>
}"""
# onnxruntime gives numbers, whatever the body says
MISDECLARED = """g (float[n, 6] x, int64 trips) => (float[n, 6] last) {
  zero = Constant <value = float[1] {0.5}> ()
  last, sum = Loop (trips, , x, zero)
    <body = b (int64[1] i, bool[1] go, float[3, 6] s, float a) => (bool[1] on, float[3, 6] t, float c) {
    on = Identity (go)
    m = MatMul (s, w2)
    j = Cast <to = 1> (i)
    c = Add (j, a)
    t = Mul (m, c)
  }>
}"""


def model(text: str) -> onnx.ModelProto:
    made = onnx.parser.parse_model(f'<ir_version: 8, opset_import: ["": 17]>\n{text}')
    rng = np.random.default_rng(3)
    for name in ("w0", "w2"):
        if f" {name}" in text:
            made.graph.initializer.append(numpy_helper.from_array(rng.normal(0, 0.4, (6, 6)).astype(np.float32), name))
    onnx.checker.check_model(made)
    return made


def feeds(rows: int, trips: int) -> dict[str, Any]:
    rng = np.random.default_rng(rows)
    return {"x": rng.normal(0, 1, (rows, 6)).astype(np.float32), "trips": np.array(trips, np.int64)}


@pytest.mark.parametrize(
    "text", [RECURRENT, GROWING, NESTED, MISDECLARED], ids=["recurrent", "growing", "nested", "misdeclared"]
)
@pytest.mark.parametrize("backend", ["native", "interpreter"])
def test_bits_are_those_of_the_reference_in_every_run(text: str, backend: str) -> None:
    graph = float_graph(model(text))
    session = qglow.InferenceSession(graph, threads=1, backend=backend)
    real = onnxruntime.InferenceSession(model(text).SerializeToString(), providers=["CPUExecutionProvider"])
    for rows, trips in ((3, 4), (3, 7), (1, 5), (3, 0), (3, 4)):
        given = feeds(rows, trips)
        wanted = evaluate(graph, given)
        for output, array, other in zip(
            graph.outputs, session.run(None, given), real.run(None, given), strict=True
        ):  # fmt: skip
            np.testing.assert_array_equal(array, wanted[output])
            np.testing.assert_allclose(array, other, rtol=0, atol=1e-5)


def compiled(monkeypatch: pytest.MonkeyPatch, text: str, trips: int) -> list[tuple[str, ...]]:
    """The inputs of each body that a session compiles in two runs."""
    made: list[tuple[str, ...]] = []
    real = loop_bodies._Body._compiled

    def noted(self: Any, known: Any, given: Any, key: Any) -> Any:
        made.append(self._own.inputs)
        return real(self, known, given, key)

    monkeypatch.setattr(loop_bodies._Body, "_compiled", noted)
    session = qglow.InferenceSession(float_graph(model(text)), threads=1)
    for _ in range(2):
        session.run(None, feeds(3, trips))
    return made


def test_a_body_is_compiled_once_and_its_weights_are_constants(monkeypatch: pytest.MonkeyPatch) -> None:
    (inputs,) = compiled(monkeypatch, RECURRENT, 6)
    assert set(inputs).isdisjoint({"w_in", "w2"}) and "s" in inputs


def test_what_a_body_says_of_shapes_does_not_keep_it_from_kernels(monkeypatch: pytest.MonkeyPatch) -> None:
    session = qglow.InferenceSession(float_graph(model(MISDECLARED)), threads=1)
    made: list[Any] = []
    real = loop_bodies._Body._compiled
    monkeypatch.setattr(loop_bodies._Body, "_compiled", lambda *a: made.append(real(*a)) or made[-1])
    session.run(None, feeds(3, 6))
    assert made[0] is not None


def test_what_grows_is_not_compiled(monkeypatch: pytest.MonkeyPatch) -> None:
    assert compiled(monkeypatch, GROWING, 6) == []


@pytest.mark.parametrize("text", [RECURRENT, NESTED], ids=["recurrent", "nested"])
def test_a_compiled_loop_spends_what_the_reference_spends(text: str) -> None:
    graph = float_graph(model(text))
    for engine in (lambda g, w: qglow.InferenceSession(graph, threads=1, max_work=w).run(None, g), reference_of(graph)):
        engine(feeds(3, 5), 100_000)
        with pytest.raises(LimitError, match="units of work"):
            engine(feeds(3, 1 << 40), 20_000)


def reference_of(graph: Any) -> Any:
    def run(given: dict[str, Any], work: int) -> Any:
        with qglow.limits.limited(max_work=work):
            return evaluate(graph, given)

    return run
