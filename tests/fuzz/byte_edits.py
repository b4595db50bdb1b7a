"""Changes of a file's bytes that know nothing of its format."""

from __future__ import annotations

from .draws import Draws


def edited(data: bytes, draws: Draws) -> bytes:
    """The bytes with some of them changed, cut short, with a part twice, or with something behind them."""
    if not data:
        return bytes(draws.below(256) for _ in range(draws.below(20)))
    how = draws.below(8)
    if how == 0:
        return data[: draws.below(len(data))]
    if how == 1:
        a, b, c = (draws.below(len(data)) for _ in range(3))
        return data[:c] + data[min(a, b) : min(max(a, b), min(a, b) + 4096)] + data[c:]
    if how == 2:
        return data + bytes(draws.below(256) for _ in range(1 + draws.below(16)))
    if how == 3:
        a = draws.below(len(data))
        return data[:a] + data[a + 1 + draws.below(16) :]
    changed = bytearray(data)
    for _ in range(1 + draws.below(4)):
        at = draws.below(min(len(data), 512) if draws.chance(2) else len(data))
        changed[at] = draws.below(256) if draws.chance(2) else changed[at] ^ (1 << draws.below(8))
    return bytes(changed)
