"""The target that this process compiles for: set by the builder before any kernel is imported."""

from __future__ import annotations

import os

from ..targets import HOST, TARGETS

ISA = TARGETS[os.environ.get("QGLOW_BUILD_ISA", "generic")]
EMULATE = os.environ.get("QGLOW_BUILD_EMULATE") == "1"
ARCHITECTURE = (HOST if EMULATE else ISA.architecture).name  # of the machine that runs the object
PRODUCT = "" if EMULATE else ISA.product.partition(".")[0]  # a key of dots.py; "" where its meaning is compiled
HARDWARE_PACK = "" if EMULATE else ISA.narrowing
HARDWARE_TABLE = ISA.byte_tables and not EMULATE
