"""A transposed convolution as ordinary ones: the outputs of one phase (o mod stride) read whole input pixels with every stride-th tap.

o = stride t + phase is reached from i by tap k where i = (o + begin - k) / stride, so that k = k0 + stride j with k0 = (phase + begin) mod
stride, and i = t + (phase + begin - k0) / stride - j: a convolution of stride 1 over t with the taps in reverse.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Phase:
    """One axis: outputs phase, phase + stride, ... (`count` of them) read taps (in order) from input index `first` on."""

    phase: int
    count: int
    first: int
    taps: tuple[int, ...]

    def border(self, size: int) -> tuple[int, int]:
        """Indices read before 0 and beyond `size`."""
        return max(0, -self.first), max(0, self.count - 1 + self.first + max(1, len(self.taps)) - size)


def phases(stride: int, kernel: int, begin: int, out: int) -> list[Phase]:
    """The phases of one axis that have outputs. One without taps gives the bias alone."""
    found = []
    for phase in range(min(stride, out)):
        k0 = (phase + begin) % stride
        taps = tuple(reversed(range(k0, kernel, stride)))
        first = (phase + begin - k0) // stride - (len(taps) - 1) if taps else 0
        found.append(Phase(phase, -(-(out - phase) // stride), first, taps))
    return found
