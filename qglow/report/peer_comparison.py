"""A bundle beside onnxruntime on the same model and data, float and its own int8: time in one interleaved run, and
signal to noise."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from ..errors import in_one_line
from ..graph import Array, Graph
from ..profiling.dataset import Dataset, Feeds, open_dataset
from ..progress import track
from ..runtime import InferenceSession, load
from ..runtime.machine_limits import MachineLimits, machine_roof
from ..runtime.step_profile import StepTime, time_steps
from .comparison import Comparison, comparison_of
from .latency import Times, interleaved
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
    bundles: Sequence[str | Path], model: str | Path, graph: Callable[[], Graph], data: Any, threads: int = 1,
    samples: int = 8, quiet: bool = True,
) -> list[PeerComparison]:  # fmt: skip
    """Time each bundle and both forms of onnxruntime in one interleaved run, and the bundles' steps, on the first
    sample; hold all int8 models against onnxruntime's float on a few. One result a bundle, in order. A bundle with
    quantized inputs and outputs is run with floats, which are what the others take."""
    sessions = [InferenceSession(load(bundle).with_float_io(), threads) for bundle in bundles]
    opened = open_dataset(data, sessions[0].graph)
    few = opened.spread(samples)
    runs: dict[str, Run] = {_ours(k): partial(session.run, None) for k, session in enumerate(sessions)}
    notes = []
    feeds = next(iter(few)).feeds
    peers: tuple[tuple[str, Callable[[], str | bytes]], ...] = (
        (FLOAT, lambda: str(model)), (PEER, lambda: quantize_static_int8(model, graph, opened)),
    )  # fmt: skip
    for name, make in track(peers, "preparing onnxruntime, float and its own int8", len(peers), quiet):
        try:
            run = _onnxruntime(make(), threads, sessions[0].graph.outputs)
            run(feeds)
            runs[name] = run
        except Exception as error:
            why = f"{type(error).__name__}: {in_one_line(error)}"
            notes.append(f"{name} is not in the comparison, onnxruntime cannot make or run it ({why})")
    # NOTE: without a bar, which is drawn by a thread of its own, while anything is timed
    latency = interleaved({name: partial(run, feeds) for name, run in runs.items()})
    noise = _noise(runs, few, quiet)
    return [
        _of_one(k, PeerComparison(latency, noise, notes, time_steps(session, feeds, repeats=3)), session.threads)
        for k, session in enumerate(sessions)
    ]


def _ours(index: int) -> str:
    return f"{OURS} {index}"


def _of_one(index: int, found: PeerComparison, threads: int) -> PeerComparison:
    """What was found, with one bundle of several under the name that any one has."""

    def own(table: Times) -> Times:
        mine = {OURS: table[_ours(index)]} if _ours(index) in table else {}
        return mine | {name: row for name, row in table.items() if not name.startswith(OURS)}

    roof = machine_roof(threads) if found.steps else None
    return PeerComparison(own(found.latency), own(found.noise), found.notes, found.steps, roof)


def _onnxruntime(model: str | bytes, threads: int, outputs: tuple[str, ...]) -> Run:
    session = onnxruntime_session(model, threads)
    return lambda feeds: session.run(list(outputs), feeds)


def _noise(runs: dict[str, Run], few: Dataset, quiet: bool) -> dict[str, dict[str, float]]:
    """By int8 runtime: sqnr_db of its worst output against onnxruntime's float, and the number of samples."""
    if FLOAT not in runs:
        return {}
    rivals = {n: r for n, r in runs.items() if n != FLOAT}
    found: dict[str, dict[str, Comparison]] = {n: {} for n in rivals}
    count = 0
    for sample in track(few, "comparing with onnxruntime", few.total, quiet):
        count += 1
        real = runs[FLOAT](sample.feeds)
        for name, run in rivals.items():
            for k, (a, b) in enumerate(zip(real, run(sample.feeds), strict=True)):
                found[name].setdefault(str(k), comparison_of(a)).add(a, b)
    return {n: {"sqnr_db": round(worst_db(of), 3), "samples": count} for n, of in found.items()}
