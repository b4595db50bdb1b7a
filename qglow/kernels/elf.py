"""A relocatable ELF object of x86-64 in memory, ready to be called: what a linker would do, for the few forms that kernels need.

It spares inference the import of LLVM, 50 MB and a tenth of a second. Elsewhere, or where memory may not be made executable, llvmlite
loads the object. Formats: System V ABI, chapter 4, and its AMD64 supplement.
"""

from __future__ import annotations

import ctypes
import mmap
import platform
import struct
import sys
from typing import NamedTuple

ALLOCATED, NO_BITS, SYMBOLS, RELOCATIONS = 2, 8, 2, 4
ABSOLUTE, RELATIVE, CALL = 1, 2, 4  # R_X86_64_64, PC32, PLT32
PAGE = mmap.PAGESIZE
STUB = b"\xff\x25\x00\x00\x00\x00"  # jmp [rip]; the address follows


class CannotLoad(Exception):
    """This object, or this machine, needs the other loader."""


def is_possible() -> bool:
    return sys.platform == "linux" and platform.machine() == "x86_64"


class _Section(NamedTuple):
    name: int
    kind: int
    flags: int
    offset: int
    size: int
    link: int
    info: int
    alignment: int


class Image:
    """The object's sections at their final addresses, relocated and executable, until the process ends.

    NOTE: threads that have no Python frame to return to may run in it while the interpreter takes its modules down.
    """

    def __init__(self, data: bytes) -> None:
        if data[:6] != b"\x7fELF\x02\x01" or struct.unpack_from("<HH", data, 16) != (1, 62):
            raise CannotLoad("not a relocatable x86-64 object")
        self.data = data
        start, size, count, names = (*struct.unpack_from("<Q", data, 40), *struct.unpack_from("<HHH", data, 58))
        headers = (struct.unpack_from("<IIQQQQIIQQ", data, start + k * size) for k in range(count))
        self.sections = [_Section(h[0], h[1], h[2], h[4], h[5], h[6], h[7], max(1, h[8])) for h in headers]
        self.names = self.sections[names]
        kept = [k for k, s in enumerate(self.sections) if s.flags & ALLOCATED and self._text(self.names, s.name) != b".eh_frame"]
        places, at = {}, 0
        for k in kept:
            section = self.sections[k]
            at = -(-at // section.alignment) * section.alignment
            places[k], at = at, at + section.size
        symbols = next(s for s in self.sections if s.kind == SYMBOLS)
        table = [struct.unpack_from("<IBBHQQ", data, symbols.offset + k * 24) for k in range(symbols.size // 24)]
        strings = self.sections[symbols.link]
        outside = {k: self._text(strings, s[0]).decode() for k, s in enumerate(table) if s[3] == 0 and s[0]}
        stubs = {k: -(-at // 16) * 16 + 16 * n for n, k in enumerate(outside)}
        self._memory = mmap.mmap(-1, max(PAGE, -(-(at + 16 + 16 * len(stubs)) // PAGE) * PAGE))
        self._anchor = ctypes.c_char.from_buffer(self._memory)
        self.base = ctypes.addressof(self._anchor)
        for k, place in places.items():
            section = self.sections[k]
            if section.kind != NO_BITS:
                self._memory[place : place + section.size] = data[section.offset : section.offset + section.size]
        for k, name in outside.items():
            self._memory[stubs[k] : stubs[k] + 14] = STUB + struct.pack("<Q", _function(name))
        values = [self.base + (stubs[k] if k in stubs else places.get(s[3], 0) + s[4]) for k, s in enumerate(table)]
        for section in self.sections:
            if section.kind == RELOCATIONS and section.info in places:
                self._relocate(section, places[section.info], values)
        self._symbols = {self._text(strings, s[0]).decode(): values[k] for k, s in enumerate(table) if s[0] and s[3] in places}
        self._protect()
        ctypes.pythonapi.Py_IncRef(ctypes.py_object(self._memory))

    def address(self, name: str) -> int:
        """Address of a symbol, 0 where there is none."""
        return self._symbols.get(name, 0)

    def _text(self, section: _Section, at: int) -> bytes:
        first = section.offset + at
        return self.data[first : self.data.index(0, first)]

    def _relocate(self, section: _Section, place: int, values: list[int]) -> None:
        for k in range(section.size // 24):
            offset, info, addend = struct.unpack_from("<QQq", self.data, section.offset + k * 24)
            kind, at, value = info & 0xFFFFFFFF, place + offset, values[info >> 32] + addend
            if kind == ABSOLUTE:
                struct.pack_into("<Q", self._memory, at, value)
            elif kind in (RELATIVE, CALL):
                struct.pack_into("<i", self._memory, at, value - self.base - at)
            else:
                raise CannotLoad(f"relocation {kind}")

    def _protect(self) -> None:
        """Executable from now on, and never written again."""
        libc = ctypes.CDLL(None, use_errno=True)
        libc.mprotect.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int]
        if libc.mprotect(self.base, len(self._memory), mmap.PROT_READ | mmap.PROT_EXEC) != 0:
            raise CannotLoad("memory cannot be made executable")


def _function(name: str) -> int:
    """Address of a function of the C or mathematics library."""
    for library in (None, "libm.so.6"):
        try:
            return ctypes.cast(getattr(ctypes.CDLL(library), name), ctypes.c_void_p).value or 0
        except (AttributeError, OSError):
            continue
    raise CannotLoad(f"function {name}")
