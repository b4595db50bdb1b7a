"""Old forms of ops to their newest-opset form: one short function an op, `adapter(builder, node, opset)` appends nodes.

Only forms that differ are here; every other op is appended as it is.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import onnx

from ..errors import ModelError
from ..graph import DType, GraphBuilder, Node, TensorType
from .adapters_qlinear import (
    Real,
    qgemm,
    qlinear_binary,
    qlinear_concat,
    qlinear_conv,
    qlinear_unary,
    quantize_linear,
    with_finite_scales,
)
from .block_weights import matmul_n_bits
from .element_types import DTYPES, name_of

Adapter = Callable[[GraphBuilder, Node, int], None]


def adapt(b: GraphBuilder, node: Node, opset: int) -> None:
    """Append the newest-opset form of a node that was written for `opset`."""
    node = with_finite_scales(b, node) if node.op.startswith("QLinear") else node
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


def _axes(b: GraphBuilder, node: Node, opset: int) -> None:
    b.append(_attribute_to_input(b, node, "axes", 1))


def _split(b: GraphBuilder, node: Node, opset: int) -> None:
    b.append(_attribute_to_input(b, node, "split", 1).with_attributes(num_outputs=None))  # NOTE: it has so many


def _slice(b: GraphBuilder, node: Node, opset: int) -> None:
    for position, name in enumerate(("starts", "ends", "axes"), 1):
        node = _attribute_to_input(b, node, name, position)
    b.append(node)


def _pad(b: GraphBuilder, node: Node, opset: int) -> None:
    if opset < 11:
        node = _attribute_to_input(b, node, "pads", 1)
        node = _attribute_to_input(b, node, "value", 2, np.float32)
    b.append(node)


def _clip(b: GraphBuilder, node: Node, opset: int) -> None:
    if opset < 11:
        for position, name in enumerate(("min", "max"), 1):
            node = _attribute_to_input(b, node, name, position, np.float32)
    b.append(node)


def _upsample(b: GraphBuilder, node: Node, opset: int) -> None:
    node = _attribute_to_input(b, node, "scales", 1, np.float32)
    mode = {"bilinear": "linear"}.get(node.attributes.get("mode", "nearest"), node.attributes.get("mode", "nearest"))
    attributes = {"mode": mode, "coordinate_transformation_mode": "asymmetric", "nearest_mode": "floor"}
    b.append(Node("Resize", (node.inputs[0], "", node.inputs[1]), node.outputs, attributes, node.name))


def _roi_align(b: GraphBuilder, node: Node, opset: int) -> None:
    """Before opset 16 coordinates are not moved by half a pixel."""
    b.append(node.with_attributes(coordinate_transformation_mode="output_half_pixel") if opset < 16 else node)


def _resize(b: GraphBuilder, node: Node, opset: int) -> None:
    if opset == 10:
        _upsample(b, node, opset)
    else:
        b.append(node)


def _batch_normalization(b: GraphBuilder, node: Node, opset: int) -> None:
    b.append(node.with_attributes(momentum=None, spatial=None, training_mode=None).with_(outputs=node.outputs[:1]))


def _cast(b: GraphBuilder, node: Node, opset: int) -> None:
    b.append(node.with_attributes(to=_dtype_name(node.attributes["to"]), saturate=None, round_mode=None))


def _top_k(b: GraphBuilder, node: Node, opset: int) -> None:
    k = node.attributes.get("k")
    # NOTE: the input has one element
    b.append(_attribute_to_input(b, node if k is None else node.with_attributes(k=(k,)), "k", 1))


def _optional_has_element(b: GraphBuilder, node: Node, opset: int) -> None:
    """Of a tensor: whether it is given at all."""
    there = b.add_constant(f"{node.outputs[0]}.there", np.array(bool(node.input(0))))
    b.append(Node("Identity", (there,), node.outputs, {}, node.name))


def _optional_get_element(b: GraphBuilder, node: Node, opset: int) -> None:
    b.append(node.with_(op="Identity"))


def _scatter(b: GraphBuilder, node: Node, opset: int) -> None:
    b.append(node.with_(op="ScatterElements"))


def _grid_sample(b: GraphBuilder, node: Node, opset: int) -> None:
    mode = node.attributes.get("mode", "linear")
    b.append(node.with_attributes(mode={"bilinear": "linear", "bicubic": "cubic"}.get(mode, mode)))


def _group_normalization(b: GraphBuilder, node: Node, opset: int) -> None:
    """The InstanceNormalization of each group as one channel, then scale and bias: of channels, before opset 21 of
    groups. Where it is not known how many channels a group has, those of groups are the InstanceNormalization's own."""
    (x, scale, bias), y, groups = node.inputs, node.outputs[0], int(node.attributes["num_groups"])
    shape, dtype = b.types[x].shape, b.types[x].dtype
    if shape is None:
        raise ModelError(f"node {node.name!r} ({node.operator}): the rank of {x!r} must be known")
    each, rank = shape[1] // groups if isinstance(shape[1], int) else 1, len(shape)
    known = [d for d in shape[1:] if isinstance(d, int)]
    size = int(np.prod(known)) // groups if len(known) == rank - 1 else -1
    unknown, stash = TensorType(DType.F32, None), x
    if dtype is not DType.F32:
        stash = b.add("Cast", (x,), TensorType(DType.F32, shape), f"{y}.f32", to="float32")
    grouped = b.add_constant(f"{y}.grouped", np.array([0, groups, size], np.int64))
    flat = b.add("Reshape", (stash, grouped), unknown, f"{y}.groups")
    by_group = opset < 21 and not isinstance(shape[1], int)
    if by_group:
        own = tuple(_as_f32(b, v, f"{y}.{hint}") for v, hint in ((scale, "s"), (bias, "b")))
    else:
        own = tuple(b.add_constant(f"{y}.{v}", np.full(groups, v, np.float32)) for v in (1, 0))
    epsilon = float(node.attributes.get("epsilon", 1e-5))
    normal = b.add("InstanceNormalization", (flat, *own), unknown, f"{y}.normal", epsilon=epsilon)
    sizes = b.add("Shape", (x,), TensorType(DType.I64, (rank,)), f"{y}.shape")
    if by_group and dtype is DType.F32:
        b.append(Node("Reshape", (normal, sizes), (y,), {}, node.name))
        return
    real = b.add("Reshape", (normal, sizes), TensorType(DType.F32, shape), f"{y}.unscaled")
    if by_group:
        b.append(Node("Cast", (real,), (y,), {"to": dtype.numpy.name}, node.name))
        return
    if dtype is not DType.F32:
        real = b.add("Cast", (real,), TensorType(dtype, shape), f"{y}.cast", to=dtype.numpy.name)
    factor, offset = (
        _by_channel(b, v, each if opset < 21 else 1, rank, f"{y}.{hint}") for v, hint in ((scale, "s"), (bias, "b"))
    )
    scaled = b.add("Mul", (real, factor), TensorType(dtype, shape), f"{y}.scaled")
    b.append(Node("Add", (scaled, offset), (y,), {}, node.name))


def _as_f32(b: GraphBuilder, value: str, hint: str) -> str:
    if b.types[value].dtype is DType.F32:
        return value
    return b.add("Cast", (value,), TensorType(DType.F32, b.types[value].shape), hint, to="float32")


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


def _qlinear_softmax(b: GraphBuilder, node: Node, opset: int) -> None:
    """onnxruntime's QLinearSoftmax: the Softmax of the opset that an attribute names, on the last axis."""
    x, sx, zx, sy, zy = (*node.inputs, "")[:5]
    r, y = Real(b, node, sx), b.fresh(f"{node.outputs[0]}.real")
    attributes = {"axis": node.attributes.get("axis", -1)}
    real = Node("Softmax", (r.operand("x", x, sx, zx),), (y,), attributes, f"{node.name}.real")
    b.types[y] = r.typed(node.outputs[0])
    _softmax(b, real, int(node.attributes.get("opset", 13)))
    r.gives(y, sy, zy)


def _matmul_n_bits(b: GraphBuilder, node: Node, opset: int) -> None:
    matmul_n_bits(b, node)


ROWS: tuple[tuple[str, Adapter], ...] = (  # names of ops, and what writes their newest form
    ("Dropout", _dropout),
    (
        "Squeeze Unsqueeze ReduceMean ReduceSum ReduceMax ReduceMin ReduceProd ReduceL1 ReduceL2 "
        "ReduceSumSquare ReduceLogSum ReduceLogSumExp",
        _axes,
    ),
    ("Split", _split),
    ("Slice", _slice),
    ("Pad", _pad),
    ("Clip", _clip),
    ("Upsample", _upsample),
    ("RoiAlign", _roi_align),
    ("Resize", _resize),
    ("BatchNormalization", _batch_normalization),
    ("Cast", _cast),
    ("TopK", _top_k),
    ("OptionalHasElement", _optional_has_element),
    ("OptionalGetElement", _optional_get_element),
    ("Scatter", _scatter),
    ("GridSample", _grid_sample),
    ("GroupNormalization", _group_normalization),
    ("Softmax LogSoftmax Hardmax", _softmax),
    ("LSTM GRU RNN", _recurrent),
    ("QuantizeLinear", quantize_linear),
    ("QLinearConv", qlinear_conv),
    ("QLinearMatMul QLinearAdd QLinearMul", qlinear_binary),
    ("QLinearGlobalAveragePool QLinearAveragePool QLinearSigmoid QLinearLeakyRelu", qlinear_unary),
    ("QLinearSoftmax", _qlinear_softmax),
    ("QLinearConcat", qlinear_concat),
    ("QGemm", qgemm),
    ("MatMulNBits", _matmul_n_bits),
)
ADAPTERS: dict[str, Adapter] = {op: adapter for names, adapter in ROWS for op in names.split()}
