"""A bundle beside onnxruntime on the same model and data, float and its own int8: time in one interleaved run, and
signal to noise."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from ..errors import in_one_line
from ..graph import Array, Graph
from ..profiling.dataset import Dataset, Feeds, open_dataset
from ..runtime import InferenceSession
from ..runtime.machine_limits import MachineLimits, machine_roof
from ..runtime.step_profile import StepTime, time_steps
from .comparison import Comparison, comparison_of
from .latency import interleaved
from .peer_int8 import quantize_static_int8
from .peers import onnxruntime_session
from .verdict import worst_db

Run = Callable[[Feeds], list[Array]]
OURS, FLOAT, PEER = "qglow int8", "onnxruntime fp32", "onnxruntime int8"


@dataclass(slots=True)
class PeerComparison:
    """latency: times by runtime, as `interleaved`. noise: by int8 runtime, the worst output's signal-to-noise ratio
    over `samples`. notes: why a runtime is not there. steps: qglow's program, each step timed by itself. roof: what the
    machine can do at best.
    """

    latency: dict[str, dict[str, float]] = field(default_factory=dict)
    noise: dict[str, dict[str, float]] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    steps: list[StepTime] = field(default_factory=list)
    roof: MachineLimits | None = None


def time_beside_peers(
    bundle: str | Path, model: str | Path, graph: Callable[[], Graph], data: Any, threads: int = 1, samples: int = 8
) -> PeerComparison:
    """Time all three and qglow's steps on the first sample, and hold both int8 models against onnxruntime's float on a
    few."""
    session = InferenceSession(bundle, threads)
    opened = open_dataset(data, session.graph)
    few = opened.spread(samples)
    result = PeerComparison()
    runs: dict[str, Run] = {OURS: lambda feeds: session.run(None, feeds)}
    feeds = next(iter(few)).feeds
    for name, make in ((FLOAT, lambda: str(model)), (PEER, lambda: quantize_static_int8(model, graph, opened))):
        try:
            run = _onnxruntime(make(), threads, session.graph.outputs)
            run(feeds)
            runs[name] = run
        except Exception as error:
            why = f"{type(error).__name__}: {in_one_line(error)}"
            result.notes.append(f"{name} is not in the comparison, onnxruntime cannot make or run it ({why})")
    result.latency = interleaved({name: partial(run, feeds) for name, run in runs.items()})
    result.noise = _noise(runs, few)
    result.steps = time_steps(session, feeds, repeats=3)
    result.roof = machine_roof(session.threads) if result.steps else None
    return result


def _onnxruntime(model: str | bytes, threads: int, outputs: tuple[str, ...]) -> Run:
    session = onnxruntime_session(model, threads)
    return lambda feeds: session.run(list(outputs), feeds)


def _noise(runs: dict[str, Run], few: Dataset) -> dict[str, dict[str, float]]:
    """By int8 runtime: sqnr_db of its worst output against onnxruntime's float, and the number of samples."""
    if FLOAT not in runs:
        return {}
    rivals = {n: r for n, r in runs.items() if n != FLOAT}
    found: dict[str, dict[str, Comparison]] = {n: {} for n in rivals}
    count = 0
    for sample in few:
        count += 1
        real = runs[FLOAT](sample.feeds)
        for name, run in rivals.items():
            for k, (a, b) in enumerate(zip(real, run(sample.feeds), strict=True)):
                found[name].setdefault(str(k), comparison_of(a)).add(a, b)
    return {n: {"sqnr_db": round(worst_db(of), 3), "samples": count} for n, of in found.items()}
