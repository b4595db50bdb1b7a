"""What a reader wants to know first: accuracy, speed, size, coverage. The page and the terminal show the same facts."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from ..graph.blocks import IN_BLOCKS
from .advice import advice, blame
from .comparison import ratio_db
from .plots import grade


@dataclass(frozen=True, slots=True)
class Fact:
    """One fact: what it is about, its value in a few characters, details, and whether it is good, fair or poor."""

    what: str
    value: str
    details: tuple[str, ...]
    grade: str = ""


def facts(report: dict[str, Any]) -> list[Fact]:
    """The facts of AccuracyReport.to_dict(), those that are known."""
    return [
        *_accuracy(report["outputs"], report["noise_beside"]),
        *_speed(report["latency_ms"]),
        *_host(report["steps"]),
        *_size(report["size"]),
        *_coverage(report["nodes"]),
        *_blame(report),
    ]


def float_groups(report: dict[str, Any]) -> list[tuple[tuple[str, str], list[str]]]:
    """Names of the nodes that stayed float by op and reason, the largest group first."""
    groups: dict[tuple[str, str], list[str]] = {}
    for d in report["kept_float"]:
        groups.setdefault((d["op"], d["reason"]), []).append(d["node"])
    return sorted(groups.items(), key=lambda g: -len(g[1]))


def is_shown(output: dict[str, Any], key: str) -> bool:
    """Whether an output's figure says something: top-1 does so for scores of classes only."""
    return key in output and (key != "top1_agreement" or output.get("is_choice", False) or "top1_int8" in output)



def share(part: float) -> str:
    """A part of 1 in percent; a small part is not shown as none."""
    return "0" if part == 0 else f"{part:.2%}" if part >= 0.0001 else "< 0.01%"


def _accuracy(outputs: dict[str, dict[str, float]], beside: dict[str, dict[str, float]]) -> list[Fact]:
    if not outputs:
        return []
    name, worst = min(outputs.items(), key=lambda item: ratio_db(item[1]))
    of = f" at {name}" if len(outputs) > 1 else ""
    details = [f"cosine {worst['cosine']:.5f}{of}" if "cosine" in worst else f"output {name}"]
    if "not_finite" in worst:
        details.append(f"{worst['not_finite']} elements are NaN or infinite in float or in int8 alone")
    if "other_shape" in worst:
        details.append(f"{worst['other_shape']} samples gave another shape than float")
    if len(beside) > 1:
        first = next(iter(beside.values()))
        details.append(f"on {first['samples']:.0f} samples: " + ", ".join(f"{n} {e['sqnr_db']:.1f}" for n, e in beside.items()))
    if "equal" in worst:
        found = [Fact("Equal elements", f"{worst['equal']:.1%}", tuple(details), grade(ratio_db(worst)))]
    else:
        found = [Fact("Signal to noise", f"{worst['sqnr_db']:.1f} dB", tuple(details), grade(worst["sqnr_db"]))]
    for name, e in outputs.items():
        if "top1_int8" in e:
            change = (e["top1_int8"] - e["top1_fp32"]) * 100
            detail = (f"float {e['top1_fp32']:.1%}, {change:+.1f} points", f"same choice in {e['top1_agreement']:.1%}")
            quality = "good" if change >= -1 else "fair" if change >= -3 else "poor"
            found.append(Fact("Top-1 accuracy" + (f" of {name}" if len(outputs) > 1 else ""), f"{e['top1_int8']:.1%}", detail, quality))
    return found


def _speed(latency: dict[str, dict[str, float]]) -> list[Fact]:
    if "qglow int8" not in latency:
        return []
    mine = latency["qglow int8"]["min"]
    ratios = tuple(f"{t['min'] / mine:.2f} x the speed of {name}" for name, t in latency.items() if name != "qglow int8")
    return [Fact("Latency", f"{mine:.3f} ms" if mine < 10 else f"{mine:.1f} ms", ratios)]


def _host(steps: list[dict[str, Any]]) -> list[Fact]:
    """What runs without a kernel, and how long it takes."""
    spent: dict[str, float] = {}
    for s in steps:
        if s["host"]:
            spent[s["kind"]] = spent.get(s["kind"], 0.0) + 1e3 * s["seconds"]
    if not spent:
        return []
    kinds = sorted(spent, key=lambda k: -spent[k])
    details = tuple(f"{k} {spent[k]:.3g} ms" for k in kinds[:4])
    return [Fact("On the host", f"{sum(spent.values()):.3g} ms", details)]


def _size(size: dict[str, Any]) -> list[Fact]:
    if not size.get("int8_bytes"):
        return []
    ratio = size["float_bytes"] / size["int8_bytes"]
    return [Fact("Weights", _bytes(size["int8_bytes"]), (f"float {_bytes(size['float_bytes'])}", f"{ratio:.1f} times smaller"))]


def _coverage(nodes: dict[str, int]) -> list[Fact]:
    total = sum(nodes.values())
    if not total:
        return []
    blocks = [(p, nodes[p]) for p in IN_BLOCKS if nodes.get(p)]
    inside = nodes["int8"] + nodes["folded"] + sum(n for _, n in blocks)
    weights = [f"{n} with weights in {p}" for p, n in blocks]
    details = (f"{nodes['folded']} of them part of others", *weights, f"{nodes['float']} stayed float")
    return [Fact("Nodes in int8", f"{inside} of {total}", details)]


def _blame(report: dict[str, Any]) -> list[Fact]:
    """Where the noise comes from, and what to do."""
    found = []
    layers = blame(report)
    if layers:
        found.append(Fact("Most noise added by", layers[0][0], tuple(text for _, text in layers)))
    what, how = advice(report)
    return [*found, Fact("What to do", what, tuple(how) or ("int8 agrees with float, and nothing holds it up",))]


def _bytes(count: float) -> str:
    return f"{count / 1024:.1f} KiB" if count < 1 << 20 else f"{count / (1 << 20):.1f} MiB"
