"""Cases of the sweep in which qglow and onnxruntime differ: how the case's name begins and what it holds, and why.

A row that no failing case matches any more is itself a failure.
"""

from __future__ import annotations

EXPECTED: list[tuple[str, str, str]] = [
    ("Pow.15 f4[15]", "", "of minus infinity to one half: NaN, as of a square root, where C's pow gives infinity"),
]


EXPECTED_INT8: list[tuple[str, str, str]] = []


def rows_of(name: str, table: list[tuple[str, str, str]] = EXPECTED) -> list[int]:
    """The rows that a case's name matches."""
    return [k for k, (begin, part, _) in enumerate(table) if name.startswith(begin) and part in name]
