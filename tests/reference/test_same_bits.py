"""The reference has the same bits whatever CPU numpy and its BLAS find (docs/determinism.md)."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

HERE = Path(__file__).parent


def features() -> str:
    """The instruction sets that this numpy chooses among when it is loaded."""
    from numpy._core._multiarray_umath import __cpu_dispatch__, __cpu_features__

    return " ".join(f for f in __cpu_dispatch__ if __cpu_features__.get(f))


def start(**environment: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, str(HERE / "law_bits.py")],
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, **environment},
    )


def result(process: subprocess.Popen[str]) -> dict[str, list[int]]:
    out, _ = process.communicate(timeout=1800)
    assert process.returncode == 0
    found: dict[str, list[int]] = json.loads(out.splitlines()[-1])
    return found


OTHERS = [
    {"NPY_DISABLE_CPU_FEATURES": "all", "OPENBLAS_CORETYPE": "Prescott"},
    {"NPY_DISABLE_CPU_FEATURES": "but the first", "OPENBLAS_CORETYPE": "Haswell"},
]


@pytest.fixture(scope="module")
def here() -> dict[str, list[int]]:
    return result(start())


@pytest.mark.parametrize("other", OTHERS, ids=lambda o: o["OPENBLAS_CORETYPE"])
def test_bits_on_other_cpus(here: dict[str, list[int]], other: dict[str, str]) -> None:
    some = features().split()
    disabled = {"all": some, "but the first": some[1:]}[other["NPY_DISABLE_CPU_FEATURES"]]
    there = result(start(**{**other, "NPY_DISABLE_CPU_FEATURES": " ".join(disabled)}))
    assert len(here) > 2000 and here.keys() == there.keys()
    assert {name for name, bits in here.items() if there[name] != bits} == set()
