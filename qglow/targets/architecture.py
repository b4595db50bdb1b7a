"""Architectures: what all targets of one kind of machine have in common."""

from __future__ import annotations

import platform

from ..record import NamedTuple


class Architecture(NamedTuple):
    """name: as in a triple of LLVM. baseline: the CPU, in LLVM's words, whose instructions every such machine has.

    flags: the key of /proc/cpuinfo behind which Linux lists a CPU's features, "" where none is known. fma: whether the
    baseline has a fused multiply-add of float vectors. int8: the baseline's best instruction for int8 products (see
    Target.product).
    """

    name: str
    baseline: str
    flags: str = ""
    fma: bool = True
    int8: str = "mul"


X86_64 = Architecture("x86_64", "x86-64", "flags", fma=False, int8="pmaddwd.128")
AARCH64 = Architecture("aarch64", "generic", "Features")
_NAMES = {"x86_64": X86_64, "AMD64": X86_64, "aarch64": AARCH64, "arm64": AARCH64}  # by what platform.machine() says


def host() -> Architecture:
    """The architecture of this machine; one that has no row of its own is whatever LLVM calls generic."""
    machine = platform.machine()
    return _NAMES.get(machine) or Architecture(machine.lower(), "generic")


HOST = host()
