"""Outputs keep their places where some between them are read by nothing, and products in branches that samples do not
take are no part of what corrects biases."""

from __future__ import annotations

import numpy as np
import onnx
import onnx.parser
import onnxruntime
import pytest
from onnx import numpy_helper

import qglow

# of four parts the first and the last are read
PARTS = """g (float[1, 8, 6, 6] x) => (float[1, 4, 6, 6] y, float[1, 4, 6, 6] z) {
  h = Conv (x, kernel)
  a, b, c, d = Split <axis = 1> (h)
  y = Sin (a)
  z = Sin (d)
}"""
# the sides read x as other shapes: one of them fails wherever the other can be taken
SIDES = """g (float[1, n] x, bool wide) => (float[1, m] y) {
  y = If (wide)
    <then_branch = a () => (float[1, 48] p) {
      s = Constant <value = int64[4] {1, 8, 6, 1}> ()
      u = Reshape (x, s)
      v = Conv (u, kernel8)
      t = Constant <value = int64[2] {1, 48}> ()
      p = Reshape (v, t)
    },
    else_branch = b () => (float[1, 60] q) {
      s2 = Constant <value = int64[4] {1, 6, 10, 1}> ()
      u2 = Reshape (x, s2)
      v2 = Conv (u2, kernel6)
      t2 = Constant <value = int64[2] {1, 60}> ()
      q = Reshape (v2, t2)
    }>
}"""
WEIGHTS = {"kernel": (16, 8, 1, 1), "kernel8": (8, 8, 1, 1), "kernel6": (6, 6, 1, 1)}


def model(text: str) -> onnx.ModelProto:
    made = onnx.parser.parse_model(f'<ir_version: 8, opset_import: ["": 17]>\n{text}')
    rng = np.random.default_rng(3)
    for name, shape in WEIGHTS.items():
        if f" {name})" in text:
            array = rng.normal(0, shape[1] ** -0.5, shape).astype(np.float32)
            made.graph.initializer.append(numpy_helper.from_array(array, name))
    return made


def decibels(made: onnx.ModelProto, bundle: qglow.Bundle, feeds: dict[str, np.ndarray]) -> list[float]:
    real = onnxruntime.InferenceSession(made.SerializeToString(), providers=["CPUExecutionProvider"]).run(None, feeds)
    found = qglow.InferenceSession(bundle, threads=1).run(None, feeds)
    return [20 * np.log10(np.linalg.norm(a) / np.linalg.norm(a - b)) for a, b in zip(real, found, strict=True)]


@pytest.mark.parametrize("exclude", [[], ["op:Split"]], ids=["int8", "float"])
def test_outputs_keep_their_places(exclude: list[str]) -> None:
    made, rng = model(PARTS), np.random.default_rng(0)
    samples = [{"x": rng.normal(0, 1, (1, 8, 6, 6)).astype(np.float32)} for _ in range(8)]
    bundle = qglow.quantize(made, qglow.profile(made, samples), {"exclude": exclude})
    (split,) = (n for n in bundle.graph.nodes if n.op == "Split")
    assert [bool(o) for o in split.outputs] == [True, False, False, True]
    assert min(decibels(made, bundle, samples[0])) > 25


@pytest.mark.parametrize("wide", [True, False])
def test_a_side_that_no_sample_takes_does_not_stop_quantizing(wide: bool) -> None:
    made, rng = model(SIDES), np.random.default_rng(0)
    size = 48 if wide else 60
    samples = [{"x": rng.normal(0, 1, (1, size)).astype(np.float32), "wide": np.array(wide)} for _ in range(8)]
    bundle = qglow.quantize(made, qglow.profile(made, samples))
    assert min(decibels(made, bundle, samples[0])) > 25
