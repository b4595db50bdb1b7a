"""Arrays in .npz and .npy files: written array by array, so that memory is that of one, and read no larger than the
limit allows."""

from __future__ import annotations

import io
import os
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from math import prod
from pathlib import Path
from typing import IO, Any, BinaryIO, cast

import numpy as np

from .errors import DataError, LimitError, OutputError, QGlowError, in_one_line
from .files import written
from .limits import check_memory
from .reading import opened, read_bytes
from .words import counted

Array = np.ndarray[Any, np.dtype[Any]]
_ENDING = ".npy"


class NpzWriter:
    """Adds arrays by name to an open archive. Any name is kept as it is: it is not taken for a path or an option."""

    def __init__(self, archive: zipfile.ZipFile, where: str) -> None:
        self._archive, self._where = archive, where
        self._names: set[str] = set()

    def add(self, name: str, array: Array) -> None:
        """Raises OutputError for a name that the format cannot hold, or cannot tell from another that was added."""
        if "\0" in name or len(name.encode("utf-8", "surrogatepass")) > 60_000 or not _is_text(name):
            raise OutputError(f"{self._where}: an .npz file cannot hold an array of the name {name[:60]!r}")
        if name in self._names:
            raise OutputError(f"{self._where}: two arrays have the name {name!r}")
        if other := self._names & {name + _ENDING, name.removesuffix(_ENDING)}:
            raise OutputError(
                f"{self._where}: numpy cannot tell an array {name!r} from one {other.pop()!r}; rename an output"
            )
        self._names.add(name)
        # NOTE: numpy.savez would take a name such as `file` or `allow_pickle` for an argument of its own
        with self._archive.open(name + _ENDING, "w", force_zip64=True) as file:
            np.lib.format.write_array(file, np.asanyarray(array))


def _is_text(name: str) -> bool:
    try:
        name.encode()
    except UnicodeEncodeError:
        return False
    return True


@contextmanager
def npz_writer(path: str | Path) -> Iterator[NpzWriter]:
    """The writer of a file that is there, whole, when the context ends, and not at all when it fails. Raises
    OutputError."""
    with written(path) as file, zipfile.ZipFile(file, "w") as archive:
        yield NpzWriter(archive, str(path))


def read_npz(path: Path) -> dict[str, Array]:
    """Every array of an .npz file, by name. Raises DataError where it is none, and LimitError where the arrays,
    unpacked, are larger than the limit of memory: asked of their headers, before any is unpacked."""
    try:
        with os.fdopen(opened(path, DataError), "rb") as file, zipfile.ZipFile(file) as archive:
            names = archive.namelist()
            if len(set(names)) != len(names):
                raise DataError(f"{path}: two of its arrays have one name")
            size = 0
            for name in names:
                with archive.open(name) as member:
                    size += _size(member)
                check_memory(size, f"{path}: what is packed in it")
            return {name.removesuffix(_ENDING): _read_member(archive, name) for name in names}
    except QGlowError:
        raise
    except MemoryError as error:
        raise LimitError(f"{path}: there is not enough memory for its arrays") from error
    except Exception as error:  # NOTE: of a damaged archive: errors of zipfile, of zlib, of numpy
        raise DataError(f"{path}: not a readable .npz file ({in_one_line(error)})") from error


def _read_member(archive: zipfile.ZipFile, name: str) -> Array:
    with archive.open(name) as file:
        return cast(Array, np.lib.format.read_array(file, allow_pickle=False))


def read_npy(path: Path) -> Array:
    """The array of an .npy file. Raises DataError where it is none."""
    try:
        data = read_bytes(path, DataError)
        file = io.BytesIO(data.data)
        if (expected := _size(file)) != data.size - file.tell():
            raise ValueError(f"expected {counted(expected, 'byte')} of data, got {data.size - file.tell()}")
        file.seek(0)
        return cast(Array, np.lib.format.read_array(file, allow_pickle=False))
    except QGlowError:
        raise
    except MemoryError as error:
        raise LimitError(f"{path}: there is not enough memory for its array") from error
    except Exception as error:
        raise DataError(f"{path}: not a readable .npy file ({in_one_line(error)})") from error


def _size(file: IO[bytes] | BinaryIO) -> int:
    """Bytes of the array that an .npy header announces. Raises ValueError where there is no header, or one of Python
    objects."""
    version = np.lib.format.read_magic(file)  # type: ignore[no-untyped-call]
    readers: dict[tuple[int, int], Any] = {
        (1, 0): np.lib.format.read_array_header_1_0,
        (2, 0): np.lib.format.read_array_header_2_0,
    }
    if version not in readers:
        raise ValueError(f"expected version 1.0 or 2.0 of the format, got {version}")
    shape, _, dtype = readers[version](file)
    if dtype.hasobject:
        raise ValueError("it holds Python objects")
    return prod(shape) * int(dtype.itemsize)
