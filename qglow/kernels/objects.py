"""Compiled kernels as files: which there are, in the package or in the user's cache, and how a missing one is built.

An object's name says what it is: qglow's version, a hash of the kernels' source, the instruction set, the platform. A
wheel carries those of all sets in `qglow/kernels/objects/`, and the hash of each in `qglow/kernels/carried.py`: they
are as much to be trusted as the code beside them. What is not there is built once into the cache, and taken from there
by the rules of `cache.py`. An object has the same bytes wherever it is built, by the same numba.
"""

from __future__ import annotations

import hashlib
import os
import platform
import sys
from functools import lru_cache
from pathlib import Path

from .. import __version__
from ..errors import KernelError
from ..instructions.table import FLOAT_BINARY, FLOAT_REDUCE, FLOAT_UNARY, INT8_BINARY, SCALED_BEFORE
from ..targets import HOST, TARGETS, has, target
from . import cache
from .cache import cache_folder

PACKAGED = Path(__file__).parent / "objects"
# none is in an object
HANDLING = (
    "builder.py",
    "cache.py",
    "carried.py",
    "elf.py",
    "library.py",
    "objects.py",
    "machine_probe.py",
    "workers.py",
)
READ = (  # what kernels read from outside of their folder
    "targets/architecture.py", "targets/table.py", "targets/target.py",
    "instructions/table.py", "instructions/packing.py", "instructions/pairings.py", "reference/double_math.py",
    "reference/float_math.py",
    "reference/float_sums.py", "reference/recurrent.py",
)  # fmt: skip


def sealed(data: bytes) -> bytes:
    """An object as it is kept: with its SHA-256 behind it, for LLVM ends the process over a file that is spoiled."""
    return data + hashlib.sha256(data).digest()


def unsealed(path: Path) -> bytes:
    """The object of a file: read once, checked, and what was checked is returned.

    Raises KernelError where the file is not whole, is not the one that the package was made with, or may be another
    user's work.
    """
    try:
        raw = path.read_bytes() if path.parent == PACKAGED else cache.read(path)
    except OSError as error:
        raise KernelError(f"{path}: compiled kernels cannot be read ({error.strerror})") from error
    if path.parent == PACKAGED and hashlib.sha256(raw).hexdigest() != carried().get(path.name):
        raise KernelError(f"{path}: not the compiled kernels that this package was made with; install qglow again")
    data = memoryview(raw)[:-32]
    if hashlib.sha256(data).digest() != raw[-32:]:
        raise KernelError(f"{path}: compiled kernels are spoiled; remove them with `qglow kernels clear`")
    return bytes(data)


def carried() -> dict[str, str]:
    """Hashes of the objects that the package carries, by file name: SHA-256 in hexadecimal digits."""
    try:
        from .carried import HASHES
    except ImportError:  # NOTE: a checkout carries none
        return {}
    return HASHES


def sources() -> list[str]:
    """The files that a kernel is made from."""
    here = os.path.dirname(__file__)
    kernels = [f"{here}/{name}" for name in sorted(os.listdir(here)) if name.endswith(".py") and name not in HANDLING]
    return [*kernels, *(f"{os.path.dirname(here)}/{name}" for name in READ)]


@lru_cache(maxsize=1)
def source_hash() -> str:
    """Hash of everything that a kernel is made from."""
    h = hashlib.sha256()
    for path in sources():
        with open(path, "rb", buffering=0) as file:
            h.update(file.read())
    declared = FLOAT_BINARY, FLOAT_UNARY, FLOAT_REDUCE, INT8_BINARY, SCALED_BEFORE  # of ops, which are no such file
    h.update(repr(declared).encode())
    return h.hexdigest()[:16]


def object_name(isa: str, emulated: bool = False) -> str:
    """The file name of an instruction set's object on this platform, or on the like of another architecture."""
    system = f"{platform.system().lower()}-{(HOST if emulated else target(isa).architecture).name}"
    return f"kernels-{__version__}-{source_hash()}-{isa}{'-emulated' if emulated else ''}-{system}.o"


def find(isa: str, emulated: bool = False) -> Path | None:
    """The object of an instruction set, from the package before the cache; None where it is in neither.

    Raises KernelError where it would have to be in a cache that cannot be trusted, or in none.
    """
    name = object_name(isa, emulated)
    if name in carried() and (PACKAGED / name).is_file():
        return PACKAGED / name
    return cache_folder() / name if cache.holds(cache_folder() / name) else None


def ensure(isa: str, emulated: bool = False) -> Path:
    """The object of an instruction set; where it is missing it is built into the cache, and that is said.

    Of several processes that miss the same object one builds it, and the others wait for it.
    """
    found = find(isa, emulated)
    if found is not None:
        return found
    with cache.alone(cache_folder() / f"{object_name(isa, emulated)}.lock"):
        found = find(isa, emulated)
        if found is not None:
            return found
        _say(
            f"qglow: compiling the {isa} kernels, once for this version of them: neither this package nor "
            f"{cache_folder()} has them "
            "(under a minute; `qglow kernels build` does it ahead)"
        )
        return build_into_cache(isa, emulated)


def build_into_cache(isa: str, emulated: bool = False, quiet: bool = False) -> Path:
    """Compile an object for this user. Raises KernelError, before it compiles, where the object could not be kept."""
    path = cache_folder() / object_name(isa, emulated)
    build(isa, path, emulated, quiet)
    return path


def build(isa: str, path: Path, emulated: bool = False, quiet: bool = False) -> None:
    """Compile an object in a process of its own, with a progress bar on a terminal, and put it in its place whole."""
    with cache.replaced(path) as handle:
        # NOTE: it and logging are imported where a build needs them: a run waits for neither
        from .builder import compile_into

        compile_into(handle, isa, emulated, quiet)


def _say(line: str) -> None:
    """To the terminal; elsewhere as a log record, which an application can turn off and Python prints otherwise."""
    if sys.stderr.isatty():
        print(line, file=sys.stderr)
    else:
        import logging

        logging.getLogger("qglow").warning(line)


def clear() -> tuple[int, int]:
    """Remove all cached objects, and what an interrupted build left; returns (files, bytes)."""
    files = cache.files("kernels-*.o", "kernels-*.tmp", "kernels-*.lock")
    size = sum(f.lstat().st_size for f in files)
    for f in files:
        f.unlink(missing_ok=True)
    return len(files), size


def listing() -> list[str]:
    """One line for each instruction set: whether this CPU has it, and where its object is; then what else the cache
    holds."""
    lines, known, refused = [], set(), ""
    for s in TARGETS.values():
        cpu = "this CPU has it" if has(s.name) else "this CPU lacks it"
        for emulated in (False, True):
            try:
                found = find(s.name, emulated)
            except KernelError as error:
                found, refused = None, str(error)
            if found is None and emulated:
                continue
            known.add(found)
            where = f"{found} ({found.stat().st_size / 1024:.0f} KiB)" if found else "not compiled yet"
            lines.append(f"{s.name + (' emulated' if emulated else ''):22s} {cpu:18s} {where}")
    old = [f for f in cache.files("kernels-*.o") if f not in known]
    if old:
        size = sum(f.lstat().st_size for f in old)
        lines.append(
            f"{cache_folder()} also holds {len(old)} of other versions, {size / 1024:.0f} KiB; `qglow kernels clear` "
            "removes all"
        )
    return [*lines, refused] if refused else lines
