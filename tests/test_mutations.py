"""The mutator: which changes it makes, and that the tests that it runs see them."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

TOOLS = Path(__file__).resolve().parent.parent / "tools"
sys.path.insert(0, str(TOOLS))

from mutations import mutants_of  # noqa: E402


def changed(source: str) -> set[str]:
    return {m.applied(source) for m in mutants_of("a.py", source)}


def test_changes_of_an_expression() -> None:
    assert changed("x = a < 1") == {"x = (a <= 1)", "x = a < 2", "x = a < 0"}
    assert changed("x = f(a, b)") == {"x = f(b, a)"}
    assert changed("x = min(a, b)") == {"x = max(a, b)"}  # their arguments have no order
    assert not changed("x = zip(*a, strict=True)") and not changed("raise ValueError(1)")


def test_a_mutant_reaches_the_tests() -> None:
    """Tests in another process would be of the file as it is, and catch nothing."""
    command = [sys.executable, str(TOOLS / "mutate.py"), "--file", "qglow/instructions/coalesce_dims.py", "--count",
        "3", "--jobs", "1",
               "--tests", "tests/instructions/test_coalesce_dims.py"]  # fmt: skip
    done = subprocess.run(command, capture_output=True, text=True, timeout=1800)
    assert done.returncode == 0 and "3 of 3 mutants are caught" in done.stdout, done.stdout + done.stderr[-1000:]
