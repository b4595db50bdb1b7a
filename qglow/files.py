"""Output files are written under a temporary name beside their place and renamed, so that a failure leaves nothing half done."""

from __future__ import annotations

import os
from pathlib import Path

from .arguments import path_of
from .errors import OutputError


def write_atomically(path: str | Path, data: bytes) -> None:
    """Write a file whole or not at all. Raises OutputError where it cannot be written."""
    import tempfile  # NOTE: a session writes nothing, and need not wait for this import

    path = check_writable(path)
    if _is_device(path):
        _write_through(path, data)
        return
    try:
        handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=".", suffix=".tmp")
    except OSError as error:
        raise OutputError(f"{path}: cannot be written: {error.strerror}") from error
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(data)
        os.chmod(temporary, 0o644)
        os.replace(temporary, path)
    except OSError as error:
        os.unlink(temporary)
        raise OutputError(f"{path}: cannot be written: {error.strerror}") from error
    except BaseException:
        os.unlink(temporary)
        raise


def _is_device(path: Path) -> bool:
    """Whether it is there and no plain file: /dev/null, /dev/stdout, a named pipe; such a thing is written to, never replaced."""
    return path.exists() and not path.is_file()


def _write_through(path: Path, data: bytes) -> None:
    try:
        with path.open("wb") as file:
            file.write(data)
    except OSError as error:
        raise OutputError(f"{path}: cannot be written: {error.strerror}") from error


def check_writable(path: str | Path, *inputs: str | Path | None) -> Path:
    """The path, or OutputError where a file cannot be made there, or is one of the inputs: asked before long work, so that none is lost."""
    path = path_of(path, "the file to write", OutputError)
    if any(i is not None and path.is_file() and Path(i).is_file() and path.samefile(i) for i in inputs):
        raise OutputError(f"{path}: is also what is read; give another name to write")
    if path.is_dir():
        raise OutputError(f"{path}: is a folder; give the name of a file to write")
    if _is_device(path):
        return path
    if not path.parent.is_dir():
        raise OutputError(f"{path}: there is no folder {path.parent}; make it first")
    if not os.access(path.parent, os.W_OK | os.X_OK):
        raise OutputError(f"{path}: the folder {path.parent} cannot be written to")
    return path


def make_folder(path: str | Path) -> Path:
    """The folder, made where it is missing. Raises OutputError where that cannot be."""
    path = path_of(path, "the folder to write to", OutputError)
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(f"{path}: cannot be made a folder: {error.strerror}") from error
    return path


def check_folder(path: str | Path) -> Path:
    """The path, or OutputError where something else than a folder is in its way: asked before long work."""
    path = path_of(path, "the folder to write to", OutputError)
    there = next((p for p in (path, *path.parents) if p.exists()), Path())
    if not there.is_dir() or not os.access(there, os.W_OK | os.X_OK):
        raise OutputError(f"{path}: cannot be made a folder: {there} {'cannot be written to' if there.is_dir() else 'is a file'}")
    return path
