"""One export through every stage, beside onnxruntime: what failed, decibels, milliseconds, what is on the host."""

from __future__ import annotations

import logging
import signal
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from math import log10
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime

import qglow
from qglow.errors import AccuracyError, in_one_line
from qglow.pipeline import float_graph
from qglow.report.latency import interleaved
from qglow.report.peers import onnxruntime_int8, onnxruntime_session
from qglow.runtime.step_profile import time_steps

from ..isolated import Say
from . import CALIBRATED

Arrays = dict[str, np.ndarray]
Row = dict[str, Any]
EXACT = 200.0  # decibels of equal outputs


def inputs_of(path: Path) -> list[list[Arrays]]:
    """Samples by shape: the profiled one first."""
    found: dict[int, dict[int, Arrays]] = {}
    with np.load(path.with_suffix(".npz")) as file:
        for key in file.files:
            shape, sample, name = key.split("/", 2)
            found.setdefault(int(shape), {}).setdefault(int(sample), {})[name] = file[key]
    return [[found[s][k] for k in sorted(found[s])] for s in sorted(found)]


def decibels(true: Sequence[Sequence[np.ndarray]], got: Sequence[Sequence[np.ndarray]]) -> list[float | None]:
    """Of each output over all samples; None where it is not of floats, or a shape differs, as of chosen boxes."""
    found: list[float | None] = []
    for ts, gs in zip(zip(*true, strict=True), zip(*got, strict=True), strict=True):
        if ts[0].dtype.kind != "f" or any(t.shape != g.shape for t, g in zip(ts, gs, strict=True)):
            found.append(None)
            continue
        t, g = (np.concatenate([np.asarray(a, np.float64).ravel() for a in x]) for x in (ts, gs))
        same = np.isfinite(t) == np.isfinite(g)
        finite = np.isfinite(t) & np.isfinite(g)
        signal_, noise = float((t[finite] ** 2).sum()), float(((t - g)[finite] ** 2).sum())
        if not same.all():
            found.append(-EXACT)
        elif noise == 0 or not finite.any():
            found.append(EXACT)
        else:
            found.append(round(10 * log10(max(signal_, 1e-300) / noise), 1))
    return found


def stage(row: Row, name: str, say: Say, make: Callable[[], Any]) -> Any:
    """What a stage makes, None where it fails: the row keeps the reason and the seconds."""
    say(name)
    start = time.perf_counter()
    try:
        made = make()
    except Exception as error:  # NOTE: a model that fails is a result, not a reason to stop
        row["failed"][name] = f"{type(error).__name__}: {in_one_line(error)}"
        return None
    row["seconds"][name] = round(time.perf_counter() - start, 3)
    return made


def answers(run: Callable[..., Any], samples: Sequence[Mapping[str, Any]]) -> list[list[np.ndarray]]:
    return [[np.asarray(a) for a in run(None, dict(s))] for s in samples]


def quantized(path: Path, samples: list[Arrays], row: Row, say: Say) -> qglow.Bundle | None:
    profile = stage(row, "profile", say, lambda: qglow.profile(str(path), samples))
    if profile is None:
        return None
    try:
        say("quantize")
        start = time.perf_counter()
        bundle = qglow.quantize(str(path), profile)
        row["seconds"]["quantize"] = round(time.perf_counter() - start, 3)
        return bundle
    except AccuracyError as error:  # NOTE: random weights may not bear int8; the peers' decibels say
        row["notes"].append(in_one_line(error)[:200])
        return error.bundle  # type: ignore[attr-defined,no-any-return]
    except Exception as error:
        row["failed"]["quantize"] = f"{type(error).__name__}: {in_one_line(error)}"
        return None


def peer(kind: str, path: Path, samples: list[Arrays], folder: Path) -> onnxruntime.InferenceSession:
    """onnxruntime's session of its own int8 form."""
    out = folder / f"{kind}.onnx"
    if kind == "ort_dynamic":
        from onnxruntime.quantization import quantize_dynamic

        quantize_dynamic(path, out, per_channel=True)
    else:
        onnxruntime_int8(path, out, samples)
    return onnxruntime_session(out, 1)


def measure(say: Say, path: Path, seconds: float, limit: int) -> Row:
    """The row of one model. seconds: of timing; 0: neither times nor peers. After `limit` seconds the process dies."""
    signal.alarm(limit)
    logging.disable(logging.WARNING)
    onnxruntime.set_default_logger_severity(4)
    row: Row = {"model": path.stem, "failed": {}, "seconds": {}, "notes": [], "db": {}, "times": {}, "host": {}}
    shapes = inputs_of(path)
    calibrated, tested = shapes[0][:CALIBRATED], [shapes[0][CALIBRATED:], *shapes[1:]]
    names = ("profiled", "other", "another")
    runs: dict[str, Callable[..., Any]] = {}
    ort = stage(row, "ort", say, lambda: onnxruntime_session(path, 1))
    if ort is None:
        return row
    runs["ort"] = ort.run
    true = {n: stage(row, f"ort {n}", say, partial(answers, ort.run, s)) for n, s in zip(names, tested, strict=True)}
    graph = stage(row, "import", say, lambda: float_graph(str(path)))
    if graph is None:
        return row
    floats = stage(row, "float session", say, lambda: qglow.InferenceSession(graph, 1))
    bundle = quantized(path, calibrated, row, say)
    session = stage(row, "session", say, lambda: qglow.InferenceSession(bundle, 1)) if bundle else None
    if bundle is not None:
        row["nodes"] = bundle.manifest.get("nodes")
    for kind, made in (("float", floats), ("int8", session)):
        for name, samples in zip(names, tested, strict=True):
            if made is not None and true[name] is not None:
                got = stage(row, f"{kind} {name}", say, partial(answers, made.run, samples))
                if got is not None:
                    row["db"][f"{kind} {name}"] = decibels(true[name], got)
                    runs[kind] = made.run
    with tempfile.TemporaryDirectory() as folder:
        for kind in ("ort_static", "ort_dynamic") if seconds > 0 else ():
            made = stage(row, kind, say, partial(peer, kind, path, calibrated, Path(folder)))
            got = made and stage(row, f"{kind} run", say, partial(answers, made.run, tested[0]))
            if got:
                row["db"][kind] = decibels(true["profiled"], got)
                runs[kind] = made.run
    if seconds > 0:
        say("time")
        calls = {kind: partial(run, None, tested[0][0]) for kind, run in runs.items()}
        row["times"] = interleaved(calls, seconds, most=1000)
    if session is not None and "int8" in runs:
        stage(row, "steps", say, partial(steps, row, session, tested[0][0]))
    return row


def steps(row: Row, session: qglow.InferenceSession, feeds: Arrays) -> None:
    """What runs on the host, and its share of the time."""
    found = time_steps(session, feeds, 2)
    whole = sum(s.seconds for s in found) or 1.0
    row["slowest"] = [
        [s.kind, s.name, round(s.seconds / whole, 3)] for s in sorted(found, key=lambda s: -s.seconds)[:5]
    ]
    for s in found:
        if s.host:
            row["host"][s.kind] = round(row["host"].get(s.kind, 0.0) + s.seconds / whole, 4)
