"""Compiled kernels as files: which there are, in the package or in the user's cache, and how a missing one is built.

An object's name says what it is: qglow's version, a hash of the kernels' source, the instruction set, the platform. A wheel carries
those of all sets in `qglow/kernels/objects/`; what is not there is built once into the cache. An object has the same bytes wherever it
is built, by the same numba.
"""

from __future__ import annotations

import hashlib
import os
import platform
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

from .. import __version__
from ..errors import KernelError
from ..progress import track
from .isa import SETS, has

if TYPE_CHECKING:
    import subprocess  # NOTE: it and logging are imported where a build needs them: a session whose object is there waits for neither

PACKAGED = Path(__file__).parent / "objects"
HANDLING = ("elf.py", "library.py", "objects.py", "peak.py")  # nothing of these is in an object
READ = ("instructions/table.py", "instructions/packing.py", "reference/float_math.py", "reference/recurrent.py")  # what kernels read from outside of their folder
PARTS = "part "  # the builder prints `part 0 43`, and as each kernel is done `part 1 43`


def sealed(data: bytes) -> bytes:
    """An object as it is kept: with its SHA-256 behind it, for LLVM ends the process over a file that is spoiled."""
    return data + hashlib.sha256(data).digest()


def unsealed(path: Path) -> bytes:
    """The object of a file. Raises KernelError where the file is not whole."""
    try:
        raw = path.read_bytes()
    except OSError as error:
        raise KernelError(f"{path}: compiled kernels cannot be read ({error.strerror})") from error
    data = raw[:-32]
    if sealed(data) != raw:
        raise KernelError(f"{path}: compiled kernels are spoiled; remove them with `qglow kernels clear`")
    return data


def cache_folder() -> Path:
    """Where objects are kept: QGLOW_CACHE_DIR, or the user's cache directory."""
    given = os.environ.get("QGLOW_CACHE_DIR")
    if given:
        return Path(given)
    if sys.platform == "linux":  # NOTE: as platformdirs has it; to import that, and tempfile with it, would cost each process time
        return Path(os.environ.get("XDG_CACHE_HOME", "").strip() or os.path.expanduser("~/.cache")) / "qglow"
    from platformdirs import user_cache_dir

    return Path(user_cache_dir("qglow"))


def sources() -> list[Path]:
    """The files that a kernel is made from."""
    here = Path(__file__).parent
    kernels = [p for p in sorted(here.glob("*.py")) if p.name not in HANDLING]
    return [*kernels, *(here.parent / name for name in READ)]


@lru_cache(maxsize=1)
def source_hash() -> str:
    """Hash of everything that a kernel is made from."""
    h = hashlib.sha256()
    for path in sources():
        h.update(path.read_bytes())
    return h.hexdigest()[:16]


def object_name(isa: str, emulated: bool = False) -> str:
    """The file name of an instruction set's object on this platform."""
    system = f"{platform.system().lower()}-{platform.machine().lower()}"
    return f"kernels-{__version__}-{source_hash()}-{isa}{'-emulated' if emulated else ''}-{system}.o"


def find(isa: str, emulated: bool = False) -> Path | None:
    """The object of an instruction set, from the package before the cache; None where it is in neither."""
    name = object_name(isa, emulated)
    return next((p for p in (PACKAGED / name, cache_folder() / name) if p.is_file()), None)


def ensure(isa: str, emulated: bool = False) -> Path:
    """The object of an instruction set; where it is missing it is built into the cache, and that is said.

    Of several processes that miss the same object one builds it, and the others wait for it.
    """
    found = find(isa, emulated)
    if found is not None:
        return found
    _say(
        f"qglow: compiling the {isa} kernels, once for this version of them: neither this package nor {cache_folder()} has them "
        "(under a minute; `qglow kernels build` does it ahead)"
    )
    with _alone(cache_folder() / f"{object_name(isa, emulated)}.lock"):
        return find(isa, emulated) or build_into_cache(isa, emulated)


@contextmanager
def _alone(path: Path) -> Iterator[None]:
    """Hold a lock among processes; without one where the folder cannot be written or the system has no such locks.

    The file stays: a process may wait for it, and another that finds it gone would make a lock of its own.
    """
    try:
        import fcntl

        path.parent.mkdir(parents=True, exist_ok=True)
        file = path.open("a")
    except (ImportError, OSError):
        yield
        return
    with file:  # NOTE: the lock ends with the file, and with the process
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def build_into_cache(isa: str, emulated: bool = False, quiet: bool = False) -> Path:
    """Compile an object for this user."""
    path = cache_folder() / object_name(isa, emulated)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise KernelError(f"{path.parent}: no place for compiled kernels ({error.strerror}); set QGLOW_CACHE_DIR to a folder") from error
    build(isa, path, emulated, quiet)
    return path


def build(isa: str, path: Path, emulated: bool = False, quiet: bool = False) -> None:
    """Compile an object in a process of its own, with a progress bar on a terminal, and put it in its place whole."""
    import subprocess

    temporary = path.with_suffix(f".{os.getpid()}.tmp")
    command = [sys.executable, "-m", "qglow.kernels.build", isa, str(temporary), *(["--emulate"] if emulated else [])]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(Path(__file__).parents[2]), os.environ.get("PYTHONPATH", "")])}
    lines: list[str] = []
    try:
        with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=environment) as process:
            parts = _parts(process, lines)
            total = next(parts, 0)
            for _ in track(parts, f"compiling {isa}", total, quiet):
                pass
        if process.returncode != 0:
            raise KernelError(f"the {isa} kernels cannot be built: {(lines or ['no output'])[-1][:300]}")
        os.replace(temporary, path)
    except OSError as error:
        raise KernelError(f"{path}: compiled kernels cannot be kept there ({error.strerror}); set QGLOW_CACHE_DIR to a folder") from error
    finally:
        temporary.unlink(missing_ok=True)


def _parts(process: subprocess.Popen[str], lines: list[str]) -> Iterator[int]:
    """How many kernels there are (part 0), then a number as each is done; what else the builder prints goes to `lines`."""
    assert process.stdout is not None
    for line in process.stdout:
        if not line.startswith(PARTS):
            lines += [line.strip()] if line.strip() else []
            continue
        done, total = map(int, line.split()[1:3])
        yield done or total


def _say(line: str) -> None:
    """To the terminal; elsewhere as a log record, which an application can turn off and Python prints otherwise."""
    if sys.stderr.isatty():
        print(line, file=sys.stderr)
    else:
        import logging

        logging.getLogger("qglow").warning(line)


def clear() -> tuple[int, int]:
    """Remove all cached objects, and what an interrupted build left; returns (files, bytes)."""
    files = [f for kind in ("o", "tmp", "lock") for f in cache_folder().glob(f"kernels-*.{kind}")]
    size = sum(f.stat().st_size for f in files)
    for f in files:
        f.unlink(missing_ok=True)
    return len(files), size


def listing() -> list[str]:
    """One line for each instruction set: whether this CPU has it, and where its object is; then what else the cache holds."""
    lines = []
    known = set()
    for s in SETS.values():
        cpu = "this CPU has it" if has(s.name) else "this CPU lacks it"
        for emulated in (False, True):
            found = find(s.name, emulated)
            if found is None and emulated:
                continue
            known.add(found)
            where = f"{found} ({found.stat().st_size / 1024:.0f} KiB)" if found else "not compiled yet"
            lines.append(f"{s.name + (' emulated' if emulated else ''):22s} {cpu:18s} {where}")
    old = [f for f in cache_folder().glob("kernels-*.o") if f not in known]
    if old:
        size = sum(f.stat().st_size for f in old)
        lines.append(f"{cache_folder()} also holds {len(old)} of other versions, {size / 1024:.0f} KiB; `qglow kernels clear` removes all")
    return lines
