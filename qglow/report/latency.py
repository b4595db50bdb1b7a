"""Latency of a bundle beside onnxruntime's float on the same model and inputs, interleaved: minimum and median of many."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from ..profiling.dataset import open_dataset
from ..runtime import InferenceSession


def interleaved(runs: dict[str, Callable[[], Any]], seconds: float = 2.0, most: int = 200) -> dict[str, dict[str, float]]:
    """Call each in turn until the time is spent: {name: {"min": ms, "median": ms, "runs": n}}."""
    for run in runs.values():
        run()
        run()
    times: dict[str, list[float]] = {name: [] for name in runs}
    end = time.perf_counter() + seconds
    while time.perf_counter() < end and len(next(iter(times.values()))) < most:
        for name, run in runs.items():
            start = time.perf_counter()
            run()
            times[name].append((time.perf_counter() - start) * 1e3)
    return {n: {"min": min(t), "median": float(np.median(t)), "runs": float(len(t))} for n, t in times.items()}


def onnxruntime_runner(model: str | Path | bytes, feeds: dict[str, Any], threads: int) -> Callable[[], Any]:
    """A call of onnxruntime on a model with all graph optimizations."""
    import onnxruntime as ort

    options = ort.SessionOptions()
    options.intra_op_num_threads, options.log_severity_level = threads, 3
    session = ort.InferenceSession(model if isinstance(model, bytes) else str(model), options, providers=["CPUExecutionProvider"])
    return lambda: session.run(None, feeds)


def latencies(bundle: str | Path, model: str | Path, data: str | Path, threads: int) -> dict[str, dict[str, float]]:
    """The bundle on qglow and the float model on onnxruntime, on the first sample, equal thread counts."""
    session = InferenceSession(bundle, threads)
    feeds = next(iter(open_dataset(data, session.graph))).feeds
    return interleaved({"qglow int8": lambda: session.run(None, feeds), "onnxruntime fp32": onnxruntime_runner(model, feeds, threads)})
