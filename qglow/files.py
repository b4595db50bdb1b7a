"""Output files are written under a temporary name beside their place and renamed, so that a failure leaves nothing half
done."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from .arguments import path_of
from .errors import OutputError, cause_of


def write_atomically(path: str | Path, data: bytes) -> None:
    """Write a file whole or not at all. Raises OutputError where it cannot be written."""
    with written(path) as file:
        file.write(data)


@contextmanager
def written(path: str | Path) -> Iterator[BinaryIO]:
    """A file to write to, that is there, whole, when the context ends, and not at all when it fails. Raises
    OutputError.

    Its mode is what the umask leaves of 0666. NOTE: the temporary name cannot be foretold, and what stands there is
    never opened.
    """
    path = check_writable(path)
    if _is_device(path):
        with _named(path), path.open("wb") as device:
            yield device
        return
    temporary = path.parent / f".{os.urandom(12).hex()}.tmp"
    with _named(path):
        try:  # NOTE: an interrupt may come as soon as the file is there
            handle = os.open(temporary, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o666)
            with os.fdopen(handle, "w+b") as file:
                yield file
            os.replace(temporary, path)
        except BaseException:
            temporary.unlink(missing_ok=True)
            raise


@contextmanager
def _named(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise OutputError(f"{path}: cannot be written: {cause_of(error)}") from error


def _is_device(path: Path) -> bool:
    """Whether it is there and no plain file: /dev/null, /dev/stdout, a named pipe; such a thing is written to, never
    replaced."""
    return path.exists() and not path.is_file()


def check_writable(path: str | Path, *inputs: str | Path | None) -> Path:
    """The path, or OutputError where a file cannot be made there, or is one of the inputs: asked before long work, so
    that none is lost."""
    path = path_of(path, "the file to write", OutputError)
    if any(i is not None and path.is_file() and Path(i).is_file() and path.samefile(i) for i in inputs):
        raise OutputError(f"{path}: is also what is read; give another name to write")
    if str(path) == "-":
        raise OutputError("-: the terminal takes no such file; give the name of one to write")
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
        raise OutputError(f"{path}: cannot be made a folder: {cause_of(error)}") from error
    return path


def check_folder(path: str | Path) -> Path:
    """The path, or OutputError where something else than a folder is in its way: asked before long work."""
    path = path_of(path, "the folder to write to", OutputError)
    there = next((p for p in (path, *path.parents) if p.exists()), Path())
    if not there.is_dir() or not os.access(there, os.W_OK | os.X_OK):
        raise OutputError(
            f"{path}: cannot be made a folder: {there} {'cannot be written to' if there.is_dir() else 'is a file'}"
        )
    return path
