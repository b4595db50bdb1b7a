"""Samples that a profile keeps, so that `quantize` can hold int8 against float with no data at hand.

1. Of more than SMALL samples some are held back: an eighth of them, at least FEWEST and at most MOST, evenly spread.
   Calibration does not see them; quantization is judged by them.
2. Of SMALL samples or fewer all calibrate and all are kept, for cross-validation (report/judging.py); where they take
   more than LIMIT bytes, as many as fit are held back instead, at most a quarter.
3. Where it is not known how many will come, the first SMALL calibrate; then every fourth is held back until there are
   FEWEST, then every eighth.
4. A sample that cannot be kept calibrates.

They take at most LIMIT bytes of text in total: zlib, then base64, which is made when a file or a decision needs it.
"""

from __future__ import annotations

import base64
import zlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from ..errors import DataError
from ..graph import Array, DType, Graph
from ..words import counted
from .dataset import Dataset, Feeds, InputTypes, Sample, checked

SMALL, FEWEST, MOST = 32, 8, 32
LIMIT = 16 << 20
LARGEST = 64 << 20  # bytes of one array: what is larger is not packed, nor unpacked from a file


class KeptArray:
    """An input of a kept sample: its name, dtype, shape, and its values as an array, as text, or as both.

    Arrays are not to be written to: whoever asks is given the same one."""

    __slots__ = ("_array", "_text", "dtype", "name", "shape")

    def __init__(self, name: str, dtype: DType, shape: tuple[int, ...], made: Array | str) -> None:
        self.name, self.dtype, self.shape = name, dtype, shape
        self._text = made if isinstance(made, str) else None
        self._array = made if not isinstance(made, str) else None

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, KeptArray):
            return NotImplemented
        return (self.name, self.dtype, self.shape, self.text) == (other.name, other.dtype, other.shape, other.text)

    __hash__ = None  # type: ignore[assignment]

    @property
    def text(self) -> str:
        """The values, packed."""
        if self._text is None:
            assert self._array is not None
            little = self._array.astype(self._array.dtype.newbyteorder("<"), copy=False)
            self._text = base64.b64encode(zlib.compress(little.tobytes(), 1)).decode()
        return self._text

    @property
    def most(self) -> int:
        """No text of these values has more bytes. zlib: what deflate's fastest implementations may add."""
        if self._text is not None or self._array is None:
            return len(self.text)
        size = self._array.nbytes + self._array.nbytes // 8 + 64
        return -(-size // 3) * 4

    @property
    def array(self) -> Array:
        """The values, unpacked. Raises ValueError where the bytes do not make the array."""
        if self._array is not None:
            return self._array
        unpacked = _unpack(self.dtype, self.shape, self.text)
        unpacked.flags.writeable = False
        if unpacked.nbytes <= 4 * len(self.text):  # NOTE: a file may hold little text of much
            self._array = unpacked
        return unpacked


@dataclass(frozen=True, slots=True)
class KeptSample:
    """A sample's name and inputs, in the order of the graph's. held_back: whether calibration did not see it."""

    name: str
    inputs: tuple[KeptArray, ...]
    held_back: bool = False

    @property
    def size(self) -> int:
        """Bytes of text."""
        return sum(len(i.text) for i in self.inputs)

    @property
    def most(self) -> int:
        """`size` is no more: known before anything is packed."""
        return sum(i.most for i in self.inputs)

    def to_dict(self) -> dict[str, Any]:
        rows = [{"input": i.name, "kind": i.dtype.value, "shape": list(i.shape), "data": i.text} for i in self.inputs]
        return {"sample": self.name, **({"held_back": True} if self.held_back else {}), "inputs": rows}

    @staticmethod
    def of(raw: Mapping[str, Any]) -> KeptSample:
        """From a profile's JSON. Raises ValueError, KeyError or TypeError where it is malformed."""
        sample = KeptSample(
            str(raw["sample"]),
            tuple(KeptArray(str(r["input"]), DType(str(r["kind"])), _shape(r), str(r["data"])) for r in raw["inputs"]),
            raw.get("held_back", False) is True,  # NOTE: profiles from before have no such samples
        )
        sample.arrays()
        return sample

    def arrays(self) -> list[Array]:
        """The inputs, unpacked. Raises ValueError where the bytes do not make the array."""
        return [i.array for i in self.inputs]


def kept_of(sample: Sample, inputs: Iterable[str]) -> KeptSample | None:
    """A sample as it is kept; None where an input holds strings or is too large."""
    rows = []
    for name in inputs:
        array = np.asarray(sample.feeds[name])  # NOTE: ascontiguousarray would give a scalar a dimension
        if array.dtype.kind == "O" or array.nbytes > LARGEST:
            return None
        dtype = DType.of(array.dtype)
        copied = np.array(array, dtype.numpy, order="C")  # NOTE: who gave it may fill it with the next sample
        copied.flags.writeable = False
        rows.append(KeptArray(name, dtype, tuple(array.shape), copied))
    return KeptSample(sample.name, tuple(rows))


class Keeper:
    """Chooses, as samples come, which are kept and which of these are held back. total: how many there will be, None
    where that is not known."""

    def __init__(self, inputs: Iterable[str], total: int | None) -> None:
        self._inputs, self._total = tuple(inputs), total
        self._chosen = {*_spread_inside(total, _held_of(total))} if total is not None and total > SMALL else set[int]()
        self._kept: list[KeptSample] = []
        self._seen = False

    @property
    def candidates(self) -> Sequence[int]:
        """Positions of the samples that may be kept, where it is known how many there are: what is chosen follows from
        these alone."""
        if self._total is None:
            return ()
        return range(self._total) if self._total <= SMALL else sorted(self._chosen)

    def holds_back(self, sample: Sample) -> bool:
        """Take the next sample: whether calibration must not see it. The candidates come in the order of the data;
        others may come or not."""
        is_first, self._seen = not self._seen, True
        wanted = self._is_wanted(sample.position)
        if not wanted and (sample.position >= SMALL or (self._total is not None and self._total > SMALL)):
            return False
        kept = kept_of(sample, self._inputs)
        if is_first and kept is not None and self._total is not None and 1 < self._total <= SMALL:
            fitting = self._total if kept.most * self._total <= LIMIT else LIMIT // max(1, kept.size)
            if fitting < self._total:  # rule 2
                self._chosen = {*_spread_inside(self._total, min(fitting, self._total // 4))}
                wanted = sample.position in self._chosen
        if kept is None or (self._chosen and not wanted) or not self._has_room(kept, wanted):
            return False
        self._kept.append(replace(kept, held_back=wanted))
        return wanted

    @property
    def kept(self) -> tuple[KeptSample, ...]:
        """Those that are held back, where there are enough; all others besides, where there are not."""
        return enough_of(self._kept)

    def _is_wanted(self, index: int) -> bool:
        if self._total is not None:
            return index in self._chosen
        held = sum(s.held_back for s in self._kept)
        return index >= SMALL and held < MOST and index % (4 if held < FEWEST else 8) == 3

    def _has_room(self, kept: KeptSample, wanted: bool) -> bool:
        """Whether the sample fits; one that is held back takes the place of what calibrates."""
        if sum(s.most for s in (*self._kept, kept)) <= LIMIT:
            return True
        room = LIMIT - kept.size - sum(s.size for s in self._kept)
        while room < 0 and wanted and (others := [s for s in self._kept if not s.held_back]):
            self._kept = [s for s in self._kept if s is not others[-1]]
            room += others[-1].size
        return room >= 0


def enough_of(samples: Iterable[KeptSample]) -> tuple[KeptSample, ...]:
    """Of kept samples those that are held back, at most MOST, where there are FEWEST; else these and all others that
    LIMIT has room for, at most SMALL."""
    found = tuple(samples)
    held = _fitting([s for s in found if s.held_back], MOST, LIMIT)
    if len(held) >= FEWEST:
        return held
    others = _fitting([s for s in found if not s.held_back], SMALL, LIMIT - sum(s.size for s in held))
    return tuple(s for s in found if any(s is k for k in (*held, *others)))


def _fitting(samples: Iterable[KeptSample], count: int, room: int) -> tuple[KeptSample, ...]:
    samples, kept = tuple(samples), list[KeptSample]()
    if sum(s.most for s in samples[:count]) <= room:
        return samples[:count]
    for sample in samples:
        if len(kept) < count and sample.size <= room:
            kept.append(sample)
            room -= sample.size
    return tuple(kept)


def _held_of(total: int) -> int:
    return max(FEWEST, min(MOST, total // 8))


def _spread_inside(total: int, count: int) -> list[int]:
    """`count` of `total` indices, each in the middle of an equal part."""
    return [(2 * k + 1) * total // (2 * count) for k in range(count)]


def kept_dataset(samples: Iterable[KeptSample], graph: Graph) -> Dataset | None:
    """Kept samples as data of `graph`, inputs matched by place; None where none of them fits."""
    types = InputTypes(graph)
    fitting = []
    for sample in samples:
        arrays = sample.arrays()
        if len(arrays) != len(graph.inputs):
            continue
        feeds: Feeds = dict(zip(graph.inputs, arrays, strict=True))
        try:
            checked(feeds, types, sample.name)
        except DataError:  # NOTE: another batch size, which the profile's hash leaves open
            continue
        fitting.append((sample.name, lambda feeds=feeds: feeds, None))
    return Dataset(tuple(fitting), types) if fitting else None


def _shape(raw: Mapping[str, Any]) -> tuple[int, ...]:
    shape = tuple(int(d) for d in raw["shape"])
    if any(d < 0 for d in shape):
        raise ValueError(f"shape {list(shape)} of a kept sample")
    return shape


def _unpack(dtype: DType, shape: tuple[int, ...], data: str) -> Array:
    size = int(np.prod(shape, dtype=object)) * dtype.numpy.itemsize
    if dtype is DType.STRING or size > LARGEST:
        raise ValueError(f"a kept sample of {counted(size, 'byte')}")
    try:
        unpacker = zlib.decompressobj()
        raw = unpacker.decompress(base64.b64decode(data, validate=True), size + 1)
    except zlib.error as error:
        raise ValueError(f"a kept sample does not unpack: {error}") from error
    if len(raw) != size:
        raise ValueError(f"a kept sample: expected {counted(size, 'byte')}, got {len(raw)}")
    return np.frombuffer(raw, dtype.numpy.newbyteorder("<")).astype(dtype.numpy).reshape(shape)
