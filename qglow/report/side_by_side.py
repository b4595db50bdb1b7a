"""Several bundles of one model beside each other: a row of figures each, and their noise layer by layer."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from .advice import points_lost, verdict, worst_ratio
from .figures import Report
from .plots import grade


@dataclass(frozen=True, slots=True)
class Cell:
    """Of a table: its text, what it sorts by (of the first column: the anchor that it leads to), and its grade."""

    text: str
    sort: str = ""
    numeric: bool = False
    grade: str = ""


@dataclass(frozen=True, slots=True)
class SideBySide:
    """names: of the bundles, no two the same. headings: text, whether the column is of numbers. series: SQNR by bundle
    along `layers`, which are (name, SQNR in each bundle, None where it has no such layer)."""

    names: Sequence[str]
    headings: Sequence[tuple[str, bool]]
    rows: Sequence[Sequence[Cell]]
    series: Mapping[str, Sequence[float | None]]
    layers: Sequence[tuple[str, Sequence[float | None]]]


def side_by_side(reports: Sequence[Report]) -> SideBySide:
    """In the order in which the reports are given."""
    names = _names(reports)
    tables = [{r.name: r.sqnr_db for r in report.layers} for report in reports]
    order = dict.fromkeys(name for table in sorted(tables, key=len, reverse=True) for name in table)
    layers = [(name, [t.get(name) for t in tables]) for name in order]
    series = {name: [values[k] for _, values in layers] for k, name in enumerate(names)}
    columns = [_columns(r) for r in reports]
    headings = list(dict.fromkeys(h for row in columns for h in row))
    rows = [
        [Cell(name, f"b{k + 1}-top"), *(row.get(h, Cell("-", "", True)) for h in headings)]
        for k, (name, row) in enumerate(zip(names, columns, strict=True))
    ]
    return SideBySide(names, [("bundle", False), *((h, h != "verdict") for h in headings)], rows, series, layers)


def _names(reports: Sequence[Report]) -> list[str]:
    """The files' names, with a number where two are the same."""
    names = list[str]()
    for k, r in enumerate(reports, 1):
        name = r.provenance.bundle.name if r.provenance and r.provenance.bundle else f"bundle {k}"
        names.append(f"{name} ({k})" if name in names else name)
    return names


def _columns(report: Report) -> dict[str, Cell]:
    """The figures of one bundle, those that are known, by heading."""
    judged, worst = verdict(report), worst_ratio(report)
    found = {"verdict": Cell(judged.grade or "-", "", False, judged.grade)}
    output = min(report.outputs.values(), key=lambda e: e.ratio_db, default=None)
    if output is not None:
        known = output.low_db is not None and output.high_db is not None
        interval = f" ({output.low_db:.1f} to {output.high_db:.1f})" if known else ""
        text = "equal" if worst >= 200 else f"{worst:.1f}{interval}"
        found["worst output dB"] = Cell(text, f"{worst:.3f}", True, grade(worst))
    top1 = [e.top1_int8 for e in report.outputs.values() if e.top1_int8 is not None]
    lost = points_lost(report.outputs)
    if top1 and lost is not None:
        found["top-1"] = Cell(f"{min(top1):.1%} ({-lost + 0.0:+.1f} points)", f"{min(top1)}", True)
    for name, t in report.latency_ms.items():
        found[f"{name} ms"] = Cell(f"{t['min']:.3f}", f"{t['min']}", True)
    if report.size.int8_bytes is not None:
        found["weights KiB"] = Cell(f"{report.size.int8_bytes / 1024:.1f}", f"{report.size.int8_bytes}", True)
    if report.nodes:
        total, kept = sum(report.nodes.values()), report.nodes.get("float", 0)
        found["nodes in int8"] = Cell(f"{total - kept} of {total}", f"{total - kept}", True)
    return found
