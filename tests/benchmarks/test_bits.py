"""Answers that are kept and compared with those of later code."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

from bench import bits


def run(monkeypatch: pytest.MonkeyPatch, *arguments: str) -> int:
    monkeypatch.setattr(sys, "argv", ["bits", *arguments])
    return bits.main()


def test_a_changed_bit_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    chosen = (str(tmp_path), "--models", "lstm", "--engines", "reference,instructions")
    assert run(monkeypatch, "keep", *chosen) == 0 and run(monkeypatch, "check", *chosen) == 0
    kept = json.loads((tmp_path / "bits.json").read_text())
    assert len(set(kept["lstm"].values())) == 1 and set(kept["lstm"]) == {"reference", "instructions"}
    kept["lstm"]["instructions"] = "0" * 16
    (tmp_path / "bits.json").write_text(json.dumps(kept))
    capsys.readouterr()
    assert run(monkeypatch, "check", *chosen) == 1
    assert "differs from before: instructions" in capsys.readouterr().out


def test_nothing_is_compared_with_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(monkeypatch, "check", str(tmp_path)) == 2 and "no such file" in capsys.readouterr().err
