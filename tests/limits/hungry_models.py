"""Small models that ask for much: memory or work, at import, when they are profiled, or when they run."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

MODELS: dict[str, Callable[[], onnx.ModelProto]] = {}
FLOAT, INT64 = TensorProto.FLOAT, TensorProto.INT64


class Net:
    """A model under construction: input x float[2, 3], input n int64[1] whose data says sizes."""

    def __init__(self) -> None:
        self.nodes: list[onnx.NodeProto] = []
        self.initializers: list[onnx.TensorProto] = []
        self.inputs = [
            helper.make_tensor_value_info("x", FLOAT, [2, 3]),
            helper.make_tensor_value_info("n", INT64, [1]),
        ]

    def constant(self, value: object, dtype: type = np.int64) -> str:
        name = f"c{len(self.initializers)}"
        self.initializers.append(numpy_helper.from_array(np.array(value, dtype), name))
        return name

    def op(self, kind: str, *inputs: str, **attributes: object) -> str:
        out = f"v{len(self.nodes)}"
        self.nodes.append(helper.make_node(kind, list(inputs), [out], f"{kind}_{len(self.nodes)}", **attributes))
        return out

    def model(self, value: str, opset: int = 17) -> onnx.ModelProto:
        """Its output is the input and the largest element of a value."""
        cast = self.op("Cast", value, to=FLOAT)
        most = self.op("ReduceMax", cast, keepdims=0)
        y = self.op("Add", "x", most)
        m = self.op("Cast", "n", to=FLOAT)
        out = [helper.make_tensor_value_info(y, FLOAT, [2, 3]), helper.make_tensor_value_info(m, FLOAT, [1])]
        graph = helper.make_graph(self.nodes, "hungry", self.inputs, out, self.initializers)
        return helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=9)


def hungry(name: str) -> Callable[[Callable[[], onnx.ModelProto]], Callable[[], onnx.ModelProto]]:
    def enter(make: Callable[[], onnx.ModelProto]) -> Callable[[], onnx.ModelProto]:
        MODELS[name] = make
        return make

    return enter


def _sized(kind: str, given: Callable[[Net], tuple[str, ...]], constant: object, **attributes: object) -> None:
    """The op with the inputs `given` and a size: as a constant of the model, and as data (n, which is multiplied until
    it is large)."""

    def static() -> onnx.ModelProto:
        net = Net()
        return net.model(net.op(kind, *(net.constant(constant) if g == "?" else g for g in given(net)), **attributes))

    def dynamic() -> onnx.ModelProto:
        net = Net()
        size = net.op("Mul", net.constant(constant), "n")
        if np.ndim(constant) == 0:
            size = net.op("Squeeze", size)
        return net.model(net.op(kind, *(size if g == "?" else g for g in given(net)), **attributes))

    MODELS[f"{kind} of a constant"], MODELS[f"{kind} of data"] = static, dynamic


HUGE = 1 << 36
_sized("ConstantOfShape", lambda net: ("?",), [HUGE, 2])
_sized("Range", lambda net: (net.constant(0), "?", net.constant(1)), HUGE)
_sized("Expand", lambda net: (net.op("Relu", "x"), "?"), [HUGE, 2, 3])
_sized("Tile", lambda net: (net.op("Relu", "x"), "?"), [HUGE, 4])
_sized("Pad", lambda net: (net.op("Relu", "x"), "?"), [0, HUGE, 0, 0])
_sized("OneHot", lambda net: (net.constant([1, 2]), "?", net.constant([0, 1], np.float32)), HUGE)


@hungry("a Range of floats")
def _range_of_floats() -> onnx.ModelProto:
    net = Net()
    return net.model(net.op("Range", *(net.constant(v, np.float32) for v in (0, 1, 1e-12))))


@hungry("Resize by scales")
def _resize() -> onnx.ModelProto:
    net = Net()
    image = net.op("Reshape", "x", net.constant([1, 1, 2, 3]))
    return net.model(net.op("Resize", image, "", net.constant([1, 1, 1e6, 1e6], np.float32), mode="nearest"))


@hungry("Resize to sizes")
def _resize_to() -> onnx.ModelProto:
    net = Net()
    image = net.op("Reshape", "x", net.constant([1, 1, 2, 3]))
    return net.model(net.op("Resize", image, "", "", net.constant([1, 1, 1 << 20, 1 << 20]), mode="linear"))


@hungry("a chain of Concat")
def _concat() -> onnx.ModelProto:
    net = Net()
    value = "x"
    for _ in range(34):
        value = net.op("Concat", value, value, axis=0)
    return net.model(value)


@hungry("a chain of Concat of a constant")
def _concat_constant() -> onnx.ModelProto:
    net = Net()
    value = net.constant(np.ones((2, 3)), np.float32)
    for _ in range(34):
        value = net.op("Concat", value, value, axis=0)
    return net.model(value)


def _image_and_weights(net: Net) -> tuple[str, str]:
    return net.op("Reshape", "x", net.constant([1, 1, 2, 3])), net.constant(np.ones((1, 1, 1, 1)), np.float32)


@hungry("Conv with pads")
def _conv_pads() -> onnx.ModelProto:
    net = Net()
    image, w = _image_and_weights(net)
    return net.model(net.op("Conv", image, w, pads=[1 << 20] * 4))


@hungry("Conv with pads and strides")
def _conv_strides() -> onnx.ModelProto:
    net = Net()
    image, w = _image_and_weights(net)
    return net.model(net.op("Conv", image, w, pads=[1 << 20] * 4, strides=[1 << 20] * 2))


@hungry("ConvTranspose with strides")
def _conv_transpose() -> onnx.ModelProto:
    net = Net()
    image, w = _image_and_weights(net)
    return net.model(net.op("ConvTranspose", image, w, strides=[1 << 20] * 2))


@hungry("an outer product")
def _outer() -> onnx.ModelProto:
    net = Net()
    tall = net.op("Expand", net.op("Reshape", "x", net.constant([6, 1])), net.constant([1 << 18, 1, 1]))
    tall = net.op("Reshape", tall, net.constant([-1, 1]))
    return net.model(net.op("MatMul", tall, net.op("Transpose", tall, perm=[1, 0])))


@hungry("a broadcast sum")
def _broadcast() -> onnx.ModelProto:
    net = Net()
    tall = net.op("Reshape", net.op("Expand", "x", net.constant([1 << 18, 2, 3])), net.constant([-1, 1]))
    return net.model(net.op("Add", tall, net.op("Transpose", tall, perm=[1, 0])))


@hungry("Gather of one row again and again")
def _gather() -> onnx.ModelProto:
    net = Net()
    wide = net.op("Expand", net.op("Reshape", "x", net.constant([1, 6])), net.constant([1 << 12, 6]))
    places = net.op("Expand", net.constant([0]), net.constant([1 << 24]))
    return net.model(net.op("Gather", net.op("Reshape", wide, net.constant([6, -1])), places))


@hungry("Einsum")
def _einsum() -> onnx.ModelProto:
    net = Net()
    row = net.op("Reshape", net.op("Expand", "x", net.constant([1 << 16, 2, 3])), net.constant([-1]))
    return net.model(net.op("Einsum", row, row, equation="i,j->ij"))


@hungry("EyeLike and a window function")
def _window() -> onnx.ModelProto:
    net = Net()
    return net.model(net.op("HannWindow", net.constant(HUGE)))


@hungry("RandomUniform")
def _random() -> onnx.ModelProto:
    net = Net()
    return net.model(net.op("RandomUniform", shape=[HUGE, 2]))


@hungry("an LSTM over many steps")
def _gru() -> onnx.ModelProto:
    net = Net()
    seq = net.op("Reshape", net.op("Expand", "x", net.constant([1 << 20, 2, 3])), net.constant([1 << 20, 6, 1]))
    w, r = net.constant(np.ones((1, 32, 1)), np.float32), net.constant(np.ones((1, 32, 8)), np.float32)
    return net.model(net.op("LSTM", seq, w, r, hidden_size=8))


def loop(
    body: list[onnx.NodeProto], carried: list[str], results: list[str], trips: int | None = None
) -> onnx.ModelProto:
    """A Loop whose body carries x. body: nodes that read `x_in`."""
    infos = [("i", INT64, []), ("go", TensorProto.BOOL, []), ("x_in", FLOAT, None)]
    outs = [(f"go_{carried[0]}", TensorProto.BOOL, []), *((r, FLOAT, None) for r in results)]
    graph = helper.make_graph(
        [helper.make_node("Identity", ["go"], [f"go_{carried[0]}"]), *body], "body",
        [helper.make_tensor_value_info(*i) for i in infos], [helper.make_tensor_value_info(*o) for o in outs],
    )  # fmt: skip
    net = Net()
    most = net.constant(trips) if trips is not None else ""
    start = net.op("Relu", carried[0]) if carried[0] == "x" else carried[0]
    net.nodes.append(
        helper.make_node(
            "Loop", [most, net.constant(True, np.bool_), start], ["a", "b"][: len(results)], "endless", body=graph
        )
    )
    return net.model("a")


def _plus() -> onnx.NodeProto:
    return helper.make_node("Add", ["x_in", "x_in"], ["x_out"])


@hungry("an endless Loop")
def _endless() -> onnx.ModelProto:
    return loop([_plus()], ["x"], ["x_out"])


@hungry("a Loop of 2 ** 62 trips")
def _long() -> onnx.ModelProto:
    return loop([_plus()], ["x"], ["x_out"], 1 << 62)


@hungry("a Loop that collects")
def _collecting() -> onnx.ModelProto:
    grow = helper.make_node("Expand", ["x_in", "size"], ["big"])
    size = helper.make_node("Constant", [], ["size"], value=numpy_helper.from_array(np.array([1 << 16, 2, 3])))
    return loop([_plus(), size, grow], ["x"], ["x_out", "big"], 1 << 40)


@hungry("a Loop that doubles what it carries")
def _doubling() -> onnx.ModelProto:
    return loop([helper.make_node("Concat", ["x_in", "x_in"], ["x_out"], axis=0)], ["x"], ["x_out"])


@hungry("a Loop in a Loop")
def _nested() -> onnx.ModelProto:
    """Each by itself is short, all together are 2 ** 20 trips of the inner one."""
    few = numpy_helper.from_array(np.array(1 << 10))
    inner = next(n for n in loop([_plus()], ["x"], ["x_out"]).graph.node if n.op_type == "Loop")
    body = next(a.g for a in inner.attribute if a.name == "body")
    for n in body.node:
        n.input[:], n.output[:] = [f"in_{v}" for v in n.input], [f"in_{v}" for v in n.output]
    for v in (*body.input, *body.output):
        v.name = f"in_{v.name}"
    nodes = [
        helper.make_node("Constant", [], ["few"], value=few),
        helper.make_node("Loop", ["few", "go", "x_in"], ["x_out"], body=body),
    ]
    return loop(nodes, ["x"], ["x_out"], 1 << 10)


@hungry("an endless Loop in an If over lists")
def _endless_in_a_branch() -> onnx.ModelProto:
    endless = next(n for n in loop([_plus()], ["x"], ["x_out"]).graph.node if n.op_type == "Loop")
    net = Net()
    endless.input[:] = [net.constant(1 << 62), net.constant(True, np.bool_), "x"]
    nodes = [
        endless,
        helper.make_node("SequenceConstruct", [endless.output[0]], ["list"]),
        helper.make_node("SequenceAt", ["list", net.constant(0)], ["first"]),
    ]
    other = helper.make_node("Neg", ["x"], ["minus"])
    branches = [
        helper.make_graph(given, name, [], [helper.make_tensor_value_info(out, FLOAT, [2, 3])])
        for name, given, out in (("then", nodes, "first"), ("else", [other], "minus"))
    ]
    net.nodes.append(helper.make_node("If", [net.op("Cast", net.op("Squeeze", "n"), to=TensorProto.BOOL)], ["branch"],
        "if",
                                      then_branch=branches[0], else_branch=branches[1]))  # fmt: skip
    return net.model("branch")


@hungry("functions in functions")
def _functions() -> onnx.ModelProto:
    """Each of 40 functions calls the one before it twice: 2 ** 40 nodes."""
    opset = [helper.make_opsetid("", 17), helper.make_opsetid("f", 1)]
    functions = [helper.make_function("f", "f0", ["a"], ["c"], [helper.make_node("Relu", ["a"], ["c"])], opset)]
    for k in range(1, 40):
        calls = [helper.make_node(f"f{k - 1}", [i], [o], domain="f") for i, o in (("a", "b"), ("b", "c"))]
        functions.append(helper.make_function("f", f"f{k}", ["a"], ["c"], calls, opset))
    net = Net()
    made = net.model(net.op("f39", "x", domain="f"))
    made.functions.extend(functions)
    made.opset_import.append(helper.make_opsetid("f", 1))
    return made
