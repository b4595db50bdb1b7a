"""ONNX models that no exporter writes: other sizes, data, types, names, attributes, operands and order."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import onnx
from onnx import AttributeProto, ModelProto, NodeProto, TensorProto, helper

from .byte_edits import edited
from .draws import Draws
from .graph_text import ATTRIBUTE_NAMES, OPERATORS

Edit = Callable[[ModelProto, Draws], None]
LOCATIONS = (
    "../../etc/passwd",
    "/etc/passwd",
    "/dev/zero",
    "",
    "model.onnx",
    "a\x00b",
    "..",
    "/proc/self/mem",
    "nowhere.bin",
    "\x1b[2J",
)
_MORE_OPERATORS = """
    Scan SequenceConstruct OneHot NonMaxSuppression RoiAlign GridSample DFT QLinearConv Unique Compress EyeLike
    RandomNormal QuantizeLinear DequantizeLinear CumSum ScatterND Constant Optional StringNormalizer
    TfIdfVectorizer CastLike ImageDecoder
"""
MORE_OPERATORS = (
    *_MORE_OPERATORS.split(),
    "\x1b[31mEvil",
    "ai.onnx::Conv",
)


def clamp(number: int, bits: int = 64) -> int:
    """A number that a field of the protobuf can hold."""
    return max(-(1 << bits - 1), min((1 << bits - 1) - 1, number))


def mutant(whole: bytes, draws: Draws) -> bytes:
    if draws.chance(10):
        return edited(whole, draws)
    model = onnx.load_from_string(whole)
    for _ in range(1 + draws.chance(3)):
        draws.pick(EDITS)(model, draws)
    return model.SerializeToString()


def a_node(model: ModelProto, draws: Draws) -> NodeProto:
    """Any node, of branches and bodies too; a new one where there is none."""
    nodes = list(model.graph.node)
    inner = [n for node in nodes for a in node.attribute if a.HasField("g") for n in a.g.node]
    found = nodes + inner
    return draws.pick(found) if found else model.graph.node.add()


def values_of(model: ModelProto) -> list[str]:
    names = [o for n in model.graph.node for o in n.output]
    return [*names, *(i.name for i in model.graph.input), *(t.name for t in model.graph.initializer), "nobody"]


def initializer_size(model: ModelProto, draws: Draws) -> None:
    if model.graph.initializer:
        dims = draws.pick(model.graph.initializer).dims
        how = draws.below(4)
        if how == 0 or not dims:
            dims.append(clamp(draws.number(1)))
        elif how == 1:
            del dims[-1]
        else:
            k = draws.below(len(dims))
            dims[k] = clamp(draws.number(dims[k]))


def initializer_data(model: ModelProto, draws: Draws) -> None:
    """Too few bytes, too many, none, of another dtype, in two fields at once, or NaN and infinities."""
    if not model.graph.initializer:
        return
    t = draws.pick(model.graph.initializer)
    how = draws.below(7)
    if how == 0:
        t.raw_data = t.raw_data[: draws.below(len(t.raw_data) + 1)]
    elif how == 1:
        t.raw_data = t.raw_data + bytes(1 + draws.below(9))
    elif how == 2:
        t.data_type = draws.below(32)
    elif how == 3:
        t.float_data.extend([1.0] * draws.below(5))
    elif how == 4:
        t.ClearField("raw_data")
    elif how == 5:
        t.data_type = clamp(draws.number(), 32)
    else:
        t.raw_data = b"\x00\x00\xc0\x7f" * (len(t.raw_data) // 4) + t.raw_data[len(t.raw_data) // 4 * 4 :]


def external(model: ModelProto, draws: Draws) -> None:
    """Data in another file, which a model from a stranger may not name."""
    if model.graph.initializer:
        t = draws.pick(model.graph.initializer)
        t.data_location = TensorProto.EXTERNAL
        if draws.below(4):
            t.ClearField("raw_data")
        keys = {
            "location": draws.pick(LOCATIONS),
            "offset": str(draws.number()),
            "length": str(draws.pick((4, draws.number(), "x"))),
        }
        for key, value in keys.items():
            if draws.below(5):
                t.external_data.add(key=key, value=value)


def sparse(model: ModelProto, draws: Draws) -> None:
    if model.graph.initializer:
        t = draws.pick(model.graph.initializer)
        made = model.graph.sparse_initializer.add(dims=[clamp(draws.number()) for _ in range(2)])
        made.values.CopyFrom(t)
        made.indices.CopyFrom(helper.make_tensor("at", TensorProto.INT64, [2], [clamp(draws.number()), 0]))


def attribute(model: ModelProto, draws: Draws) -> None:
    """An attribute goes, comes twice, or has another value, type or name."""
    node = a_node(model, draws)
    if not node.attribute or draws.chance(5):
        node.attribute.append(
            helper.make_attribute(draws.pick(ATTRIBUTE_NAMES), draws.pick((1, 0.5, [1, 2], "SAME_UPPER", [-1], [0])))
        )
        return
    k = draws.below(len(node.attribute))
    a, how = node.attribute[k], draws.below(9)
    if how == 0:
        del node.attribute[k]
    elif how == 1:
        node.attribute.append(a)
    elif how == 2:
        a.type = draws.below(15)
    elif how == 3:
        a.name = draws.pick((*ATTRIBUTE_NAMES, draws.word()))
    elif how == 4:
        a.ref_attr_name = draws.word()
    else:
        other_attribute(a, draws)


def other_attribute(a: AttributeProto, draws: Draws) -> None:
    if a.ints:
        how = draws.below(4)
        if how == 0:
            a.ints.append(clamp(draws.number()))
        elif how == 1:
            del a.ints[-1]
        else:
            k = draws.below(len(a.ints))
            a.ints[k] = clamp(draws.number(a.ints[k])) if how == 2 else draws.pick((0, 1, 2, 3, -1))
    elif a.type == AttributeProto.FLOAT:
        a.f = max(-3.4e38, min(3.4e38, draws.float()))
    elif a.type == AttributeProto.STRING:
        a.s = draws.pick(
            (b"", b"\xff\xfe", b"SAME_LOWER", b"VALID", b"linear", b"\x1b[2J", b"x" * 2000, b"bidirectional")
        )
    elif a.HasField("t"):
        a.t.dims[:] = [clamp(draws.number())] * draws.below(4)
    else:
        a.i = clamp(draws.number(a.i)) if draws.below(2) else draws.pick((0, 1, 2, 3, -1))


def operands(model: ModelProto, draws: Draws) -> None:
    """What a node reads or writes: one value goes, is left out or is another, the node's own result too."""
    node = a_node(model, draws)
    side = node.input if draws.below(3) else node.output
    how = draws.below(6)
    if how == 0 or not side:
        side.append(draws.pick(values_of(model)))
    elif how == 1:
        del side[draws.below(len(side))]
    elif how == 2:
        side[draws.below(len(side))] = ""
    elif how == 3:
        node.input.append(node.output[0] if node.output else "")
    elif how == 4:
        side[:] = list(side)[::-1]
    else:
        side[draws.below(len(side))] = draws.pick(values_of(model))


def operator(model: ModelProto, draws: Draws) -> None:
    node = a_node(model, draws)
    if draws.chance(5):
        node.domain = draws.pick(("com.microsoft", "ai.onnx.ml", "nobody", draws.word()))
    else:
        node.op_type = draws.pick(OPERATORS + MORE_OPERATORS)


def name(model: ModelProto, draws: Draws) -> None:
    """A name of control characters, of a file, of another value, very long, or none; everywhere where it stands."""
    old = draws.pick(values_of(model))
    new = draws.pick((draws.word(), draws.word(), "n" * 10_000, draws.pick(values_of(model))))
    for node in model.graph.node:
        node.input[:] = [new if i == old else i for i in node.input]
        node.output[:] = [new if o == old else o for o in node.output]
    for named in (*model.graph.input, *model.graph.output, *model.graph.initializer, *model.graph.value_info):
        if named.name == old and draws.below(8):
            named.name = new


def node_name(model: ModelProto, draws: Draws) -> None:
    a_node(model, draws).name = draws.pick(
        (draws.word(), "n" * 5000, model.graph.node[0].name if model.graph.node else "")
    )


def opset(model: ModelProto, draws: Draws) -> None:
    how = draws.below(5)
    if how == 0:
        del model.opset_import[:]
    elif how == 1:
        model.opset_import.add(domain="", version=draws.below(30))
    elif how == 2:
        model.ir_version = clamp(draws.number())
    elif model.opset_import:
        model.opset_import[0].version = clamp(draws.number()) if how == 3 else draws.below(30)


def order(model: ModelProto, draws: Draws) -> None:
    """Nodes the other way round, one moved, one twice, one gone."""
    nodes = list(model.graph.node)
    if not nodes:
        return
    k, how = draws.below(len(nodes)), draws.below(4)
    made = (
        nodes[::-1],
        nodes[:k] + nodes[k + 1 :],
        nodes[: k + 1] + nodes[k:],
        [nodes[k], *nodes[:k], *nodes[k + 1 :]],
    )[how]
    copies = [NodeProto.FromString(n.SerializeToString()) for n in made]
    del model.graph.node[:]
    model.graph.node.extend(copies)


def declared(model: ModelProto, draws: Draws) -> None:
    """Inputs and outputs: gone, twice, of another type or shape, or without any."""
    side = draws.pick((model.graph.input, model.graph.output, model.graph.value_info))
    if not side:
        model.graph.output.add(name=draws.pick(values_of(model)))
        return
    k, how = draws.below(len(side)), draws.below(8)
    if how == 0:
        del side[k]
    elif how == 1:
        side.append(side[k])
    elif how == 2:
        side[k].type.tensor_type.elem_type = draws.below(32)
    elif how == 3:
        side[k].ClearField("type")
    elif how == 4:
        side[k].type.sequence_type.elem_type.tensor_type.elem_type = 1
    elif how == 5:
        side[k].type.tensor_type.ClearField("shape")
    else:
        dims = side[k].type.tensor_type.shape.dim
        (dims[draws.below(len(dims))] if dims and draws.below(4) else dims.add()).dim_value = clamp(draws.number())


def symbol(model: ModelProto, draws: Draws) -> None:
    for value in (*model.graph.input, *model.graph.output):
        for d in value.type.tensor_type.shape.dim:
            if draws.chance(3):
                d.dim_param = draws.pick(("N", "N", "M", draws.word()))


def bomb(model: ModelProto, draws: Draws) -> None:
    """A few bytes that ask for much: sums over sizes that nobody has."""
    target = draws.pick(values_of(model))
    size = clamp(draws.pick((10**6, 10**9, 2**40, 2**62, draws.number())))
    constants = {"dims": [size, 4], "start": [0], "end": [size], "step": [1]}
    for key, numbers in constants.items():
        dims = [len(numbers)] if key == "dims" else []
        model.graph.initializer.append(helper.make_tensor(f"bomb_{key}", TensorProto.INT64, dims, numbers))
    rank = [d for i in model.graph.input for d in i.type.tensor_type.shape.dim]
    tiles = helper.make_tensor(
        "bomb_tiles", TensorProto.INT64, [max(1, len(rank))], [min(size, 1 << 20)] * max(1, len(rank))
    )
    model.graph.initializer.append(tiles)
    nodes = (
        helper.make_node("ConstantOfShape", ["bomb_dims"], ["bomb"]),
        helper.make_node("Range", ["bomb_start", "bomb_end", "bomb_step"], ["bomb"]),
        helper.make_node("Expand", [target, "bomb_dims"], ["bomb"]),
        helper.make_node("Tile", [target, "bomb_tiles"], ["bomb"]),
        helper.make_node("Pad", [target, "bomb_tiles"], ["bomb"]),
        helper.make_node("OneHot", ["bomb_dims", "bomb_end", "bomb_dims"], ["bomb"]),
        helper.make_node("MatMul", [target, target], ["bomb"]),
        helper.make_node("EyeLike", [target], ["bomb"]),
    )
    model.graph.node.append(draws.pick(nodes))
    model.graph.output.append(helper.make_empty_tensor_value_info("bomb"))


def nested(model: ModelProto, draws: Draws) -> None:
    """The graph within a branch of itself, so many times; or a loop that does not end."""
    kept = model.graph.SerializeToString()
    if draws.chance(2):
        yes = helper.make_node("Constant", [], ["yes"], value=helper.make_tensor("v", TensorProto.BOOL, [], [True]))
        for _ in range(1 + draws.below(12)):
            then = onnx.GraphProto.FromString(kept)
            del then.input[:]
            outs = [o.name for o in then.output]
            made = helper.make_node("If", ["yes"], [f"{o}_if" for o in outs], then_branch=then, else_branch=then)
            outer = helper.make_graph(
                [yes, made],
                "outer",
                list(model.graph.input),
                [helper.make_empty_tensor_value_info(f"{o}_if") for o in outs],
            )
            kept = outer.SerializeToString()
            if len(kept) > 1 << 20:
                break
        model.graph.ParseFromString(kept)
        return
    node = helper.make_node("Identity", ["go"], ["on"])
    step = helper.make_node("Add", ["s", "s"], ["t"])
    infos: list[Any] = [
        helper.make_tensor_value_info("i", TensorProto.INT64, []),
        helper.make_tensor_value_info("go", TensorProto.BOOL, []),
        helper.make_empty_tensor_value_info("s"),
    ]
    body = helper.make_graph(
        [node, step],
        "body",
        infos,
        [helper.make_tensor_value_info("on", TensorProto.BOOL, []), helper.make_empty_tensor_value_info("t")],
    )
    trips = draws.pick(("", "bomb_trips"))
    model.graph.initializer.append(helper.make_tensor("bomb_trips", TensorProto.INT64, [], [clamp(draws.number())]))
    model.graph.initializer.append(helper.make_tensor("bomb_go", TensorProto.BOOL, [], [True]))
    model.graph.node.append(
        helper.make_node("Loop", [trips, "bomb_go", draws.pick(values_of(model))], ["looped"], body=body)
    )
    model.graph.output.append(helper.make_empty_tensor_value_info("looped"))


def function(model: ModelProto, draws: Draws) -> None:
    """A function of the model itself, which may call itself."""
    if model.graph.node:
        node = draws.pick(model.graph.node)
        inner = draws.pick((node.op_type, "Own"))
        body = [helper.make_node(inner, ["a"], ["b"], domain="own" if inner == "Own" else "")]
        model.functions.append(helper.make_function("own", "Own", ["a"], ["b"], body, [helper.make_opsetid("", 17)]))
        node.op_type, node.domain = "Own", "own"
        model.opset_import.add(domain="own", version=1)


EDITS: tuple[Edit, ...] = (
    *(initializer_size, initializer_data, operator, declared) * 2,
    *(attribute,) * 4,
    *(operands,) * 3,
    *(external, sparse, name, node_name, opset, order, symbol, bomb, nested, function),
)
