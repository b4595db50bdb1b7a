"""The bytes of constants as kernels read them, shared by all plans of a session, and freed with the last plan that
reads them.

Equal pieces of programs are one block: bytes are equal by their content; weights to be packed by the array that they
are made of, which the block keeps alive, and the way they are packed. An array that is no part of the graph's constants
is made anew for each plan, so there the packed bytes decide.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Hashable, Iterable, Sequence
from itertools import accumulate
from weakref import WeakValueDictionary

import numpy as np

from ..graph import Array
from ..instructions.derived import Derived
from ..instructions.packed import Lazy, way_of
from ..instructions.program import ConstantData, TensorView
from .arenas import Arena, aligned, in_large_pages
from .guard import guarded, is_guarded

SLACK = 256  # bytes behind a block that kernels may read


class Block:
    """One piece of constants at an address. source: the array that its key speaks of, kept so that no other can take
    its place."""

    __slots__ = ("__weakref__", "address", "data", "source")

    def __init__(self, data: Array, source: object) -> None:
        self.data, self.address, self.source = data, data.ctypes.data, source


class Constants:
    """The blocks of one program, by bytes into its constant pool."""

    def __init__(self, blocks: list[Block]) -> None:
        self.blocks = blocks
        self._starts = [0, *accumulate(len(b.data) for b in blocks)]

    def _find(self, at: int) -> tuple[Block, int]:
        """The block that holds a byte of the constant pool, and the block's first byte there."""
        k = min(bisect_right(self._starts, at), len(self.blocks)) - 1
        return self.blocks[k], self._starts[k]

    def address(self, at: int) -> int:
        block, start = self._find(at)
        return block.address + at - start

    def view(self, place: TensorView) -> Array:
        """A constant as an array over its block."""
        block, start = self._find(place.start)
        return place.view(block.data, -start)


class ConstantPool:
    """The blocks of a session's plans. stable: arrays that outlast every plan, as a graph's constants do. derived: what
    plans make of them."""

    def __init__(self, stable: Iterable[Array] = ()) -> None:
        self._blocks: WeakValueDictionary[Hashable, Block] = WeakValueDictionary()
        self.derived = Derived(stable)
        self.arena = Arena()

    def apart(self) -> ConstantPool:
        """The same blocks for plans that run in memory of their own."""
        made = ConstantPool()
        made._blocks, made.derived = self._blocks, self.derived
        return made

    def bind(self, constant_pool: Sequence[ConstantData]) -> Constants:
        """The blocks of a program's constants, new ones made where there are no equal ones."""
        keys = [self._key(piece) for piece in constant_pool]
        found = [self._found(key, piece) for key, piece in zip(keys, constant_pool, strict=True)]
        new = [len(p) for b, p in zip(found, constant_pool, strict=True) if b is None]
        room = _Room(sum(map(_with_slack, new)))
        made = zip(found, keys, constant_pool, strict=True)
        return Constants([self._found(k, p) or self._made(k, p, room) if b is None else b for b, k, p in made])

    @property
    def nbytes(self) -> int:
        return sum(len(b.data) for b in self._blocks.values())

    def _key(self, piece: ConstantData) -> Hashable | None:
        if not isinstance(piece, Lazy):
            return len(piece), hash(bytes(piece))
        w = piece.weights
        if not self.derived.outlasts(w):
            return None
        return (*way_of(piece), w.ctypes.data, w.shape, w.strides, w.dtype.str)

    def _found(self, key: Hashable, piece: ConstantData) -> Block | None:
        block = self._blocks.get(key) if key is not None else None
        if block is None or isinstance(piece, Lazy):
            return block
        return block if block.data.tobytes() == piece else None

    def _made(self, key: Hashable | None, piece: ConstantData, room: _Room) -> Block:
        data = room.take(len(piece))
        if not isinstance(piece, Lazy):
            data[:] = np.frombuffer(piece, np.uint8)
            return self._blocks.setdefault(key, Block(data, None))
        piece.write(data)
        if key is not None:
            return self._blocks.setdefault(key, Block(data, piece.weights))
        import hashlib  # NOTE: few sessions need it

        return self._blocks.setdefault((len(piece), hashlib.blake2b(data.tobytes()).digest()), Block(data, None))


class _Room:
    """Bytes for the pieces of a program beside each other."""

    def __init__(self, size: int) -> None:
        self.guard = is_guarded()
        self.left = in_large_pages(0 if self.guard else size)

    def take(self, size: int) -> Array:
        if self.guard:
            return guarded(size, SLACK)
        padded_size = _with_slack(size)
        if padded_size > len(self.left):
            return aligned(padded_size)[:size]
        data, self.left = self.left[:size], self.left[padded_size:]
        return data


def _with_slack(size: int) -> int:
    return -(-size // 64) * 64 + SLACK
