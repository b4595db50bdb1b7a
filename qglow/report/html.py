"""The report as one self-contained HTML page, from the template page.html.j2: what it cost first, then the layers. No
network."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from ..runtime.step_profile import StepTime
from .coverage import percent, shown_executions
from .figures import Report
from .headline import facts, float_groups, share
from .plots import distribution, grade, noise, times
from .roofline import roofline

COLUMNS = (  # of the table of outputs: heading, key, format
    ("SQNR dB", "sqnr_db", ".1f"), ("cosine", "cosine", ".5f"), ("largest error", "max_abs_error", ".4g"),
    ("equal", "equal", ".2%"),
    ("NaN or infinite", "not_finite", "d"), ("other shape", "other_shape", "d"),
    ("same top-1", "top1_agreement", ".1%"), ("top-1 float", "top1_fp32", ".1%"), ("top-1 int8", "top1_int8", ".1%"),
)  # fmt: skip
HEADINGS = (  # of the table of layers: heading, whether it is of numbers
    ("#", True), ("layer", False), ("op", False), ("precision", False), ("SQNR dB", True), ("alone dB", True),
    ("cosine", True),
    ("cut off", True),
)  # fmt: skip


def page(report: Report) -> str:
    """The HTML text of a report. Names are escaped by the template engine; pictures are markup of our own."""
    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.globals |= {
        "count": _count, "formatted": format, "grade": grade, "percent": percent, "share": share,
        **{f.__name__: _drawn(f) for f in (distribution, noise, roofline, times)},
    }  # fmt: skip
    return environment.get_template("page.html.j2").render(
        report=report, title=f"{report.name}: what int8 cost" if report.name else "What int8 cost", facts=facts(report),
        columns=[c for c in COLUMNS if any(e.shows(c[1]) for e in report.outputs.values())], headings=HEADINGS,
        machine=report.machine if report.steps else None, kinds=_kinds(report.steps), groups=float_groups(report),
        coverage=report.coverage, ways=shown_executions(report.coverage) if report.coverage else (),
        products=report.coverage.multiply_adds() if report.coverage else None,
    )  # fmt: skip


def _drawn(draw: Any) -> Any:
    """The function, of whose text the template escapes nothing: it escapes what it writes itself."""
    return lambda *arguments: Markup(draw(*arguments))  # noqa: S704


def _kinds(steps: Sequence[StepTime]) -> list[tuple[str, int, float, float]]:
    """(kind of step, how many, their seconds, their share of all), the longest first."""
    total, spent = sum(s.seconds for s in steps) or 1.0, dict[str, list[float]]()
    for s in steps:
        spent.setdefault(("host " if s.host else "") + s.kind, []).append(s.seconds)
    return sorted(((k, len(t), sum(t), sum(t) / total) for k, t in spent.items()), key=lambda row: -row[2])


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}"
