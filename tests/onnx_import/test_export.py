"""Exported models run in onnxruntime: floats as they were, QDQ close to the bundle's own bits; both profiling engines
agree."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import onnx.parser
import onnxruntime as ort
import pytest
import shared_models

import qglow
from qglow.onnx_import.export_float import export_float
from qglow.onnx_import.export_qdq import export_qdq
from qglow.pipeline import float_graph
from qglow.reference import evaluate


def run(model: bytes, feeds: dict[str, np.ndarray]) -> list[np.ndarray]:
    return list(ort.InferenceSession(model, providers=["CPUExecutionProvider"]).run(None, feeds))


def close(ours: dict[str, np.ndarray], theirs: list[np.ndarray], tolerance: float) -> None:
    for a, b in zip(ours.values(), theirs, strict=True):
        assert np.linalg.norm(a.astype(np.float64) - b) <= tolerance * max(1e-9, np.linalg.norm(b.astype(np.float64)))


def test_demo_exports_both_ways(digits: Path) -> None:
    graph = float_graph(digits / "model.onnx")
    feeds = {"image": np.load(digits / "005.npy")}
    close(evaluate(graph, feeds), run(export_float(graph).SerializeToString(), feeds), 1e-5)
    bundle = qglow.quantize(graph, qglow.profile(graph, [feeds]))
    # runtimes may fuse or not fuse around Q/DQ: a tie may round the other way, which moves an output by a small part of
    # a step
    close(evaluate(bundle.graph, feeds), run(export_qdq(bundle.graph).SerializeToString(), feeds), 0.02)


def test_both_engines_record_the_same_ranges(digits: Path) -> None:
    ours, theirs = (qglow.profile(digits / "model.onnx", digits, samples=6, engine=e) for e in ("qglow", "onnxruntime"))
    for name, o in ours.tensors.items():
        assert o.count == theirs.tensors[name].count
        np.testing.assert_allclose(
            [o.min, o.max], [theirs.tensors[name].min, theirs.tensors[name].max], rtol=1e-4, atol=1e-5
        )


BRANCHES = """
<ir_version: 8, opset_import: ["": 15]>
g (float[1, 2, 8, 8] x, bool c) => (float[1, 2, 8, 8] y, float[1, 2, 8, 8] z) {
  w = Constant <value = float[2, 2, 1, 1] {0.5, -0.25, 1.0, 0.75}> ()
  h = Conv (x, w)
  i = If (c) <then_branch = a () => (float[1, 2, 8, 8] t) { t = If (c) <
      then_branch = b () => (float[1, 2, 8, 8] u) { u = Neg (h) },
      else_branch = d () => (float[1, 2, 8, 8] v) { v = Identity (x) }> },
              else_branch = e () => (float[1, 2, 8, 8] s) { s = Mul (h, x) }>
  y = Conv (i, w)
  z = Conv (h, w)
}
"""


@pytest.mark.parametrize("chosen", [True, False])
def test_values_that_branches_capture_are_renamed(chosen: bool) -> None:
    """A captured value may be an integer one in the quantized graph, and its float form has another name."""
    feeds = {"x": np.linspace(-1, 1, 128, dtype=np.float32).reshape(1, 2, 8, 8), "c": np.array(chosen)}
    graph = float_graph(onnx.parser.parse_model(BRANCHES))
    close(evaluate(graph, feeds), run(export_float(graph).SerializeToString(), feeds), 1e-6)
    bundle = qglow.quantize(graph, qglow.profile(graph, [feeds]))
    assert bundle.graph.types["h"].is_quantized
    close(evaluate(bundle.graph, feeds), run(export_qdq(bundle.graph).SerializeToString(), feeds), 0.01)


def steps_apart(bundle: qglow.Bundle, feeds: dict[str, np.ndarray]) -> dict[str, int]:
    """How many steps the integers of each layer in the exported model are apart from the bundle's, at most, where both
    read the bundle's: every value that a layer makes becomes an input, and what is made an output of another name."""
    graph, model = bundle.graph, export_qdq(bundle.graph)
    made = {o: graph.types[o] for n in graph.nodes for o in n.outputs if o and graph.types[o].is_quantized}
    for node in model.graph.node:
        node.output[:] = [f"{o}.theirs" if o in made else o for o in node.output]
    kept = [o for o in model.graph.output if o.name not in made]
    del model.graph.output[:]
    ours = qglow.InferenceSession(bundle).run_all(feeds)
    for names, extra in ((model.graph.input, ""), (model.graph.output, ".theirs")):
        names.extend(
            onnx.helper.make_tensor_value_info(
                f"{o}{extra}", onnx.helper.np_dtype_to_tensor_dtype(t.dtype.numpy), ours[o].shape
            )
            for o, t in made.items()
        )
    model.graph.output.extend(kept)
    theirs = run(model.SerializeToString(), {**feeds, **{o: ours[o] for o in made}})
    return {
        o: int(np.abs(ours[o].astype(np.int64) - a).max(initial=0))
        for o, a in zip(made, theirs[: len(made)], strict=True)
    }


MODELS = ["cifar10_resnet20", "squeezenet1.1_imagenet", "mlperftiny_vww_mobilenet025"]


@pytest.mark.parametrize("name", shared_models.with_made(MODELS, ["residual", "depthwise", "shuffle", "detector"]))
def test_real_models_export(name: str) -> None:
    graph = float_graph(shared_models.path(name))
    data = shared_models.feeds(name, 2)
    close(evaluate(graph, data[0]), run(export_float(graph).SerializeToString(), data[0]), 1e-3)
    bundle = qglow.quantize(graph, qglow.profile(graph, data))
    apart = steps_apart(bundle, data[0])
    by_bits = {n: [d for o, d in apart.items() if bundle.graph.types[o].dtype.numpy.itemsize == n] for n in (1, 2)}
    # most layers have the same bits; a tie may round the other way in runtimes that add or scale in float, and is then
    # one step. A step of 16 bits is not much more than what float32 loses in a sum
    assert max(by_bits[1]) <= 1 and max(by_bits[2], default=0) <= 3
    assert sum(d == 0 for d in apart.values()) > len(apart) / 2


@pytest.mark.parametrize(("op", "element"), [("BitShift", onnx.TensorProto.INT32), ("Celu", onnx.TensorProto.DOUBLE)])
def test_dtypes_that_an_operator_has_since_a_later_opset_are_refused(op: str, element: int) -> None:
    newest = max(onnx.defs.get_schema(op).since_version, 26)
    if newest > onnx.defs.onnx_opset_version():
        pytest.skip("this onnx has no such opset")
    inputs = ["x", "x"] if op == "BitShift" else ["x"]
    x, y = (onnx.helper.make_tensor_value_info(n, element, [2, 3]) for n in ("x", "y"))
    node = onnx.helper.make_node(op, inputs, ["y"], **({"direction": "LEFT"} if op == "BitShift" else {}))
    model = onnx.helper.make_model(
        onnx.helper.make_graph([node], "g", [x], [y]), opset_imports=[onnx.helper.make_opsetid("", newest)]
    )
    with pytest.raises(qglow.QGlowError, match=rf"not valid in ONNX opset \d+.*{op}.*unsupported type"):
        export_qdq(float_graph(model))
