"""Numbers in sentences: nouns that follow their count, and how two sizes compare."""

from __future__ import annotations


def counted(count: int, noun: str) -> str:
    """`1 sample`, `2 samples`."""
    return f"{count} {noun}{'' if count == 1 else 's'}"


def size_beside(before: float, after: float) -> str:
    """How much smaller or larger what was `before` bytes is now: `3.6 times smaller`."""
    if not before or not after:
        return "of no size"
    if round(max(before, after) / min(before, after), 1) <= 1.0:
        return "as large as before"
    return f"{before / after:.1f} times smaller" if after < before else f"{after / before:.1f} times larger"


def points_lost(drop: float) -> str:
    """A drop of accuracy in points: `0.6 points lost`, `0.6 points gained`."""
    return "no accuracy lost" if not drop else f"{points(abs(drop))} {'lost' if drop > 0 else 'gained'}"


def points(size: float) -> str:
    """`1 point`, `0.5 points`."""
    said = f"{size:g}"
    return f"{said} point{'' if said == '1' else 's'}"
