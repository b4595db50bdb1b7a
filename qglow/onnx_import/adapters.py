"""Old forms of ops to their newest-opset form: one short function an op, `adapter(builder, node, opset)` appends nodes.

Only forms that differ are here; every other op is appended as it is.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import onnx

from ..errors import ModelError
from ..graph import DType, GraphBuilder, Node, TensorType
from ..graph.registry import enters
from .block_weights import matmul_n_bits
from .element_types import DTYPES, name_of

Adapter = Callable[[GraphBuilder, Node, int], None]
ADAPTERS: dict[str, Adapter] = {}
_adapter = enters(ADAPTERS)


def adapt(b: GraphBuilder, node: Node, opset: int) -> None:
    """Append the newest-opset form of a node that was written for `opset`."""
    node = _with_finite_scales(b, node) if node.op.startswith("QLinear") else node
    ADAPTERS.get(node.op, _append)(b, node, opset)


def _append(b: GraphBuilder, node: Node, opset: int) -> None:
    b.append(node)


def _attribute_to_input(b: GraphBuilder, node: Node, name: str, position: int, dtype: type = np.int64) -> Node:
    """Move an attribute to the input at a position, where the node still has it as an attribute."""
    value = node.attributes.get(name)
    if value is None:
        return node
    inputs = list(node.inputs) + [""] * (position + 1 - len(node.inputs))
    inputs[position] = b.add_constant(f"{node.name}.{name}", np.array(value, dtype))
    return node.with_attributes(**{name: None}).with_(inputs=tuple(inputs))


@_adapter("Dropout")
def _dropout(b: GraphBuilder, node: Node, opset: int) -> None:
    """At inference: the input itself, and a mask that keeps all of it."""
    training = node.input(2)
    if training and (training not in b.constants or np.any(b.constants[training])) and not _drops_nothing(b, node):
        raise ModelError(
            f"node {node.name!r} ({node.operator}): training is not supported; its training_mode must be the constant "
            "False"
        )
    b.append(Node("Identity", node.inputs[:1], node.outputs[:1], {}, node.name))
    if len(node.outputs) > 1 and node.outputs[1]:
        dtype = DType.BOOL if opset >= 10 else b.types[node.inputs[0]].dtype
        mask, shape = node.outputs[1], b.types[node.inputs[0]].shape
        sizes = b.add(
            "Shape", node.inputs[:1], TensorType(DType.I64, None if shape is None else (len(shape),)), f"{mask}.shape"
        )
        b.append(
            Node("ConstantOfShape", (sizes,), (mask,), {"value": np.ones(1, dtype.numpy)}, b.fresh(f"{node.name}.mask"))
        )


def trains_by_input(b: GraphBuilder, node: Node) -> bool:
    """Whether a node is a Dropout that drops something or nothing, which is known when it runs."""
    return (
        node.op == "Dropout"
        and bool(node.input(2))
        and node.input(2) not in b.constants
        and not _drops_nothing(b, node)
    )


def _drops_nothing(b: GraphBuilder, node: Node) -> bool:
    ratio = b.constants.get(node.input(1))
    return ratio is not None and not np.any(ratio)


@_adapter("Squeeze", "Unsqueeze", "ReduceMean", "ReduceSum", "ReduceMax", "ReduceMin", "ReduceProd",
          "ReduceL1", "ReduceL2", "ReduceSumSquare", "ReduceLogSum", "ReduceLogSumExp")  # fmt: skip
def _axes(b: GraphBuilder, node: Node, opset: int) -> None:
    b.append(_attribute_to_input(b, node, "axes", 1))


@_adapter("Split")
def _split(b: GraphBuilder, node: Node, opset: int) -> None:
    b.append(_attribute_to_input(b, node, "split", 1).with_attributes(num_outputs=None))  # NOTE: it has so many


@_adapter("Slice")
def _slice(b: GraphBuilder, node: Node, opset: int) -> None:
    for position, name in enumerate(("starts", "ends", "axes"), 1):
        node = _attribute_to_input(b, node, name, position)
    b.append(node)


@_adapter("Pad")
def _pad(b: GraphBuilder, node: Node, opset: int) -> None:
    if opset < 11:
        node = _attribute_to_input(b, node, "pads", 1)
        node = _attribute_to_input(b, node, "value", 2, np.float32)
    b.append(node)


@_adapter("Clip")
def _clip(b: GraphBuilder, node: Node, opset: int) -> None:
    if opset < 11:
        for position, name in enumerate(("min", "max"), 1):
            node = _attribute_to_input(b, node, name, position, np.float32)
    b.append(node)


@_adapter("Upsample")
def _upsample(b: GraphBuilder, node: Node, opset: int) -> None:
    node = _attribute_to_input(b, node, "scales", 1, np.float32)
    mode = {"bilinear": "linear"}.get(node.attributes.get("mode", "nearest"), node.attributes.get("mode", "nearest"))
    attributes = {"mode": mode, "coordinate_transformation_mode": "asymmetric", "nearest_mode": "floor"}
    b.append(Node("Resize", (node.inputs[0], "", node.inputs[1]), node.outputs, attributes, node.name))


@_adapter("RoiAlign")
def _roi_align(b: GraphBuilder, node: Node, opset: int) -> None:
    """Before opset 16 coordinates are not moved by half a pixel."""
    b.append(node.with_attributes(coordinate_transformation_mode="output_half_pixel") if opset < 16 else node)


@_adapter("Resize")
def _resize(b: GraphBuilder, node: Node, opset: int) -> None:
    if opset == 10:
        _upsample(b, node, opset)
    else:
        b.append(node)


@_adapter("BatchNormalization")
def _batch_normalization(b: GraphBuilder, node: Node, opset: int) -> None:
    b.append(node.with_attributes(momentum=None, spatial=None, training_mode=None).with_(outputs=node.outputs[:1]))


@_adapter("Cast")
def _cast(b: GraphBuilder, node: Node, opset: int) -> None:
    b.append(node.with_attributes(to=_dtype_name(node.attributes["to"]), saturate=None, round_mode=None))


@_adapter("TopK")
def _top_k(b: GraphBuilder, node: Node, opset: int) -> None:
    k = node.attributes.get("k")
    # NOTE: the input has one element
    b.append(_attribute_to_input(b, node if k is None else node.with_attributes(k=(k,)), "k", 1))


@_adapter("OptionalHasElement")
def _optional_has_element(b: GraphBuilder, node: Node, opset: int) -> None:
    """Of a tensor: whether it is given at all."""
    there = b.add_constant(f"{node.outputs[0]}.there", np.array(bool(node.input(0))))
    b.append(Node("Identity", (there,), node.outputs, {}, node.name))


@_adapter("OptionalGetElement")
def _optional_get_element(b: GraphBuilder, node: Node, opset: int) -> None:
    b.append(node.with_(op="Identity"))


@_adapter("Scatter")
def _scatter(b: GraphBuilder, node: Node, opset: int) -> None:
    b.append(node.with_(op="ScatterElements"))


@_adapter("GridSample")
def _grid_sample(b: GraphBuilder, node: Node, opset: int) -> None:
    mode = node.attributes.get("mode", "linear")
    b.append(node.with_attributes(mode={"bilinear": "linear", "bicubic": "cubic"}.get(mode, mode)))


@_adapter("GroupNormalization")
def _group_normalization(b: GraphBuilder, node: Node, opset: int) -> None:
    """The InstanceNormalization of each group as one channel, then scale and bias: of channels, before opset 21 of
    groups."""
    (x, scale, bias), y, groups = node.inputs, node.outputs[0], int(node.attributes["num_groups"])
    shape, dtype = b.types[x].shape, b.types[x].dtype
    if shape is None or (opset < 21 and not isinstance(shape[1], int)):
        what = "rank" if shape is None else "number of channels"
        raise ModelError(f"node {node.name!r} ({node.operator}): the {what} of {x!r} must be known")
    each, rank = shape[1] // groups if isinstance(shape[1], int) else 1, len(shape)
    known = [d for d in shape[1:] if isinstance(d, int)]
    size = int(np.prod(known)) // groups if len(known) == rank - 1 else -1
    unknown, stash = TensorType(DType.F32, None), x
    if dtype is not DType.F32:
        stash = b.add("Cast", (x,), TensorType(DType.F32, shape), f"{y}.f32", to="float32")
    grouped = b.add_constant(f"{y}.grouped", np.array([0, groups, size], np.int64))
    flat = b.add("Reshape", (stash, grouped), unknown, f"{y}.groups")
    one, zero = (b.add_constant(f"{y}.{v}", np.full(groups, v, np.float32)) for v in (1, 0))
    normal = b.add(
        "InstanceNormalization",
        (flat, one, zero),
        unknown,
        f"{y}.normal",
        epsilon=float(node.attributes.get("epsilon", 1e-5)),
    )
    sizes = b.add("Shape", (x,), TensorType(DType.I64, (rank,)), f"{y}.shape")
    real = b.add("Reshape", (normal, sizes), TensorType(DType.F32, shape), f"{y}.unscaled")
    if dtype is not DType.F32:
        real = b.add("Cast", (real,), TensorType(dtype, shape), f"{y}.cast", to=dtype.numpy.name)
    factor, offset = (
        _by_channel(b, v, each if opset < 21 else 1, rank, f"{y}.{hint}") for v, hint in ((scale, "s"), (bias, "b"))
    )
    scaled = b.add("Mul", (real, factor), TensorType(dtype, shape), f"{y}.scaled")
    b.append(Node("Add", (scaled, offset), (y,), {}, node.name))


def _by_channel(b: GraphBuilder, vector: str, repeat: int, rank: int, hint: str) -> str:
    """A vector [C / repeat] as [C, 1, ...] that broadcasts along the channels of a value of a rank."""
    if vector in b.constants:
        return b.add_constant(hint, np.repeat(b.constants[vector], repeat).reshape(-1, *(1,) * (rank - 2)))
    dtype, column = b.types[vector].dtype, b.add_constant(f"{hint}.column", np.array([-1, 1], np.int64))
    wide = b.add("Reshape", (vector, column), TensorType(dtype, None), f"{hint}.wide")
    times = b.add_constant(f"{hint}.repeat", np.array([1, repeat], np.int64))
    tiled = b.add("Tile", (wide, times), TensorType(dtype, None), f"{hint}.tiled")
    shape = b.add_constant(f"{hint}.shape", np.array([-1, *(1,) * (rank - 2)], np.int64))
    return b.add("Reshape", (tiled, shape), TensorType(dtype, None), hint)


@_adapter("Softmax", "LogSoftmax", "Hardmax")
def _softmax(b: GraphBuilder, node: Node, opset: int) -> None:
    """Before opset 13 the input is taken as a matrix split at `axis`; with the last axis the two agree."""
    if opset >= 13:
        b.append(node)
        return
    axis = node.attributes.get("axis", 1)
    x, y = node.inputs[0], node.outputs[0]
    shape = b.types[x].shape
    if axis == -1 or (shape is not None and axis % len(shape) == len(shape) - 1):
        b.append(node.with_attributes(axis=-1))
        return
    dtype = b.types[x].dtype
    flat = b.add("Flatten", (x,), TensorType(dtype, None), f"{y}.matrix", axis=axis)
    done = b.add(node.op, (flat,), TensorType(dtype, None), f"{y}.rows", axis=-1)
    sizes = b.add("Shape", (x,), TensorType(DType.I64, (len(shape),) if shape else None), f"{y}.shape")
    b.append(Node("Reshape", (done, sizes), (y,), {}, node.name))


@_adapter("LSTM", "GRU", "RNN")
def _recurrent(b: GraphBuilder, node: Node, opset: int) -> None:
    """hidden_size from the weights where it is not given; batch-first data (layout 1) are turned before and after."""
    r = b.types[node.inputs[2]].shape
    if not node.attributes.get("hidden_size") and r is not None and isinstance(r[-1], int):
        node = node.with_attributes(hidden_size=r[-1])
    if not node.attributes.get("hidden_size"):
        raise ModelError(f"node {node.name!r}: {node.op} has neither hidden_size nor weights of a known shape")
    if not node.attributes.get("layout", 0):
        b.append(node.with_attributes(layout=None))
        return
    inputs, outputs, turned = list(node.inputs), list(node.outputs), []
    for k in (0, 5, 6):
        if node.input(k):
            inputs[k] = b.add(
                "Transpose",
                (inputs[k],),
                TensorType(b.types[inputs[k]].dtype, None),
                f"{inputs[k]}.steps",
                perm=(1, 0, 2),
            )
    for k, name in enumerate(outputs):
        if name:
            outputs[k] = b.fresh(f"{name}.steps")
            b.types[outputs[k]] = TensorType(b.types[name].dtype, None)
            turned.append(
                Node(
                    "Transpose",
                    (outputs[k],),
                    (name,),
                    {"perm": (2, 0, 1, 3) if k == 0 else (1, 0, 2)},
                    b.fresh(f"{name}.turn"),
                )
            )
    b.append(node.with_attributes(layout=None).with_(inputs=tuple(inputs), outputs=tuple(outputs)))
    for each in turned:
        b.append(each)


def _dtype_name(element: int) -> str:
    if element not in DTYPES:
        raise ModelError(f"dtype {name_of(element)} is not supported")
    return str(np.dtype(onnx.helper.tensor_dtype_to_np_dtype(element)).name)


LARGEST_SCALE = np.nextafter(np.float32(np.finfo(np.float32).max / 255), np.float32(0))


def _with_finite_scales(b: GraphBuilder, node: Node) -> Node:
    """An operator on integers with scales by which all that 8 bits stand for is finite.

    Its own arithmetic has ratios of scales alone, and works with a mask of the lowest float, which would be infinite
    when dequantized."""

    def bounded(name: str) -> str:
        c = b.constants.get(name)
        if c is None or c.dtype != np.float32 or not (np.isfinite(c) & (c > LARGEST_SCALE)).any():
            return name
        return b.add_constant(f"{node.name}.scale", np.minimum(c, LARGEST_SCALE))

    return node.with_(inputs=tuple(map(bounded, node.inputs)))


@_adapter("QLinearConv")
def _qlinear_conv(b: GraphBuilder, node: Node, opset: int) -> None:
    """QLinearConv as Quantize(Conv(Dequantize...)): quantization reads the int8 meaning back from this pattern."""
    x, xs, xz, w, ws, wz, ys, yz = node.inputs[:8]
    y, f32 = node.outputs[0], b.types[xs].dtype
    xf = b.add("DequantizeLinear", (x, xs, xz), TensorType(f32, b.types[x].shape), f"{y}.x")
    wf = b.add("DequantizeLinear", (w, ws, wz), TensorType(f32, b.types[w].shape), f"{y}.w", axis=0)
    inputs = [xf, wf]
    if node.input(8):
        scale = b.add_constant(f"{y}.bias.scale", np.asarray(b.constants[xs] * b.constants[ws], np.float32))
        inputs.append(
            b.add(
                "DequantizeLinear",
                (node.input(8), scale),
                TensorType(f32, b.types[node.input(8)].shape),
                f"{y}.bias",
                axis=0,
            )
        )
    yf = b.add("Conv", inputs, TensorType(f32, b.types[y].shape), f"{y}.real", **node.attributes)
    b.append(Node("QuantizeLinear", (yf, ys, yz), (y,), {}, node.name))


@_adapter("QLinearMatMul")
def _qlinear_matmul(b: GraphBuilder, node: Node, opset: int) -> None:
    a, sa, za, w, sw, zw, sy, zy = node.inputs
    y, f32 = node.outputs[0], b.types[sa].dtype
    af = b.add("DequantizeLinear", (a, sa, za), TensorType(f32, b.types[a].shape), f"{y}.a")
    wf = b.add("DequantizeLinear", (w, sw, zw), TensorType(f32, b.types[w].shape), f"{y}.b")
    yf = b.add("MatMul", (af, wf), TensorType(f32, b.types[y].shape), f"{y}.real")
    b.append(Node("QuantizeLinear", (yf, sy, zy), (y,), {}, node.name))


@_adapter("QLinearGlobalAveragePool", "QLinearAveragePool", "QLinearSigmoid", "QLinearLeakyRelu")
def _qlinear_unary(b: GraphBuilder, node: Node, opset: int) -> None:
    """onnxruntime's int8 functions of one tensor (domain com.microsoft) as Quantize(op(Dequantize))."""
    x, sx, zx, sy, zy = (*node.inputs, "")[:5]
    if node.attributes.get("channels_last", 0):
        raise ModelError(
            f"node {node.name!r}: {node.op} with channels last is not supported; export the model with channels first"
        )
    y, f32 = node.outputs[0], b.types[sx].dtype
    xf = b.add("DequantizeLinear", (x, sx, *([zx] if zx else [])), TensorType(f32, b.types[x].shape), f"{y}.x")
    plain = node.with_attributes(channels_last=None)
    yf = b.add(
        node.op.removeprefix("QLinear"), (xf,), TensorType(f32, b.types[y].shape), f"{y}.real", **plain.attributes
    )
    b.append(Node("QuantizeLinear", (yf, sy, *([zy] if zy else [])), (y,), {}, node.name))


@_adapter("QLinearSoftmax")
def _qlinear_softmax(b: GraphBuilder, node: Node, opset: int) -> None:
    """onnxruntime's QLinearSoftmax as Quantize(Softmax(Dequantize)), the Softmax of the opset that an attribute names,
    on the last axis."""
    x, sx, zx, sy, zy = (*node.inputs, "")[:5]
    y, f32 = node.outputs[0], b.types[sx].dtype
    xf = b.add("DequantizeLinear", (x, sx, *([zx] if zx else [])), TensorType(f32, b.types[x].shape), f"{y}.x")
    yf = b.fresh(f"{y}.real")
    b.types[yf] = TensorType(f32, b.types[y].shape)
    _softmax(
        b,
        Node("Softmax", (xf,), (yf,), {"axis": node.attributes.get("axis", -1)}, f"{node.name}.real"),
        int(node.attributes.get("opset", 13)),
    )
    b.append(Node("QuantizeLinear", (yf, sy, *([zy] if zy else [])), (y,), {}, node.name))


@_adapter("QLinearConcat")
def _qlinear_concat(b: GraphBuilder, node: Node, opset: int) -> None:
    sy, zy, *rest = node.inputs
    y, f32 = node.outputs[0], b.types[sy].dtype
    triples = [tuple(rest[k : k + 3]) for k in range(0, len(rest), 3)]
    parts = [b.add("DequantizeLinear", t, TensorType(f32, b.types[t[0]].shape), f"{y}.part") for t in triples]
    yf = b.add("Concat", parts, TensorType(f32, b.types[y].shape), f"{y}.real", axis=node.attributes.get("axis"))
    b.append(Node("QuantizeLinear", (yf, sy, zy), (y,), {}, node.name))


@_adapter("QGemm")
def _qgemm(b: GraphBuilder, node: Node, opset: int) -> None:
    """onnxruntime's QGemm: the bias is int32 in units of alpha times a's scale times b's; without an output scale the
    result is float."""
    a, sa, za, w, sw, zw, bias, sy, zy = (*node.inputs, "", "", "")[:9]
    y, f32 = node.outputs[0], b.types[sa].dtype
    axis = 0 if node.attributes.get("transB", 0) else 1
    inputs = [b.add("DequantizeLinear", (a, sa, za), TensorType(f32, b.types[a].shape), f"{y}.a"),
              b.add("DequantizeLinear", (w, sw, zw), TensorType(f32, b.types[w].shape), f"{y}.b",
              axis=axis)]  # fmt: skip
    if bias:
        unit = b.add_constant(
            f"{y}.bias.scale",
            np.asarray(node.attributes.get("alpha", 1.0) * b.constants[sa] * b.constants[sw], np.float32),
        )
        inputs.append(
            b.add("DequantizeLinear", (bias, unit), TensorType(f32, b.types[bias].shape), f"{y}.bias", axis=0)
        )
    yf = b.add("Gemm", inputs, TensorType(f32, b.types[y].shape), f"{y}.real" if sy else y, **node.attributes)
    last = ("QuantizeLinear", (yf, sy, *([zy] if zy else []))) if sy else ("Identity", (yf,))
    b.append(Node(*last, (y,), {}, node.name))


@_adapter("QLinearAdd", "QLinearMul")
def _qlinear_binary(b: GraphBuilder, node: Node, opset: int) -> None:
    """onnxruntime's QLinearAdd and QLinearMul (domain com.microsoft) as Quantize(op(Dequantize, Dequantize))."""
    a, sa, za, c, sc, zc, sy, zy = (*node.inputs, "")[:8]
    y, f32 = node.outputs[0], b.types[sa].dtype
    af = b.add("DequantizeLinear", (a, sa, za), TensorType(f32, b.types[a].shape), f"{y}.a")
    cf = b.add("DequantizeLinear", (c, sc, zc), TensorType(f32, b.types[c].shape), f"{y}.b")
    yf = b.add(node.op.removeprefix("QLinear"), (af, cf), TensorType(f32, b.types[y].shape), f"{y}.real")
    b.append(Node("QuantizeLinear", (yf, sy, *([zy] if zy else [])), (y,), {}, node.name))


@_adapter("MatMulNBits")
def _matmul_n_bits(b: GraphBuilder, node: Node, opset: int) -> None:
    matmul_n_bits(b, node)
