"""The README and the pages in docs/ tell the truth: their commands run and print what is shown, numbers aside; their
links exist."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from qglow.commands.main import main

ROOT = Path(__file__).resolve().parent.parent
README = (ROOT / "README.md").read_text()
PAGES = [ROOT / "README.md", ROOT / "SECURITY.md", *sorted((ROOT / "docs").glob("*.md"))]


@pytest.fixture
def checkout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder to write to in which the repository's data has its usual path."""
    (tmp_path / "calibration_data").symlink_to(ROOT / "calibration_data")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def blocks(language: str, text: str = README) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", text, re.S)


def programs(text: str) -> list[str]:
    """The page's Python examples; one that is marked as continued goes on where the one before it ended."""
    found: list[str] = []
    for continued, block in re.findall(r"```python( continued)?\n(.*?)```", text, re.S):
        found = [*found[:-1], found[-1] + block] if continued else [*found, block]
    return found


def shape(line: str) -> str:
    """A line without what differs between machines: numbers, and the width of columns."""
    return re.sub(r"\s+", " ", re.sub(r"\d+(\.\d+)?", "#", line)).strip()


def test_readme_commands_print_what_is_shown(checkout: Path, capsys: pytest.CaptureFixture[str]) -> None:
    parts = [p for block in blocks("console") for p in re.split(r"^\$ ", block, flags=re.M) if p]
    assert len(parts) >= 5
    for part in parts:
        command, *shown = part.splitlines()
        program, *arguments = shlex.split(command)
        assert program == "qglow" and main(arguments) == 0, command
        printed = [shape(line) for line in capsys.readouterr().out.splitlines()]
        for line in shown:
            assert line == "..." or shape(line) in printed, f"{command}: the README shows {line!r}, it prints {printed}"


def test_python_examples_run(checkout: Path) -> None:
    for code in [c for page in PAGES for c in programs(page.read_text())]:
        environment = {**os.environ, "PYTHONPATH": str(ROOT)}
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=environment)
        assert done.returncode == 0, f"{code}\n{done.stderr}"


@pytest.mark.parametrize("page", PAGES, ids=lambda p: p.name)
def test_links_exist(page: Path) -> None:
    for target in re.findall(r"\]\(([^)#]+)\)", re.sub(r"```.*?```", "", page.read_text(), flags=re.S)):
        assert target.startswith("https://") or (page.parent / target).exists(), f"{page.name} links to {target}"


def test_layout_names_every_folder() -> None:
    text = (ROOT / "docs" / "layout.md").read_text()
    for path in sorted((ROOT / "qglow").iterdir()):
        if path.is_dir() and (path / "__init__.py").exists():
            assert f"`qglow/{path.name}/`" in text, f"docs/layout.md does not say what qglow/{path.name}/ holds"


@pytest.mark.parametrize("page", PAGES, ids=lambda p: p.name)
def test_files_that_a_page_names_exist(page: Path) -> None:
    for name in re.findall(r"`((?:qglow|tests|tools|bench|docs)/[\w/.*]+)`", page.read_text()):
        assert list(ROOT.glob(name.rstrip("/"))), f"{page.name} names {name}, which is not there"
