"""Outputs that have no name, that nothing reads, that stand twice; inputs that are outputs, constants or unused: beside
onnxruntime."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping, Sequence

import numpy as np
import onnxruntime as ort
import pytest
from onnx import ModelProto, NodeProto, TensorProto, defs, helper, numpy_helper

import qglow
from qglow.pipeline import float_graph

# What becomes of one output of a node: it has no name; nothing reads it; it is the graph's output; another node reads
# it; both; it is
# the graph's output under its own name and, by an Identity, under another.
FATES = ("unnamed", "unused", "output", "read", "both", "twice")
FLOATS, INTS = TensorProto.FLOAT, TensorProto.INT64


def rng(*seed: int) -> np.random.Generator:
    return np.random.default_rng(seed)


def normal(*shape: int) -> np.ndarray:
    return rng(1, *shape).normal(0, 1, shape).astype(np.float32)


OPS: dict[str, tuple[NodeProto, Mapping[str, np.ndarray], tuple[int, ...]]] = {
    "Split": (helper.make_node("Split", ["x", "sizes"], ["a", "b", "c"], axis=1), {"sizes": np.int64([2, 5, 1])},
    (2, 8, 3)),
    "TopK": (helper.make_node("TopK", ["x", "k"], ["a", "b"]), {"k": np.int64([2])}, (3, 5)),
    "LSTM": (helper.make_node("LSTM", ["x", "w", "r"], ["a", "b", "c"], hidden_size=4),
             {"w": normal(1, 16, 3), "r": normal(1, 16, 4)}, (5, 2, 3)),
    "GRU": (helper.make_node("GRU", ["x", "w", "r"], ["a", "b"], hidden_size=4),
            {"w": normal(1, 12, 3), "r": normal(1, 12, 4)}, (5, 2, 3)),
    "RNN": (helper.make_node("RNN", ["x", "w", "r"], ["a", "b"], hidden_size=4),
    {"w": normal(1, 4, 3), "r": normal(1, 4, 4)}, (5, 2, 3)),
    "MaxPool": (helper.make_node("MaxPool", ["x"], ["a", "b"], kernel_shape=[2, 2], pads=[1, 0, 0, 1]), {},
    (2, 3, 5, 6)),
    "LayerNormalization": (helper.make_node("LayerNormalization", ["x", "s"], ["a", "b", "c"]), {"s": normal(7)},
    (2, 3, 7)),
    "Dropout": (helper.make_node("Dropout", ["x"], ["a", "b"]), {}, (2, 3)),
    "BatchNormalization": (helper.make_node("BatchNormalization", ["x", "s", "s", "s", "v"], ["a"]),
                           {"s": normal(3), "v": np.abs(normal(3)) + 1}, (2, 3, 4)),
    "DynamicQuantizeLinear": (helper.make_node("DynamicQuantizeLinear", ["x"], ["a", "b", "c"]), {}, (2, 3)),
}  # fmt: skip


def made(
    nodes: Sequence[NodeProto], constants: Mapping[str, np.ndarray], shape: Sequence[int], outputs: Sequence[str]
) -> ModelProto:
    """A model of one input x; the types of its outputs are inferred."""
    stored = [numpy_helper.from_array(np.asarray(array), name) for name, array in constants.items()]
    outs = [helper.make_empty_tensor_value_info(o) for o in outputs]
    graph = helper.make_graph(list(nodes), "names", [helper.make_tensor_value_info("x", FLOATS, shape)], outs, stored)
    return typed(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9))


def typed(model: ModelProto) -> ModelProto:
    """The model with the types that onnx infers for its outputs."""
    from onnx import shape_inference

    names = [o.name for o in model.graph.output]
    del model.graph.output[:]
    known = {v.name: v for v in shape_inference.infer_shapes(model).graph.value_info}
    known |= {v.name: v for v in model.graph.input}
    known |= {t.name: helper.make_tensor_value_info(t.name, t.data_type, t.dims) for t in model.graph.initializer}
    model.graph.output.extend(known[n] for n in names)
    return model


def variants(op: str) -> Iterator[tuple[str, ModelProto, ModelProto]]:
    """(fates, the model, the model as its oracle shall see it) for each combination of fates of the op's outputs."""
    node, constants, shape = OPS[op]
    schema = defs.get_schema(node.op_type, 18)
    single = [k < len(schema.outputs) and schema.outputs[k].option.name == "Single" for k in range(len(node.output))]
    for fates in itertools.product(*(FATES[1:] if s else FATES for s in single)):
        given, nodes, outputs = list(node.output), [], []
        for name, fate in zip(node.output, fates, strict=True):
            if fate in ("read", "both", "twice"):
                nodes.append(helper.make_node("Identity" if fate == "twice" else "Cast", [name], [f"{name}_read"],
                                              **({} if fate == "twice" else {"to": TensorProto.DOUBLE})))  # fmt: skip
                outputs.append(f"{name}_read")
            if fate in ("output", "both", "twice"):
                outputs.append(name)
        if outputs:
            left = [name if fate != "unnamed" else "" for name, fate in zip(given, fates, strict=True)]
            model, oracle = (made([renamed(node, names), *nodes], constants, shape, outputs) for names in (left, given))
            yield ", ".join(fates), model, oracle


def renamed(node: NodeProto, outputs: Sequence[str]) -> NodeProto:
    copy = NodeProto()
    copy.CopyFrom(node)
    copy.output[:] = outputs
    return copy


def expected_of(model: ModelProto, feeds: Mapping[str, np.ndarray]) -> list[np.ndarray]:
    options = ort.SessionOptions()
    options.log_severity_level = 4
    return ort.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"]).run(None, feeds)


@pytest.mark.parametrize("op", OPS)
def test_outputs_that_are_not_all_wanted(op: str) -> None:
    feeds = {"x": normal(*OPS[op][2])}
    for fates, model, oracle in variants(op):
        answers = qglow.InferenceSession(float_graph(model), threads=1).run(None, feeds)
        for answer, expected in zip(answers, expected_of(oracle, feeds), strict=True):
            assert answer.dtype == expected.dtype, fates
            np.testing.assert_allclose(answer, expected, rtol=1e-5, atol=1e-6, err_msg=fates)


def sqnr(expected: np.ndarray, answer: np.ndarray) -> float:
    noise = np.square(expected.astype(np.float64) - answer).sum()
    return float(10 * np.log10(np.square(expected.astype(np.float64)).sum() / max(noise, 1e-30)))


@pytest.mark.parametrize(
    "fates", itertools.product(("unnamed", "unused", "output", "read"), repeat=3), ids=lambda f: f"{f[0]}"
)
def test_int8_split(fates: tuple[str, ...]) -> None:
    """Between two products, so that it is int8."""
    names, nodes, outputs = [], [], []
    for name, channels, fate in zip("abc", (2, 5, 1), fates, strict=True):
        names.append("" if fate == "unnamed" else name)
        if fate == "read":
            nodes.append(helper.make_node("Conv", [name, f"w{channels}"], [f"{name}_read"]))
        outputs += {"read": [f"{name}_read"], "output": [name]}.get(fate, [])
    if not outputs:
        return
    constants = {
        "w": normal(8, 3, 1, 1),
        "sizes": np.int64([2, 5, 1]),
        **{f"w{c}": normal(4, c, 1, 1) for c in (2, 5, 1)},
    }
    split = helper.make_node("Split", ["h", "sizes"], names, axis=1)
    conv = helper.make_node("Conv", ["x", "w"], ["h"])
    model, oracle = (
        made([conv, renamed(split, n), *nodes], constants, (2, 3, 5, 6), outputs) for n in (names, list("abc"))
    )
    feeds = [{"x": rng(k).normal(0, 1, (2, 3, 5, 6)).astype(np.float32)} for k in range(3)]
    bundle = qglow.quantize(model, qglow.profile(model, feeds))
    for answer, expected in zip(
        qglow.InferenceSession(bundle, threads=1).run(None, feeds[0]), expected_of(oracle, feeds[0]), strict=True
    ):
        assert answer.shape == expected.shape and sqnr(expected, answer) > 25


@pytest.mark.parametrize("wanted", [c for n in (1, 2, 3) for c in itertools.combinations("abc", n)], ids="".join)
@pytest.mark.parametrize("unwanted", ["unnamed", "unused"])
def test_int8_lstm(wanted: tuple[str, ...], unwanted: str) -> None:
    node, constants, shape = OPS["LSTM"]
    names = [n if n in wanted or unwanted == "unused" else "" for n in "abc"]
    model = made([renamed(node, names)], constants, shape, wanted)
    feeds = [{"x": rng(k).normal(0, 1, shape).astype(np.float32)} for k in range(3)]
    bundle = qglow.quantize(model, qglow.profile(model, feeds))
    for answer, expected in zip(
        qglow.InferenceSession(bundle, threads=1).run(None, feeds[0]), expected_of(model, feeds[0]), strict=True
    ):
        assert answer.shape == expected.shape and sqnr(expected, answer) > 25


def odd_graphs() -> dict[str, ModelProto]:
    """Inputs, constants and outputs that most graphs do not have, around one convolution."""
    x, unused = (helper.make_tensor_value_info(n, FLOATS, [1, 2, 4, 4]) for n in ("x", "unused"))
    w = numpy_helper.from_array(normal(2, 2, 3, 3), "w")
    default = helper.make_tensor_value_info("w", FLOATS, [2, 2, 3, 3])
    conv = helper.make_node("Conv", ["x", "w"], ["y"], pads=[1, 1, 1, 1])
    relu = helper.make_node("Relu", ["y"], ["z"])
    y, z = (helper.make_tensor_value_info(n, FLOATS, [1, 2, 4, 4]) for n in "yz")
    v = helper.make_tensor_value_info("v", FLOATS, [2, 2, 3, 3])
    graphs = {
        "input is output": ([conv], [x], [x, y]),
        "constant is output": ([conv], [x], [default, y]),
        "unused input": ([conv], [x, unused], [y]),
        "constant is input": ([conv], [x, default], [y]),
        "constant is input and output": ([conv], [x, default], [default, y]),
        "only an input": ([], [x], [x]),
        "only a constant": ([], [x], [default]),
        "inner value is output": ([conv, relu], [x], [z, y]),
        "dead nodes": ([conv, relu], [x], [y]),
        "identity of an input": ([helper.make_node("Identity", ["x"], ["y"])], [x], [y]),
        "identity of an input twice": ([helper.make_node("Identity", ["x"], [n]) for n in "yz"], [x], [y, z]),
        "identity of a constant": ([helper.make_node("Identity", ["w"], ["v"]), conv], [x], [v, y]),
        "dropout without a mask": ([conv, helper.make_node("Dropout", ["y"], ["z", ""])], [x], [z]),
        "identity of an output": ([conv, helper.make_node("Identity", ["y"], ["z"])], [x], [y, z]),
        "negative size": ([conv], [helper.make_tensor_value_info("x", FLOATS, [-1, 2, 4, 4])],
                          [helper.make_tensor_value_info("y", FLOATS, [-1, 2, 4, 4])]),
        "negative sizes everywhere": ([conv], [helper.make_tensor_value_info("x", FLOATS, [-1, 2, -1, -1])],
                                      [helper.make_tensor_value_info("y", FLOATS, [-1, 2, -1, -1])]),
    }  # fmt: skip
    models = {}
    for what, (nodes, inputs, outputs) in graphs.items():
        graph = helper.make_graph(nodes, "odd", inputs, outputs, [w])
        models[what] = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)
    return models


@pytest.mark.parametrize("what", odd_graphs())
@pytest.mark.parametrize("int8", [False, True], ids=["float", "int8"])
def test_graphs_with_odd_inputs_and_outputs(what: str, int8: bool) -> None:
    model = odd_graphs()[what]
    names = [i.name for i in model.graph.input if i.name != "w"]
    samples = [
        {n: rng(k, j).normal(0, 1, (1, 2, 4, 4)).astype(np.float32) for j, n in enumerate(names)} for k in range(3)
    ]
    runnable = qglow.quantize(model, qglow.profile(model, samples)) if int8 else float_graph(model)
    session = qglow.InferenceSession(runnable, threads=1)
    expected = expected_of(model, samples[0])
    for _ in range(2):
        answers = session.run(None, samples[0])
        for answer, right in zip(answers, expected, strict=True):
            assert answer.shape == right.shape and sqnr(right, answer) > (25 if int8 else 100)
            answer[...] = np.nan  # what a session gives is the caller's: the next run must not see it
