"""The instruction set that this process compiles for: set by the builder before any kernel is imported."""

from __future__ import annotations

import os

from .isa import SETS

ISA = SETS[os.environ.get("QGLOW_BUILD_ISA", "generic")]
EMULATE = os.environ.get("QGLOW_BUILD_EMULATE") == "1"
HARDWARE_DOT = ISA.name.startswith(("avx512", "avx_vnni")) and not EMULATE
HARDWARE_VNNI = ISA.lanes == 16 and not EMULATE
HARDWARE_PACK = "" if EMULATE else {8: "" if ISA.name == "generic" else "avx2", 16: "avx512"}[ISA.lanes]
HARDWARE_TABLE = ISA.name in ("amx", "avx512_vbmi") and not EMULATE
