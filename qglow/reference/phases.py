"""A transposed convolution as ordinary ones: the outputs of one phase (o mod stride) read whole input pixels with some
of the taps.

o = stride t + phase is reached from i by tap k where i = (o + begin - dilation k) / stride is whole. With g =
gcd(stride, dilation) these are every stride / g-th tap from a first one, k0, if there is one, and i = t + (phase +
begin - dilation k0) / stride - j dilation / g for the j-th of them: a convolution of stride 1 and dilation `step` =
dilation / g over t, with the taps in reverse.
"""

from __future__ import annotations

from math import gcd

from ..record import NamedTuple


class Phase(NamedTuple):
    """One axis: outputs phase, phase + stride, ... (`outputs` of them) read taps (in order) at input indices first,
    first + step, ..."""

    phase: int
    outputs: int
    first: int
    taps: tuple[int, ...]
    step: int = 1

    @property
    def reach(self) -> int:
        """Input indices from the first tap to the last."""
        return self.step * max(0, len(self.taps) - 1) + 1

    def border(self, size: int) -> tuple[int, int]:
        """Indices read before 0 and beyond `size`."""
        return max(0, -self.first), max(0, self.outputs - 1 + self.first + self.reach - size)


def phases(stride: int, kernel: int, begin: int, out: int, dilation: int = 1) -> list[Phase]:
    """The phases of one axis that have outputs. One without taps gives the bias alone."""
    found, step = [], dilation // gcd(stride, dilation)
    for phase in range(min(stride, out)):
        taps = tuple(k for k in reversed(range(kernel)) if (phase + begin - dilation * k) % stride == 0)
        first = (phase + begin - dilation * taps[0]) // stride if taps else 0
        found.append(Phase(phase, -(-(out - phase) // stride), first, taps, step))
    return found
