"""The report as tables for a terminal."""

from __future__ import annotations

import io
from math import log1p
from shutil import get_terminal_size

from rich.console import Console
from rich.table import Table

from ..words import counted
from .coverage_text import coverage_text
from .figures import Report, Spread
from .headline import facts, float_groups, share

_LEVELS = " ▁▂▃▄▅▆▇█"
_SPARK = 16
_COLUMNS = (
    ("SQNR dB", "sqnr_db", ".1f"), ("cosine", "cosine", ".5f"), ("max error", "max_abs_error", ".4g"),
    ("equal", "equal", ".2%"),
    ("NaN or infinite", "not_finite", "d"), ("other shape", "other_shape", "d"),
)  # fmt: skip


def tables(report: Report, worst: int = 10) -> str:
    """Text: the facts first, then the outputs, the layers with most noise, and what stayed float."""
    width = min(140, max(80, get_terminal_size((80, 24)).columns))
    console = Console(file=io.StringIO(), width=width, force_terminal=False)
    for fact in facts(report):
        details = f" ({'; '.join(fact.details)})" if fact.details else ""
        console.print(f"{fact.what}: {fact.value}{details}", markup=False, highlight=False, soft_wrap=True)
    outputs = Table(title=f"outputs over {counted(report.samples, 'sample')}")
    kinds = (("top-1 agreement", "top1_agreement"), ("top-1 fp32", "top1_fp32"), ("top-1 int8", "top1_int8"))
    scores = [(title, key) for title, key in kinds if any(e.shows(key) for e in report.outputs.values())]
    columns = [c for c in _COLUMNS if any(getattr(e, c[1]) is not None for e in report.outputs.values())]
    for column in ("output", *(title for title, *_ in columns), *(title for title, _ in scores)):
        outputs.add_column(column)
    for name, e in report.outputs.items():
        score = [f"{getattr(e, key):.4f}" if e.shows(key) else "-" for _, key in scores]
        outputs.add_row(
            name, *(format(v, form) if (v := getattr(e, key)) is not None else "-" for _, key, form in columns), *score
        )
    console.print(outputs)
    if report.layers:
        console.print(_layers(report, worst, width))
    for (op, reason), nodes in float_groups(report):
        shown = ", ".join(nodes[:3]) + (f" and {len(nodes) - 3} more" if len(nodes) > 3 else "")
        console.print(f"float: {len(nodes)} {op}: {reason}: {shown}", markup=False, soft_wrap=True)
    if report.coverage is not None:
        console.print(coverage_text(report.coverage, why=False), markup=False, highlight=False, soft_wrap=True)
    for name, t in report.latency_ms.items():
        console.print(f"latency {name}: min {t['min']:.3f} ms, median {t['median']:.3f} ms", markup=False)
    for note in report.notes:
        console.print(note, markup=False, soft_wrap=True)
    text: str = console.file.getvalue()  # type: ignore[attr-defined]
    return text


def _layers(report: Report, worst: int, width: int) -> Table:
    """The layers with most noise of their own, the worst first. width: characters to a line."""
    shown, over = (
        counted(min(worst, len(report.layers)), "layer"),
        f"of {len(report.layers)}, over {counted(report.layer_samples, 'sample')}",
    )
    layers = Table(title=f"the {shown} that {'adds' if len(report.layers) == 1 else 'add'} most noise, {over}")
    wide = width >= 110  # where the distribution of a layer's values has room
    spread = ("float values over the int8 range",) if wide else ()
    for column in ("layer", "op", "precision", "SQNR dB", "alone dB", *spread, "cut off"):
        layers.add_column(column, overflow="fold")
    for row in sorted(report.layers, key=lambda r: (r.own_sqnr_db is None, r.own_sqnr_db or 0.0))[:worst]:
        own = "-" if row.own_sqnr_db is None else f"{row.own_sqnr_db:.1f}"
        values = _spread(row.spread)[0 if wide else 1 :]
        layers.add_row(row.name, row.op, row.precision, f"{row.sqnr_db:.1f}", own, *values)
    return layers


def _spread(spread: Spread | None) -> tuple[str, str]:
    """A histogram in block characters (logarithmic heights) between the ends of the int8 range, and the share beyond
    them."""
    if spread is None:
        return "-", "-"
    counts = spread.histogram
    step = len(counts) // _SPARK
    sums = [log1p(sum(counts[k * step : (k + 1) * step])) for k in range(_SPARK)]
    top = max(sums)
    spark = "".join(_LEVELS[round(8 * s / top)] for s in sums)
    return f"{spread.int8_low:.3g} {spark} {spread.int8_high:.3g}", share(spread.clipped)
