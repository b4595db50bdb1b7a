"""A few samples that a profile keeps, so that `quantize` can hold int8 against float with no data at hand.

At most COUNT samples, the first ones, in at most LIMIT bytes of text in total: zlib, then base64. Each is packed when
it comes, so memory does not grow with the number of samples.
"""

from __future__ import annotations

import base64
import zlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..errors import DataError
from ..graph import Array, DType, Graph
from .dataset import Dataset, Feeds, InputTypes, Sample, checked

COUNT = 4
LIMIT = 4 << 20
LARGEST = 64 << 20  # bytes of one array: what is larger is not packed, nor unpacked from a file


@dataclass(frozen=True, slots=True)
class KeptSample:
    """A sample's name, and dtype, shape and packed bytes of each input, in the order of the graph's inputs."""

    name: str
    inputs: tuple[tuple[str, str, tuple[int, ...], str], ...]

    @property
    def size(self) -> int:
        """Bytes of text."""
        return sum(len(data) for *_, data in self.inputs)

    def to_dict(self) -> dict[str, Any]:
        rows = [{"input": n, "kind": k, "shape": list(s), "data": d} for n, k, s, d in self.inputs]
        return {"sample": self.name, "inputs": rows}

    @staticmethod
    def of(raw: Mapping[str, Any]) -> KeptSample:
        """From a profile's JSON. Raises ValueError, KeyError or TypeError where it is malformed."""
        sample = KeptSample(
            str(raw["sample"]),
            tuple((str(r["input"]), str(r["kind"]), _shape(r), str(r["data"])) for r in raw["inputs"]),
        )
        sample.arrays()
        return sample

    def arrays(self) -> list[Array]:
        """The inputs, unpacked. Raises ValueError where the bytes do not make the array."""
        return [_unpack(DType(dtype), shape, data) for _, dtype, shape, data in self.inputs]


def pack(sample: Sample, inputs: Iterable[str]) -> KeptSample | None:
    """A sample packed; None where an input holds strings or is too large to keep."""
    rows = []
    for name in inputs:
        array = np.asarray(sample.feeds[name])  # NOTE: ascontiguousarray would give a scalar a dimension
        if array.dtype.kind == "O" or array.nbytes > LARGEST:
            return None
        little = array.astype(array.dtype.newbyteorder("<"), copy=False)
        packed = base64.b64encode(zlib.compress(little.tobytes(), 1)).decode()
        rows.append((name, DType.of(array.dtype).value, tuple(array.shape), packed))
    return KeptSample(sample.name, tuple(rows))


def first_ones(samples: Iterable[KeptSample | None]) -> tuple[KeptSample, ...]:
    """The first samples, as many as fit COUNT and LIMIT."""
    kept: list[KeptSample] = []
    size = 0
    for sample in samples:
        if len(kept) == COUNT:
            break
        if sample is not None and size + sample.size <= LIMIT:
            kept.append(sample)
            size += sample.size
    return tuple(kept)


def kept_dataset(samples: Iterable[KeptSample], graph: Graph) -> Dataset | None:
    """The kept samples as data of `graph`, inputs matched by place; None where none of them fits."""
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
        raise ValueError(f"a kept sample of {size} bytes")
    try:
        unpacker = zlib.decompressobj()
        raw = unpacker.decompress(base64.b64decode(data, validate=True), size + 1)
    except zlib.error as error:
        raise ValueError(f"a kept sample does not unpack: {error}") from error
    if len(raw) != size:
        raise ValueError(f"a kept sample: expected {size} bytes, got {len(raw)}")
    return np.frombuffer(raw, dtype.numpy.newbyteorder("<")).astype(dtype.numpy).reshape(shape)
