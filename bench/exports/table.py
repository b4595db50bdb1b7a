"""Rows of all exports in a folder, one child process each, and what they come to."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from ..isolated import Crash, isolated
from .measure import measure

Row = dict[str, Any]
FLOAT_DB, BEHIND_DB = 80.0, 1.0
UNTOUCHED = 90.0  # decibels of a peer that quantized nothing on the way to an output
RUNS = ("profiled", "other", "another")


def rows(folder: Path, only: list[str], seconds: float, limit: int, again: bool) -> list[Row]:
    found = []
    for path in sorted(folder.glob("*.onnx")):
        kept = path.with_suffix(".json")
        if only and not path.stem.startswith(tuple(only)) or not path.with_suffix(".npz").exists():
            continue
        if again or not kept.exists():
            try:
                row = isolated(measure, path, seconds, limit)
            except (Crash, RuntimeError) as error:
                doing = error.doing if isinstance(error, Crash) else "measure"
                row = {"model": path.stem, "failed": {doing: str(error)}, "db": {}, "times": {}, "host": {}}
            kept.write_text(json.dumps(row, indent=1))
            print(line(row), flush=True)
        found.append(json.loads(kept.read_text()))
    return found


def failures(row: Row) -> dict[str, str]:
    """Stages of qglow that failed where onnxruntime did not."""
    return {k: v for k, v in row["failed"].items() if not k.startswith("ort")}


def worst(row: Row, key: str) -> float | None:
    found = [d for d in row["db"].get(key, ()) if d is not None]
    return min(found) if found else None


def wrong_floats(row: Row) -> list[str]:
    return [n for n in RUNS if (d := worst(row, f"float {n}")) is not None and d < FLOAT_DB]


def behind(row: Row) -> float | None:
    """Decibels below onnxruntime's static int8, of the worst output; None up to BEHIND_DB."""
    both = zip(row["db"].get("int8 profiled", ()), row["db"].get("ort_static", ()), strict=False)
    most = max((b - a for a, b in both if a is not None and b is not None and b < UNTOUCHED), default=0.0)
    return most if most > BEHIND_DB else None


def slower(row: Row) -> float | None:
    """Times the best of onnxruntime's, of the minima."""
    times = {k: t["min"] for k, t in row["times"].items()}
    peers = [t for k, t in times.items() if k.startswith("ort")]
    return times["int8"] / min(peers) if "int8" in times and peers else None


def line(row: Row) -> str:
    def db(key: str) -> str:
        found = worst(row, key)
        return "     -" if found is None else f"{found:6.1f}"

    def ms(key: str) -> str:
        return f"{row['times'][key]['min']:8.3f}" if key in row["times"] else "       -"

    ratio, missing = slower(row), failures(row)
    cells = " ".join(db(f"float {n}") for n in RUNS), " ".join(db(f"int8 {n}") for n in RUNS)
    text = f"{row['model']:38s} {cells[0]} | {cells[1]} | {db('ort_static')} {db('ort_dynamic')} | "
    text += " ".join(ms(k) for k in ("int8", "float", "ort", "ort_static", "ort_dynamic"))
    text += f" | {ratio:5.2f}" if ratio else " |     -"
    host = sum(row["host"].values())
    if host > 0.02:
        most = sorted(row["host"].items(), key=lambda kv: -kv[1])[:3]
        text += f"  host {host:.0%}: " + ", ".join(f"{k} {v:.0%}" for k, v in most)
    return text + "".join(f"\n    {k}: {v[:300]}" for k, v in missing.items())


HEAD = (
    f"{'':38s} float dB: profiled, 2 more | int8 dB: profiled, 2 more | onnxruntime static, dynamic | "
    "ms: int8, float, onnxruntime float, static, dynamic | of the best"
)


def show(found: list[Row]) -> None:
    print(HEAD)
    for row in found:
        print(line(row))
    ratios = [r for row in found if (r := slower(row)) is not None]
    print(f"{len(found)} exports; {sum('ort' in r['failed'] for r in found)} that onnxruntime does not load")
    for title, names in (
        ("fail in a stage", [r["model"] for r in found if failures(r)]),
        (f"float below {FLOAT_DB:.0f} dB", [r["model"] for r in found if wrong_floats(r)]),
        (f"int8 more than {BEHIND_DB:.0f} dB below onnxruntime's static int8",
         [f"{r['model']} ({d:.1f})" for r in found if (d := behind(r)) is not None]),
        ("slower than onnxruntime's best", [f"{r['model']} ({q:.2f})" for r in found if (q := slower(r) or 0) > 1]),
        ("more than 2 % of the time on the host", [r["model"] for r in found if sum(r["host"].values()) > 0.02]),
    ):  # fmt: skip
        print(f"{len(names)} {title}: {', '.join(names)}")
    if ratios:
        print(f"median of time over onnxruntime's best: {sorted(ratios)[len(ratios) // 2]:.2f}")
