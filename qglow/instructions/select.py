"""Instruction selection: the instructions of a static graph, over buffers that are all apart. Rules are in lower_*.py,
named in the declarations of ops; what none takes becomes a host step.

A value's place has any strides; a rule asks for the form that its kernel reads (`image_of`, `dense_of`) and gets the
value's own place, in the layout that was assigned to it, or a copy.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from math import prod
from types import MappingProxyType

import numpy as np

from ..graph import Array, DType, Graph, Node, TensorType
from ..graph.epilogue import is_fused, parts
from ..ops import refusal
from ..ops.traits import VIEW
from ..reference import is_quantized
from ..reference.lookup import Meanings, named
from ..targets import target
from .borders import border_fields, runs, strips
from .coalesce_dims import coalesce_dims, offsets, padded, rows_for_threads
from .constant_data import SEARCHED, data_of, packed, packed_floats
from .derived import Derived
from .layout import NO_HALO, Layouts
from .packed import PackedBlocks, PackedPairs
from .program import (
    CONSTANTS,
    Buffer,
    ConstantData,
    Halo,
    HostCall,
    Instruction,
    Program,
    TensorView,
    dense_strides,
    instruction,
)
from .repeat import Part, Repeat, Steps, length

Rule = Callable[["Lowering", Node], bool]  # False, with nothing emitted, where the node's form has no kernel
RULES: Meanings[Rule] = Meanings("lower", lambda row, field: named(row.lower, __package__))
INT16_RULES: Meanings[Rule] = Meanings("lower_int16", lambda row, field: named(row.lower_int16, __package__))
FLOAT_RULES: Meanings[Rule] = Meanings("lower_float", lambda row, field: named(row.lower_float, __package__))
GAPS = [bytes(64 + k) for k in range(64)]  # what lies behind a constant


class Lowering:
    """State of one selection: the steps so far, the sizes of buffers, the constants, and the places of values."""

    def __init__(
        self, graph: Graph, layouts: Layouts, isa: str, observed: Sequence[str] = (), derived: Derived | None = None,
        any_length: bool = False,
    ) -> None:  # fmt: skip
        """observed: outputs that are looked at as soon as they are whole, not in the end. any_length: see `lower`."""
        self.graph, self.isa, self.packing = graph, isa, target(isa)
        self.derived = (Derived() if derived is None else derived).of
        self.observed, self.any_length = observed, any_length
        self.done: dict[str, int] = {}
        self.steps: list[Part] = []
        self.sizes: list[int] = []
        self.constant_pool: list[ConstantData] = []
        self.constant_pool_size = 0
        self.places: dict[str, TensorView] = {}
        self.label = ""
        self.consumers = graph.consumers()
        self.producers = graph.producers()
        self.pooled: dict[ConstantData, int] = {}
        self.types = dict(graph.types)
        self.copies: dict[tuple[str, str], TensorView] = {}
        self.layouts = layouts
        self.concat_slots = layouts.slots
        self.refusal = ""

    def select(self) -> Program:
        for name in self.graph.inputs:
            self.place(name)
        for name, array in self.graph.constants.items():
            t = self.graph.types[name]
            # an operand like any other, but in another place
            if t.dtype in (DType.U8, DType.I16) and t.quant is not None and t.quant.block is None:
                self.constant_place(name, array)
        for node in self.graph.nodes:
            self.label = node.outputs[0]
            # NOTE: plain integers (a u8 that stands for no real) have no kernels, but they are moved all the same
            table, form = (
                (RULES, "int8_kernel")
                if node.has(VIEW) or is_quantized(self.graph, node)
                else (FLOAT_RULES, "float_kernel")
            )
            if self.is_int16(node):
                table = INT16_RULES
            take, refused = table.get(node.op), refusal(form, node, node.op)
            self.refusal = "" if refused is None or take is None else f"no kernel has {refused}"
            if take is None or refused is not None or self.is_empty(node) or not take(self, node):
                self.host(node, self.refusal)
            self._note(node)
        moments: dict[int, tuple[str, ...]] = {}
        for name in self.observed:
            moments[self.done[name]] = (*moments.get(self.done[name], ()), name)
        return Program(
            self.graph, self.isa, Steps(self.steps), MappingProxyType(self.places), tuple(map(Buffer, self.sizes)),
            tuple(self.constant_pool), self.constant_pool_size, 0, MappingProxyType(moments))  # fmt: skip

    def _note(self, node: Node) -> None:
        """After how many steps the node's values are whole; they stay so until the next step."""
        for name in node.outputs if self.observed else ():
            if name in self.places:
                self.done[name] = sum(map(length, self.steps))

    def is_int16(self, node: Node) -> bool:
        """Whether a node computes on int16 values, or makes them. What moves data moves them as any others."""
        return not node.has(VIEW) and any(v and self.graph.types[v].is_int16 for v in (*node.inputs[:2], *node.outputs))

    def is_empty(self, node: Node) -> bool:
        """Whether a node reads a value of no elements: the reference knows what becomes of it."""
        return any(0 in self.type(v).static_shape for v in node.inputs if v and v not in self.graph.constants)

    # Places

    def room(self, place: TensorView) -> int:
        """Bytes of the buffer that a place lies in; 0 of a constant."""
        return 0 if place.buffer == CONSTANTS else self.sizes[place.buffer]

    def allocate(self, size: int) -> int:
        """A new buffer's index."""
        self.sizes.append(size)
        return len(self.sizes) - 1

    def place(
        self, name: str, channels_last: bool | None = None, like: TensorView | None = None, pitch: int = 0
    ) -> TensorView:
        """The place of a new value, its border filled: inside of a concatenation's, or an image, or dense in the order
        of `like`."""
        if name in self.places:
            return self.places[name]
        t = self.graph.types[name]
        shape = t.static_shape
        if channels_last is None:
            channels_last = name in self.layouts.images
        if name in self.concat_slots:
            parent, axis, start = self.concat_slots[name]
            parent_view = self.place(parent)
            place = parent_view.part(axis, start, shape[axis])._replace(halo=parent_view.halo if axis == 1 else NO_HALO)
        elif channels_last:
            image = (*shape[:2], 1, shape[2]) if len(shape) == 3 else shape
            halo = self.layouts.halos.get(name, NO_HALO)
            place = self.image(image, t.dtype.numpy.str, halo, pitch)  # type: ignore[arg-type]
            self.fill_border(place, self.zero(name))
            place = place.as_ncw() if len(shape) == 3 else place
        else:
            place = self.dense(self.layouts.rooms.get(name, shape), t.dtype.numpy.str, like)._replace(shape=shape)
        self.places[name] = place
        return place

    def dense(self, shape: tuple[int, ...], dtype: str, like: TensorView | None = None) -> TensorView:
        """A new place without gaps, its dimensions in the order of `like`'s strides (default: the graph's)."""
        item = np.dtype(dtype).itemsize
        strides = dense_strides(shape, item)
        if like is not None and len(like.shape) == len(shape):
            order = sorted(range(len(shape)), key=lambda k: (-like.strides[k], k))
            turned = dense_strides(tuple([shape[k] for k in order]), item)
            strides = tuple([s for _, s in sorted(zip(order, turned, strict=True))])
        return TensorView(self.allocate(max(1, prod(shape)) * item), 0, shape, strides, dtype)

    def image(self, shape: tuple[int, int, int, int], dtype: str, halo: Halo, pitch: int = 0) -> TensorView:
        """A new channels-last place [N, C, H, W] inside of a border. pitch: bytes of a pixel where it is more than its
        channels."""
        n, c, h, w = shape
        top, left, bottom, right = halo
        item = np.dtype(dtype).itemsize
        column = pitch or c * item
        row = (left + w + right) * column
        size = row * (top + h + bottom)
        return TensorView(
            self.allocate(max(1, n * size)), top * row + left * column, shape, (size, item, row, column), dtype, halo
        )

    def zero(self, name: str) -> int:
        quant = self.types[name].quant
        return quant.z if quant is not None and quant.axis is None else 0

    def constant_place(self, name: str, array: Array) -> None:
        """A place among the constants."""
        strides = dense_strides(array.shape, array.itemsize)
        self.places[name] = TensorView(CONSTANTS, self.constant(array), array.shape, strides, array.dtype.str)

    def deallocate(self, name: str) -> None:
        """Undo `place` of a value that no instruction was emitted for."""
        gone = self.places.pop(name).buffer
        if name in self.concat_slots:
            return
        while self.steps and isinstance(last := self.steps[-1], Instruction) and last.operands["y"][0] == gone:
            self.steps.pop()  # its border

    def fill_border(self, place: TensorView, value: int) -> None:
        item = np.array(value, place.dtype).tobytes()
        if any(place.halo) and len({*item}) == 1:
            self.emit("halo", {"y": place}, {}, {**border_fields(place), "value": item[0]})
        elif any(place.halo):
            for part in strips(place):
                self.fill(part, item)

    def fill(self, y: TensorView, item: bytes) -> None:
        """Emit what fills rows of bytes, as images [N, bytes, H, 1], with one element of several, again and again."""
        for part in runs(y):
            data = self.keep(item * (part.shape[1] // len(item)))
            self.emit_image("copy", TensorView(CONSTANTS, data, part.shape, (0, 1, 0, 0), "|u1"), part)

    # Forms

    def image_of(self, name: str, halo: Halo = NO_HALO, value: int | None = None) -> TensorView:
        """The value [N, C, H, W] or [N, C, W] as a channels-last image with at least this border: its own place, or a
        copy.

        value: what the border holds, by default the zero point.
        """
        place = self.places[name]
        wide = all(a >= b for a, b in zip(place.halo, halo, strict=True)) and (
            value in (None, self.zero(name)) or not any(halo)
        )
        if place.is_channels_last and wide:
            return place.as_image()
        key = (name, f"image {halo} {value}")
        if key not in self.copies:
            source = place.as_image()
            copy = self.image(source.shape, place.dtype, halo)  # type: ignore[arg-type]
            self.move(source, copy)
            self.fill_border(copy, self.zero(name) if value is None else value)
            self.copies[key] = copy
        return self.copies[key]

    def dense_of(self, name: str) -> TensorView:
        """The value without gaps in the graph's order: its own place, or a copy."""
        place = self.places[name]
        if place.is_dense:
            return place
        key = (name, "dense")
        if key not in self.copies:
            copy = self.dense(place.shape, place.dtype)
            self.move(place, copy)
            self.copies[key] = copy
        return self.copies[key]

    def move(self, x: TensorView, y: TensorView) -> None:
        """Emit a copy between two places of one shape and dtype, with whatever strides."""
        loops = coalesce_dims(y.shape, (y.strides, x.strides))
        item = y.itemsize
        loops_nhwc = padded(loops, 4, 2)
        if loops_nhwc is not None and (not loops or loops[-1][1] == (item, item)):
            (n, sn), (h, sh), (w, sw), (c, _) = rows_for_threads(loops_nhwc, self.any_length)
            strides = {"x_n": sn[1], "x_h": sh[1], "x_w": sw[1], "y_n": sn[0], "y_h": sh[0], "y_w": sw[0]}
            run = c * item if loops else item
            strides |= {"x_w": run, "y_w": run} if w == 1 else {}
            self.emit("copy", {"x": x, "y": y}, {}, {"N": n, "H": h, "W": w, "C": run, **strides})
            return
        # the innermost loop is y's; beside it the one along which x is dense, so that blocks can be turned in registers
        inner = loops.pop()
        loops.sort(key=lambda loop: loop[1][1] == item)
        # more than six: the shortest, an instruction an index
        apart = sorted(loops, key=lambda loop: loop[0])[: max(0, len(loops) - 5)]
        six = [(1, (0, 0))] * (5 - len(loops)) + [loop for loop in loops if loop not in apart] + [inner]
        if six[0][0] == six[1][0] == six[4][0] == 1:
            six[2:] = rows_for_threads(six[2:], self.any_length)
        fields: dict[str, int | float] = {f"D{k}": d for k, (d, _) in enumerate(six)}
        fields |= {f"x{k}": s[1] for k, (_, s) in enumerate(six)} | {f"y{k}": s[0] for k, (_, s) in enumerate(six)}
        for at_y, at_x in offsets(apart, 2):
            parts: dict[str, TensorView | None] = {
                "x": x._replace(start=x.start + at_x),
                "y": y._replace(start=y.start + at_y),
            }
            self.emit("transpose", parts, {}, {**fields, "item": item})

    def copied(self, place: TensorView) -> TensorView:
        """A dense copy of what lies in a place."""
        copy = self.dense(place.shape, place.dtype)
        self.move(place, copy)
        return copy

    # Constants

    def constant(self, array: Array) -> int:
        """Bytes into the constant pool of an array's data, 64-byte aligned; equal data is kept once, unless it is
        large."""
        return self.keep(self.derived(data_of, array) if array.nbytes <= SEARCHED else data_of(array))

    def weights(self, w: Array, fused: bool) -> int:
        """Bytes into the constant pool of weights [G, OC, KH, KW, IC] in the order that the instruction set reads."""
        return self.keep(self.derived(packed, self.isa, w, fused))

    def float_weights(self, w: Array) -> int:
        """Bytes into the constant pool of float weights [G, OC, ...], packed."""
        return self.keep(self.derived(packed_floats, self.isa, w))

    def int16_weights(self, w: Array) -> int:
        """Bytes into the constant pool of weights [G, OC, KH, runs, run] of int16 products, packed."""
        return self.keep(self.derived(PackedPairs, self.isa, w))

    def block_weights(self, w: Array, shape: tuple[int, int], size: int, bits: int) -> int:
        """Bytes into the blob of block-wise weights, packed."""
        return self.keep(self.derived(PackedBlocks, self.isa, w, shape, size, bits))

    def keep(self, data: ConstantData) -> int:
        """Bytes into the constant pool of what lies there, 64-byte aligned."""
        if isinstance(data, bytes) and len(data) > SEARCHED:
            return self._append(data)
        if data not in self.pooled:
            self.pooled[data] = self._append(data)
        return self.pooled[data]

    def _append(self, data: ConstantData) -> int:
        at, rest = self.constant_pool_size, GAPS[-len(data) % 64]
        self.constant_pool += [data, rest]
        self.constant_pool_size += len(data) + len(rest)
        return at

    # Steps

    def emit(
        self,
        kind: str,
        operands: dict[str, TensorView | None],
        constants: dict[str, int],
        fields: dict[str, int | float],
    ) -> None:
        where: dict[str, tuple[int | None, int]] = {}
        for name, place in operands.items():
            if place is None:
                where[name] = None, 0
            elif place.buffer == CONSTANTS:
                constants = {**constants, name: place.start}
            else:
                where[name] = place.buffer, place.start
        self.steps.append(instruction(kind, where, constants, fields, None, self.label))

    def repeat(self, first: int, count: int, moves: Sequence[Mapping[str, int]]) -> None:
        """Have the instructions from `first` on run so many times (see Repeat)."""
        if count > 1:
            body = tuple(s for s in self.steps[first:] if isinstance(s, Instruction))
            self.steps[first:] = [Repeat(body, tuple(moves), count)]

    def emit_image(
        self, kind: str, x: TensorView, y: TensorView, constants: dict[str, int] | None = None, /, **fields: int | float
    ) -> None:
        """An instruction of one input and one output over the output's pixels."""
        n, c, h, w = y.shape
        names = ("x_n", "x_h", "x_w", "y_n", "y_h", "y_w")
        strides = dict(zip(names, (x.strides[0], *x.strides[2:], y.strides[0], *y.strides[2:]), strict=True))
        self.emit(kind, {"x": x, "y": y}, constants or {}, {"N": n, "H": h, "W": w, "C": c, **strides, **fields})

    def refuse(self, reason: str) -> bool:
        """False, and why: what a rule returns for a form that it does not take."""
        self.refusal = reason
        return False

    def host(self, node: Node, reason: str = "") -> None:
        for name in node.outputs:
            if name:
                self.place(name)
        self.steps.append(HostCall(node, reason))

    def parts(self, node: Node) -> tuple[Node, ...]:
        """A product and the nodes of its epilogue, whose values between have types from then on."""
        if not is_fused(node):
            return (node,)
        apart, between = parts(node, self.graph.types)
        self.types.update(between)
        return apart

    def type(self, name: str) -> TensorType:
        return self.types[name]


def select(
    graph: Graph, layouts: Layouts, isa: str, observed: Sequence[str] = (), derived: Derived | None = None,
    any_length: bool = False,
) -> Program:  # fmt: skip
    """The instructions of a static graph for an instruction set. Buffers have sizes alone: they are all apart, and live
    all the time. For the parameters see Lowering."""
    return Lowering(graph, layouts, isa, observed, derived, any_length).select()
