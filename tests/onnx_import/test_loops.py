"""Loop and Scan beside onnxruntime: what they carry, collect, capture and nest; alone, and with int8 products around
and inside them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx
import onnx.parser
import pytest
from models.builder import Case
from models.judging import judge
from onnx import numpy_helper

from qglow.pipeline import float_graph
from qglow.reference import evaluate

Request = dict[str, Any]  # what the caller gives beside x; shape: that of x, where it is another
WEIGHTS = {"w": (6, 6), "w2": (6, 6), "v": (6, 6), "bias": (6,), "kernel": (4, 3, 3, 3), "mix": (4, 4, 1, 1)}


@dataclass(frozen=True)
class Text:
    """A graph as text; what the caller gives beside x in each request. Calibration sees six of each, and other numbers
    in x."""

    graph: str
    requests: tuple[Request, ...] = ({},)
    shape: tuple[int, ...] = (5, 6)
    opset: int = 17

    def case(self) -> Case:
        model = onnx.parser.parse_model(f'<ir_version: 8, opset_import: ["": {self.opset}]>\n{self.graph}')
        rng = np.random.default_rng(7)
        used = self.graph.replace("(", " ").replace(")", " ").replace(",", " ").split()
        for name, shape in WEIGHTS.items():
            if name in used:
                scale = np.prod(shape[1:]) ** -0.5 if len(shape) > 1 else 0.3
                array = np.asarray(rng.normal(0, scale, shape), np.float32)
                model.graph.initializer.append(numpy_helper.from_array(array, name))
        onnx.checker.check_model(model)

        def feeds(more: Request) -> Request:
            return {"x": rng.normal(0, 1, more.pop("shape", self.shape)).astype(np.float32), **more}

        return Case(model, [feeds(dict(r)) for r in self.requests * 6], [feeds(dict(r)) for r in self.requests])


COUNTED = """g (float[n, 6] x, int64 trips) => (float[n, 6] last, float[t, n, 6] all, int64[t] numbers) {
  h = MatMul (x, w)
  last, all, numbers = Loop (trips, , h)
    <body = b (int64 i, bool go, float[n, 6] s) => (bool on, float[n, 6] t, float[n, 6] kept, int64 at) {
    on = Identity (go)
    m = MatMul (s, w2)
    t = Tanh (m)
    kept = Sub (t, s)
    at = Identity (i)
  }>
}"""
WHILE = """g (float[n, 6] x, float limit) => (float[n, 6] y, int64 count, float[t] sums) {
  h = Relu (x)
  up = Constant <value = float {0.5}> ()
  zero = Constant <value = int64 {0}> ()
  yes = Constant <value = bool {1}> ()
  z, count, sums = Loop (, yes, h, zero)
    <body = b (int64 i, bool go, float[n, 6] s, int64 c_in) => (bool on, float[n, 6] t, int64 c, float total) {
    t = Add (s, up)
    one = Constant <value = int64 {1}> ()
    c = Add (c_in, one)
    total = ReduceSum <keepdims = 0> (t)
    on = Less (total, limit)
  }>
  y = MatMul (z, w)
}"""
NEVER = """g (float[n, 6] x, bool go, int64 trips) => (float[n, 6] y, float[t, 6] rows) {
  h = MatMul (x, w)
  s, rows = Loop (trips, go, h) <
    body = b (int64 i, bool c, float[n, 6] s_in) => (bool on, float[n, 6] s_out, float[6] row) {
    on = Identity (c)
    s_out = Tanh (s_in)
    row = ReduceMean <axes = [0], keepdims = 0> (s_in)
  }>
  y = MatMul (s, w2)
}"""
CAPTURED = """g (float[n, 6] x, int64 trips) => (float[n, 6] y) {
  h = MatMul (x, w)
  r = Relu (h)
  u, whole = Loop (trips, , h, h) <
    body = b (int64 i, bool go, float[n, 6] a, float[n, 6] h) => (bool on, float[n, 6] c, float[n, 6] d) {
    on = Identity (go)
    m = MatMul (a, v)
    c = Add (m, r)
    d = Sub (h, x)
  }>
  y = Add (u, whole)
}"""
NESTED = """g (float[n, 6] x, int64 trips) => (float[n, 6] y, float[a, b, 6] seen) {
  h = MatMul (x, w)
  two = Constant <value = int64 {2}> ()
  y, seen = Loop (trips, , h) <
    body = outer (int64 i, bool go, float[n, 6] s) => (bool on, float[n, 6] t, float[q, 6] rows) {
    on = Identity (go)
    limit = Constant <value = int64 {1}> ()
    odd_i = Mod (i, two)
    is_odd = Equal (odd_i, limit)
    t, rows = Loop (two, , s) <body = inner (int64 j, bool k, float[n, 6] p) => (bool l, float[n, 6] q, float[6] row) {
      l = Identity (k)
      q = If (is_odd) <
        then_branch = yes () => (float[n, 6] o) { o = MatMul (p, w2) },
        else_branch = no () => (float[n, 6] o2) { a = Add (p, h)  o2 = Tanh (a) }>
      row = ReduceMax <axes = [0], keepdims = 0> (q)
    }>
  }>
}"""
GROWING = """g (float[n, 6] x, int64 trips) => (float[m, 6] y) {
  h = MatMul (x, w)
  y = Loop (trips, , h) <body = b (int64 i, bool go, float[p, 6] s) => (bool on, float[q, 6] t) {
    on = Identity (go)
    m = ReduceMean <axes = [0], keepdims = 1> (s)
    t = Concat <axis = 0> (s, m)
  }>
}"""
CONVOLUTIONS = """g (float[n, 3, a, b] x, int64 trips) => (float[n, 4, a, b] y) {
  h = Conv <pads = [1, 1, 1, 1]> (x, kernel)
  r = Relu (h)
  s = Loop (trips, , r) <body = l (int64 i, bool go, float[n, 4, a, b] s_in) => (bool on, float[n, 4, a, b] s_out) {
    on = Identity (go)
    c = Conv (s_in, mix)
    s_out = Relu (c)
  }>
  y = Conv (s, mix)
}"""
SCANNED = """g (float[n, 6] x) => (float[6] last, float[n, 6] states, float[n] largest) {
  h = MatMul (x, w)
  zero = Constant <value = float[6] {0, 0, 0, 0, 0, 0}> ()
  last, states, largest = Scan <num_scan_inputs = 2,
    body = b (float[6] s, float[6] p, float[6] q) => (float[6] t, float[6] o, float m) {
    u = Add (s, p)
    d = Mul (u, q)
    t = Tanh (d)
    e = Add (t, bias)
    o = MatMul (e, w2)
    m = ReduceMax <keepdims = 0> (o)
  }> (zero, h, x)
}"""
SIDES = """g (float[a, 6] x, float[6, b, a] z) => (float[b] last, float[6, a] backwards, float[b, a] columns) {
  h = MatMul (x, w)
  axes = Constant <value = int64[2] {0, 2}> ()
  zero = ReduceSum <keepdims = 0> (z, axes)
  last, backwards, columns = Scan <num_scan_inputs = 2, scan_input_axes = [0, LAST], scan_input_directions = [0, 1],
    scan_output_directions = [1, 0], scan_output_axes = [1, LAST],
    body = k (float[b] s, float[6] p, float[6, b] q) => (float[b] t, float[6] one, float[b] two) {
    r = MatMul (p, q)
    t = Add (s, r)
    one = Relu (p)
    two = Sub (r, s)
  }> (zero, h, z)
}"""
NO_STATE = """g (float[n, 6] x) => (float[n, 6] y) {
  h = MatMul (x, w)
  z = Scan <num_scan_inputs = 1, body = b (float[6] p) => (float[6] q) { q = Softmax <axis = 0> (p) }> (h)
  y = MatMul (z, w2)
}"""


def sides(last: int) -> str:
    return SIDES.replace("scan_input_axes = [0, LAST]", f"scan_input_axes = [0, {2 if last > 0 else -1}]").replace(
        "LAST", str(last)
    )


def trips(*counts: int, **more: Any) -> tuple[Request, ...]:
    return tuple({"trips": np.array(n, np.int64), **more} for n in counts)


def below(*limits: float) -> tuple[Request, ...]:
    return tuple({"limit": np.array(v, np.float32)} for v in limits)


GO, STOP = np.array(True), np.array(False)
LINES = np.linspace(-1, 1, 60, dtype=np.float32).reshape(6, 2, 5)
OTHER = {"shape": (2, 6)}
CASES = {
    "counted": Text(COUNTED, (*trips(3, 1), *trips(5, **OTHER))),
    "counted, opset 11": Text(COUNTED, trips(3, 2), opset=11),
    "while": Text(WHILE, below(60, 20, -1, 90)),
    "never": Text(NEVER, (*trips(2, 1, 0, go=GO), *trips(2, go=STOP)), opset=12),
    "captured": Text(CAPTURED, (*trips(3, 1), *trips(2, **OTHER))),
    "nested": Text(NESTED, (*trips(3, 1), *trips(4, **OTHER))),
    "growing": Text(GROWING, trips(3, 6, 0)),
    "convolutions": Text(CONVOLUTIONS, (*trips(2, 3), *trips(1, shape=(2, 3, 5, 4))), (1, 3, 6, 6)),
    "scanned": Text(SCANNED, ({}, {"shape": (1, 6)}, {"shape": (9, 6)})),
    "no state": Text(NO_STATE, ({}, {"shape": (1, 6)}), opset=11),
    "sides": Text(sides(1), ({"z": LINES},)),
    "sides from the end": Text(sides(-1), ({"z": LINES},)),
}


@pytest.mark.parametrize("name", CASES)
def test_beside_onnxruntime(name: str) -> None:
    judge(CASES[name].case())


@pytest.mark.parametrize("name", ["sides", "sides from the end"])
def test_a_scan_of_nothing_has_the_declared_shape(name: str) -> None:
    """Slices that were never made lie along an axis of no elements, also where it is counted from the end."""
    model = CASES[name].case().model
    graph = float_graph(model)
    made = evaluate(graph, {"x": np.zeros((0, 6), np.float32), "z": np.zeros((6, 2, 0), np.float32)})
    assert made["last"].tolist() == [0, 0]
    assert made["backwards"].shape == (6, 0) and made["columns"].shape[1] == 0
