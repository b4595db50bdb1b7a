"""What a reader wants to know first: accuracy, speed, size, coverage. The page and the terminal show the same facts."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ..graph.blocks import IN_BLOCKS, Precision
from ..runtime.step_profile import StepTime
from ..words import counted, size_beside
from .advice import advice, blame
from .figures import OutputReport, Report, Size
from .latency import Times
from .plots import grade
from .scores import MetricReport


@dataclass(frozen=True, slots=True)
class Fact:
    """One fact: what it is about, its value in a few characters, details, and whether it is good, fair or poor."""

    what: str
    value: str
    details: tuple[str, ...]
    grade: str = ""


def facts(report: Report) -> list[Fact]:
    """The facts of a report, those that are known."""
    return [
        *_accuracy(report.outputs, report.noise_beside),
        *_metrics(report.metrics),
        *_speed(report.latency_ms),
        *_host(report.steps),
        *_size(report.size),
        *_coverage(report.nodes),
        *_wider(report.wider),
        *_blame(report),
    ]


def float_groups(report: Report) -> list[tuple[tuple[str, str], list[str]]]:
    """Names of the nodes that stayed float by op and reason, the largest group first."""
    groups: dict[tuple[str, str], list[str]] = {}
    for d in report.kept_float:
        groups.setdefault((d["op"], d["reason"]), []).append(d["node"])
    return sorted(groups.items(), key=lambda g: -len(g[1]))


def share(part: float) -> str:
    """A part of 1 in percent; a small part is not shown as none."""
    return "0" if part == 0 else f"{part:.2%}" if part >= 0.0001 else "< 0.01%"


def _accuracy(outputs: Mapping[str, OutputReport], beside: Times) -> list[Fact]:
    if not outputs:
        return []
    name, worst = min(outputs.items(), key=lambda item: item[1].ratio_db)
    of = f" at {name}" if len(outputs) > 1 else ""
    details = [f"cosine {worst.cosine:.5f}{of}" if worst.cosine is not None else f"output {name}"]
    if worst.low_db is not None and worst.high_db is not None:
        details.append(f"95 % interval {worst.low_db:.1f} to {worst.high_db:.1f} dB")
    if worst.worst_sample_db is not None:
        details.append(f"worst sample {worst.worst_sample_db:.1f} dB")
    if worst.not_finite is not None:
        found_in = "is" if worst.not_finite == 1 else "are"
        elements = counted(worst.not_finite, "element")
        details.append(f"{elements} {found_in} NaN or infinite in float or in int8 alone")
    if worst.other_shape is not None:
        details.append(f"{counted(worst.other_shape, 'sample')} gave another shape than float")
    if len(beside) > 1:
        first = next(iter(beside.values()))
        details.append(
            f"on {counted(round(first['samples']), 'sample')}: "
            + ", ".join(f"{n} {e['sqnr_db']:.1f}" for n, e in beside.items())
        )
    if worst.equal is not None:
        found = [Fact("Equal elements", f"{worst.equal:.1%}", tuple(details), grade(worst.ratio_db))]
    else:
        found = [Fact("Signal to noise", f"{worst.ratio_db:.1f} dB", tuple(details), grade(worst.ratio_db))]
    return [*found, *(fact for name, e in outputs.items() for fact in _classes(e, f" of {name}" if of else ""))]


def _classes(e: OutputReport, of: str) -> list[Fact]:
    """Accuracy where labels are known, else how often an output that chooses a class chooses float's."""
    if e.top1_int8 is not None and e.top1_fp32 is not None:
        change = (e.top1_int8 - e.top1_fp32) * 100 + 0.0
        detail = [f"float {e.top1_fp32:.1%}, {change:+.1f} points", f"same choice in {e.top1_agreement:.1%}"]
        if e.lost_low is not None and e.lost_high is not None:
            detail.append(f"95 % interval {-e.lost_high:+.1f} to {-e.lost_low:+.1f} points")
        quality = "good" if change >= -1 else "fair" if change >= -3 else "poor"
        return [Fact(f"Top-1 accuracy{of}", f"{e.top1_int8:.1%}", tuple(detail), quality)]
    if e.is_choice and e.top1_agreement is not None:
        quality = "good" if e.top1_agreement > 0.99 else "fair" if e.top1_agreement > 0.97 else "poor"
        return [Fact(f"Same class as float{of}", f"{e.top1_agreement:.1%}", (), quality)]
    return []


def _metrics(metrics: Sequence[MetricReport]) -> list[Fact]:
    found = []
    for m in metrics:
        sure = (f"95 % interval of the change {m.low:+.4g} to {m.high:+.4g}",) if m.low is not None else ()
        found.append(Fact(m.name, f"{m.int8:.4g}", (f"float {m.fp32:.4g}, {m.int8 - m.fp32:+.4g}", *sure)))
    return found


def _speed(latency: Times) -> list[Fact]:
    if "qglow int8" not in latency:
        return []
    mine = latency["qglow int8"]["min"]
    ratios = tuple(
        f"{t['min'] / mine:.2f} x the speed of {name}" for name, t in latency.items() if name != "qglow int8"
    )
    return [Fact("Latency", f"{mine:.3f} ms" if mine < 10 else f"{mine:.1f} ms", ratios)]


def _host(steps: Sequence[StepTime]) -> list[Fact]:
    """What runs without a kernel, and how long it takes."""
    spent: dict[str, float] = {}
    for s in steps:
        if s.host:
            spent[s.kind] = spent.get(s.kind, 0.0) + 1e3 * s.seconds
    if not spent:
        return []
    kinds = sorted(spent, key=lambda k: -spent[k])
    details = tuple(f"{k} {spent[k]:.3g} ms" for k in kinds[:4])
    return [Fact("On the host", f"{sum(spent.values()):.3g} ms", details)]


def _size(size: Size) -> list[Fact]:
    if not size.int8_bytes or size.float_bytes is None:
        return []
    beside = size_beside(size.float_bytes, size.int8_bytes)
    return [Fact("Weights", _bytes(size.int8_bytes), (f"float {_bytes(size.float_bytes)}", beside))]


def _coverage(nodes: Mapping[Precision, int]) -> list[Fact]:
    total = sum(nodes.values())
    if not total:
        return []
    blocks = [(p, nodes[p]) for p in IN_BLOCKS if nodes.get(p)]
    inside = nodes["int8"] + nodes.get("int16", 0) + nodes["folded"] + sum(n for _, n in blocks)
    weights = [f"{n} with weights in {p}" for p, n in blocks]
    details = (f"{nodes['folded']} of them folded into others", *weights, f"{nodes['float']} stayed float")
    return [Fact("Nodes in int8", f"{inside} of {total}", details)]


def _wider(account: Mapping[str, Any] | None) -> list[Fact]:
    if account is None:
        return []
    kinds = Counter(f"{n['op']} in {n['precision']}" for n in account["nodes"])
    took = f"about {account['more_time_percent']:.0f} % more time; int8 alone: {account['int8_db']:.1f} dB"
    details = (took, ", ".join(f"{n} {what}" for what, n in kinds.most_common(4)))
    return [Fact("Wider formats", f"{account['reached_db']:.1f} dB", details)]


def _blame(report: Report) -> list[Fact]:
    """Where the noise comes from, and what to do."""
    found = []
    layers = blame(report)
    if layers:
        found.append(Fact("Most noise added by", layers[0][0], tuple(text for _, text in layers)))
    what, how = advice(report)
    return [*found, Fact("What to do", what, tuple(how) or ("int8 agrees with float, and no step is slow",))]


def _bytes(count: float) -> str:
    return f"{count / 1024:.1f} KiB" if count < 1 << 20 else f"{count / (1 << 20):.1f} MiB"
