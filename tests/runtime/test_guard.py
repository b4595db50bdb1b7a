"""Memory between pages that nothing may touch: models run there, and what leaves its memory dies."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from test_hand_made_bundles import SAMPLES, Lie

from qglow.errors import ConfigError
from qglow.runtime.guard import guarded, is_guarded

HERE = Path(__file__).resolve().parent
# NOTE: at 2 the exact proof refuses what is to die
ENVIRONMENT = {**os.environ, "QGLOW_GUARD": "1", "QGLOW_VERIFY": "1"}


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-W", "ignore", str(HERE / "guarded_runs.py"), *arguments]
    return subprocess.run(command, env=ENVIRONMENT, capture_output=True, text=True, timeout=1800)


def test_models_run_between_guards() -> None:
    names = ["residual", "depthwise", "shuffle", "transformer", "lstm", "detector"]
    done = run(*names)
    assert done.returncode == 0, done.stderr[-2000:]
    assert done.stdout.count("ran between guards") == len(names)


def test_bundles_changed_at_random_are_refused_or_right(tmp_path: Path) -> None:
    """Between guards, in a process of its own: no crash, no program that is disproven, no result but the
    reference's."""
    for k, (text, arrays) in enumerate(SAMPLES):
        Lie(text, {}, "", arrays).bundle(tmp_path / f"{k:02}.qglow", edited=False)
    bundles = sorted(map(str, tmp_path.glob("*.qglow")))
    command = [sys.executable, "-W", "ignore", str(HERE / "bundle_mutations.py"), "0", "400", *bundles]
    done = subprocess.run(command, env=ENVIRONMENT, capture_output=True, text=True, timeout=1800)
    assert done.returncode == 0, f"{done.returncode} at {done.stdout[-100:]}: {done.stderr[-2000:]}"
    wrong = [line for line in done.stdout.splitlines() if line.startswith("fault") and "unforeseen" not in line]
    assert not wrong, "\n".join(wrong)
    assert "'ran'" in done.stdout and "'refused'" in done.stdout


@pytest.mark.parametrize("operand", ["x", "y"])
def test_what_leaves_its_memory_dies(operand: str) -> None:
    done = run("beyond", operand)
    assert done.returncode == -signal.SIGSEGV, done.stderr[-2000:]
    assert done.stdout == "ran within its memory\n"


@pytest.mark.parametrize(("size", "behind"), [(1, 0), (64, 0), (4096, 0), (4096, 64), (100, 256), (2, 64), (12345, 1)])
def test_a_guarded_buffer_ends_at_the_page(size: int, behind: int) -> None:
    array = guarded(size, behind)
    assert array.size == size and array.dtype == np.uint8 and not array.any()
    assert array.ctypes.data % 64 == 0
    array[:] = 7
    rest = -(array.ctypes.data + size + behind) % 4096
    assert rest < 64, f"{rest} bytes lie between it and the page"


def test_only_0_and_1_are_known(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("QGLOW_GUARD", "yes")
    with pytest.raises(ConfigError, match="QGLOW_GUARD must be 0 or 1, got 'yes'"):
        is_guarded()
