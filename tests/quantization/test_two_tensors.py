"""Max, Min, Sum and Mean of two tensors and more between convolutions: in 8 and in 16 bits on kernels throughout, with
the bits of the reference, and near to onnxruntime's floats."""

from __future__ import annotations

import numpy as np
import onnx
import onnxruntime as ort
import pytest
from onnx import TensorProto, helper, numpy_helper

import qglow
from qglow.runtime.step_profile import host_steps


def model(op: str, count: int, channels: tuple[int, ...]) -> onnx.ModelProto:
    """Convolutions of so many channels, the op of what the first `count` of them make, and another one."""
    rng = np.random.default_rng(2)
    made = [(f"w{k}", (c, 3, 3, 3)) for k, c in enumerate(channels[:count])]
    weights = {n: rng.normal(0, 0.2, s).astype(np.float32) for n, s in (*made, ("last", (5, max(channels), 3, 3)))}
    nodes = [helper.make_node("Conv", ["x", n], [f"{n}.y"], pads=[1] * 4) for n, _ in made]
    nodes.append(helper.make_node(op, [f"{n}.y" for n, _ in made], ["m"], name="m"))
    nodes.append(helper.make_node("Conv", ["m", "last"], ["y"], pads=[1] * 4))
    values = [helper.make_tensor_value_info(n, TensorProto.FLOAT, [1, c, 7, 9]) for n, c in (("x", 3), ("y", 5))]
    stored = [numpy_helper.from_array(a, n) for n, a in weights.items()]
    graph = helper.make_graph(nodes, "g", values[:1], values[1:], stored)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


@pytest.mark.parametrize("activations", ["uint8", "int16"])
@pytest.mark.parametrize(
    ("op", "count", "channels"),
    [("Max", 2, (8, 8)), ("Max", 3, (8, 1, 8)), ("Min", 2, (1, 20)), ("Sum", 3, (8, 8, 8)), ("Mean", 2, (8, 8))],
)
def test_it_stays_on_kernels(op: str, count: int, channels: tuple[int, ...], activations: str) -> None:
    proto, rng = model(op, count, channels), np.random.default_rng(3)
    samples = [{"x": rng.normal(0, 1, (1, 3, 7, 9)).astype(np.float32)} for _ in range(8)]
    bundle = qglow.quantize(proto, qglow.profile(proto, samples), qglow.QuantConfig(activations=activations))
    of_two = {"Sum": "Add", "Mean": "Add"}.get(op, op)
    assert [n.op for n in bundle.graph.nodes].count(of_two) == count - 1
    assert all(bundle.graph.types[n.outputs[0]].is_quantized for n in bundle.graph.nodes if n.op == of_two)
    session = qglow.InferenceSession(bundle)
    got, want = session.run(None, samples[0])[0], ort.InferenceSession(proto.SerializeToString()).run(None, samples[0])
    assert np.array_equal(got, session.run_all(samples[0])["y"])
    assert not host_steps(session, samples[0])
    assert ((got - want[0]) ** 2).sum() < 1e-3 * (want[0] ** 2).sum()
