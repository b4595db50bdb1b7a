"""Whether int8 can be used, which layers the noise comes from, where the time goes, and what to do about it: the first
and the last facts of a report. A verdict that is not good never comes without something to do."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from ..words import counted
from .figures import OutputReport, Report
from .plots import FAIR_DB, POOR_DB, grade

CUT_OFF = 0.001  # share of a layer's values beyond its int8 range from which wider ranges are worth a try
HOST_SHARE = 0.2  # of the time, from which steps without a kernel are worth a word
POINTS = (1.0, 3.0)  # of accuracy lost, from which it is fair, and poor
NEAR_DB = 15.0  # a layer with so much less noise than the worst output explains nothing of it
SLOWER = 1.05  # of float's time, from which int8 is slower


@dataclass(frozen=True, slots=True)
class Verdict:
    """grade: good, fair or poor, empty where nothing was compared. said: why, in one sentence."""

    grade: str
    said: str


def verdict(report: Report) -> Verdict:
    """By what is wrong with outputs, by accuracy where labels are known, else by noise."""
    if report.complaints:
        name, said = next(iter(report.complaints.items()))
        more = (
            f"; {counted(len(report.complaints) - 1, 'other output')} disagree too"
            if len(report.complaints) > 1
            else ""
        )
        return Verdict("poor", f"int8 does not agree with float: output {name} has {said}{more}.")
    if not report.outputs:
        return Verdict("", "No output was compared.")
    lost, worst = points_lost(report.outputs), worst_ratio(report)
    if missed := _missed(report):
        return Verdict("poor" if grade(worst) == "poor" else "fair", f"{missed[0].upper()}{missed[1:]}.")
    where = "" if len(report.outputs) == 1 else " at its worst output"
    noise = "the outputs are equal" if worst >= 200 else f"signal to noise is {worst:.1f} dB{where}"
    unsure = _unsure(report)
    if lost is not None and lost >= POINTS[0]:
        quality = "poor" if lost >= POINTS[1] else "fair"
        return Verdict(quality, f"int8 loses {lost:.1f} points of top-1 accuracy; {noise}.{unsure}")
    if lost is not None:
        kept = "int8 is right as often as float" if lost > -0.05 else f"int8 is right in {-lost:.1f} points more"
        if lost >= 0.05:
            kept = f"int8 loses {lost:.1f} points of top-1 accuracy"
        return Verdict("good" if worst >= FAIR_DB else "fair", f"{kept}; {noise}.{unsure}")
    changed = classes_changed(report.outputs)
    if changed is not None and 100 * changed >= POINTS[0]:
        quality = "poor" if 100 * changed >= POINTS[1] or worst < POOR_DB else "fair"
        return Verdict(quality, f"int8 chooses another class than float on {changed:.1%} of the samples; {noise}.")
    words = {"good": "agrees with float", "fair": "differs from float", "poor": "differs much from float"}
    return Verdict(grade(worst), f"int8 {words[grade(worst)]}: {noise}.{unsure}")


def _unsure(report: Report) -> str:
    """A sentence where the samples are too few for the verdict: another one is within the interval too."""
    for e in report.outputs.values():
        if e.labelled and e.lost_low is not None and e.lost_high is not None:
            if not e.lost_low < POINTS[0] <= e.lost_high:
                return ""
            least = f"{-e.lost_low:.1f} points gained" if e.lost_low < 0 else f"{e.lost_low:.1f}"
            few = counted(e.labelled, "labelled sample")
            return f" With {few} this is uncertain: the 95 % interval is {least} to {e.lost_high:.1f} points lost."
    worst = min(report.outputs.values(), key=lambda e: e.ratio_db)
    low, high = worst.low_db, worst.high_db
    if low is None or high is None or grade(low) == grade(high):
        return ""
    few = counted(report.samples, "sample")
    return f" With {few} this is uncertain: the 95 % interval is {low:.1f} to {high:.1f} dB."


def points_lost(outputs: Mapping[str, OutputReport]) -> float | None:
    """Points of top-1 accuracy that int8 loses at the worst of the outputs with known classes; None without labels."""
    scores = [(e.top1_fp32, e.top1_int8) for e in outputs.values()]
    return max((100 * (real - int8) for real, int8 in scores if real is not None and int8 is not None), default=None)


def classes_changed(outputs: Mapping[str, OutputReport]) -> float | None:
    """Share of samples on which int8 chooses another class than float, of the worst output that chooses one."""
    same = [e.top1_agreement for e in outputs.values() if e.is_choice and e.top1_agreement is not None]
    return 1.0 - min(same) if same else None


def worst_ratio(report: Report) -> float:
    """Signal to noise of the worst output in dB; 200 where there is none."""
    return min((e.ratio_db for e in report.outputs.values()), default=200.0)


def blame(report: Report) -> list[tuple[str, str]]:
    """(name, what it adds) of the layers that are proposed to stay float."""
    rows = {r.name: r for r in report.layers}
    return [(n, f"{n}: {rows[n].op}, {rows[n].own_sqnr_db:.1f} dB alone") for n in report.proposed_exclude if n in rows]


def advice(report: Report) -> tuple[str, list[str]]:
    """What to do in a few words, and why and how in sentences; nothing where int8 agrees well and runs as it should."""
    found = [*_of_outputs(report), *_of_noise(report), *_of_target(report), *_of_share(report), *_of_time(report)]
    judged = verdict(report)
    if judged.grade != "good" and not found:
        found.append(("look at the outputs", judged.said))
    words = ", ".join(dict.fromkeys(w for w, _ in found if w)).capitalize()
    return words or "Nothing", [step for _, step in found]


Advice = list[tuple[str, str]]  # (what to do in a few words, why and how); no words: it goes with those before


def _of_outputs(report: Report) -> Advice:
    return [
        ("do not use this bundle", f"output {name!r} does not agree with float: {said}")
        for name, said in report.complaints.items()
    ]


def _of_noise(report: Report) -> Advice:
    worst, lost = worst_ratio(report), points_lost(report.outputs)
    changed = classes_changed(report.outputs) if lost is None else None
    off = lost if lost is not None else 100 * (changed or 0.0)
    if not report.outputs or (worst >= FAIR_DB and off < POINTS[0]):
        return []
    if lost is not None and lost < POINTS[0] and not report.complaints:
        return [(
            "use the class, not the scores",
            f"the chosen class is as good as float's, while signal to noise of the scores is {worst:.1f} dB; where the "
            f"scores matter, --min-sqnr-db {FAIR_DB:g} keeps layers float until they agree",
        )]  # fmt: skip
    target = f"--min-sqnr-db {max(FAIR_DB, 5 * (worst // 5 + 1)):g}"
    if lost is not None and lost >= POINTS[0]:
        target = f"--max-accuracy-drop {POINTS[0]:g}"
    own = {r.name: r.own_sqnr_db for r in report.layers}
    noisy = [n for n in report.proposed_exclude if (own.get(n) or 0.0) < worst + NEAR_DB]
    steps: Advice = []
    if noisy:
        options = " ".join(f"--exclude {n}" for n in noisy)
        steps.append(("keep layers float", f"qglow quantize {options}; or {target}, which chooses them"))
    else:
        why = "no int8 layer explains the difference: look at the inputs, and at steps that amplify small differences"
        steps.append(("look at the outputs", f"{why}; {target} tries which layers to keep float"))
    cut = [r.name for r in report.layers if r.spread and r.spread.clipped > CUT_OFF and r.op != "Quantize"]
    given = report.provenance.config.get("calibration") if report.provenance else None
    if cut and given != "minmax":
        others = " and others" if len(cut) > 3 else ""
        steps.append(("", f"--calibration minmax: {', '.join(cut[:3])}{others} have values cut off"))
    if worst < POOR_DB:
        steps.append(("", "look at the inputs: a wrong scale, mean or channel order costs more than int8"))
    return steps


def _missed(report: Report) -> str:
    """What of an accuracy target these samples, or those of the search, do not meet; empty where it holds."""
    target = report.target or {}
    db, points = target.get("min_sqnr_db"), target.get("max_accuracy_drop")
    worst, lost = worst_ratio(report), points_lost(report.outputs)
    if isinstance(db, (int, float)) and worst < db:
        return f"on these samples int8 is at {worst:.1f} dB, below the {db:g} dB that were asked for"
    if isinstance(points, (int, float)) and lost is not None and lost > points:
        return f"on these samples int8 loses {lost:.1f} points of top-1 accuracy; {points:g} at most were asked for"
    return "the search did not reach the accuracy that was asked for" if target.get("met") is False else ""


def _of_target(report: Report) -> Advice:
    missed = _missed(report)
    if not missed or report.complaints:
        return []
    return [
        (
            "search on more samples",
            "qglow quantize with --data of more samples like these, or a target that is easier to meet",
        )
    ]


def _of_share(report: Report) -> Advice:
    total, kept = sum(report.nodes.values()), report.nodes.get("float", 0)
    if not total or 2 * kept <= total:
        return []
    return [("see what stayed float", f"{kept} of {counted(total, 'node')} stayed float; why is below")]


def _of_time(report: Report) -> Advice:
    steps: Advice = []
    total, host = sum(s.seconds for s in report.steps), [s for s in report.steps if s.host]
    spent = sum(s.seconds for s in host)
    if total and spent > HOST_SHARE * total:
        kinds = sorted({s.kind for s in host}, key=lambda k: -sum(s.seconds for s in host if s.kind == k))
        share = f"{spent / total:.0%} of the time, {1e3 * spent:.3g} ms, is in steps without a kernel"
        steps.append(("mind the host steps", f"{share}: {', '.join(kinds[:4])}"))
    mine, real = (report.latency_ms.get(n, {}).get("min") for n in ("qglow int8", "onnxruntime fp32"))
    if mine and real and mine > SLOWER * real:
        steps.append(("mind the speed", f"onnxruntime on the float model is {mine / real:.2f} times as fast"))
    return steps
