"""Hashes of constants: whatever threads do, each is that of its own array."""

from __future__ import annotations

import hashlib

import numpy as np
import pytest

from qglow.graph import digest as module
from qglow.graph.digest import digest, digests


def test_of_dtype_shape_and_bytes() -> None:
    a = np.arange(12, dtype=np.int32).reshape(3, 4)
    assert digest(a) == hashlib.sha256(b"<i4(3, 4)" + a.tobytes()).hexdigest()[:32]
    assert digest(a.T) == hashlib.sha256(b"<i4(4, 3)" + a.T.tobytes()).hexdigest()[:32]
    assert len({digest(a), digest(a.reshape(4, 3)), digest(a.astype(np.uint32)), digest(a[:, :0])}) == 4


@pytest.mark.parametrize("cpus", [1, 2, 64])
def test_many_at_once(cpus: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module.os, "sched_getaffinity", lambda pid: set(range(cpus)))
    monkeypatch.setattr(module, "WORTH_A_THREAD", 1000)
    rng = np.random.default_rng(0)
    arrays = {f"{k}": rng.integers(0, 256, int(n)).astype(np.uint8) for k, n in enumerate(rng.integers(0, 9000, 200))}
    assert digests(arrays) == {n: digest(a) for n, a in arrays.items()}
    assert digests({}) == {}
