"""The kernel library at run time: find the object in the user's cache, build it where it is missing, load it without numba."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
import threading
from functools import lru_cache
from pathlib import Path
from typing import Any

import platformdirs

from .. import __version__
from ..errors import KernelError
from .isa import SETS, choose, has

_LOCK = threading.Lock()


def cache_folder() -> Path:
    """Where objects are kept: QGLOW_CACHE_DIR, or the user's cache directory."""
    return Path(os.environ.get("QGLOW_CACHE_DIR") or platformdirs.user_cache_dir("qglow"))


@lru_cache(maxsize=1)
def source_hash() -> str:
    """Hash of everything that a kernel is made from."""
    h = hashlib.sha256()
    here = Path(__file__).parent
    for path in (*sorted(here.glob("*.py")), here.parent / "instructions" / "table.py"):
        h.update(path.read_bytes())
    return h.hexdigest()[:16]


def ensure(name: str | None = None) -> Path:
    """The object's file for an instruction set (default: the best of this CPU), built first where it is missing."""
    isa, emulated = choose(name)
    path = cache_folder() / f"kernels-{__version__}-{source_hash()}-{isa.name}{'-emulated' if emulated else ''}.o"
    if path.is_file():
        return path
    path.parent.mkdir(parents=True, exist_ok=True)
    if sys.stderr.isatty():
        print(f"qglow: compiling the {isa.name} kernels, once for this version (about half a minute) ...", file=sys.stderr)
    temporary = path.with_suffix(f".{os.getpid()}.tmp")
    command = [sys.executable, "-m", "qglow.kernels.build", isa.name, str(temporary), *(["--emulate"] if emulated else [])]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(Path(__file__).parents[2]), os.environ.get("PYTHONPATH", "")])}
    done = subprocess.run(command, capture_output=True, text=True, env=environment, check=False)
    if done.returncode != 0:
        temporary.unlink(missing_ok=True)
        raise KernelError(f"the {isa.name} kernels cannot be built: {(done.stderr.strip().splitlines() or ['no output'])[-1]}")
    os.replace(temporary, path)
    return path


class Library:
    """A loaded object: addresses of kernels by name."""

    def __init__(self, path: Path, isa: str) -> None:
        import llvmlite.binding as llvm

        self.isa = isa
        if isa == "amx" and "emulated" not in path.name:
            _request_tiles()
        llvm.initialize_native_target()
        llvm.initialize_native_asmprinter()
        machine = llvm.Target.from_default_triple().create_target_machine(codemodel="small", reloc="pic")
        self._engine: Any = llvm.create_mcjit_compiler(llvm.parse_assembly(""), machine)
        self._engine.add_object_file(llvm.ObjectFileRef.from_data(path.read_bytes()))
        self._engine.finalize_object()

    def address(self, name: str) -> int:
        """Address of the native function of a kernel; raises KernelError where there is none."""
        address = int(self._engine.get_function_address(f"qglow_{name}"))
        if not address:
            raise KernelError(f"no kernel {name!r} in the {self.isa} library")
        return address


def _request_tiles() -> None:
    """Ask Linux for the tile registers: arch_prctl(ARCH_REQ_XCOMP_PERM, XFEATURE_XTILEDATA)."""
    import ctypes

    if ctypes.CDLL(None, use_errno=True).syscall(158, 0x1023, 18) != 0:
        raise KernelError("QGLOW_ISA=amx: the kernel refuses the tile registers to this process")


_LOADED: dict[str, Library] = {}


def load(name: str | None = None) -> Library:
    """The library of an instruction set, loaded once in a process."""
    with _LOCK:
        path = ensure(name)
        if str(path) not in _LOADED:
            _LOADED[str(path)] = Library(path, choose(name)[0].name)
        return _LOADED[str(path)]


def clear() -> int:
    """Remove all cached objects; returns how many there were."""
    files = list(cache_folder().glob("kernels-*.o"))
    for f in files:
        f.unlink()
    return len(files)


def listing() -> list[str]:
    """One line for each instruction set, then one for each cached object."""
    lines = [f"{s.name}: {'this CPU has it' if has(s.name) else 'this CPU lacks it'}" for s in SETS.values()]
    return lines + [f"{f} ({f.stat().st_size} bytes)" for f in sorted(cache_folder().glob("kernels-*.o"))]
