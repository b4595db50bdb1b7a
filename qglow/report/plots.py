"""The report's pictures as inline SVG: noise along the network, distributions against their int8 ranges, bars of
times."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from math import log1p

from .figures import LayerReport, Spread
from .latency import Times

TOP_DB = 60.0
POOR_DB, FAIR_DB = 15.0, 25.0


def grade(db: float) -> str:
    """CSS class of a signal-to-noise ratio."""
    return "poor" if db < POOR_DB else "fair" if db < FAIR_DB else "good"


def noise(layers: Sequence[LayerReport]) -> str:
    """Bars of SQNR, 0 to 60 dB, one a layer, and a dot for its own; the name shows when the pointer rests on it."""
    left, width, height = 44.0, 1000.0, 220.0
    step = (width - left) / max(1, len(layers))
    parts = []
    for db in (0, 20, 40, 60):
        y = height * (1 - db / TOP_DB)
        parts.append(f'<line class="grid" x1="{left}" x2="{width}" y1="{y:.0f}" y2="{y:.0f}"/>')
        parts.append(f'<text x="{left - 6}" y="{y + 4:.0f}" text-anchor="end">{db} dB</text>')
    for k, row in enumerate(layers):
        h = max(1.5, height * _share(row.sqnr_db))
        own = row.own_sqnr_db
        alone = "" if own is None else f"; alone {own:.1f} dB"
        title = escape(f"{k + 1}. {row.name} ({row.op}, {row.precision}): {row.sqnr_db:.1f} dB{alone}")
        place = f'x="{left + k * step:.1f}" y="{height - h:.1f}" width="{max(0.6, step * 0.86):.1f}" height="{h:.1f}"'
        parts.append(f'<rect class="bar {grade(row.sqnr_db)}" {place}><title>{title}</title></rect>')
        if own is not None:
            y = height * (1 - _share(own))
            parts.append(
                f'<circle class="own" cx="{left + (k + 0.43) * step:.1f}" cy="{y:.1f}" '
                f'r="{min(3.5, max(1.2, step / 3)):.1f}"/>'
            )
    parts.append(
        f'<text x="{(left + width) / 2}" y="{height + 20}" text-anchor="middle">layers in execution order</text>'
    )
    return _svg(f"0 -10 {width:.0f} {height + 36:.0f}", "signal-to-noise ratio by layer", parts, "wide")


def distribution(spread: Spread | None) -> str:
    """A small histogram of a layer's float values (logarithmic heights) over the shaded range that int8 can hold."""
    if spread is None:
        return ""
    counts = spread.histogram
    width, height = 180.0, 34.0
    start, stop = min(spread.min, spread.int8_low), max(spread.max, spread.int8_high)

    def place(value: float) -> float:
        return width * (value - start) / (stop - start) if stop > start else 0.0

    low, high = place(spread.int8_low), place(spread.int8_high)
    most, step = log1p(max(counts)), width / len(counts)
    steps = "".join(f"V{height * (1 - log1p(c) / most):.1f}h{step:.2f}" for c in counts)
    ends = f"float {spread.min:g} to {spread.max:g}; int8 {spread.int8_low:g} to {spread.int8_high:g}"
    title = escape(f"{ends}; {spread.clipped:.3%} beyond")
    parts = [
        f"<title>{title}</title>",
        f'<rect class="range" x="{low:.1f}" y="0" width="{max(1.0, high - low):.1f}" height="{height}"/>',
        f'<path class="histogram" d="M0 {height}{steps}V{height}Z"/>',
    ]
    if start < 0 < stop:
        parts.append(f'<line class="zero" x1="{place(0):.1f}" x2="{place(0):.1f}" y1="0" y2="{height}"/>')
    return _svg(f"0 0 {width:.0f} {height:.0f}", title, parts, "spark")


def times(latency: Times) -> str:
    """Horizontal bars of the shortest times."""
    longest = max(t["min"] for t in latency.values())
    parts, line = [], 30.0
    for k, (name, t) in enumerate(latency.items()):
        y, w = k * line, 560 * t["min"] / longest
        kind = "mine" if name.startswith("qglow") else "peer"
        parts.append(f'<text x="150" y="{y + 18}" text-anchor="end">{escape(name)}</text>')
        parts.append(f'<rect class="{kind}" x="160" y="{y + 4}" width="{w:.1f}" height="20" rx="2"/>')
        parts.append(f'<text x="{168 + w:.1f}" y="{y + 18}">{t["min"]:.3f} ms (median {t["median"]:.3f})</text>')
    return _svg(f"0 0 1000 {line * len(latency):.0f}", "latency", parts, "wide")


def _share(db: float) -> float:
    return min(TOP_DB, max(0.0, db)) / TOP_DB


def _svg(box: str, label: str, parts: list[str], kind: str) -> str:
    return f'<svg class="{kind}" viewBox="{box}" role="img" aria-label="{label}">{"".join(parts)}</svg>'
