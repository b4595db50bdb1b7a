"""Every script of `tools/` and `bench/` still finds what it imports and names its options."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

TOP = Path(__file__).parent.parent
SCRIPTS = [
    *(["-m", f"bench.{p.stem}"] for p in sorted((TOP / "bench").glob("*.py")) if "__main__" in p.read_text()),
    *(["-m", f"bench.{p.parent.name}"] for p in sorted((TOP / "bench").glob("*/__main__.py"))),
    *([str(p)] for p in sorted((TOP / "tools").iterdir()) if p.is_file() and "argparse" in p.read_text()),
]


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda s: Path(s[-1]).name)
def test_help(script: list[str]) -> None:
    ended = subprocess.run([sys.executable, *script, "--help"], cwd=TOP, capture_output=True, text=True)
    assert ended.returncode == 0 and ended.stdout.startswith("usage:"), ended.stderr


def test_fuzz_runs_cases(tmp_path: Path) -> None:
    command = [
        sys.executable,
        str(TOP / "tools" / "fuzz"),
        "--count",
        "4",
        "--kinds",
        "text",
        "--findings",
        str(tmp_path),
    ]
    ended = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert ended.returncode == 0 and "text" in ended.stdout, ended.stdout + ended.stderr
