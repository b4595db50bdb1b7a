"""Code in a fresh interpreter, timed from its start, with its peak memory: what a user waits for and pays."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parents[1]
REPORT = """
import json, resource, sys
peak = next(int(l.split()[1]) for l in open("/proc/self/status") if l.startswith("VmHWM"))
print("RESULT" + json.dumps({"peak_mib": peak / 1024, **globals().get("found", {})}))
"""


@dataclass(frozen=True, slots=True)
class Ran:
    """seconds: of the whole process, interpreter included. peak_mib: most memory resident at once. found: what the code
    measured."""

    seconds: float
    peak_mib: float
    found: dict[str, Any]


def environment() -> dict[str, str]:
    """That of this process, with this repository's package and tests to import."""
    return {**os.environ, "PYTHONPATH": os.pathsep.join([str(HERE), os.environ.get("PYTHONPATH", "")])}


def run(code: str, *arguments: str, timeout: float = 600) -> Ran:
    """Run Python code; it may leave numbers in a dictionary `found`. Raises RuntimeError with its last line where it
    fails."""
    command = [sys.executable, "-W", "ignore", "-c", code + REPORT, *arguments]
    start = time.perf_counter()
    done = subprocess.run(command, capture_output=True, text=True, env=environment(), timeout=timeout, check=False)
    seconds = time.perf_counter() - start
    if done.returncode != 0:
        raise RuntimeError((done.stderr.strip().splitlines() or [f"exit code {done.returncode}"])[-1][:200])
    found = json.loads(
        next(line for line in reversed(done.stdout.splitlines()) if line.startswith("RESULT")).removeprefix("RESULT")
    )
    return Ran(seconds, found.pop("peak_mib"), found)
