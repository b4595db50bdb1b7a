"""A static quantized graph to a program. Rules by op are in lower_*.py; what none takes becomes a host step.

Quantized images are channels-last with the border that their convolutions want; every other value is dense in the graph's order.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np

from ..graph import Array, Graph, Kind, Node, TensorType
from ..reference import is_quantized
from ..reference.windows import Window
from .packing import PACKINGS, Packing
from .plan import plan
from .program import Buffer, Halo, Host, Native, Place, Program, dense_strides

VIEWS = ("Slice", "Split", "Transpose", "Reshape", "Flatten", "Squeeze", "Unsqueeze", "Identity")
Rule = Callable[["Lowering", Node], bool]
RULES: dict[str, Rule] = {}


def rule(*ops: str) -> Callable[[Rule], Rule]:
    """Register the lowering of ops: it returns False where the node's form has no kernel."""

    def register(function: Rule) -> Rule:
        for op in ops:
            RULES[op] = function
        return function

    return register


class Lowering:
    """State of one lowering: the program so far, and the places of values."""

    def __init__(self, graph: Graph, isa: str) -> None:
        self.graph, self.isa, self.packing = graph, isa, PACKINGS[isa]
        self.program = Program(graph)
        self.places = self.program.places
        self.consumers = graph.consumers()
        self.blobs: dict[bytes, int] = {}

    def lower(self) -> Program:
        for name in self.graph.inputs:
            self.place(name)
            self.written(name)
        for node in self.graph.nodes:
            take = RULES.get(node.op)
            # NOTE: plain integers (a u8 that stands for no real) have no kernels, but views of them are views all the same
            has_rule = take is not None and (node.op in VIEWS or is_quantized(self.graph, node))
            if not has_rule or take is None or not take(self, node):
                self.host(node)
        for name in (*self.graph.outputs, *self.graph.inputs):
            if name in self.places:
                self.use(self.places[name])
        return plan(self.program)

    # Places

    @property
    def now(self) -> int:
        return len(self.program.steps)

    def use(self, place: Place) -> Place:
        """Keep the place's buffer alive up to the next step."""
        place.buffer.last = max(place.buffer.last, self.now)
        return place

    def allocate(self, size: int) -> Buffer:
        buffer = Buffer(size, self.now, self.now)
        self.program.buffers.append(buffer)
        return buffer

    def place(self, name: str, halo: Halo | None = None, channels_last: bool | None = None) -> Place:
        """A new place for a value, by its type."""
        t = self.graph.types[name]
        shape, dtype = t.static_shape, t.kind.dtype.str
        if channels_last is None:
            channels_last = len(shape) == 4 and t.kind is Kind.U8 and t.is_quantized
        if channels_last:
            place = self.image(shape, dtype, self.wanted_halo(name) if halo is None else halo)
        else:
            item = t.kind.dtype.itemsize
            place = Place(self.allocate(max(1, int(np.prod(shape))) * item), 0, shape, dense_strides(shape, item), dtype)
        self.places[name] = place
        return place

    def image(self, shape: tuple[int, ...], dtype: str, halo: Halo) -> Place:
        """A new channels-last place [N, C, H, W] inside of a border."""
        n, c, h, w = shape
        top, left, bottom, right = halo
        item = np.dtype(dtype).itemsize
        column, row = c * item, (left + w + right) * c * item
        whole = row * (top + h + bottom)
        return Place(self.allocate(max(1, n * whole)), top * row + left * column, shape, (whole, item, row, column), dtype, halo)

    def wanted_halo(self, name: str) -> Halo:
        """The widest border that a convolution reading this value wants."""
        halo = (0, 0, 0, 0)
        for node in self.consumers.get(name, []):
            if node.op == "Conv" and node.inputs[0] == name:
                halo = tuple(max(p) for p in zip(halo, conv_halo(self.graph, node), strict=True))  # type: ignore[assignment]
        return halo

    def bordered(self, name: str, halo: Halo, value: int) -> Place:
        """The value with at least this border, filled with `value`: its own, or a copy."""
        place, zero = self.places[name], self.zero(name)
        if all(a >= b for a, b in zip(place.halo, halo, strict=True)) and (value == zero or not any(halo)) and place.is_channels_last:
            return self.use(place)
        copy = self.image(place.shape, place.dtype, halo)
        self.emit_image("copy", place, copy)
        self.fill_border(copy, value)
        return self.use(copy)

    def zero(self, name: str) -> int:
        quant = self.graph.types[name].quant
        return quant.z if quant is not None and quant.axis is None else 0

    def written(self, name: str) -> None:
        """A value was written: fill its border."""
        self.fill_border(self.places[name], self.zero(name))

    def fill_border(self, place: Place, value: int) -> None:
        if any(place.halo):
            n, c, h, w = place.shape
            sn, _, sh, sw = place.strides
            names = ("top", "left", "bottom", "right")
            halo = dict(zip(names, place.halo, strict=True))
            at = {"y_n": sn, "y_h": sh, "y_w": sw}
            fields: dict[str, int | float] = {"N": n, "H": h, "W": w, "C": c, **at, "value": value, **halo}
            self.emit("halo", {"y": place}, {}, fields)

    # Constants

    def constant(self, array: Array) -> int:
        """Bytes into the blob of an array's data, 64-byte aligned; equal data is kept once."""
        data = np.ascontiguousarray(array).tobytes()
        if data not in self.blobs:
            padded = data + bytes(-len(data) % 64 + 64)
            self.blobs[data] = self.program.blob_size
            self.program.blob.append(padded)
            self.program.blob_size += len(padded)
        return self.blobs[data]

    # Steps

    def emit(self, kind: str, operands: dict[str, Place | None], constants: dict[str, int], fields: dict[str, int | float]) -> None:
        where: dict[str, tuple[Buffer | None, int]] = {}
        for name, place in operands.items():
            where[name] = (None, 0) if place is None else (self.use(place).buffer, place.start)
        self.program.steps.append(Native(kind, where, constants, fields))

    def emit_image(self, kind: str, x: Place, y: Place, constants: dict[str, int] | None = None, /, **fields: int | float) -> None:
        """An instruction of one input and one output over the output's pixels."""
        n, c, h, w = y.shape
        names = ("x_n", "x_h", "x_w", "y_n", "y_h", "y_w")
        strides = dict(zip(names, (x.strides[0], *x.strides[2:], y.strides[0], *y.strides[2:]), strict=True))
        self.emit(kind, {"x": x, "y": y}, constants or {}, {"N": n, "H": h, "W": w, "C": c, **strides, **fields})

    def host(self, node: Node) -> None:
        for name in node.inputs:
            if name in self.places:
                self.use(self.places[name])
        for name in node.outputs:
            if name:
                self.place(name)
        self.program.steps.append(Host(node))
        for name in node.outputs:
            if name:
                self.written(name)

    def type(self, name: str) -> TensorType:
        return self.graph.types[name]


def as_rows(place: Place) -> Place | None:
    """A dense value as an image [1, last, 1, rest], or None where it is not dense."""
    if not place.is_dense or not place.shape:
        return None
    c, item = place.shape[-1], place.itemsize
    rows = int(np.prod(place.shape[:-1]))
    return replace(place, shape=(1, c, 1, rows), strides=(rows * c * item, item, rows * c * item, c * item), halo=(0, 0, 0, 0))


def conv_halo(graph: Graph, node: Node) -> Halo:
    """The border (top, left, bottom, right) that a 2-D window op reads around its input."""
    x = graph.types[node.inputs[0]].static_shape
    if len(x) != 4:
        return 0, 0, 0, 0
    kernel = node.attr("kernel_shape") or graph.types[node.inputs[1]].static_shape[2:]
    win = Window.of(node, x[2:], kernel)
    out = win.out(x[2:], bool(node.attr("ceil_mode", 0)))
    need = [(o - 1) * s + (k - 1) * r + 1 - d - b for o, s, k, r, d, b in zip(
        out, win.strides, win.kernel, win.dilations, x[2:], win.begin, strict=True)]  # fmt: skip
    return win.begin[0], win.begin[1], max(0, need[0]), max(0, need[1])


def lower(graph: Graph, isa: str) -> Program:
    """The program of a static graph for an instruction set."""
    from . import lower_move, lower_pointwise, lower_product  # noqa: F401  (fill the rules)

    return Lowering(graph, isa).lower()


__all__ = ["RULES", "Lowering", "Packing", "as_rows", "conv_halo", "lower", "rule"]
