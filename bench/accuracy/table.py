"""The table of results, and what they come to: qglow's default beside the better of the peers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from .agreement import Found, summary
from .methods import PEERS

Row = dict[str, Any]


def found(row: Row) -> Found | None:
    if "failed" in row:
        return None
    return summary(np.array(row["signal"], np.float64), np.array(row["noise"], np.float64), row.get("score"))


def text(rows: Sequence[Row], methods: Sequence[str]) -> str:
    lines = [f"{'model':26} {'method':10} {'dB':>6} {'90 %':>13} {'output':>6} {'sample':>6} {'score':>22} {'s':>6}"]
    by_model: dict[str, dict[str, Found]] = {}
    for name in dict.fromkeys(r["model"] for r in rows):
        for row in sorted((r for r in rows if r["model"] == name), key=lambda r: methods.index(r["method"])):
            f = found(row)
            lines.append(f"{name:26} {row['method']:10} " + (row["failed"][:80] if f is None else _cells(f, row)))
            if f is not None:
                by_model.setdefault(name, {})[row["method"]] = f
    return "\n".join([*lines, *_beside(by_model, {r["model"]: r["group"] for r in rows})])


def _cells(f: Found, row: Row) -> str:
    score = "" if f.score is None else f"{f.score[0]:6.2f} ({f.score[1]:.2f} to {f.score[2]:.2f})"
    between = f"{f.low:.1f} to {f.high:.1f}"
    return f"{f.mean:6.1f} {between:>13} {f.worst_output:6.1f} {f.worst_sample:6.1f} {score:>22} {row['seconds']:6.1f}"


def _beside(models: dict[str, dict[str, Found]], groups: dict[str, str]) -> list[str]:
    """default less the best peer, in the mean of each group, and every model where it is behind by 1 dB."""
    lines = [""]
    ahead = {
        name: of["default"].mean - max(of[p].mean for p in PEERS if p in of)
        for name, of in models.items()
        if "default" in of and any(p in of for p in PEERS)
    }
    for group in dict.fromkeys(groups.values()):
        values = [d for n, d in ahead.items() if groups[n] == group]
        if values:
            lines.append(f"{group}: {len(values)} models, default over the best peer: mean {np.mean(values):+.2f} dB, "
                         f"median {np.median(values):+.2f}, worst {min(values):+.2f}")  # fmt: skip
    behind = sorted((d, n) for n, d in ahead.items() if d < -1)
    return [*lines, *(f"behind: {n} {d:+.1f}" for d, n in behind)]


def changes(after: Sequence[Row], before: Sequence[Row]) -> str:
    """What changed between two files, by model and method, the largest losses first, and the means."""
    old = {(r["model"], r["method"]): f for r in before if (f := found(r)) is not None}
    pairs = [
        (f.mean - old[key].mean, key, f) for r in after if (key := (r["model"], r["method"])) in old and (f := found(r))
    ]
    lines = [
        f"{d:+6.2f} {key[0]} {key[1]}: {old[key].mean:.1f} -> {f.mean:.1f}"
        for d, key, f in sorted(pairs)
        if abs(d) > 0.3
    ]
    if pairs:
        d = np.array([p[0] for p in pairs])
        lines.append(
            f"{len(d)} results: mean {d.mean():+.2f} dB, median {np.median(d):+.2f}, "
            f"worst {d.min():+.2f}, best {d.max():+.2f}"
        )
    return "\n".join(lines)
