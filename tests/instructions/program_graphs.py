"""Small quantized graphs: a builder for single forms, and a hypothesis strategy that strings ops together."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from hypothesis import strategies as st

from qglow.graph import DType, Graph, GraphBuilder, Node, Quant, TensorType
from qglow.graph import text as graph_text
from qglow.reference import FLOAT
from qglow.reference.blockwise import packed_nibbles
from qglow.reference.integer_mean import exponent_table

COMMON = Quant.per_tensor(0.02, 100)  # what is concatenated has these parameters
WHOLE = (DType.I64, DType.I32)  # dtypes of indices
CASES = Path(__file__).parent / "cases"


class Net:
    """Grows a graph of u8 values. Shapes are found by evaluating an op's float meaning on zeros; random data comes from
    a seed."""

    def __init__(self, seed: int = 0) -> None:
        self.b, self.rng = GraphBuilder(), np.random.default_rng(seed)
        self.inputs: list[str] = []

    def input(self, *shape: int, quant: Quant | None = COMMON, dtype: DType = DType.U8) -> str:
        name = self.b.fresh(f"x{len(self.inputs)}")
        self.b.types[name] = TensorType(dtype, shape, quant)
        self.inputs.append(name)
        return name

    def shape(self, value: str) -> tuple[int, ...]:
        return self.b.types[value].static_shape

    def constant(self, hint: str, data: Any, quant: Quant | None = None) -> str:
        array = np.asarray(data)
        return self.b.add_constant(hint, array, TensorType(DType.of(array.dtype), array.shape, quant))

    def op(
        self,
        op: str,
        inputs: tuple[str, ...],
        quant: Quant | None = COMMON,
        dtype: DType | None = None,
        **attributes: Any,
    ) -> str:
        """One output, u8 with parameters, or (quant None) float."""
        return self.ops(op, inputs, quant, dtype, 1, **attributes)[0]

    def ops(
        self, op: str, inputs: tuple[str, ...], quant: Quant | None, dtype: DType | None, count: int, **attributes: Any
    ) -> list[str]:
        dtype = dtype or (DType.F32 if quant is None else DType.U8)
        zeros = [
            None
            if not i
            else self.b.constants[i]
            if i in self.b.constants
            else np.zeros(self.shape(i), t.numpy if (t := self.b.types[i].dtype) in WHOLE else np.float32)
            for i in inputs
        ]
        base = "Identity" if op in ("Quantize", "Dequantize", "Lookup") else op
        outs = [self.b.fresh(op.lower()) for _ in range(count)]
        node = Node(op, inputs, tuple(outs), attributes, self.b.fresh(f"{outs[0]}:{op}"))
        for out, made in zip(outs, FLOAT[base](node, zeros[:1] if base != op else zeros)[:count], strict=True):
            self.b.types[out] = TensorType(dtype, made.shape, quant)
        self.b.append(node)
        return outs

    def weights(self, shape: tuple[int, ...], axis: int) -> str:
        quant = Quant.per_axis(self.rng.uniform(1e-3, 1e-2, shape[axis]), axis)
        return self.constant("w", self.rng.integers(-127, 128, shape).astype(np.int8), quant)

    def conv(
        self, x: str, out: int, kernel: tuple[int, ...], group: int = 1, quant: Quant | None = COMMON, **attributes: Any
    ) -> str:
        w = self.weights((out, self.shape(x)[1] // group, *kernel), 0)
        bias = self.constant("b", self.rng.integers(-3000, 3000, out).astype(np.int32))
        return self.op("Conv", (x, w, bias), quant, group=group, **attributes)

    def floats(self, *shape: int) -> str:
        return self.constant("f", self.rng.normal(0, 1, shape).astype(np.float32))

    def float_conv(self, x: str, out: int, kernel: tuple[int, ...], group: int = 1, **attributes: Any) -> str:
        w = self.floats(out, self.shape(x)[1] // group, *kernel)
        return self.op("Conv", (x, w, self.floats(out)), None, group=group, **attributes)

    def lstm(self, x: str, hidden: int, direction: str, states: bool) -> list[str]:
        """Y, Y_h and Y_c."""
        (steps, batch, width), sides = self.shape(x), 1 + (direction == "bidirectional")
        w, r = self.weights((sides * 4 * hidden, width), 0), self.weights((sides * 4 * hidden, hidden), 0)
        bias = self.constant("b", self.rng.normal(0, 1, sides * 4 * hidden).astype(np.float32))
        start = [self.input(sides, batch, hidden, quant=None, dtype=DType.F32) if states else "" for _ in range(2)]
        outs = [self.b.fresh("lstm") for _ in range(3)]
        for out, shape in zip(outs, ((steps, sides, batch, hidden), *[(sides, batch, hidden)] * 2), strict=True):
            self.b.types[out] = TensorType(DType.F32, shape)
        attributes = {"hidden_size": hidden, "direction": direction}
        self.b.append(Node("QLSTM", (x, w, r, bias, *start), tuple(outs), attributes, self.b.fresh("lstm")))
        return outs

    def conv_transpose(self, x: str, per: int, kernel: tuple[int, ...], group: int = 1, **attributes: Any) -> str:
        channels = self.shape(x)[1]
        w = self.constant(
            "w", self.rng.integers(-127, 128, (channels, per, *kernel)).astype(np.int8), Quant.per_tensor(0.004, 0)
        )
        bias = self.constant("b", self.rng.integers(-3000, 3000, per * group).astype(np.int32))
        return self.op("ConvTranspose", (x, w, bias), group=group, **attributes)

    def wide_table(self, x: str, dtype: DType, quant: Quant) -> str:
        """A table from or to int16."""
        low, high = TensorType(dtype).limits()
        data = self.rng.integers(low, high + 1, 65536 if self.b.types[x].is_int16 else 256).astype(dtype.numpy)
        return self.op("Lookup", (x, self.constant("t", data)), quant, dtype)

    def table(self, x: str, channels: int = 0, quant: Quant = COMMON) -> str:
        data = self.rng.integers(0, 256, (channels, 256) if channels else 256).astype(np.uint8)
        return self.op("Lookup", (x, self.constant("t", data)), quant, axis=1)

    def blockwise(
        self,
        x: str,
        columns: int,
        size: int,
        bits: int,
        points: bool = True,
        bias: bool = True,
        compute: str = "int8",
        halves: bool = False,
    ) -> str:
        """A product of float rows with block-wise weights. halves: scales are numbers of float16."""
        rows, top = self.shape(x), (1 << bits) - 1
        k = rows[-1]
        blocks = -(-k // size)
        q = self.rng.integers(0, top + 1, (columns, k)).astype(np.uint8)
        t = TensorType(DType.U4 if bits == 4 else DType.U8, (columns, k), Quant.blockwise(1, size))
        names = [self.b.add_constant("w", packed_nibbles(q) if bits == 4 else q, t)]
        scales = self.rng.normal(0, 0.1, (columns, blocks)).astype(np.float16 if halves else np.float32)
        names.append(self.constant("s", scales.astype(np.float32)))
        names.append(
            self.constant("z", self.rng.integers(0, top + 1, (columns, blocks)).astype(np.uint8)) if points else ""
        )
        names.append(self.floats(columns) if bias else "")
        while not names[-1]:
            names.pop()
        return self.b.add(
            "BlockwiseMatMul", (x, *names), TensorType(DType.F32, (*rows[:-1], columns)), "blockwise", compute=compute
        )

    def softmax(self, x: str) -> str:
        quant = self.b.types[x].quant
        assert quant is not None
        table = self.constant("t", exponent_table(float(quant.s)))
        out = self.b.add(
            "QSoftmax",
            (x, table),
            TensorType(DType.U8, self.shape(x), Quant.per_tensor(1 / 256, 0)),
            "softmax",
            axis=-1,
        )
        return out

    def layer_norm(self, x: str) -> str:
        n = self.shape(x)[-1]
        gain, shift = (self.constant(h, self.rng.normal(0, 10, n).astype(np.float32)) for h in ("gain", "shift"))
        t = TensorType(DType.U8, self.shape(x), COMMON)
        return self.b.add("QLayerNormalization", (x, gain, shift), t, "norm", axis=-1, epsilon=1e-5)

    def graph(self, *outputs: str) -> Graph:
        return self.b.build("small", self.inputs, outputs)

    def feeds(self) -> dict[str, Any]:
        return feeds_of(self.graph(*self.inputs), self.rng)


def feeds_of(graph: Graph, rng: np.random.Generator) -> dict[str, Any]:
    """Random bytes for u8 inputs, 16 bits with both ends for int16 ones, noise for float ones."""
    found = {}
    for name in graph.inputs:
        t = graph.types[name]
        if t.dtype is DType.I16:
            ends = rng.choice([-32768, 32767, 0], t.static_shape)
            random = np.where(rng.random(t.static_shape) < 0.1, ends, rng.integers(-32768, 32768, t.static_shape))
        else:
            random = rng.integers(0, 256, t.static_shape) if t.dtype is DType.U8 else rng.normal(0, 2, t.static_shape)
        found[name] = random.astype(t.dtype.numpy)
    return found


def text_of(graph: Graph) -> str:
    """The graph's text with all constants inline, for a file in `cases/`."""
    kept, graph_text.INLINE_ELEMENTS = graph_text.INLINE_ELEMENTS, 1 << 30
    try:
        return graph_text.print_graph(graph)
    finally:
        graph_text.INLINE_ELEMENTS = kept


SIZES = st.sampled_from([1, 2, 3, 4, 5, 8, 16, 17])
SCALES = st.sampled_from(
    [COMMON, COMMON, Quant.per_tensor(0.3, 7), Quant.per_tensor(0.05, 0), Quant.per_tensor(0.1, 255)]
)


@st.composite
def nets(draw: Any) -> tuple[Graph, int]:
    """A graph of up to eight ops over images of one size or another, and a seed for its inputs."""
    seed = draw(st.integers(0, 99))
    net = Net(seed)
    n, c, h, w = draw(st.integers(1, 2)), draw(SIZES), draw(st.integers(1, 9)), draw(st.integers(1, 9))
    if draw(st.booleans()):
        pool = [net.input(n, c, h, w)]
    else:
        pool = [net.op("Quantize", (net.input(n, c, h, w, quant=None, dtype=DType.F32),))]
    for _ in range(draw(st.integers(1, 8))):
        step = draw(st.sampled_from(STEPS))
        made = step(net, draw, pool)
        pool += [v for v in made if np.prod(net.shape(v)) <= 20000]
    used = {i for node in net.b.nodes for i in node.inputs}
    ends = [v for v in pool if v not in used and v not in net.inputs]
    others = [v for v in pool if v in used and v not in net.inputs]
    outputs = dict.fromkeys(ends + (draw(st.lists(st.sampled_from(others), max_size=2)) if others else []))
    return net.graph(*(outputs or pool[-1:])), seed


def _image(net: Net, draw: Any, pool: list[str]) -> str | None:
    images = [v for v in pool if len(net.shape(v)) == 4 and net.b.types[v].dtype is DType.U8]
    return draw(st.sampled_from(images)) if images else None


def _conv(net: Net, draw: Any, pool: list[str]) -> list[str]:
    x = _image(net, draw, pool)
    if x is None:
        return []
    _, c, h, w = net.shape(x)
    kernel = (draw(st.integers(1, 3)), draw(st.integers(1, 3)))
    pads = tuple(draw(st.integers(0, k)) for k in (*kernel, *kernel))
    attributes: dict[str, Any] = {"pads": pads, "strides": (draw(st.integers(1, 2)), draw(st.integers(1, 2)))}
    attributes["dilations"] = (draw(st.integers(1, 2)), draw(st.integers(1, 2)))
    if any(d + pads[k] + pads[k + 2] < (kernel[k] - 1) * attributes["dilations"][k] + 1 for k, d in enumerate((h, w))):
        return []
    group = draw(st.sampled_from([g for g in (1, 1, 2, c) if c % g == 0]))
    out = c if group == c else group * draw(SIZES)
    quant = draw(st.sampled_from([COMMON, Quant.per_tensor(0.4, 90), None]))
    y = net.conv(x, out, kernel, group, quant, **attributes)
    return [y] if quant is not None else [net.op("Quantize", (y,))]


def _conv_transpose(net: Net, draw: Any, pool: list[str]) -> list[str]:
    x = _image(net, draw, pool)
    if x is None:
        return []
    kernel = (draw(st.integers(1, 3)), draw(st.integers(1, 3)))
    return [net.conv_transpose(x, draw(SIZES), kernel, strides=(draw(st.integers(1, 2)), draw(st.integers(1, 3))))]


def _pool(net: Net, draw: Any, pool: list[str]) -> list[str]:
    x = _image(net, draw, pool)
    if x is None:
        return []
    op = draw(st.sampled_from(["MaxPool", "AveragePool", "GlobalAveragePool", "GlobalMaxPool"]))
    quant = net.b.types[x].quant if "Max" in op else draw(SCALES)
    if op.startswith("Global"):
        return [net.op(op, (x,), quant)]
    k, p = draw(st.integers(1, 3)), draw(st.integers(0, 1))
    if k <= p or min(net.shape(x)[2:]) + 2 * p < k:
        return []
    return [net.op(op, (x,), quant, kernel_shape=(k, k), strides=(draw(st.integers(1, 2)),) * 2, pads=(p,) * 4)]


def _binary(net: Net, draw: Any, pool: list[str]) -> list[str]:
    a = draw(st.sampled_from(pool))
    like = [v for v in pool if net.shape(v) == net.shape(a)]
    b = draw(st.sampled_from(like))
    if len(net.shape(a)) == 4 and draw(st.booleans()):
        b = net.op("GlobalAveragePool", (b,), draw(SCALES))
    return [net.op(draw(st.sampled_from(["Add", "Sub", "Mul"])), (a, b), draw(SCALES))]


def _concat(net: Net, draw: Any, pool: list[str]) -> list[str]:
    a = draw(st.sampled_from(pool))
    axis = draw(st.integers(0, len(net.shape(a)) - 1))

    def rest(v: str) -> list[int]:
        return [d for k, d in enumerate(net.shape(v)) if k != axis]

    like = [
        v
        for v in pool
        if len(net.shape(v)) == len(net.shape(a))
        and rest(v) == rest(a)
        and net.b.types[v].quant == net.b.types[a].quant
    ]
    others = draw(st.lists(st.sampled_from(like), min_size=1, max_size=2))
    return [net.op("Concat", (a, *others), net.b.types[a].quant, axis=axis)]


def _lookup(net: Net, draw: Any, pool: list[str]) -> list[str]:
    x = draw(st.sampled_from(pool))
    by_channel = len(net.shape(x)) == 4 and draw(st.booleans())
    return [net.table(x, net.shape(x)[1] if by_channel else 0)]


def _resize(net: Net, draw: Any, pool: list[str]) -> list[str]:
    x = _image(net, draw, pool)
    if x is None:
        return []
    scales = net.constant("scales", np.array([1, 1, draw(st.integers(1, 2)), draw(st.integers(1, 3))], np.float32))
    if draw(st.booleans()):
        return [net.op("Resize", (x, "", scales), net.b.types[x].quant, mode="nearest",
            coordinate_transformation_mode="asymmetric",
                       nearest_mode="floor")]  # fmt: skip
    return [net.op("Resize", (x, "", scales), draw(SCALES), mode="linear")]


def _move(net: Net, draw: Any, pool: list[str]) -> list[str]:
    x = draw(st.sampled_from(pool))
    shape, quant = net.shape(x), net.b.types[x].quant
    op = draw(st.sampled_from(["Transpose", "Flatten", "Slice", "Pad", "Split", "Reshape"]))
    if op == "Transpose":
        return [net.op(op, (x,), quant, perm=tuple(draw(st.permutations(range(len(shape))))))]
    if op == "Flatten":
        return [net.op(op, (x,), quant, axis=draw(st.integers(0, len(shape))))]
    if op == "Reshape":
        return [
            net.op(
                op,
                (x, net.constant("shape", np.array([shape[0], -1, draw(st.sampled_from([1, shape[-1]]))], np.int64))),
                quant,
            )
        ]
    axis = draw(st.integers(0, len(shape) - 1))
    if op == "Slice":
        ends = (draw(st.integers(0, shape[axis] - 1)), shape[axis], axis, draw(st.integers(1, 2)))
        return [net.op(op, (x, *(net.constant("i", np.array([e], np.int64)) for e in ends)), quant)]
    if op == "Pad":
        widths = np.zeros(2 * len(shape), np.int64)
        widths[axis], widths[axis + len(shape)] = draw(st.integers(0, 2)), draw(st.integers(0, 2))
        value = np.array(quant.z if quant else 0, np.uint8)
        return [net.op(op, (x, net.constant("pads", widths), net.constant("v", value, quant)), quant)]
    if shape[axis] < 2:
        return []
    first = draw(st.integers(1, shape[axis] - 1))
    sizes = net.constant("sizes", np.array([first, shape[axis] - first], np.int64))
    return net.ops(op, (x, sizes), quant, None, 2, axis=axis)


def _rows(net: Net, draw: Any, pool: list[str]) -> list[str]:
    x = draw(st.sampled_from(pool))
    op = draw(st.sampled_from(["softmax", "norm", "mean", "matmul"]))
    if op == "softmax":
        return [net.softmax(x)]
    if op == "norm":
        return [net.layer_norm(x)]
    if op == "mean":
        axis = draw(st.integers(0, len(net.shape(x)) - 1))
        axes = net.constant("axes", np.array([axis], np.int64))
        return [
            net.op(
                "ReduceMean", (x, axes), draw(SCALES), keepdims=draw(st.integers(0, 1)) if len(net.shape(x)) > 1 else 1
            )
        ]
    if len(net.shape(x)) < 2:
        return []
    return [net.op("MatMul", (x, net.weights((net.shape(x)[-1], draw(SIZES)), 1)), draw(SCALES))]


def _float(net: Net, draw: Any, pool: list[str]) -> list[str]:
    """A float island: host steps and native float ones between native integer ones."""
    y = net.op("Dequantize", (draw(st.sampled_from(pool)),), None)
    for op in draw(
        st.lists(
            st.sampled_from(
                [
                    "Abs",
                    "Sigmoid",
                    "Tanh",
                    "Sqrt",
                    "Relu",
                    "Add",
                    "Mul",
                    "Max",
                    "Div",
                    "Transpose",
                    "Softmax",
                    "Conv",
                    "MatMul",
                    "MaxPool",
                    "PRelu",
                ]
            ),
            max_size=3,
        )
    ):
        if op == "Conv":
            if len(net.shape(y)) == 4:
                channels, side = net.shape(y)[1], draw(st.sampled_from([1, 3]))
                group = draw(st.sampled_from([1, channels]))
                out = channels if group > 1 else draw(SIZES)
                y = net.float_conv(y, out, (side, side), group, pads=(side // 2,) * 4)
        elif op == "MaxPool":
            if len(net.shape(y)) == 4 and min(net.shape(y)[2:]) > 1:
                y = net.op(op, (y,), None, kernel_shape=(2, 2), strides=(draw(st.integers(1, 2)),) * 2)
        elif op == "MatMul":
            if len(net.shape(y)) > 1:
                y = net.op(op, (y, net.floats(net.shape(y)[-1], draw(SIZES))), None)
        elif op in ("Add", "Mul", "Max", "Div", "PRelu"):
            shape = net.shape(y) if draw(st.booleans()) else net.shape(y)[-1:]
            y = net.op(op, (y, net.constant("f", net.rng.uniform(0.5, 2, shape).astype(np.float32))), None)
        else:
            y = net.op(op, (y,), None, **({"axis": -1} if op == "Softmax" else {}))
    return [net.op("Quantize", (y,), draw(SCALES))]


STEPS = [
    _conv,
    _conv,
    _conv,
    _conv_transpose,
    _pool,
    _binary,
    _binary,
    _concat,
    _concat,
    _lookup,
    _resize,
    _move,
    _move,
    _rows,
    _float,
]


def boundary_net(constant: str = "c") -> Graph:
    """quantize, conv (with a border), dequantize, a host step, quantize, add of a constant of this name."""
    net = Net()
    x = net.op("Quantize", (net.input(1, 3, 5, 4, quant=None, dtype=DType.F32),))
    y = net.conv(x, 6, (3, 3), pads=(1, 1, 1, 1))
    z = net.op("Asinh", (net.op("Dequantize", (y,), None),), None)
    c = net.constant(constant, net.rng.integers(0, 255, (1, 6, 1, 1)).astype("u1"), COMMON)
    return net.graph(net.op("Add", (net.op("Quantize", (z,)), c)))
