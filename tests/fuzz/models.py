"""Small ONNX models of every family of operators: what mutants are made of."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import onnx
import onnx.parser
from onnx import ModelProto, TensorProto, helper, numpy_helper

TESTS = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(TESTS), str(TESTS / "onnx_import")]

from chains.chains import model_of  # noqa: E402
from nbits_models import n_bits  # noqa: E402

CHAINS = (
    ("conv", "relu", "max_pool"),
    ("depthwise", "hard_swish", "conv_of_one_pixel"),
    ("conv_transposed", "leaky_relu"),
    ("down_and_up", "clip"),
    ("matmul_of_itself", "softmax_last"),
    ("matmul_channels", "layer_norm"),
    ("gemm", "tanh"),
    ("two_convs_side_by_side", "average_pool"),
    ("linear_and_average_pool", "conv_of_groups"),
    ("cut_rows", "conv_dilated"),
    ("conv_of_a_line", "minus_mean"),
    ("squeeze", "gate"),
    ("pad_and_conv", "swap_channels"),
    ("nearest_and_max_pool", "add_itself_rolled"),
    ("residual", "sigmoid"),
    ("instance_norm", "conv_uneven"),
    ("einsum", "gather"),
    ("batch_norm", "prelu", "conv"),
    ("shuffle", "where", "depth_and_space"),
    ("max_pool_uneven", "conv_of_one_pixel"),
)
TEXTS = {
    "if": """g (float[N, 6] x) => (float[N, 6] y) {
      zero = Constant <value = float {0.0}> ()
      h = MatMul (x, w)
      s = ReduceSum <keepdims = 0> (h)
      big = Greater (s, zero)
      y = If (big) <then_branch = t () => (float[N, 6] a) { a = MatMul (h, w) },
                    else_branch = e () => (float[N, 6] b) { b = Tanh (h) }>
    }""",
    "loop": """g (float[n, 6] x) => (float[n, 6] y, float[t, n, 6] all) {
      trips = Constant <value = int64 {3}> ()
      h = MatMul (x, w)
      y, all = Loop (trips, , h)
      <body = b (int64 i, bool go, float[n, 6] s) => (bool on, float[n, 6] t, float[n, 6] kept) {
        on = Identity (go)
        m = MatMul (s, w)
        t = Tanh (m)
        kept = Sub (t, s)
      }>
    }""",
    "staged": """g (float[N, 6] x) => (float[M, 6] y, int64[2, K] found) {
      h = MatMul (x, w)
      found = NonZero (h)
      zero = Constant <value = int64[1] {0}> ()
      rows = Gather <axis = 0> (found, zero)
      flat = Squeeze (rows, zero)
      taken = Gather <axis = 0> (h, flat)
      r = Relu (taken)
      y = MatMul (r, w)
    }""",
    "counted": """g (float[N, 6] x) => (float[A, B] y, float[K] z) {
      shape = Shape (x)
      ones = ConstantOfShape <value = float[1] {1.0}> (shape)
      h = MatMul (x, w)
      s = Add (h, ones)
      n = ReduceProd <keepdims = 0> (shape)
      i = Constant <value = int64 {0}> ()
      d = Constant <value = int64 {1}> ()
      r = Range (i, n, d)
      z = Cast <to = 1> (r)
      y = Softmax <axis = -1> (s)
    }""",
}


def models() -> dict[str, ModelProto]:
    """By name. Each has an input `x`."""
    made = {"-".join(chain): model_of([chain])[0] for chain in CHAINS}
    return (
        made
        | {name: text_model(text) for name, text in TEXTS.items()}
        | {op.lower(): recurrent(op) for op in ("LSTM", "GRU", "RNN")}
        | {
            f"blocks-{bits}-{level}": n_bits(20, 40, 16, bits, level=level, bias=True)
            for bits in (4, 8)
            for level in (0, 4)
        }
    )


def text_model(text: str) -> ModelProto:
    model = onnx.parser.parse_model(f'<ir_version: 8, opset_import: ["": 17]>\n{text}')
    w = np.random.default_rng(3).normal(0, 0.4, (6, 6)).astype(np.float32)
    model.graph.initializer.append(numpy_helper.from_array(w, "w"))
    return model


def recurrent(op: str, steps: int = 3, width: int = 5, hidden: int = 4) -> ModelProto:
    gates = {"LSTM": 4, "GRU": 3, "RNN": 1}[op]
    rng = np.random.default_rng(5)
    shapes = {"w": (2, gates * hidden, width), "r": (2, gates * hidden, hidden), "b": (2, 2 * gates * hidden)}
    stored = [numpy_helper.from_array(rng.normal(0, 0.5, s).astype(np.float32), n) for n, s in shapes.items()]
    node = helper.make_node(
        op, ["x", "w", "r", "b"], ["y", "h"], hidden_size=hidden, direction="bidirectional", name=op
    )
    infos = [
        helper.make_tensor_value_info(n, TensorProto.FLOAT, s)
        for n, s in (("x", [steps, 1, width]), ("y", [steps, 2, 1, hidden]), ("h", [2, 1, hidden]))
    ]
    graph = helper.make_graph([node], "recurrent", infos[:1], infos[1:], stored)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


def small() -> ModelProto:
    """What profiles, configurations, pictures and arrays are for: x [1, 1, 8, 8], a convolution and a softmax."""
    rng = np.random.default_rng(1)
    shapes = {"k": (4, 1, 3, 3), "w": (4 * 36, 5)}
    stored = [numpy_helper.from_array(rng.normal(0, 0.3, s).astype(np.float32), n) for n, s in shapes.items()]
    nodes = [
        helper.make_node("Conv", ["x", "k"], ["c"], "conv"),
        helper.make_node("Relu", ["c"], ["r"], "relu"),
        helper.make_node("Flatten", ["r"], ["f"], "flat"),
        helper.make_node("MatMul", ["f", "w"], ["m"], "product"),
        helper.make_node("Softmax", ["m"], ["y"], "softmax", axis=-1),
    ]
    infos = [helper.make_tensor_value_info(n, TensorProto.FLOAT, s) for n, s in (("x", [1, 1, 8, 8]), ("y", [1, 5]))]
    graph = helper.make_graph(nodes, "small", infos[:1], infos[1:], stored)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
