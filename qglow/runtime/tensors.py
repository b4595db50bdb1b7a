"""Safetensors files: written the same bytes each time; read whole into this process's memory, or mapped, tensors as
views of that.

The format: eight bytes of the header's length, the header in JSON, then the tensors' bytes one after the other without
gaps. Its own library writes metadata in another order each time.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from math import prod
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import QGlowError, cause_of
from ..graph import Array
from ..reading import opened
from ..words import counted

Memory = memoryview

DTYPES = {"BOOL": "?", "U8": "u1", "I8": "i1", "U16": "<u2", "I16": "<i2", "F16": "<f2", "U32": "<u4", "I32": "<i4",
    "F32": "<f4",
          "U64": "<u8", "I64": "<i8", "F64": "<f8"}  # fmt: skip
LONGEST_HEADER = 100_000_000  # bytes, as the format's own library has it


def to_bytes(arrays: Mapping[str, Array], metadata: Mapping[str, str]) -> bytes:
    """The file's bytes: tensors by the size of their elements, the largest first, so that each lies aligned, then by
    name.

    Raises ValueError for a tensor whose dtype the format does not have.
    """
    codes = {np.dtype(d): code for code, d in DTYPES.items()}
    header: dict[str, Any] = {"__metadata__": dict(sorted(metadata.items()))}
    parts, at = [], 0
    for name, array in sorted(arrays.items(), key=lambda item: (-item[1].dtype.itemsize, item[0])):
        dtype = array.dtype.newbyteorder("<")
        if dtype not in codes:
            raise ValueError(f"tensor {name!r}: no dtype {array.dtype} in this format")
        header[name] = {"dtype": codes[dtype], "shape": list(array.shape), "data_offsets": [at, at + array.nbytes]}
        parts.append(array.astype(dtype, copy=False).tobytes())
        at += array.nbytes
    text = json.dumps(header, ensure_ascii=False, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    return b"".join((len(text).to_bytes(8, "little"), text, *parts))


def header_of(data: bytes | Memory) -> bytes:
    """The header's bytes. Raises ValueError where the file is too short for it."""
    size = len(data)
    if size < 8:
        raise ValueError(f"expected a header, got {counted(size, 'byte')}")
    start = 8 + int.from_bytes(data[:8], "little")
    if start > min(size, LONGEST_HEADER):
        raise ValueError(f"expected a header within the file's {counted(size, 'byte')}, got one of {start - 8}")
    return bytes(data[8:start])


def mapped(path: Path, error: type[QGlowError], missing: str) -> Memory:
    """A file's bytes as the system maps them: shared by all processes that map it, and the file's own at every moment.
    Raises `error`."""
    import mmap  # NOTE: few sessions map their bundle

    handle = opened(path, error, missing)
    try:
        return memoryview(mmap.mmap(handle, 0, access=mmap.ACCESS_READ))
    except ValueError as fault:  # NOTE: of an empty file
        raise error(f"{path}: is empty") from fault
    except OSError as fault:
        raise error(f"{path}: cannot be mapped: {cause_of(fault)}") from fault
    finally:
        os.close(handle)


def read_all(data: Memory) -> tuple[dict[str, str], dict[str, Array], bytes]:
    """(metadata, read-only tensors by name, the header's bytes) of a file's bytes. Raises ValueError where they are not
    of this format."""
    size, text = len(data), header_of(data)
    start, header = 8 + len(text), json.loads(text)
    if not isinstance(header, dict):
        raise ValueError("expected a header that names tensors")
    metadata = header.pop("__metadata__", {})
    if not isinstance(metadata, dict) or not all(isinstance(v, str) for v in metadata.values()):
        raise ValueError("expected metadata of strings")
    arrays, end = {}, 0
    for name, info in sorted(header.items(), key=_first):
        arrays[name], end = _tensor(data, start, name, info, end)
    if start + end != size:
        raise ValueError(f"expected {counted(end, 'byte')} of tensors, got {size - start}")
    return metadata, arrays, text


def _first(item: tuple[str, Any]) -> tuple[int, ...]:
    """Where a tensor lies, for sorting: one of no bytes before the one that begins at the same place."""
    try:
        return tuple(map(int, item[1]["data_offsets"]))
    except (TypeError, KeyError, ValueError) as error:
        raise ValueError(f"tensor {item[0]!r}: expected two offsets") from error


def _tensor(data: Memory, start: int, name: str, info: dict[str, Any], end: int) -> tuple[Array, int]:
    """The tensor that begins where the one before it ended, and its own end."""
    first, last = info["data_offsets"]
    dtype, shape = np.dtype(DTYPES[info["dtype"]]), info["shape"]
    if not all(type(d) is int and d >= 0 for d in shape):
        raise ValueError(f"tensor {name!r}: expected sizes, got {shape}")
    count = prod(shape)
    if first != end or last - first != count * dtype.itemsize or start + last > len(data):
        raise ValueError(
            f"tensor {name!r}: expected bytes [{end}, {end + count * dtype.itemsize}) of the file, got [{first}, "
            f"{last})"
        )
    made = np.frombuffer(data, dtype, count, start + first) if count else np.empty(0, dtype)
    made.flags.writeable = False
    return made.reshape(shape), last
