"""Ways to quantize a subject: each gives the answers to its tests, and the seconds that quantizing took."""

from __future__ import annotations

import subprocess
import tempfile
import time
from collections.abc import Callable
from contextlib import redirect_stdout
from io import StringIO
from pathlib import Path

import numpy as np
import onnx

import qglow
from qglow.errors import AccuracyError
from qglow.profiling import Profile
from qglow.report.peers import onnxruntime_int8, onnxruntime_session

from ..prepared import COMPILING, FORM, PROFILING, modern, sources
from .subjects import Answers, Subject

HERE = Path(__file__).resolve().parent
CONFIGS: dict[str, dict[str, object]] = {
    "fast": {"calibration": "minmax", "balance_channels": False, "correct_bias": False},
    "default": {},
}
PEERS = ("MinMax", "Percentile", "Entropy", "NNCF")
Result = tuple[Answers, float]


class Absent(RuntimeError):
    """What a method needs is not installed."""


def version(method: str) -> str:
    """What the result of a method hangs on: for qglow its source."""
    return sources(COMPILING) if method in CONFIGS else str(FORM)


def run(method: str, subject: Subject, cache: Path, nncf: str | None) -> Result:
    """Raises whatever the method fails with; Absent where it is not installed."""
    if method == "fp32":
        return answers(onnxruntime_session(subject.path, 1).run, subject), 0.0
    if method in CONFIGS:
        return _qglow(subject, CONFIGS[method], cache)
    return _nncf(subject, nncf) if method == "NNCF" else _onnxruntime(subject, method)


def answers(call: Callable[..., list[np.ndarray]], subject: Subject) -> Answers:
    return [[np.asarray(a) for a in call(None, dict(s))] for s in subject.tests]


def profile(subject: Subject, cache: Path) -> Profile:
    """The profile of the calibration samples, kept in the cache."""
    kept = cache / f"{subject.name}.{sources(PROFILING)}.profile.json"
    if not kept.is_file():
        qglow.profile(str(subject.path), subject.calibration).save(kept)
    return Profile.load(kept)


def bundle(subject: Subject, config: dict[str, object], cache: Path) -> qglow.Bundle:
    """What is poor is measured too."""
    try:
        return qglow.quantize(str(subject.path), profile(subject, cache), config)
    except AccuracyError as error:
        return error.bundle  # type: ignore[attr-defined,no-any-return]


def _qglow(subject: Subject, config: dict[str, object], cache: Path) -> Result:
    profile(subject, cache)
    start = time.perf_counter()
    made = bundle(subject, config, cache)
    seconds = time.perf_counter() - start
    return answers(qglow.InferenceSession(made, 1).run, subject), seconds


def _onnxruntime(subject: Subject, method: str) -> Result:
    """Every operator that quantize_static knows; where it cannot load what it wrote, products alone."""
    with tempfile.TemporaryDirectory() as folder, redirect_stdout(StringIO()):  # NOTE: it prints what it collects
        out, source = Path(folder) / "int8.onnx", Path(folder) / "float.onnx"
        source.write_bytes(modern(onnx.load(subject.path)).SerializeToString())
        start = time.perf_counter()
        try:
            onnxruntime_int8(source, out, subject.calibration, None, method)
            seconds = time.perf_counter() - start
            return answers(onnxruntime_session(out, 1).run, subject), seconds
        except Exception:
            onnxruntime_int8(source, out, subject.calibration, ["Conv", "MatMul", "Gemm"], method)
            return answers(onnxruntime_session(out, 1).run, subject), time.perf_counter() - start


def _nncf(subject: Subject, python: str | None) -> Result:
    if python is None:
        raise Absent("absent")
    with tempfile.TemporaryDirectory() as folder:
        source, target = Path(folder) / "samples.npz", Path(folder) / "answers.npz"
        arrays = {
            f"{kind}/{k}/{name}": a
            for kind, samples in (("c", subject.calibration), ("t", subject.tests))
            for k, s in enumerate(samples)
            for name, a in s.items()
        }
        np.savez(source, **arrays)  # type: ignore[arg-type]
        command = [python, "-W", "ignore", str(HERE / "nncf_peer.py"), str(subject.path), str(source), str(target)]
        done = subprocess.run(
            [*command, *(["transformer"] if subject.family == "transformer" else [])],
            capture_output=True, text=True, timeout=900, check=False,
        )  # fmt: skip
        if done.returncode != 0:
            raise RuntimeError((done.stderr.strip().splitlines() or [f"exit code {done.returncode}"])[-1][:200])
        with np.load(target) as file:
            outputs = 1 + max(int(key.split("/")[1]) for key in file.files if "/" in key)
            found = [[file[f"{k}/{i}"] for i in range(outputs)] for k in range(len(subject.tests))]
            return found, float(file["seconds"])
