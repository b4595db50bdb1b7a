"""An .npz file that is written array by array: memory is that of one array."""

from __future__ import annotations

import os
import tempfile
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from ..errors import OutputError
from ..files import check_writable
from ..graph import Array


class NpzWriter:
    """Adds arrays by name to an open archive."""

    def __init__(self, archive: zipfile.ZipFile) -> None:
        self._archive = archive

    def add(self, name: str, array: Array) -> None:
        with self._archive.open(f"{name}.npy", "w", force_zip64=True) as file:
            np.lib.format.write_array(file, np.asanyarray(array))


@contextmanager
def npz_writer(path: str | Path) -> Iterator[NpzWriter]:
    """The writer of a file that is there, whole, when the context ends, and not at all when it fails. Raises OutputError."""
    path = check_writable(path)
    replaced = not path.exists() or path.is_file()  # NOTE: a device is written to, never replaced
    temporary: str | None = None
    try:
        if replaced:
            handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=".", suffix=".tmp")
            os.close(handle)
        with zipfile.ZipFile(temporary or path, "w") as archive:
            yield NpzWriter(archive)
        if temporary is not None:
            os.chmod(temporary, 0o644)
            os.replace(temporary, path)
            temporary = None
    except OSError as error:
        raise OutputError(f"{path}: cannot be written: {error.strerror}") from error
    finally:
        if temporary is not None:
            os.unlink(temporary)
