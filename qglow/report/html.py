"""The report as one self-contained HTML page, from the template page.html.j2 with its style and script: the verdict
first, then what it rests on. No network, and a plain page where no script runs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from ..runtime.step_profile import StepTime
from ..words import counted, points
from .advice import Verdict, advice, blame, verdict
from .coverage import percent, shown_executions
from .figures import Provenance, Report
from .graph_view import graph_view
from .headline import Fact, facts, float_groups, share
from .plots import distribution, front, grade, lines_along, noise
from .roofline import roofline
from .scores import scores_said
from .side_by_side import SideBySide, side_by_side

COLUMNS = (  # of the table of outputs: heading, key, format
    ("SQNR dB", "sqnr_db", ".1f"), ("worst sample dB", "worst_sample_db", ".1f"), ("cosine", "cosine", ".5f"),
    ("largest error", "max_abs_error", ".4g"),
    ("equal", "equal", ".2%"),
    ("NaN or infinite", "not_finite", "d"), ("other shape", "other_shape", "d"),
    ("same top-1", "top1_agreement", ".1%"), ("top-1 float", "top1_fp32", ".1%"), ("top-1 int8", "top1_int8", ".1%"),
)  # fmt: skip
SECTIONS = (  # name of the anchor, text of the link
    ("outputs", "Outputs"), ("samples", "Samples"), ("depth", "Depth"), ("layers", "Layers"), ("graph", "Graph"),
    ("time", "Latency"), ("target", "Target"), ("coverage", "Operations"), ("float", "Float"), ("from", "Provenance"),
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class View:
    """What the template shows of one report. name: of the bundle; prefix: of the ids of its elements; level: of its
    headings; of: what tells its regions from those of other bundles. timed: the longest time of a layer in µs, 0 where
    none was timed; longest: of the runtimes, in ms."""

    report: Report
    name: str
    prefix: str
    level: str
    of: str
    verdict: Verdict
    advice: tuple[str, Sequence[str]]
    facts: Sequence[Fact]
    columns: Sequence[tuple[str, str, str]]
    headings: Sequence[tuple[str, bool]]
    noisiest: Sequence[str]
    precisions: Sequence[str]
    pictures: bool
    graph: Markup
    timed: float
    longest: float
    kinds: Sequence[tuple[str, int, float, float]]
    groups: Sequence[tuple[tuple[str, str], list[str]]]
    ways: Sequence[str]
    target: Sequence[str]
    last_step: int
    provenance: Sequence[tuple[str, str]]


def page(*reports: Report) -> str:
    """The HTML text of a report, or of several ones of bundles of one model, side by side. Names are escaped by the
    template engine; pictures are markup of our own."""
    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.globals |= {
        "count": counted, "formatted": format, "grade": grade, "percent": percent, "share": share, "short": _short,
        **{f.__name__: _drawn(f) for f in (distribution, front, lines_along, noise, roofline)},
    }  # fmt: skip
    beside = side_by_side(reports) if len(reports) > 1 else None
    views = [_view(r, k, beside) for k, r in enumerate(reports)]
    first = reports[0]
    made = next((r.provenance for r in reports if r.provenance), None)
    name = made.model.name.removesuffix(".onnx") if made and made.model else first.name
    return environment.get_template("page.html.j2").render(
        title=f"{name}: what int8 cost" if name else "What int8 cost",
        subtitle=_subtitle(first, made), links=_links(views, beside), views=views, beside=beside,
        written=made.created if made else "",
    )  # fmt: skip


def _view(report: Report, index: int, beside: SideBySide | None) -> View:
    name = beside.names[index] if beside else ""
    headings = [("#", True), ("layer", False), ("op", False), ("precision", False), ("SQNR dB", True),
                ("alone dB", True), ("cosine", True), ("cut off", True)]  # fmt: skip
    timed = max((r.microseconds or 0.0 for r in report.layers), default=0.0)
    if timed:
        headings.insert(6, ("µs", True))
    judged, what = verdict(report), advice(report)
    return View(
        report, name, f"b{index + 1}-" if beside else "", "h3" if beside else "h2", f" of {name}" if beside else "",
        judged, what, [f for f in facts(report) if f.what != "What to do"],
        [c for c in COLUMNS if any(e.shows(c[1]) for e in report.outputs.values())], headings,
        [n for n, _ in blame(report)], sorted({r.precision for r in report.layers}),
        any(s.picture for s in report.worst_samples),
        Markup(graph_view(report.network, report.layers)),  # noqa: S704 # nosec: it escapes what it writes
        timed, max((t["min"] for t in report.latency_ms.values()), default=1.0), _kinds(report.steps),
        float_groups(report), shown_executions(report.coverage) if report.coverage else (),
        _target(report.target or {}), max(map(len, report.by_step.values()), default=0), _provenance(report.provenance),
    )  # fmt: skip


def _drawn(draw: Any) -> Any:
    """The function, of whose text the template escapes nothing: it escapes what it writes itself."""
    return lambda *arguments: Markup(draw(*arguments))  # noqa: S704


def _subtitle(report: Report, made: Provenance | None) -> str:
    said = [f"int8 against float on {counted(report.samples, 'sample')}"]
    if made is not None:
        said += [f"{made.cpu.rstrip('0123456789 ')} ({made.isa})", f"qglow {made.qglow}", made.created]
    return " · ".join(filter(None, said))


def _links(views: Sequence[View], beside: SideBySide | None) -> list[tuple[str, str]]:
    if beside is not None:
        return [("beside", "Side by side"), *((f"{v.prefix}top", v.name) for v in views)]
    v = views[0]
    r = v.report
    there = {
        "samples": r.worst_samples, "depth": r.layers, "layers": r.layers, "graph": v.graph, "target": r.target,
        "time": r.latency_ms or r.steps or r.notes, "coverage": r.coverage, "from": v.provenance,
    }  # fmt: skip
    return [(name, text) for name, text in SECTIONS if there.get(name, True)]


def _target(account: Mapping[str, Any]) -> list[str]:
    """What was asked for and what was reached, in sentences."""
    wanted = [f"{account['min_sqnr_db']:g} dB"] if account.get("min_sqnr_db") is not None else []
    if account.get("max_accuracy_drop") is not None:
        wanted.append(f"at most {points(account['max_accuracy_drop'])} of top-1 accuracy lost")
    if metric := account.get("metric"):
        wanted.append(f"{metric['name']} at most {metric['max_drop']:g} worse than float")
    said = [f"Asked for: {' and '.join(wanted)}."] if wanted else []
    for key, what in (("int8", "All in int8"), ("reached", "Reached")):
        score = account.get(key)
        if isinstance(score, Mapping) and "sqnr_db" in score:
            took = f", {score['ms']:.3g} ms" if score.get("ms") else ""
            range_db = f" ({score['low_db']:.1f} to {score['high_db']:.1f})" if "low_db" in score else ""
            scored = f", {metric['name']} {scores_said(score['metric'])}" if metric and "metric" in score else ""
            said.append(f"{what}: {score['sqnr_db']:.1f} dB{range_db}{took}{scored}.")
    if account.get("judged_on"):
        said.append(f"Judged on {account['judged_on']}.")
    if account.get("kept_float"):
        said.append(f"{counted(len(account['kept_float']), 'node')} stayed float for it.")
    if account.get("int16"):
        said.append(f"{counted(len(account['int16']), 'value')} became int16.")
    if account.get("out_of_time"):
        said.append("The search ended with its time.")
    return said


def _provenance(made: Provenance | None) -> list[tuple[str, str]]:
    """(what, in words) of all that is known of where a report comes from."""
    if made is None:
        return []
    rows = [("written", made.created), ("qglow", made.qglow), ("CPU", made.cpu), ("instruction set", made.isa)]
    for what, file in (("model", made.model), ("bundle", made.bundle)):
        rows.append((what, f"{file.name}, {file.bytes:,} B, sha256 {file.sha256}" if file else ""))
    seen = made.profile
    samples = f" over {counted(seen['samples'], 'sample')}" if isinstance(seen.get("samples"), int) else ""
    digest = f"data {seen['data']}" if seen.get("data") else str(seen.get("source", ""))
    config = ", ".join(f"{k} = {_value(v)}" for k, v in made.config.items())
    rows += [
        ("data", made.data), ("calibrated", f"{digest}{samples}"), ("backend", made.backend),
        ("settings", config or "the defaults"), *(("warning", str(w)) for w in seen.get("warnings", ())),
    ]  # fmt: skip
    return [(what, said) for what, said in rows if said]


def _value(value: Any) -> str:
    if isinstance(value, list):
        more = f" and {len(value) - 8} more" if len(value) > 8 else ""
        return " ".join(map(str, value[:8])) + more
    return str(value)


def _short(value: float) -> str:
    return f"{value:.0f}" if value >= 100 else f"{value:.1f}" if value >= 1 else f"{value:.2f}"


def _kinds(steps: Sequence[StepTime]) -> list[tuple[str, int, float, float]]:
    """(kind of step, how many, their seconds, their share of all), the longest first."""
    total, spent = sum(s.seconds for s in steps) or 1.0, dict[str, list[float]]()
    for s in steps:
        spent.setdefault(("host " if s.host else "") + s.kind, []).append(s.seconds)
    return sorted(((k, len(t), sum(t), sum(t) / total) for k, t in spent.items()), key=lambda row: -row[2])
