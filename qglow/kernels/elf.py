"""A relocatable ELF object of x86-64 or AArch64 in memory, ready to be called: what a linker would do, for the few
forms that kernels need.

It spares inference the import of LLVM, 50 MB and a tenth of a second. Elsewhere, or where memory may not be made
executable, llvmlite loads the object. Formats: System V ABI, chapter 4, its AMD64 supplement, and ELF for the Arm
64-bit Architecture.
"""

from __future__ import annotations

import ctypes
import mmap
import platform
import struct
import sys
from collections.abc import Callable

from ..record import NamedTuple

ALLOCATED, NO_BITS, SYMBOLS, RELOCATIONS = 2, 8, 2, 4
X86_64, AARCH64 = 62, 183  # the machine of an object
PAGE = mmap.PAGESIZE
STUBS = {  # a jump to the address that follows
    X86_64: b"\xff\x25\x00\x00\x00\x00",  # jmp [rip]
    AARCH64: struct.pack("<II", 0x58000050, 0xD61F0200),  # ldr x16, [pc + 8]; br x16
}
MACHINES = {"x86_64": X86_64, "aarch64": AARCH64}
Memory = bytearray | mmap.mmap


class CannotLoad(Exception):
    """This object, or this machine, needs the other loader."""


def is_possible() -> bool:
    return sys.platform == "linux" and platform.machine() in MACHINES


class _Section(NamedTuple):
    name: int
    kind: int
    flags: int
    offset: int
    size: int
    link: int
    info: int
    alignment: int


class Layout:
    """An object's sections and the stubs of functions outside of it, one after the other. size: bytes of them all."""

    def __init__(self, data: bytes) -> None:
        kind, self.machine = struct.unpack_from("<HH", data, 16)
        if data[:6] != b"\x7fELF\x02\x01" or kind != 1 or self.machine not in STUBS:
            raise CannotLoad("not a relocatable x86-64 or AArch64 object")
        self.data = data
        start, size, count, names = (*struct.unpack_from("<Q", data, 40), *struct.unpack_from("<HHH", data, 58))
        headers = (struct.unpack_from("<IIQQQQIIQQ", data, start + k * size) for k in range(count))
        self.sections = [_Section(h[0], h[1], h[2], h[4], h[5], h[6], h[7], max(1, h[8])) for h in headers]
        self.places, at = dict[int, int](), 0
        for k, section in enumerate(self.sections):
            if section.flags & ALLOCATED and self._text(self.sections[names], section.name) != b".eh_frame":
                at = -(-at // section.alignment) * section.alignment
                self.places[k], at = at, at + section.size
        symbols = next(s for s in self.sections if s.kind == SYMBOLS)
        self._table = list(struct.iter_unpack("<IBBHQQ", _entries(data, symbols)))
        strings = self.sections[symbols.link]
        self._names = [self._text(strings, s[0]).decode() if s[0] else "" for s in self._table]
        outside = [k for k, s in enumerate(self._table) if s[3] == 0 and s[0]]
        self._stubs = {k: -(-at // 16) * 16 + 16 * n for n, k in enumerate(outside)}
        self.size = at + 16 + 16 * len(outside)

    def put(self, memory: Memory, base: int, function: Callable[[str], int]) -> dict[str, int]:
        """Write the object, relocated, into zeroed memory that is to be used at the address `base`, a whole page;
        addresses of its symbols.

        function: the address of one outside of it.
        """
        data = memoryview(self.data)
        for k, place in self.places.items():
            section = self.sections[k]
            if section.kind != NO_BITS:
                memory[place : place + section.size] = data[section.offset : section.offset + section.size]
        jump = STUBS[self.machine]
        for k, at in self._stubs.items():
            memory[at : at + len(jump) + 8] = jump + struct.pack("<Q", function(self._names[k]))
        values = [
            base + (self._stubs[k] if k in self._stubs else self.places.get(s[3], 0) + s[4])
            for k, s in enumerate(self._table)
        ]
        for section in self.sections:
            if section.kind == RELOCATIONS and section.info in self.places:
                self._relocate(section, memory, base, values)
        return {name: values[k] for k, name in enumerate(self._names) if name and self._table[k][3] in self.places}

    def _text(self, section: _Section, at: int) -> bytes:
        first = section.offset + at
        return self.data[first : self.data.index(0, first)]

    def _relocate(self, section: _Section, memory: Memory, base: int, values: list[int]) -> None:
        place, apply = self.places[section.info], _x86_64 if self.machine == X86_64 else _aarch64
        for offset, kind, symbol, addend in struct.iter_unpack("<QIIq", _entries(self.data, section)):
            apply(memory, kind, place + offset, values[symbol] + addend, base)


def _entries(data: bytes, section: _Section) -> memoryview:
    """A table of symbols or of relocations, whose entries are of 24 bytes."""
    return memoryview(data)[section.offset : section.offset + section.size // 24 * 24]


_PACK_32, _PACK_64 = struct.Struct("<i").pack_into, struct.Struct("<Q").pack_into


def _x86_64(memory: Memory, kind: int, at: int, value: int, base: int) -> None:
    """R_X86_64_64; PC32 and PLT32."""
    if kind == 2 or kind == 4:
        _PACK_32(memory, at, value - base - at)
    elif kind == 1:
        _PACK_64(memory, at, value)
    else:
        raise CannotLoad(f"relocation {kind}")


# ADD_ABS_LO12_NC, LDST8 to LDST128_ABS_LO12_NC: the low bits of an address, in units of 2^n bytes
_LOW_BITS = {277: 0, 278: 0, 284: 1, 285: 2, 286: 3, 299: 4}


def _aarch64(memory: Memory, kind: int, at: int, value: int, base: int) -> None:
    """R_AARCH64_ABS64, PREL32, ADR_PREL_PG_HI21, JUMP26, CALL26, and the low bits of an address."""
    if kind == 257:
        struct.pack_into("<Q", memory, at, value)
        return
    if kind == 261:
        struct.pack_into("<i", memory, at, value - base - at)
        return
    (word,) = struct.unpack_from("<I", memory, at)
    if kind == 275:  # adrp: pages from here
        pages = (value >> 12) - ((base + at) >> 12)
        word |= (pages & 3) << 29 | (pages >> 2 & 0x7FFFF) << 5
    elif kind in (282, 283):  # b, bl: words from here
        word |= (value - base - at) >> 2 & 0x3FFFFFF
    elif kind in _LOW_BITS:
        word |= (value & 0xFFF) >> _LOW_BITS[kind] << 10
    else:
        raise CannotLoad(f"relocation {kind}")
    struct.pack_into("<I", memory, at, word)


class Image:
    """The object's sections at their final addresses, relocated and executable, until the process ends.

    NOTE: threads that have no Python frame to return to may run in it while the interpreter takes its modules down.
    """

    def __init__(self, data: bytes) -> None:
        layout = Layout(data)
        if layout.machine != MACHINES.get(platform.machine()):
            raise CannotLoad("an object of another machine")
        self._memory = mmap.mmap(-1, max(PAGE, -(-layout.size // PAGE) * PAGE))
        self._anchor = ctypes.c_char.from_buffer(self._memory)
        self.base = ctypes.addressof(self._anchor)
        self._symbols = layout.put(self._memory, self.base, _function)
        self._protect()
        ctypes.pythonapi.Py_IncRef(ctypes.py_object(self._memory))

    def address(self, name: str) -> int:
        """Address of a symbol, 0 where there is none."""
        return self._symbols.get(name, 0)

    def _protect(self) -> None:
        """Executable from now on, and never written again."""
        libc = ctypes.CDLL(None, use_errno=True)
        if platform.machine() == "aarch64":  # NOTE: Arm's caches of data and of instructions know nothing of each other
            _clear_cache(self.base, len(self._memory))
        libc.mprotect.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int]
        if libc.mprotect(self.base, len(self._memory), mmap.PROT_READ | mmap.PROT_EXEC) != 0:
            raise CannotLoad("memory cannot be made executable")


def _clear_cache(start: int, size: int) -> None:
    """Make what was written visible as instructions. Raises CannotLoad where no library has the function."""
    for library in ("libgcc_s.so.1", None):
        try:
            clear = ctypes.CDLL(library).__clear_cache
        except (AttributeError, OSError):
            continue
        clear.argtypes, clear.restype = (ctypes.c_void_p, ctypes.c_void_p), None
        clear(start, start + size)
        return
    raise CannotLoad("no function makes code visible")


def _function(name: str) -> int:
    """Address of a function of the C or mathematics library."""
    for library in (None, "libm.so.6"):
        try:
            return ctypes.cast(getattr(ctypes.CDLL(library), name), ctypes.c_void_p).value or 0
        except (AttributeError, OSError):
            continue
    raise CannotLoad(f"function {name}")
