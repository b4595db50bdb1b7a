"""A program: native instructions and host steps over one arena, as plain data with offsets instead of addresses."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import cache
from types import MappingProxyType

import numpy as np
from numpy.lib.stride_tricks import as_strided

from ..errors import ModelError
from ..graph import Array, Graph, Node
from ..record import NamedTuple
from .packed import Lazy

Halo = tuple[int, int, int, int]  # top, left, bottom, right


CONSTANTS = -1  # in place of a buffer's index: the constants
Operands = Mapping[str, tuple[int | None, int]]
Fields = Mapping[str, int | float]
_NONE: Mapping[str, int] = MappingProxyType({})
_NOTHING_SEEN: Mapping[int, tuple[str, ...]] = MappingProxyType({})


class Buffer(NamedTuple):
    """Bytes of the arena. first, last: the steps between which they are live; -1 before bufferization.

    offset: where they lie in the arena; -1 before memory is planned.
    """

    size: int
    first: int = -1
    last: int = -1
    offset: int = -1


class TensorView(NamedTuple):
    """Where a value lies: numpy semantics over a buffer. Strides and start in bytes; shape in the graph's order.

    buffer: its index among the program's, or CONSTANTS. halo: border of a channels-last image that belongs to the
    buffer and lies around the value.
    """

    buffer: int
    start: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]
    dtype: str
    halo: Halo = (0, 0, 0, 0)

    @property
    def itemsize(self) -> int:
        return _itemsize(self.dtype)

    @property
    def is_dense(self) -> bool:
        """Whether the elements lie in the graph's order without gaps."""
        return all(
            d == 1 or s == t
            for d, s, t in zip(self.shape, self.strides, dense_strides(self.shape, self.itemsize), strict=True)
        )

    @property
    def is_channels_last(self) -> bool:
        """Whether an image [N, C, H, W], or a line [N, C, W], has its channels one element apart."""
        return len(self.shape) in (3, 4) and (self.shape[1] == 1 or self.strides[1] == self.itemsize)

    @property
    def has_rows(self) -> bool:
        """Whether the elements of the last dimension are adjacent."""
        return self.shape[-1] == 1 or self.strides[-1] == self.itemsize

    def as_image(self) -> TensorView:
        """A line [N, C, W] as an image of one row; an image as it is."""
        if len(self.shape) == 4:
            return self
        (n, c, w), (sn, sc, sw) = self.shape, self.strides
        return self._replace(shape=(n, c, 1, w), strides=(sn, sc, sn, sw))

    def as_ncw(self) -> TensorView:
        """An image of one row as a line."""
        (n, c, _, w), (sn, sc, _, sw) = self.shape, self.strides
        return self._replace(shape=(n, c, w), strides=(sn, sc, sw))

    def swap_hw(self) -> TensorView:
        """An image with its rows as columns; the same bytes."""
        (n, c, h, w), (sn, sc, sh, sw), (top, left, bottom, right) = self.shape, self.strides, self.halo
        return self._replace(shape=(n, c, w, h), strides=(sn, sc, sw, sh), halo=(left, top, right, bottom))

    def part(self, axis: int, start: int, count: int, step: int = 1) -> TensorView:
        """Indices start, start + step, ... of one axis."""
        shape, strides = list(self.shape), list(self.strides)
        shape[axis], strides[axis] = count, strides[axis] * step
        return self._replace(
            start=self.start + start * self.strides[axis], shape=tuple(shape), strides=tuple(strides), halo=(0, 0, 0, 0)
        )

    def view(self, memory: Array, base: int = 0) -> Array:
        """The value as an array over bytes. base: where its buffer lies in them."""
        if 0 in self.shape:
            return np.zeros(self.shape, self.dtype)
        at = base + self.start
        flat = memory[at : at + self.itemsize].view(self.dtype)
        return as_strided(flat, self.shape, self.strides)


@cache
def _itemsize(dtype: str) -> int:
    return np.dtype(dtype).itemsize


def dense_strides(shape: tuple[int, ...], itemsize: int) -> tuple[int, ...]:
    strides, step = [], itemsize
    for d in reversed(shape):
        strides.append(step)
        step *= max(1, d)
    return tuple(reversed(strides))


def put(view: Array, result: Array, node: Node, name: str) -> None:
    """Write what a host step made of a value to its place. Raises ModelError where it does not fit: numpy would repeat
    or cut it."""
    if result.shape != view.shape or (result.dtype.kind != view.dtype.kind and view.dtype.kind in "iufb"):
        got, wanted = f"{result.dtype}{list(result.shape)}", f"{view.dtype}{list(view.shape)}"
        raise ModelError(f"node {node.name!r} ({node.operator}): expected {name!r} as {wanted}, got {got}")
    view[...] = result


class Instruction(NamedTuple):
    """An instruction. operands: name -> (index of a buffer, or None for scratch; bytes into it). constants: name ->
    bytes into the constant pool. hints: those that are not 0. label: the value that it helps to make, for people.
    kernel: the row of kernels/table.py that computes it, "" before one is chosen. See `instruction`."""

    kind: str
    operands: Operands
    constants: Mapping[str, int]
    fields: Fields
    hints: Mapping[str, int] = _NONE
    label: str = ""
    kernel: str = ""


def instruction(
    kind: str,
    operands: dict[str, tuple[int | None, int]],
    constants: dict[str, int],
    fields: dict[str, int | float],
    hints: dict[str, int] | None = None,
    label: str = "",
    kernel: str = "",
) -> Instruction:
    """An instruction that nobody can change. The dictionaries are the instruction's from then on."""
    read_only = MappingProxyType
    hinted = read_only(hints) if hints else _NONE
    return Instruction(kind, read_only(operands), read_only(constants), read_only(fields), hinted, label, kernel)


class HostCall(NamedTuple):
    """A node that has no kernel: evaluated by the reference on views of the arena. reason: why, where it says so: of an
    op that has one."""

    node: Node
    reason: str = ""


Step = Instruction | HostCall
ConstantData = bytes | memoryview | Lazy  # of the constants: bytes, or weights that become bytes where they are bound


class Program(NamedTuple):
    """Steps in order, the places of values, the constants' bytes, and the arena's size after planning. Immutable.

    isa: the instruction set whose packing its weights have. moments: outputs that are looked at when so many steps have
    run, instead of at the end; threads wait for each other there.
    """

    graph: Graph
    isa: str
    steps: Sequence[Step]
    places: Mapping[str, TensorView]
    buffers: tuple[Buffer, ...]
    constant_pool: tuple[ConstantData, ...]
    constant_pool_size: int
    arena_size: int = 0
    moments: Mapping[int, tuple[str, ...]] = _NOTHING_SEEN

    def base(self, place: TensorView) -> int:
        """Where the bytes lie that a place's start is counted from: in the arena, or in the constants."""
        return 0 if place.buffer == CONSTANTS else self.buffers[place.buffer].offset


def bytes_of(constant_pool: Iterable[ConstantData]) -> Iterator[bytes | memoryview]:
    """The pieces of the constants as bytes."""
    for piece in constant_pool:
        if isinstance(piece, Lazy):
            out = np.empty(len(piece), np.uint8)
            piece.write(out)
            yield out.data
        else:
            yield piece
