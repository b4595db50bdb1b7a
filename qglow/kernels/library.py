"""The kernel library at run time: the object of an instruction set, loaded without numba, and on Linux without LLVM."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

from ..errors import KernelError
from ..targets import choose, target
from . import objects
from .elf import CannotLoad, Image, is_possible

_LOCK = threading.Lock()


def ensure(name: str | None = None) -> Path:
    """The object's file for an instruction set (default: the best of this CPU), built first where it is missing."""
    isa, emulated = choose(name)
    return objects.ensure(isa.name, emulated)


class Library:
    """A loaded object: addresses of kernels by name."""

    def __init__(self, path: Path, isa: str) -> None:
        self.isa, data = isa, objects.unsealed(path)
        if target(isa).tiles and "emulated" not in path.name:
            _request_tiles()
        self._find = _loaded(data)

    def address(self, name: str) -> int:
        """Address of the native function of a kernel; raises KernelError where there is none."""
        address = self._find(f"qglow_{name}")
        if not address:
            raise KernelError(f"no kernel {name!r} in the {self.isa} library")
        return address


def _loaded(data: bytes) -> Callable[[str], int]:
    """A function from a symbol's name to its address, 0 where there is none."""
    if is_possible():
        try:
            return Image(data).address
        except CannotLoad:
            pass
    import llvmlite.binding as llvm

    llvm.initialize_native_target()
    llvm.initialize_native_asmprinter()
    machine = llvm.Target.from_default_triple().create_target_machine(codemodel="small", reloc="pic")
    engine: Any = llvm.create_mcjit_compiler(llvm.parse_assembly(""), machine)
    engine.add_object_file(llvm.ObjectFileRef.from_data(data))
    engine.finalize_object()
    return lambda name: int(engine.get_function_address(name))


def _request_tiles() -> None:
    """Ask Linux for the tile registers: arch_prctl(ARCH_REQ_XCOMP_PERM, XFEATURE_XTILEDATA)."""
    import ctypes

    if ctypes.CDLL(None, use_errno=True).syscall(158, 0x1023, 18) != 0:
        raise KernelError("QGLOW_ISA=amx: the kernel refuses the tile registers to this process")


_LOADED: dict[tuple[str, bool], Library] = {}  # by instruction set, and whether it is emulated


def _unlock() -> None:
    """In a forked process no other thread is left that could let go of the lock."""
    global _LOCK
    _LOCK = threading.Lock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_unlock)


def load(name: str | None = None) -> Library:
    """The library of an instruction set, loaded once in a process."""
    isa, emulated = choose(name)
    found = _LOADED.get((isa.name, emulated))
    if found is not None:
        return found
    with _LOCK:
        if (isa.name, emulated) not in _LOADED:
            _LOADED[isa.name, emulated] = Library(objects.ensure(isa.name, emulated), isa.name)
        return _LOADED[isa.name, emulated]
