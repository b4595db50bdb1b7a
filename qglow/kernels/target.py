"""The instruction set that this process compiles for: set by the builder before any kernel is imported."""

from __future__ import annotations

import os

from .isa import SETS

ISA = SETS[os.environ.get("QGLOW_BUILD_ISA", "generic")]
EMULATE = os.environ.get("QGLOW_BUILD_EMULATE") == "1"
HARDWARE_DOT = ISA.name == "avx512_vnni" and not EMULATE
