"""The roofline of a program: each step's speed against its arithmetic intensity, under what the machine can do at best.

    from qglow.report.roofline import roofline
    from qglow.runtime.machine_limits import machine_roof
    svg = roofline(time_steps(session, feeds), machine_roof(session.threads))

The string is one <svg> element without script or style from elsewhere, ready for any HTML page.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from html import escape

from ..runtime.machine_limits import MachineLimits
from ..runtime.step_profile import StepTime

WIDTH, HEIGHT, LEFT, RIGHT, BOTTOM = 900.0, 420.0, 60.0, 24.0, 40.0
COLOURS = {"conv2d": "#285", "depthwise2d": "#d60"}
OTHER = "#57a"


def roofline(steps: Sequence[StepTime], roof: MachineLimits) -> str:
    """The plot, both axes logarithmic.

    A circle is a native step; its area grows with its time. Lines: the peak of the product instruction, and the read
    bandwidth of the second-level cache and of memory. Host steps have no operations to count and are left out.
    """
    points = [s for s in steps if not s.host and s.ops and s.moved and s.seconds > 0]
    x = _Axis([s.ops / s.moved for s in points] + [roof.peak / roof.memory, 0.1], LEFT, WIDTH - RIGHT)
    y = _Axis([s.ops / s.seconds for s in points] + [roof.peak, roof.peak / 1000], HEIGHT - BOTTOM, 10)
    longest = max((s.seconds for s in points), default=1.0)
    parts = [
        f'<svg viewBox="0 0 {WIDTH:.0f} {HEIGHT:.0f}" role="img" class="roof" '
        'aria-label="speed of each step against its arithmetic intensity, and the limits of the machine" '
        'font-family="sans-serif" font-size="11">'
    ]
    parts += [_grid(x, y), _line(x, y, roof.peak, roof.memory, "memory"), _line(x, y, roof.peak, roof.cache, "cache")]
    label = f"peak {roof.peak / 1e9:.0f} GOP/s, {roof.threads} thread{'s' if roof.threads > 1 else ''}"
    parts.append(f'<text x="{WIDTH - RIGHT - 2:.0f}" y="{y(roof.peak) - 5:.1f}" text-anchor="end">{label}</text>')
    parts += [_point(s, x, y, longest) for s in sorted(points, key=lambda s: -s.seconds)]
    parts.append(f'<text x="{WIDTH / 2:.0f}" y="{HEIGHT - 6:.0f}" text-anchor="middle">operations a byte moved</text>')
    parts.append(
        f'<text x="14" y="{HEIGHT / 2:.0f}" transform="rotate(-90 14 {HEIGHT / 2:.0f})" '
        'text-anchor="middle">GOP/s</text></svg>'
    )
    return "".join(parts)


class _Axis:
    """A logarithmic scale that covers some values, in whole decades."""

    def __init__(self, values: Iterable[float], start: float, end: float) -> None:
        known = [math.log10(v) for v in values]
        self.low, self.high = math.floor(min(known)), math.ceil(max(known) + 0.05)
        self.start, self.end = start, end

    def __call__(self, value: float) -> float:
        at = (math.log10(value) - self.low) / (self.high - self.low)
        return self.start + (self.end - self.start) * min(1.0, max(0.0, at))

    def decades(self) -> list[float]:
        return [10.0**k for k in range(self.low, self.high + 1)]


def _grid(x: _Axis, y: _Axis) -> str:
    parts = []
    for v in x.decades():
        parts.append(f'<line x1="{x(v):.1f}" x2="{x(v):.1f}" y1="10" y2="{HEIGHT - BOTTOM:.0f}" stroke="#ddd"/>')
        parts.append(f'<text x="{x(v):.1f}" y="{HEIGHT - BOTTOM + 14:.0f}" text-anchor="middle">{v:g}</text>')
    for v in y.decades():
        parts.append(f'<line x1="{LEFT:.0f}" x2="{WIDTH - RIGHT:.0f}" y1="{y(v):.1f}" y2="{y(v):.1f}" stroke="#ddd"/>')
        parts.append(f'<text x="{LEFT - 5:.0f}" y="{y(v) + 4:.1f}" text-anchor="end">{v / 1e9:g}</text>')
    return "".join(parts)


def _line(x: _Axis, y: _Axis, peak: float, bandwidth: float, name: str) -> str:
    """bandwidth times intensity up to the peak, then the peak; it starts where it enters the plot."""
    first = max(10.0**x.low, 10.0**y.low / bandwidth)
    ridge = min(max(peak / bandwidth, first), 10.0**x.high)
    corners = [
        (first, first * bandwidth),
        (ridge, ridge * bandwidth),
        (10.0**x.high, min(peak, 10.0**x.high * bandwidth)),
    ]
    line = " ".join(f"{x(a):.1f},{y(b):.1f}" for a, b in corners)
    text = f'<text x="{x(first) + 6:.1f}" y="{y(first * bandwidth) - 14:.1f}">{name} {bandwidth / 1e9:.0f} GB/s</text>'
    return f'<polyline points="{line}" fill="none" stroke="#888"/>{text}'


def _point(step: StepTime, x: _Axis, y: _Axis, longest: float) -> str:
    speed, intensity = step.ops / step.seconds, step.ops / step.moved
    title = (
        f"{step.kind} {step.name} {step.shape}: {step.seconds * 1e6:.1f} us, {speed / 1e9:.1f} GOP/s, {intensity:.1f} "
        "ops/byte"
    )
    radius = 2 + 10 * math.sqrt(step.seconds / longest)
    place = f'cx="{x(intensity):.1f}" cy="{y(speed):.1f}" r="{radius:.1f}"'
    return (
        f'<circle class="{escape(step.kind)}" {place} fill="{COLOURS.get(step.kind, OTHER)}" '
        f'fill-opacity="0.55"><title>{escape(title)}</title></circle>'
    )
