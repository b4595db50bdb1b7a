"""Instruction sets: what each needs of a CPU, which this CPU has, and which one is used."""

from __future__ import annotations

import os
import platform
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from ..errors import KernelError


@dataclass(frozen=True, slots=True)
class InstructionSet:
    """cpu and features: LLVM's names, so that an object is the same wherever it is built. needs: flags of /proc/cpuinfo.

    lanes: int32 elements of a vector; vectors, pixels: accumulator block of the convolution's micro-kernel.
    """

    name: str
    cpu: str
    features: str
    needs: tuple[str, ...]
    lanes: int
    vectors: int
    pixels: int


_AVX512 = ("avx512f", "avx512bw", "avx512vl")
SETS = {
    s.name: s
    for s in (
        InstructionSet("amx", "sapphirerapids", "-prefer-256-bit", ("amx_int8", "amx_tile", "avx512_vnni", "avx512vbmi"), 16, 2, 32),
        InstructionSet(
            "avx512_vbmi", "x86-64-v4", "+avx512vnni,+avx512vbmi,-prefer-256-bit", (*_AVX512, "avx512_vnni", "avx512vbmi"), 16, 2, 14
        ),
        InstructionSet("avx512_vnni", "x86-64-v4", "+avx512vnni,-prefer-256-bit", (*_AVX512, "avx512_vnni"), 16, 2, 14),
        InstructionSet("avx_vnni", "x86-64-v3", "+avxvnni", ("avx2", "fma", "avx_vnni"), 8, 2, 6),
        InstructionSet("avx2", "x86-64-v3", "", ("avx2", "fma"), 8, 2, 4),
        InstructionSet("generic", "x86-64" if platform.machine() == "x86_64" else "generic", "", (), 8, 2, 2),
    )
}


def narrow_pixels(isa: InstructionSet) -> int:
    """Most pixels of the micro-kernel that has one vector of output channels."""
    return isa.pixels * isa.vectors - isa.lanes // 4


def float_pixels(isa: InstructionSet) -> tuple[int, int]:
    """Most pixels of the float product's micro-kernels: of the usual one, and of that with one vector of output channels."""
    return (14, 24) if isa.lanes == 16 else (6, 10)


@lru_cache(maxsize=1)
def _cpu_info() -> dict[str, str]:
    """What Linux says about the first CPU; nothing where it cannot be read."""
    try:
        text = Path("/proc/cpuinfo").read_text()
    except OSError:
        return {}
    pairs = (line.split(":", 1) for line in text.split("\n\n")[0].splitlines() if ":" in line)
    return {name.strip(): value.strip() for name, value in pairs}


@lru_cache(maxsize=1)
def cpu_flags() -> frozenset[str]:
    """The CPU's feature flags as Linux names them; empty where they cannot be read."""
    return frozenset(_cpu_info().get("flags", "").split())


def cpu_name() -> str:
    """The CPU's model as it names itself, with family, model and stepping."""
    info = _cpu_info()
    return " ".join(info[k] for k in ("model name", "cpu family", "model", "stepping") if k in info) or platform.processor() or "unknown"


def has(name: str) -> bool:
    return set(SETS[name].needs) <= cpu_flags()


def choose(name: str | None = None) -> tuple[InstructionSet, bool]:
    """(instruction set, emulated). The best that the CPU has, or the one that `name` or QGLOW_ISA forces.

    Raises KernelError for an unknown one, and for one that the CPU lacks unless QGLOW_EMULATE=1.
    """
    name = name or os.environ.get("QGLOW_ISA")
    if not name:
        # NOTE: the tile kernels have the right bits by emulation, but no speed was measured on tiles yet: they are used where asked for
        return next(s for s in SETS.values() if s.name != "amx" and has(s.name)), False
    if name not in SETS:
        raise KernelError(f"QGLOW_ISA={name}: no such instruction set here; known are {', '.join(SETS)}")
    emulate = os.environ.get("QGLOW_EMULATE") == "1"
    if has(name):
        return SETS[name], False
    if not emulate:
        missing = sorted(set(SETS[name].needs) - cpu_flags())
        raise KernelError(f"QGLOW_ISA={name}: this CPU lacks {', '.join(missing)}; set QGLOW_EMULATE=1 to emulate it, slowly")
    return SETS[name], True
