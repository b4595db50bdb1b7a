"""A kernel that could raise an exception is not built: compiled code has nobody to tell."""

from __future__ import annotations

import subprocess
import sys

import pytest

SCRIPT = """
import os
os.environ |= {"QGLOW_BUILD_ISA": "generic", "QGLOW_BUILD_EMULATE": "0"}
import llvmlite.binding as llvm, numba
from numba import types
from qglow.kernels.build import _module
from qglow.kernels.jit import njit

def kernel(a, b, c, d, e):
    BODY

made = (njit if MODEL else numba.njit)(nogil=True)(kernel)
try:
    _module(llvm, "made", made, (types.int64,) * 5, False)
except RuntimeError as error:
    print(error)
else:
    print("built")
"""


@pytest.mark.parametrize(
    ("body", "ours", "said"),
    [
        ("return a // b", False, "kernel made can raise an exception"),
        ("return a // b", True, "built"),
        ("return types.float32(1) / a", True, "built"),
        ("for k in range(a, b, c):\n        d += k\n    return d", True, "kernel made can raise an exception"),
    ],
)
def test_only_what_cannot_fail_is_built(body: str, ours: bool, said: str) -> None:
    """Of numba's own model of errors a division can fail; of ours only what Python says of its own: a range with a step
    of 0."""
    script = SCRIPT.replace("BODY", body).replace("MODEL", str(ours))
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=1800)
    assert done.stdout.startswith(said), done.stdout + done.stderr[-500:]
