"""The soak in small: its parts run, and it counts what differs."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from bench import soak


@pytest.fixture(scope="module")
def paths(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    return soak.bundles(tmp_path_factory.mktemp("bundles"), ("small",))


@pytest.mark.parametrize("name", ["runs", "sessions", "limits"])
def test_a_part_in_a_process_of_its_own(name: str, paths: dict[str, Path]) -> None:
    found = soak.isolated(name, paths, 0.005)
    assert found["wrong"] == 0 and found["count"] >= 8
    if name == "limits":
        assert found["right"] + found["one error"] == found["count"] and found["right"] and found["one error"]
    else:
        assert found["more descriptors"] == found["more threads"] == 0


def test_eight_threads(paths: dict[str, Path]) -> None:
    session, feeds = soak.Session(paths["small"], 1), soak.image()
    (expected,) = session.run(None, feeds)
    assert soak.together(lambda: session, feeds, expected, 20)["wrong"] == 0
    assert soak.together(lambda: session, feeds, expected + np.float32(1), 20)["wrong"] == 160


def test_a_part_that_dies_is_wrong(paths: dict[str, Path]) -> None:
    found = soak.isolated("no such part", paths, 1.0)
    assert found["wrong"] == 1 and found["died"] != 0
