"""Targets: what kernels are compiled for, one row each. Everything that differs between instruction sets is derived
from the row.
"""

from .architecture import AARCH64, HOST, X86_64, Architecture
from .detect import choose, cpu_flags, cpu_name, has, named
from .table import TARGETS, target
from .target import NEAR, Target

__all__ = [
    "AARCH64", "HOST", "NEAR", "TARGETS", "X86_64", "Architecture", "Target", "choose", "cpu_flags", "cpu_name", "has",
    "named", "target",
]  # fmt: skip
