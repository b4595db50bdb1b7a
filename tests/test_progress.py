"""A progress bar on a terminal with rate and time left; nothing where the output is no terminal, or with --quiet."""

from __future__ import annotations

import os
import pty
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
CODE = """
import sys, time
from qglow.progress import track
for _ in track(range(30), "working", 30, quiet="--quiet" in sys.argv):
    time.sleep(0.02)
"""


def shown_on_a_terminal(*arguments: str) -> str:
    ours, theirs = pty.openpty()
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "TERM": "xterm", "COLUMNS": "100"}
    process = subprocess.Popen([sys.executable, "-c", CODE, *arguments], stderr=theirs, stdin=theirs, env=environment)
    os.close(theirs)
    parts = []
    while True:
        try:
            part = os.read(ours, 4096)
        except OSError:  # NOTE: how a terminal that was hung up ends on Linux
            break
        if not part:
            break
        parts.append(part)
    assert process.wait() == 0
    os.close(ours)
    return b"".join(parts).decode()


def test_bar_has_rate_and_time_left() -> None:
    text = shown_on_a_terminal()
    assert "working" in text and "/s" in text and "0:00:00" in text and "30/30" in text


def test_quiet_shows_nothing() -> None:
    assert shown_on_a_terminal("--quiet") == ""


def test_no_bar_without_a_terminal(capfd: pytest.CaptureFixture[str]) -> None:
    subprocess.run([sys.executable, "-c", CODE], check=True, env={**os.environ, "PYTHONPATH": str(ROOT)})
    assert capfd.readouterr() == ("", "")
