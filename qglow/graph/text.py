"""Exact text form of a graph: printing and parsing give an equal graph back. Dumps, tests and bundles use this one
form.

    graph "net"
    input %x: f32[N,3,8,8]
    const %w: i8[4,3,3,3]<[0.5, 0.25, 0.5, 0.5], [0, 0, 0, 0], 0> = @sha256:...
    const %v: u4[64,2048]<block 32, 1> = @sha256:...
    %y: u8[N,4,6,6]<0.5, 3> = Conv(%x, %w) {"strides": [1, 1]} "Conv_0"
    output %y

Small constants stand in the text; larger ones are named by hash and their arrays travel beside it.
"""

from __future__ import annotations

import binascii
import json
import re
from collections.abc import Mapping
from typing import Any

import numpy as np

from ..errors import ModelError, around
from .digest import digest
from .graph import Array, Attribute, Graph, Node
from .types import DType, Quant, TensorType

INLINE_ELEMENTS = 16
_PLAIN = re.compile(r"[A-Za-z0-9_./:\-]+")
_NAME = re.compile(r"%([A-Za-z0-9_./:\-]*[A-Za-z0-9_./\-])")
# NOTE: most types are of a static shape, and quantized per tensor or not at all: one match reads them whole
_STATIC = re.compile(
    r"([a-z0-9]+)\[((?:[0-9]+,)*[0-9]+|)\](?:<(-?[0-9]+(?:\.[0-9]+)?(?:[eE][-+]?[0-9]+)?), (-?[0-9]+)>|(?!<))"
)
_TYPE = re.compile(r"[a-z0-9]+")
_DECODE = json.JSONDecoder().raw_decode


def print_graph(graph: Graph) -> str:
    """The graph's text."""
    lines = [f"graph {json.dumps(graph.name)}"]
    lines += [f"input {_name(i)}: {print_type(graph.types[i])}" for i in graph.inputs]
    lines += [f"const {_name(c)}: {print_type(graph.types[c])} = {_print_data(a)}" for c, a in graph.constants.items()]
    lines += [print_node(n, graph.types) for n in graph.nodes]
    lines += [f"output {_name(o)}" for o in graph.outputs]
    return "\n".join(lines) + "\n"


def print_node(n: Node, types: Mapping[str, TensorType]) -> str:
    """One node's line; a value that has no type is shown with `?`."""
    outs = ", ".join(f"{_name(o)}: {print_type(types[o]) if o in types else '?'}" if o else "_" for o in n.outputs)
    attributes = f" {json.dumps({k: _encode(v) for k, v in n.attributes.items()})}" if n.attributes else ""
    return f"{outs} = {n.op}({', '.join(_name(i) for i in n.inputs)}){attributes} {json.dumps(n.name)}"


def parse_graph(
    text: str, constants: Mapping[str, Array] | None = None, hashes: Mapping[str, str] | None = None
) -> Graph:
    """The graph of a text; `constants` holds the arrays that the text names by hash. Raises ModelError with the line's
    number.

    hashes: those of the arrays, where they are known already.
    """
    return _Parser(text, constants or {}, hashes or {}).graph()


def _print_dim(d: int | str) -> str:
    return str(d) if isinstance(d, int) else d if _PLAIN.fullmatch(d) and not d.isdigit() else json.dumps(d)


def print_type(t: TensorType) -> str:
    if t.shape is None:
        dims = "[*]"
    else:
        dims = "[" + ",".join(map(_print_dim, t.shape)) + "]"
    if t.quant is None:
        return t.dtype.value + dims
    q = t.quant
    if q.block is not None:
        return f"{t.dtype.value}{dims}<block {q.block}, {q.axis}>"
    parts = (
        [repr(q.scale[0]), str(q.zero_point[0])]
        if q.axis is None
        else [json.dumps(q.scale), json.dumps(q.zero_point), str(q.axis)]
    )
    return f"{t.dtype.value}{dims}<{', '.join(parts)}>"


def _name(value: str) -> str:
    if not value:
        return "_"
    return f"%{value}" if _PLAIN.fullmatch(value) and not value.endswith(":") else f"%{json.dumps(value)}"


def _print_data(array: Array) -> str:
    if array.size <= INLINE_ELEMENTS and array.dtype.kind in "iufb" and np.all(np.isfinite(array)):
        return json.dumps(array.ravel().tolist())
    return f"@sha256:{digest(array)}"


def _encode(value: Attribute) -> Any:
    if isinstance(value, np.ndarray):
        return {"tensor": DType.of(value.dtype).value, "shape": list(value.shape), "data": value.ravel().tolist()}
    if isinstance(value, bytes):
        return {"bytes": binascii.b2a_base64(value, newline=False).decode()}
    if isinstance(value, Graph):
        return {"graph": print_graph(value)}
    if isinstance(value, (tuple, list)):
        return [_encode(v) for v in value]
    return value.item() if isinstance(value, np.generic) else value


def _decode(value: Any) -> Attribute:
    if isinstance(value, list):
        return tuple(_decode(v) for v in value)
    if not isinstance(value, dict):
        return value
    if "tensor" in value:
        return np.array(value["data"], DType(value["tensor"]).numpy).reshape(value["shape"])
    return parse_graph(value["graph"]) if "graph" in value else binascii.a2b_base64(value["bytes"], strict_mode=True)


class _Parser:
    """Line by line; within a line a cursor, with JSON's own decoder for quoted things."""

    def __init__(self, text: str, arrays: Mapping[str, Array], hashes: Mapping[str, str]) -> None:
        self.lines, self.arrays, self.hashes = text.splitlines(), arrays, hashes
        self.number, self.line, self.at = 0, "", 0

    def graph(self) -> Graph:
        name, inputs, outputs = "", [], []
        nodes: list[Node] = []
        types: dict[str, TensorType] = {}
        constants: dict[str, Array] = {}
        for self.number, self.line in enumerate(self.lines, 1):  # noqa: B020
            self.at = 0
            try:
                if self.line.startswith("graph "):
                    self.at = 6
                    name = self.json()
                elif self.line.startswith("input "):
                    self.at = 6
                    inputs.append(self.declaration(types))
                elif self.line.startswith("output "):
                    self.at = 7
                    outputs.append(self.value())
                elif self.line.startswith("const "):
                    self.at = 6
                    value = self.declaration(types)
                    self.expect(" = ")
                    constants[value] = self.data(value, types[value])
                elif self.line.strip() and not self.line.startswith(";"):
                    nodes.append(self.node(types))
            except (
                ValueError,
                KeyError,
                IndexError,
                TypeError,
                AssertionError,
                OverflowError,
                RecursionError,
            ) as error:
                place = int(getattr(error, "pos", self.at))  # NOTE: JSON's decoder says where it stopped
                raise ModelError(
                    f"graph text, line {self.number}: {error or 'malformed'}: {around(self.line, place)}"
                ) from error
        return Graph(name, tuple(inputs), tuple(outputs), tuple(nodes), types, constants)

    def expect(self, token: str) -> None:
        if not self.line.startswith(token, self.at):
            raise ValueError(f"expected {token!r} at column {self.at + 1}")
        self.at += len(token)

    def peek(self, token: str) -> bool:
        return self.line.startswith(token, self.at)

    def json(self) -> Any:
        value, self.at = _DECODE(self.line, self.at)
        return value

    def word(self) -> str:
        match = _PLAIN.match(self.line, self.at)
        if match is None:
            raise ValueError(f"expected a name at column {self.at + 1}")
        text = match.group().rstrip(":")
        if not text:  # NOTE: without a step forward whoever reads a list would read for ever
            raise ValueError(f"expected a name at column {self.at + 1}")
        self.at += len(text)
        return text

    def value(self) -> str:
        match = _NAME.match(self.line, self.at)
        if match is not None:
            self.at = match.end(1)
            return match[1]
        if self.peek("_"):
            self.at += 1
            return ""
        self.expect("%")
        return self.json() if self.peek('"') else self.word()

    def declaration(self, types: dict[str, TensorType]) -> str:
        value = self.value()
        if value:
            self.expect(": ")
            if value in types:
                raise ValueError(f"value {value} is defined twice")
            types[value] = self.type()
        return value

    def type(self) -> TensorType:
        match = _STATIC.match(self.line, self.at)
        if match is not None:
            self.at = match.end()
            dtype, dims, scale, zero = match.groups()
            shape = tuple(map(int, dims.split(","))) if dims else ()
            return TensorType(DType(dtype), shape, Quant((float(scale),), (int(zero),), None) if scale else None)
        return self.general_type()

    def general_type(self) -> TensorType:
        """One with named or unknown dimensions, or scales of channels or blocks."""
        match = _TYPE.match(self.line, self.at)
        if match is None:
            raise ValueError("expected a type")
        dtype, self.at = DType(match.group()), match.end()
        self.expect("[")
        shape: tuple[int | str, ...] | None = ()
        if self.peek("*"):
            self.at, shape = self.at + 1, None
        dims: list[int | str] = []
        while not self.peek("]"):
            dims.append(self.dim())
            if self.peek(","):
                self.at += 1
        self.expect("]")
        shape = None if shape is None else tuple(dims)
        return TensorType(dtype, shape, self.quant() if self.peek("<") else None)

    def dim(self) -> int | str:
        if self.peek('"'):
            return str(self.json())
        if self.peek("?"):
            self.at += 1
            return "?"
        word = self.word()
        return int(word) if word.isdigit() else word

    def quant(self) -> Quant:
        self.expect("<")
        if self.peek("block "):
            self.at += 6
            size = int(self.json())
            self.expect(", ")
            axis = int(self.json())
            self.expect(">")
            return Quant.blockwise(axis, size)
        scale = self.json()
        self.expect(", ")
        zero: Any = self.zeros() or self.json()
        if isinstance(scale, list):
            self.expect(", ")
            result = Quant(tuple(map(float, scale)), tuple(map(int, zero)), int(self.json()))
        else:
            result = Quant((float(scale),), (int(zero),), None)
        self.expect(">")
        return result

    def zeros(self) -> tuple[int, ...]:
        """A list of nothing but zeros, as all weights of a channel's own scale have one: thousands need no decoder.
        Else ()."""
        if not self.peek("[0"):
            return ()
        end = self.line.index("]", self.at)
        count = self.line.count(",", self.at, end) + 1
        if self.line[self.at + 1 : end] != "0, " * (count - 1) + "0":
            return ()
        self.at = end + 1
        return (0,) * count

    def data(self, value: str, t: TensorType) -> Array:
        if self.peek("@sha256:"):
            self.at += 8
            want = self.word()
            array = self.arrays.get(value)
            if array is None:
                raise ValueError(f"the data of constant {value!r} is missing")
            if (self.hashes.get(value) or digest(array)) != want:
                raise ValueError(f"the data of constant {value!r} does not match its hash")
            return array
        return np.array(self.json(), t.dtype.numpy).reshape(t.stored_shape)

    def node(self, types: dict[str, TensorType]) -> Node:
        outputs = [self.declaration(types)]
        while self.peek(", "):
            self.at += 2
            outputs.append(self.declaration(types))
        self.expect(" = ")
        op = self.word()
        self.expect("(")
        inputs: list[str] = []
        while not self.peek(")"):
            inputs.append(self.value())
            if self.peek(", "):
                self.at += 2
        self.expect(") ")
        attributes: dict[str, Attribute] = {}
        if self.peek("{"):
            attributes = {k: _decode(v) for k, v in self.json().items()}
            self.expect(" ")
        return Node(op, tuple(inputs), tuple(outputs), attributes, str(self.json()))
