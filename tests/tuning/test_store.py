"""What was measured is kept, read again, and never trusted further than it should be."""

from __future__ import annotations

import json
import logging
from pathlib import Path
from typing import Any

import pytest

from qglow.tuning import rule, store
from qglow.tuning.choose import chooser, chooser_of
from qglow.tuning.cost import NAMES
from qglow.tuning.schedule import Work

WORK = Work(rows=56, width=56, jobs=8, block=32, channels=256, steps=16, weights=2048, x=64, y=256, most=14, post=0, floats=0)


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("QGLOW_CACHE_DIR", str(tmp_path / "cache"))
    return tmp_path / "cache"


def test_round_trip_and_clear() -> None:
    assert store.load("avx2") is None and chooser("avx2") is rule
    tuning = store.Tuning({"1": {WORK.key: {"tile": 4}}}, {"1": [0.0] * len(NAMES)})
    path = store.save("avx2", tuning)
    assert store.load("avx2") == tuning and store.load("generic") is None
    assert chooser("avx2")(WORK, 1) == {"tile": 4}
    assert store.clear() == 1 and not path.exists() and chooser("avx2") is rule


def test_what_was_measured_goes_before_the_model_and_the_model_before_the_rule() -> None:
    calls_only = [1.0 if n == "calls" else 0.0 for n in NAMES]
    nothing = chooser_of(store.Tuning(), "avx2")
    assert nothing(WORK, 1) == rule(WORK, 1)
    pixels_only = [1.0 if n == "pixels_l2" else 0.0 for n in NAMES]
    learned = chooser_of(store.Tuning({}, {"1": pixels_only}), "avx2")
    assert learned(WORK, 1) != rule(WORK, 1) and learned(WORK, 2) == rule(WORK, 2)
    assert chooser_of(store.Tuning({}, {"1": calls_only}), "avx2")(WORK, 1) == rule(WORK, 1), "no promise, no change"
    measured = chooser_of(store.Tuning({"1": {WORK.key: {"limit": 2}}}, {"1": pixels_only}), "avx2")
    assert measured(WORK, 1) == {"limit": 2}


@pytest.mark.parametrize(
    "change",
    [
        {"format": 2}, {"choices": []}, {"choices": {"1": {"k": {"tile": -1}}}}, {"choices": {"1": {"k": {"split": 3}}}},
        {"choices": {"1": {"k": {"speed": 1}}}}, {"choices": {"1": {"k": {"tile": 1.5}}}}, {"prices": {"1": ["much"]}},
    ],
)  # fmt: skip
def test_a_spoiled_file_is_not_used(change: dict[str, Any], caplog: pytest.LogCaptureFixture) -> None:
    path = store.save("avx2", store.Tuning())
    path.write_text(json.dumps(json.loads(path.read_text()) | change))
    with caplog.at_level(logging.WARNING, "qglow"):
        assert store.load("avx2") is None
    assert "run it again" in caplog.text
    path.write_text("{")
    assert chooser("avx2")(WORK, 1) == rule(WORK, 1)
