"""Where a case's choices come from: a seed and a number, or bytes that a coverage-guided fuzzer grows."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from random import Random
from typing import TypeVar

T = TypeVar("T")
NUMBERS = (
    0,
    1,
    -1,
    2,
    3,
    4,
    7,
    8,
    16,
    17,
    63,
    64,
    127,
    128,
    255,
    256,
    1000,
    4096,
    65536,
    10**6,
    2**24 + 1,
    2**31 - 1,
    2**31,
    -(2**31),
    2**32,
    2**40,
    2**53,
    2**62,
    2**63 - 1,
    -(2**63),
    2**63,
    2**64,
    10**30,
)
FLOATS = (
    0.0,
    -0.0,
    1.0,
    -1.0,
    0.5,
    1e-45,
    1e-38,
    1e-30,
    1e-8,
    255.0,
    1e8,
    1e30,
    3.4e38,
    -3.4e38,
    1e300,
    float("inf"),
    float("-inf"),
    float("nan"),
)
WORDS = (
    "",
    "x",
    "a" * 300,
    "\x1b[31mred\x1b[0m",
    "\n",
    "\x00",
    "\u202e",
    "\x9b2J",
    "../../etc/passwd",
    "%s%n",
    "日本",
    "%",
    '"',
    "a b",
)


class Draws:
    """Choices in an order; `below(n)` is a whole number of 0 to n - 1, n at least 1."""

    def __init__(self, below: Callable[[int], int]) -> None:
        self.below = below

    @staticmethod
    def of(seed: int, kind: str, number: int) -> Draws:
        """Those of one case: a function of the three alone."""
        random = Random(f"{seed} {kind} {number}")
        return Draws(lambda n: int(random.random() * n))

    @staticmethod
    def from_bytes(data: bytes) -> Draws:
        """One choice a byte, or two where there are more than 256; 0 when they are used up."""
        rest = iter(data)

        def below(n: int) -> int:
            first = next(rest, 0)
            return (first if n <= 256 else first << 8 | next(rest, 0)) % n

        return Draws(below)

    def chance(self, one_in: int) -> bool:
        return self.below(one_in) == 0

    def pick(self, options: Sequence[T]) -> T:
        return options[self.below(len(options))]

    def number(self, near: int | None = None) -> int:
        """One of NUMBERS, or one beside the number that is there."""
        if near is None or self.below(2):
            return self.pick(NUMBERS)
        return self.pick((near - 1, near + 1, near * 2, -near, near // 2, near + 3))

    def float(self) -> float:
        return self.pick(FLOATS)

    def word(self) -> str:
        return self.pick(WORDS)
