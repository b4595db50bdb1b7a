"""Bundles with another graph, other constants or another manifest, sealed again: what is behind the hash is tested."""

from __future__ import annotations

import json

import numpy as np

from qglow.graph import Array
from qglow.graph.digest import digest
from qglow.runtime.seal import BLANK, sealed
from qglow.runtime.tensors import to_bytes

from .byte_edits import edited
from .draws import Draws
from .graph_text import changed, other_value

Parts = tuple[dict[str, Array], dict[str, str]]


def mutant(whole: bytes, draws: Draws) -> bytes:
    """One of eight has its bytes changed as they are; the others are changed in their parts and put together again."""
    if draws.chance(8):
        return edited(whole, draws)
    arrays, metadata = parts_of(whole)
    how = draws.below(8)
    if how == 0:
        metadata["manifest"] = manifest(metadata["manifest"], draws)
    if how in (1, 2) and arrays:
        constant(arrays, metadata, draws)
    if how >= 2:
        metadata["graph"] = changed(metadata["graph"], draws)
    return together(arrays, metadata)


def parts_of(whole: bytes) -> Parts:
    """Tensors by name, and metadata, of a good bundle."""
    size = int.from_bytes(whole[:8], "little")
    header = json.loads(whole[8 : 8 + size])
    metadata = header.pop("__metadata__")
    dtypes = {"BOOL": "?", "F16": "<f2", "F32": "<f4", "F64": "<f8"}
    arrays = {}
    for name, info in header.items():
        a, b = (8 + size + at for at in info["data_offsets"])
        dtype = dtypes.get(info["dtype"]) or f"<{info['dtype'][0].lower()}{int(info['dtype'][1:]) // 8}"
        arrays[name] = np.frombuffer(whole[a:b], dtype).reshape(info["shape"])
    return arrays, metadata


def together(arrays: dict[str, Array], metadata: dict[str, str]) -> bytes:
    return sealed(to_bytes(arrays, {**metadata, "seal": BLANK}), arrays)


def constant(arrays: dict[str, Array], metadata: dict[str, str], draws: Draws) -> None:
    """Values, size or dtype of a constant are others; the text has its new hash, its line says what it said."""
    key = draws.pick(sorted(arrays))
    before, array = digest(arrays[key]), arrays[key].copy()
    how = draws.below(7)
    if how <= 2 and array.size:
        low, high = (
            (np.finfo if array.dtype.kind == "f" else np.iinfo)(
                array.dtype if array.dtype.kind != "b" else np.uint8
            ).min,
            1,
        )
        value = draws.pick(
            (low, high, 0, -low if array.dtype.kind == "f" else high, np.nan if array.dtype.kind == "f" else 0)
        )
        array.reshape(-1)[draws.below(array.size) :: draws.pick((1, 7, 1 << 20))] = value
    elif how == 3:
        array = np.ascontiguousarray(array.T)
    elif how == 4:
        array = array.reshape(-1)[: draws.below(array.size + 1)].copy()
    elif how == 5:
        array = array.astype(draws.pick(("f4", "f8", "i8", "u1", "i1", "i4", "?")))
    else:
        array = np.concatenate([array.reshape(-1)] * 2)
    arrays[key] = array
    metadata["graph"] = metadata["graph"].replace(before, digest(array))
    if draws.chance(3):
        metadata["graph"] = metadata["graph"].replace(digest(array), before)


def manifest(text: str, draws: Draws) -> str:
    values = json.loads(text)
    how = draws.below(4)
    if how == 0:
        return json.dumps(other_value(values, draws))
    if how == 1:
        return "[" * (1000 if draws.chance(2) else 100_000)
    key = draws.pick(sorted(values)) if values else draws.word()
    values[key] = other_value(values.get(key), draws)
    return json.dumps(values)
