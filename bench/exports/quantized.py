"""The exports as onnxruntime quantizes them, three forms each, through qglow by their own integers: decibels beside
onnxruntime without graph optimization, and times beside onnxruntime with all of it."""

from __future__ import annotations

import logging
import signal
import statistics
import tempfile
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_static

import qglow
from qglow.errors import in_one_line
from qglow.report.latency import interleaved
from qglow.report.peers import onnxruntime_session

from ..isolated import Crash, Say, isolated
from . import CALIBRATED
from .measure import Row, decibels, inputs_of, steps

FORMS: dict[str, dict[str, Any]] = {
    "u8": {"activation_type": QuantType.QUInt8, "weight_type": QuantType.QUInt8},
    "s8": {"activation_type": QuantType.QInt8, "weight_type": QuantType.QInt8, "per_channel": True},
    "qop": {"activation_type": QuantType.QUInt8, "weight_type": QuantType.QInt8, "quant_format": QuantFormat.QOperator},
}


class Samples(CalibrationDataReader):  # type: ignore[misc]
    def __init__(self, samples: list[dict[str, np.ndarray]]) -> None:
        self.left = iter(samples)

    def get_next(self) -> dict[str, np.ndarray] | None:
        return next(self.left, None)


def measure(say: Say, path: Path, form: str, seconds: float, limit: int) -> Row:
    """One form of one model. After `limit` seconds the process dies. Where onnxruntime fails the row says so."""
    signal.alarm(limit)
    logging.disable(logging.WARNING)
    onnxruntime.set_default_logger_severity(4)
    row: Row = {"model": path.stem, "form": form, "failed": {}, "seconds": {}, "db": [], "times": {}, "host": {}}
    samples = inputs_of(path)[0]
    feeds = samples[CALIBRATED]
    with tempfile.TemporaryDirectory() as folder:
        made = Path(folder) / "q.onnx"
        say("ort")
        try:
            quantize_static(path, made, Samples(samples[:CALIBRATED]), **FORMS[form])
            options = onnxruntime.SessionOptions()
            options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
            plain = onnxruntime.InferenceSession(made, options, providers=["CPUExecutionProvider"])
            want, best = plain.run(None, feeds), onnxruntime_session(made, 1)
            best.run(None, feeds)
        except Exception as error:  # NOTE: it is the peer's own form, and not every model has one that it runs
            row["failed"]["ort"] = in_one_line(error)[:200]
            return row
        say("qglow")
        try:
            session = qglow.InferenceSession(qglow.quantize(str(made)), 1)
        except qglow.QGlowError as error:
            row["failed"]["quantize"] = in_one_line(error)
            return row
        row["db"] = decibels([want], [session.run(None, feeds)])
        say("time")
        calls = {"int8": partial(session.run, None, feeds), "ort": partial(best.run, None, feeds)}
        row["times"] = interleaved(calls, seconds, most=1000)
        steps(row, session, feeds)
    return row


def rows(folder: Path, only: list[str], seconds: float, limit: int) -> list[Row]:
    found = []
    for path in sorted(folder.glob("*.onnx")):
        if (only and not path.stem.startswith(tuple(only))) or not path.with_suffix(".npz").exists():
            continue
        for form in FORMS:
            try:
                row = isolated(measure, path, form, seconds, limit)
            except (Crash, RuntimeError) as error:
                doing = error.doing if isinstance(error, Crash) else "measure"
                row = {"model": path.stem, "form": form, "failed": {doing: str(error)}, "db": [], "times": {}}
            found.append(row)
            print(line(row), flush=True)
    return found


def ratio(row: Row) -> float | None:
    return row["times"]["int8"]["min"] / row["times"]["ort"]["min"] if row["times"] else None


def line(row: Row) -> str:
    text = f"{row['model']:38s} {row['form']:4s}"
    if not row["times"]:
        return f"{text} " + "; ".join(f"{k}: {v}" for k, v in row["failed"].items())
    known = [d for d in row["db"] if d is not None]
    host = sum(row["host"].values())
    text += f" {min(known):6.1f} dB" if known else "      - dB"
    return f"{text} {ratio(row):5.2f}" + (f"  host {host:.0%}" if host > 0.02 else "")


def show(found: list[Row]) -> None:
    """What the rows come to."""
    run = [r for r in found if r["times"]]
    print(f"{len(found)} forms; {sum('ort' in r['failed'] for r in found)} that onnxruntime does not make or run")
    named = [f"{r['model']} {r['form']}" for r in found if r["failed"] and "ort" not in r["failed"]]
    print(f"{len(named)} that qglow refuses: {', '.join(named)}")
    slow = sorted(((ratio(r) or 0.0, f"{r['model']} {r['form']}") for r in run), reverse=True)
    slow = [s for s in slow if s[0] > 1]
    print(f"{len(slow)} slower than onnxruntime: " + ", ".join(f"{name} ({times:.2f})" for times, name in slow))
    for form in FORMS:
        times = [t for r in run if r["form"] == form and (t := ratio(r))]
        if times:
            print(
                f"{form}: median {statistics.median(times):.2f}, geometric mean {statistics.geometric_mean(times):.2f}"
            )
