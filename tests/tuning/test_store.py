"""What was measured is kept, read again, and never trusted further than it should be."""

from __future__ import annotations

import json
import logging
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from qglow.errors import VerifyError
from qglow.graph import Graph, Node, float_type
from qglow.runtime.backends import NativeBackend
from qglow.runtime.plans import make_plan
from qglow.targets import choose as choose_isa
from qglow.tuning import default_schedule, store
from qglow.tuning.choose import policy_of, schedule_policy
from qglow.tuning.cost import NAMES
from qglow.tuning.schedule import ProductShape

WORK = ProductShape(
    rows=56, width=56, jobs=8, block=32, channels=256, steps=16, weights=2048, x=64, y=256, most=14, post=0, floats=0
)


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("QGLOW_CACHE_DIR", str(tmp_path / "cache"))
    return tmp_path / "cache"


def test_round_trip_and_clear() -> None:
    assert store.load("avx2") is None and schedule_policy("avx2") is default_schedule
    tuning = store.Tuning({"1": {WORK.key: {"tile": 4}}}, {"1": [0.0] * len(NAMES)})
    path = store.save("avx2", tuning)
    found = store.load("avx2")
    assert found is not None and store.load("generic") is None
    assert (found.choices, found.coefficients) == (tuning.choices, tuning.coefficients)
    assert schedule_policy("avx2")(WORK, 1) == {"tile": 4}
    assert store.clear() == 1 and not path.exists() and schedule_policy("avx2") is default_schedule


def test_what_was_measured_goes_before_the_model_and_the_model_before_the_rule() -> None:
    calls_only = [1.0 if n == "calls" else 0.0 for n in NAMES]
    nothing = policy_of(store.Tuning(), "avx2")
    assert nothing(WORK, 1) == default_schedule(WORK, 1)
    pixels_only = [1.0 if n == "pixels_l2" else 0.0 for n in NAMES]
    learned = policy_of(store.Tuning({}, {"1": pixels_only}), "avx2")
    assert learned(WORK, 1) != default_schedule(WORK, 1) and learned(WORK, 2) == default_schedule(WORK, 2)
    assert policy_of(store.Tuning({}, {"1": calls_only}), "avx2")(WORK, 1) == default_schedule(WORK, 1), (
        "no promise, no change"
    )
    measured = policy_of(store.Tuning({"1": {WORK.key: {"limit": 2}}}, {"1": pixels_only}), "avx2")
    assert measured(WORK, 1) == {"limit": 2}


@pytest.mark.parametrize(
    "change",
    [
        {"format": 2}, {"choices": []}, {"choices": {"1": {"k": {"tile": -1}}}},
        {"choices": {"1": {"k": {"split": 3}}}},
        {"choices": {"1": {"k": {"speed": 1}}}}, {"choices": {"1": {"k": {"tile": 1.5}}}}, {"prices": {"1": ["much"]}},
        {"prices": {"one": [0.0] * len(NAMES)}}, {"prices": {"1": [10**400] * len(NAMES)}},
        {"choices": {"1": {"k": {"tile": True}}}},
    ],
)  # fmt: skip
def test_a_spoiled_file_is_not_used(change: dict[str, Any], caplog: pytest.LogCaptureFixture) -> None:
    path = store.save("avx2", store.Tuning())
    path.write_text(json.dumps(json.loads(path.read_text()) | change))
    with caplog.at_level(logging.WARNING, "qglow"):
        assert store.load("avx2") is None
    assert "run it again" in caplog.text
    path.write_text("{")
    assert schedule_policy("avx2")(WORK, 1) == default_schedule(WORK, 1)


HOSTILE = (0, -1, 1 << 16 | 1, 1 << 31, 1 << 63, 1 << 200)


@pytest.mark.parametrize("name", ["tile", "limit", "split"])
def test_hints_that_no_kernel_takes_come_from_no_file_and_no_chooser(
    name: str, caplog: pytest.LogCaptureFixture
) -> None:
    """A file with such a hint is not used; one that came in another way is refused before its program has memory."""
    types = {"x": float_type(1, 4, 8, 8), "w": float_type(8, 4, 3, 3), "y": float_type(1, 8, 6, 6)}
    constants = {"w": np.ones((8, 4, 3, 3), np.float32)}
    graph = Graph("g", ("x",), ("y",), (Node("Conv", ("x", "w"), ("y",), {}, "conv"),), types, constants)
    taken: list[ProductShape] = []
    sound = make_plan(
        graph, {"x": (1, 4, 8, 8)}, 1, NativeBackend(lambda work, threads: taken.append(work) or {name: 2})
    )  # type: ignore[func-returns-value]
    x = np.ones((1, 4, 8, 8), np.float32)
    assert taken and np.array_equal(sound.run({"x": x})["y"], np.full((1, 8, 6, 6), 36, np.float32))
    isa = choose_isa()[0].name
    for value in HOSTILE:
        path = store.save(isa, store.Tuning())
        content = json.loads(path.read_text()) | {"choices": {"1": {taken[0].key: {name: value}}}}
        path.write_text(json.dumps(content))
        with caplog.at_level(logging.WARNING, "qglow"):
            assert store.load(isa) is None
        path.unlink()
        with pytest.raises(VerifyError, match=rf"{name}={value}") as said:
            backend = NativeBackend(lambda work, threads, value=value: {name: value})  # type: ignore[misc]
            make_plan(graph, {"x": (1, 4, 8, 8)}, 1, backend)
        assert "\n" not in str(said.value)
    assert caplog.text.count("run it again") == len(HOSTILE)
