"""Memory of plans and of constants."""

from __future__ import annotations

import pytest

from qglow.runtime import arenas
from qglow.runtime.arenas import WORTH, aligned, in_large_pages


@pytest.mark.parametrize("size", [1, 100, WORTH - 1, WORTH, WORTH + 4097])
def test_memory_is_aligned_and_zero(size: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also on a system that has no large pages, or refuses them."""
    for wanted in (arenas.LARGE_PAGES_WANTED, -1):
        monkeypatch.setattr(arenas, "LARGE_PAGES_WANTED", wanted)
        for made in (aligned(size), in_large_pages(size)):
            assert made.size == size and made.ctypes.data % 64 == 0 and not made.any()
            made[...] = 1
