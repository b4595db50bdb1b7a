"""Which layers the noise comes from, where the time goes, and what to do about it: the report's last facts."""

from __future__ import annotations

from .figures import Report
from .plots import FAIR_DB, POOR_DB

CUT_OFF = 0.001  # share of a layer's values beyond its int8 range from which wider ranges are worth a try
HOST_SHARE = 0.2  # of the time, from which steps without a kernel are worth a word


def blame(report: Report) -> list[tuple[str, str]]:
    """(name, what it adds) of the layers that are proposed to stay float."""
    rows = {r.name: r for r in report.layers}
    return [(n, f"{n}: {rows[n].op}, {rows[n].own_sqnr_db:.1f} dB alone") for n in report.proposed_exclude if n in rows]


def advice(report: Report) -> tuple[str, list[str]]:
    """What to do in a few words, and why and how in sentences; nothing where int8 agrees well and runs as it should."""
    steps: list[str] = []
    words = []
    for name, said in report.complaints.items():
        words.append("do not use this bundle")
        steps.append(f"output {name!r} does not agree with float: {said}")
    worst = min((e.ratio_db for e in report.outputs.values()), default=FAIR_DB)
    scores = [(e.top1_fp32, e.top1_int8) for e in report.outputs.values()]
    lost = max((real - int8 for real, int8 in scores if real is not None and int8 is not None), default=None)
    weak = worst < FAIR_DB if lost is None else lost > 0.01
    if weak and not report.proposed_exclude:
        words.append("look at the outputs")
        steps.append(
            "no int8 layer explains the difference: look at the inputs, and at steps that amplify small differences"
        )
    if weak and report.proposed_exclude:
        words.append("keep layers float")
        options = " ".join(f"--exclude {n}" for n in report.proposed_exclude)
        steps.append(f"qglow quantize {options}; or --min-sqnr-db 20, which chooses them")
        cut = [r.name for r in report.layers if r.spread and r.spread.clipped > CUT_OFF and r.op != "Quantize"]
        if cut:
            steps.append(
                f"--calibration minmax: {', '.join(cut[:3])}{' and others' if len(cut) > 3 else ''} have values cut off"
            )
        if worst < POOR_DB:
            steps.append("look at the inputs: a wrong scale, mean or channel order costs more than int8")
    total = sum(s.seconds for s in report.steps)
    host = [s for s in report.steps if s.host]
    spent = sum(s.seconds for s in host)
    if total and spent > HOST_SHARE * total:
        words.append("mind the host steps")
        kinds = sorted({s.kind for s in host}, key=lambda k: -sum(s.seconds for s in host if s.kind == k))
        steps.append(
            f"{spent / total:.0%} of the time, {1e3 * spent:.3g} ms, is in steps without a kernel: "
            f"{', '.join(kinds[:4])}"
        )
    return (", ".join(dict.fromkeys(words)).capitalize() or "Nothing"), steps
