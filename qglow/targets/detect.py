"""Which targets this CPU has, and which one is used."""

from __future__ import annotations

import os
import platform
from functools import lru_cache
from pathlib import Path

from ..errors import KernelError
from .architecture import HOST
from .table import TARGETS
from .target import Target


@lru_cache(maxsize=1)
def _cpu_info() -> dict[str, str]:
    """What Linux says about the first CPU; nothing where it cannot be read."""
    try:
        return parsed(Path("/proc/cpuinfo").read_text())
    except OSError:
        return {}


def parsed(text: str) -> dict[str, str]:
    """The first block of /proc/cpuinfo."""
    pairs = (line.split(":", 1) for line in text.split("\n\n")[0].splitlines() if ":" in line)
    return {name.strip(): value.strip() for name, value in pairs}


@lru_cache(maxsize=1)
def cpu_flags() -> frozenset[str]:
    """The CPU's features as Linux names them; empty where they cannot be read."""
    return frozenset(_cpu_info().get(HOST.flags, "").split())


def cpu_name() -> str:
    """The CPU's model as it names itself, with family, model and stepping; an Arm CPU says its part in numbers."""
    info = _cpu_info()
    keys = (
        "model name",
        "cpu family",
        "model",
        "stepping",
        "CPU implementer",
        "CPU variant",
        "CPU part",
        "CPU revision",
    )
    return " ".join(info[k] for k in keys if k in info) or platform.processor() or "unknown"


def has(name: str) -> bool:
    """Whether this CPU has all that a target needs."""
    row = TARGETS[name]
    return row.architecture == HOST and set(row.needs) <= cpu_flags()


def choose(name: str | None = None) -> tuple[Target, bool]:
    """(target, emulated). The best that the CPU has, or the one that `name` or QGLOW_ISA forces.

    Raises KernelError for an unknown one, and for one that the CPU lacks unless QGLOW_EMULATE=1.
    """
    name = name or os.environ.get("QGLOW_ISA")
    if not name:
        return next(row for row in TARGETS.values() if not row.on_request and has(row.name)), False
    row = named(name)
    if has(name):
        return row, False
    if os.environ.get("QGLOW_EMULATE") != "1":
        raise KernelError(f"QGLOW_ISA={name}: {_lacking(row)}; set QGLOW_EMULATE=1 to emulate it, slowly")
    return row, True


def named(name: str) -> Target:
    """The target of a name that a user gave; raises KernelError where there is none."""
    if name not in TARGETS:
        raise KernelError(f"QGLOW_ISA={name}: no such instruction set here; known are {', '.join(TARGETS)}")
    return TARGETS[name]


def _lacking(row: Target) -> str:
    if row.architecture != HOST:
        return f"this CPU is {HOST.name}, not {row.architecture.name}"
    return f"this CPU lacks {', '.join(sorted(set(row.needs) - cpu_flags()))}"
