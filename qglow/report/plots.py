"""The report's pictures as inline SVG: noise along the network, distributions against their int8 ranges, accuracy
against time."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape
from math import log1p
from typing import Any

from ..words import counted
from .figures import LayerReport, Spread

TOP_DB = 60.0
POOR_DB, FAIR_DB = 15.0, 25.0
LINES_DB = (0, 15, 25, 40, 60)
SPARK = 16  # units of height of a distribution: two pixels each, and a short text


def grade(db: float) -> str:
    """CSS class of a signal-to-noise ratio."""
    return "poor" if db < POOR_DB else "fair" if db < FAIR_DB else "good"


def noise(layers: Sequence[LayerReport]) -> str:
    """Bars of SQNR, 0 to 60 dB, one a layer, and a mark for its own; the name shows when the pointer rests on it. It
    stretches to any width, so what is text stands beside it."""
    width, height = 1000.0, 200.0
    step = width / max(1, len(layers))
    parts = [f'<path class="grid" d="{"".join(f"M0 {_height(db, height):g}H1000" for db in LINES_DB)}"/>']
    own = []
    for k, row in enumerate(layers):
        y = min(height - 1.5, _height(row.sqnr_db, height))
        alone = "" if row.own_sqnr_db is None else f"; alone {row.own_sqnr_db:.1f} dB"
        title = escape(f"{k + 1}. {row.name} ({row.op}, {row.precision}): {row.sqnr_db:.1f} dB{alone}")
        place = f'x="{k * step:.1f}" y="{y:.0f}" width="{max(0.6, step * 0.86):.1f}" height="{height - y:.0f}"'
        parts.append(f'<rect class="bar {grade(row.sqnr_db)}" {place}><title>{title}</title></rect>')
        if row.own_sqnr_db is not None:
            own.append(f"M{(k + 0.13) * step:.1f} {_height(row.own_sqnr_db, height):.0f}h{0.6 * step:.1f}")
    parts.append(f'<path class="own" d="{"".join(own)}"/>')
    shown = counted(len(layers), "layer")
    label = f"signal-to-noise ratio of {shown} in execution order; the table of layers has the numbers"
    return _svg(f"0 -4 {width:.0f} {height + 8:.0f}", label, parts, "depth", 'preserveAspectRatio="none"')


def lines_along(series: Mapping[str, Sequence[float | None]], what: str = "layers") -> str:
    """SQNR along the network or a stream, 0 to 60 dB, a line for each of several rows; None where one has no such
    layer."""
    count = max((len(s) for s in series.values()), default=0)
    step, parts = 1000.0 / max(1, count - 1), []
    parts.append(f'<path class="grid" d="{"".join(f"M0 {_height(db, 200):g}H1000" for db in LINES_DB)}"/>')
    for k, (name, values) in enumerate(series.items()):
        points = [f"{at * step:.1f} {_height(v, 200):.0f}" for at, v in enumerate(values) if v is not None]
        title = f"<title>{escape(name)}</title>"
        parts.append(f'<path class="series s{k % 6}" d="M{"L".join(points)}">{title}</path>' if points else "")
    label = f"signal-to-noise ratio along {count} {what}, {len(series)} lines"
    return _svg("0 -4 1000 208", label, parts, "depth", 'preserveAspectRatio="none"')


def distribution(spread: Spread | None) -> str:
    """A small histogram of a layer's float values (logarithmic heights) over the shaded range that int8 can hold; what
    lies beyond it is drawn apart."""
    if spread is None:
        return ""
    counts, bins = spread.histogram, len(spread.histogram)
    start, stop = min(spread.min, spread.int8_low), max(spread.max, spread.int8_high)

    def place(value: float) -> float:
        return round(bins * (value - start) / (stop - start), 2) if stop > start else 0.0

    low, high = place(spread.int8_low), place(spread.int8_high)
    most = log1p(max(counts)) or 1.0
    heights = [round(SPARK * log1p(c) / most) or (1 if c else 0) for c in counts]
    ends = f"float {spread.min:g} to {spread.max:g}; int8 {spread.int8_low:g} to {spread.int8_high:g}"
    parts = [
        f"<title>{escape(f'{ends}; {spread.clipped:.3%} beyond')}</title>",
        f'<path class="range" d="M{low:g} 0H{max(high, low + 0.3):g}V{SPARK}H{low:g}z"/>',
        f'<path class="histogram" d="{_steps(heights, low, high)}"/>',
    ]
    if spread.clipped:
        beyond = _steps(heights, 0.0, low) + _steps(heights, high, float(bins))
        parts.append(f'<path class="clipped" d="{beyond}"/>')
    if start < 0 < stop:
        parts.append(f'<path class="zero" d="M{place(0):g} 0V{SPARK}"/>')
    return _svg(f"0 0 {bins} {SPARK}", "", parts, "spark", 'preserveAspectRatio="none"')


def _steps(heights: Sequence[int], start: float, stop: float) -> str:
    """The outline of bars that are 1 wide, between two places, with equal neighbours as one."""
    parts, at, height = [f"M{start:g} {SPARK}"], start, 0
    for k, h in enumerate(heights):
        end = min(stop, k + 1.0)
        if end <= at:
            continue
        if h != height:
            parts.append(f"H{at:g}V{SPARK - h}")
        at, height = end, h
    return "".join(parts) + f"H{at:g}V{SPARK}z" if at > start else ""


def front(points: Sequence[Mapping[str, Any]], wanted_db: float | None = None) -> str:
    """Accuracy against time of the mixes of formats that a search looked at: a dot each, and the wanted accuracy as a
    line. points: sqnr_db, ms, and how many nodes are float and int16."""
    width, height, left, bottom = 640.0, 280.0, 62.0, 40.0
    x = _axis([p["ms"] for p in points], left, width - 20)
    y = _axis([p["sqnr_db"] for p in points] + ([] if wanted_db is None else [wanted_db]), height - bottom, 16)
    parts = [f'<path class="grid" d="M{left:g} 10V{height - bottom:g}H{width - 10:g}"/>']
    for value in x.ticks:
        parts.append(f'<text x="{x(value):.0f}" y="{height - 22:g}" text-anchor="middle">{value:g}</text>')
    for value in y.ticks:
        parts.append(f'<text x="{left - 6:g}" y="{y(value) + 4:.0f}" text-anchor="end">{value:g}</text>')
    if wanted_db is not None:
        parts.append(f'<path class="wanted" d="M{left:g} {y(wanted_db):.0f}H{width - 10:g}"/>')
    ordered = sorted(points, key=lambda p: (p["ms"], p["sqnr_db"]))
    line = "L".join(f"{x(p['ms']):.1f} {y(p['sqnr_db']):.1f}" for p in ordered)
    parts.append(f'<path class="series s0" d="M{line}"/>')
    for p in ordered:
        mix = f"{counted(p.get('float_nodes', 0), 'node')} float, {p.get('int16_nodes', 0)} int16"
        title = escape(f"{p['sqnr_db']:.1f} dB, {p['ms']:.3g} ms, {mix}")
        parts.append(f'<circle class="point" cx="{x(p["ms"]):.1f}" cy="{y(p["sqnr_db"]):.1f}" r="4.5">'
                     f"<title>{title}</title></circle>")  # fmt: skip
    parts.append(f'<text x="{width / 2:g}" y="{height - 4:g}" text-anchor="middle">ms a sample</text>')
    parts.append('<text x="10" y="12">dB</text>')
    return _svg(f"0 0 {width:g} {height:g}", f"accuracy against time of {len(points)} mixes of formats", parts, "plot")


class _axis:
    """A linear scale over some values with a little room, and up to six round numbers on it."""

    def __init__(self, values: Sequence[float], start: float, end: float) -> None:
        low, high = min(values), max(values)
        room = (high - low) * 0.08 or abs(high) * 0.1 or 1.0
        self.low, self.high, self.start, self.end = low - room, high + room, start, end
        step = 10.0 ** int(f"{(self.high - self.low) / 4:e}".split("e")[1])
        step = next(step * k for k in (1, 2, 5, 10) if (self.high - self.low) / (step * k) <= 6)
        first = int(-(-self.low // step))
        self.ticks = [round(k * step, 9) for k in range(first, int(self.high // step) + 1)]

    def __call__(self, value: float) -> float:
        return self.start + (self.end - self.start) * (value - self.low) / (self.high - self.low)


def _height(db: float, height: float) -> float:
    return height * (1 - min(TOP_DB, max(0.0, db)) / TOP_DB)


def _svg(box: str, label: str, parts: list[str], kind: str, more: str = "") -> str:
    """label: empty where a title is among the parts."""
    said = f' aria-label="{label}"' if label else ""
    return f'<svg class="{kind}" viewBox="{box}" {more} role="img"{said}>{"".join(parts)}</svg>'
