"""How far one output or value is from the same one in float, streamed over samples: floats by noise, everything else by
equality.

An output that is almost zero in a sample has no ratio of its own there: a sample's signal is its own power, or that of
as many elements of the output's mean power over the data, whichever is more.

Both kinds give a `noise_share`, so that one floor in decibels serves both: the noise over the signal of a float value,
and the share of elements that differ of an integer or boolean one. Where half of the integers differ that is 3 dB, at
one in a hundred 20 dB.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol, Self

import numpy as np

from ..graph import Array
from ..words import counted
from .interval import MANY, share_interval

BLOCK = 1 << 13  # elements that are compared at once: in a cache, and too few for OpenBLAS to wait for other threads
MOST_DB = 200.0  # equal; and less than its negative is no worse


class Comparison(Protocol):
    """What `verdict` asks of a compared output."""

    other_shape: int
    samples: int

    def add(self, real: Any, got: Any) -> None:
        """Add one sample: the float model's value and the quantized one's."""
        ...

    def merge(self, other: Any) -> None:
        """Add what the next sample showed, of which `other`, of the same kind, knows alone."""
        ...

    @property
    def noise_share(self) -> float:
        """Noise over signal, at most 1e20; of integers the share of elements that differ."""
        ...

    @property
    def by_sample(self) -> tuple[Sequence[float], Sequence[float]]:
        """Noise, and the signal beside which it counts, of each sample; both 0 where it could not be compared."""
        ...

    @property
    def summed(self) -> tuple[Sequence[float], Sequence[float]]:
        """Of each sample the noise and the signal whose sums make `noise_share`."""
        ...

    @property
    def fault(self) -> str | None:
        """What is wrong whatever floor is asked for, in words; None where nothing is."""
        ...

    def to_dict(self) -> dict[str, float]: ...


def decibels(noise_share: float) -> float:
    """-10 log10, within +-200."""
    return float(min(MOST_DB, max(-MOST_DB, -10 * np.log10(max(noise_share, 1e-30)))))


def ratio_db(entry: Mapping[str, Any]) -> float:
    """The ratio of an output's `to_dict()`: for integers that of the elements that differ."""
    return float(entry["sqnr_db"]) if "sqnr_db" in entry else decibels(1.0 - entry["equal"])


def interval_db(found: Comparison) -> tuple[float, float]:
    """The ratio in dB, from and to, that the samples are compatible with (interval.py). The ratio itself is within."""
    share = found.noise_share
    if found.fault or not found.by_sample[0]:
        return decibels(share), decibels(share)
    least, most = share_interval(*(found.summed if len(found.by_sample[0]) >= MANY else found.by_sample))
    return decibels(max(share, most)), decibels(min(share, least))


def worst_sample(found: Comparison) -> tuple[float, int] | None:
    """The ratio in dB of the sample with most noise beside its signal, and its place; None where there is none."""
    noise, signal = (np.array(v, np.float64) for v in found.by_sample)
    if not noise.size:
        return None
    with np.errstate(over="ignore"):
        shares = np.nan_to_num(noise / np.maximum(signal, 1e-300), nan=1e20)
    worst = int(np.argmax(shares))
    return decibels(min(1e20, float(shares[worst]))), worst


def sureness(found: Comparison) -> dict[str, float]:
    """The entries of `to_dict` that say how sure the ratio is: 95 % interval and worst sample in dB."""
    if found.samples < 2 or found.fault or (worst := worst_sample(found)) is None:
        return {}
    low, high = interval_db(found)
    return {"low_db": round(low, 3), "high_db": round(high, 3), "worst_sample_db": round(worst[0], 3)}


@dataclass(slots=True)
class Error:
    """Of a float value: sums over all samples of signal, noise, products for the cosine; the largest difference.

    mean_power: of an element over the data that the samples are taken of, where it is known.

    not_finite counts elements where one side is NaN or infinite and the other is not the same: any of these makes the
    ratio -200 dB. Elements that are NaN, or the same infinity, on both sides are equal. other_shape counts samples
    whose shapes differ; their elements are in no sum.
    """

    signal: float = 0.0
    noise: float = 0.0
    dot: float = 0.0
    other: float = 0.0
    largest: float = 0.0
    not_finite: int = 0
    other_shape: int = 0
    samples: int = 0
    elements: int = 0
    mean_power: float = 0.0
    parts: list[tuple[float, float, int]] = field(default_factory=list)  # signal, noise, elements of each sample

    def add(self, real: Any, got: Any) -> None:
        self.samples += 1
        x, y = np.asarray(real), np.asarray(got)
        if x.shape != y.shape:
            self.other_shape += 1
            self.parts.append((0.0, 0.0, 0))
            return
        x, y = x.ravel(), y.ravel()
        sums = np.zeros(4)
        elements = 0
        with np.errstate(over="ignore", invalid="ignore"):
            for k in range(0, x.size, BLOCK):
                found = self._add_block(x[k : k + BLOCK].astype(np.float64), y[k : k + BLOCK].astype(np.float64))
                sums, elements = sums + found[0], elements + found[1]
        signal, noise, dot, other = sums.tolist()
        self._add_sums(signal, noise, dot, other, elements)
        self.parts.append((signal, noise, elements))

    def merge(self, other: Self) -> None:
        """Add what the next sample showed, of which `other` knows alone: the same numbers as `add`."""
        self._add_sums(other.signal, other.noise, other.dot, other.other, other.elements)
        self.largest = max(self.largest, other.largest)
        self.not_finite += other.not_finite
        self.other_shape += other.other_shape
        self.samples += other.samples
        self.parts += other.parts

    def _add_sums(self, signal: float, noise: float, dot: float, other: float, elements: int) -> None:
        self.signal += signal
        self.noise += noise
        self.dot += dot
        self.other += other
        self.elements += elements

    def _add_block(self, a: Array, b: Array) -> tuple[tuple[float, float, float, float], int]:
        """The sums of elements: signal, noise, products, the other's squares; and how many are finite."""
        signal, other = float(a @ a), float(b @ b)
        if not np.isfinite(signal + other):
            finite = np.isfinite(a) & np.isfinite(b)
            same = (a == b) | (np.isnan(a) & np.isnan(b))
            self.not_finite += int(np.count_nonzero(~finite & ~same))
            a, b = a[finite], b[finite]
            signal, other = float(a @ a), float(b @ b)
        dot = float(a @ b)
        a -= b
        self.largest = max(self.largest, float(a.max(initial=0.0)), -float(a.min(initial=0.0)))
        return (signal, float(a @ a), dot, other), a.size

    @property
    def noise_share(self) -> float:
        if self.not_finite or (self.samples and self.other_shape == self.samples):
            return 1e20
        if self.noise == 0:
            return 0.0
        share = self.noise / max(self.signal, self.mean_power * self.elements, 1e-300)
        return min(1e20, share) if np.isfinite(share) else 1e20

    @property
    def by_sample(self) -> tuple[list[float], list[float]]:
        power = max(self.mean_power, self.signal / max(1, self.elements))
        power = power if np.isfinite(power) else 0.0
        return [n for _, n, _ in self.parts], [max(s, power * count) for s, _, count in self.parts]

    @property
    def summed(self) -> tuple[list[float], list[float]]:
        quiet = self.signal < self.mean_power * self.elements
        return [n for _, n, _ in self.parts], [self.mean_power * c if quiet else s for s, _, c in self.parts]

    @property
    def sqnr_db(self) -> float:
        """10 log10(signal / noise): at most 200 (equal), -200 where NaN or infinities differ."""
        return decibels(self.noise_share)

    @property
    def cosine(self) -> float:
        """Of the finite elements; 0 where NaN or infinities differ."""
        norm = np.sqrt(self.signal) * np.sqrt(self.other)
        if self.not_finite or not np.isfinite(norm):
            return 0.0
        return float(self.dot / norm) if norm > 0 else float(self.signal == self.other)

    @property
    def fault(self) -> str | None:
        if self.not_finite:
            return f"{_counted(self.not_finite, 'element')} NaN or infinite in one of both alone"
        return _shape_fault(self.other_shape, self.samples)

    def to_dict(self) -> dict[str, float]:
        found: dict[str, float] = {
            "sqnr_db": round(self.sqnr_db, 3),
            "cosine": round(self.cosine, 6),
            "max_abs_error": self.largest if np.isfinite(self.largest) else float(np.finfo(np.float64).max),
        }
        if self.not_finite:
            found["not_finite"] = self.not_finite
        return found | _shape_entry(self.other_shape) | sureness(self)


@dataclass(slots=True)
class Equality:
    """Of an integer, boolean or string value: how many elements are equal. A sample of another shape counts as wholly
    different."""

    elements: int = 0
    equal: int = 0
    other_shape: int = 0
    samples: int = 0
    parts: list[tuple[int, int]] = field(default_factory=list)  # elements that differ, and all, of each sample

    def add(self, real: Any, got: Any) -> None:
        self.samples += 1
        a, b = np.asarray(real), np.asarray(got)
        size, equal = max(a.size, b.size), 0
        if a.shape == b.shape:
            equal = int(np.count_nonzero(a == b))
        else:
            self.other_shape += 1
        self.elements += size
        self.equal += equal
        self.parts.append((size - equal, size))

    def merge(self, other: Self) -> None:
        """Add what the next samples showed."""
        self.elements += other.elements
        self.equal += other.equal
        self.other_shape += other.other_shape
        self.samples += other.samples
        self.parts += other.parts

    @property
    def share(self) -> float:
        """Of equal elements; 1 where there are none."""
        return self.equal / self.elements if self.elements else 1.0

    @property
    def noise_share(self) -> float:
        return 1.0 - self.share

    @property
    def by_sample(self) -> tuple[list[float], list[float]]:
        return [float(d) for d, _ in self.parts], [float(n) for _, n in self.parts]

    @property
    def summed(self) -> tuple[list[float], list[float]]:
        return self.by_sample

    @property
    def fault(self) -> str | None:
        return _shape_fault(self.other_shape, self.samples)

    def to_dict(self) -> dict[str, float]:
        return {"equal": self.share, "elements": self.elements, **_shape_entry(self.other_shape), **sureness(self)}


class Items:
    """Of a sequence or an optional value: its items, compared one by one; another number of items counts as another
    shape."""

    def __init__(self) -> None:
        self.other_shape = self.samples = 0
        self.items: list[Comparison] = []

    def add(self, real: Any, got: Any) -> None:
        self.samples += 1
        a, b = _items(real), _items(got)
        if len(a) != len(b):
            self.other_shape += 1
            return
        for k, (x, y) in enumerate(zip(a, b, strict=True)):
            if k == len(self.items):
                self.items.append(comparison_of(x))
            self.items[k].add(x, y)

    def merge(self, other: Self) -> None:
        """Add what the next sample showed, of which `other` knows alone."""
        self.samples += other.samples
        self.other_shape += other.other_shape
        for mine, its in zip(self.items, other.items, strict=False):
            mine.merge(its)
        self.items += other.items[len(self.items) :]

    @property
    def noise_share(self) -> float:
        if self.samples and self.other_shape == self.samples:
            return 1e20
        return max((i.noise_share for i in self.items), default=0.0)

    @property
    def by_sample(self) -> tuple[Sequence[float], Sequence[float]]:
        worst = max(self.items, key=lambda i: i.noise_share, default=None)
        return worst.by_sample if worst is not None else ([], [])

    @property
    def summed(self) -> tuple[Sequence[float], Sequence[float]]:
        worst = max(self.items, key=lambda i: i.noise_share, default=None)
        return worst.summed if worst is not None else ([], [])

    @property
    def fault(self) -> str | None:
        return next((i.fault for i in self.items if i.fault), None) or _shape_fault(self.other_shape, self.samples)

    def to_dict(self) -> dict[str, float]:
        worst = max(self.items, key=lambda i: i.noise_share, default=None)
        return {
            **(worst.to_dict() if worst is not None else {"equal": 1.0, "elements": 0}),
            **_shape_entry(self.other_shape),
        }


def comparison_of(real: Any) -> Comparison:
    """An empty comparison for values of the kind that `real` is of."""
    if real is None or isinstance(real, list | dict):
        return Items()
    return Error() if np.asarray(real).dtype.kind == "f" else Equality()


def _items(value: Any) -> Sequence[Any]:
    if value is None:
        return []
    if isinstance(value, dict):
        return [*value.keys(), *value.values()]
    return value if isinstance(value, list) else [value]


def _counted(count: int, noun: str) -> str:
    return f"{count} {noun} is" if count == 1 else f"{count} {noun}s are"


def _shape_fault(other: int, samples: int) -> str | None:
    """NOTE: a detector's last step may keep one box more or less in int8; where most samples differ so, nothing was
    compared."""
    return f"another shape than in float on {other} of {counted(samples, 'sample')}" if 2 * other > samples else None


def _shape_entry(other: int) -> dict[str, float]:
    return {"other_shape": other} if other else {}
