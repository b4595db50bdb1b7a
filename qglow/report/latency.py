"""Latency of several runtimes on the same inputs, interleaved: minimum, median and 99th percentile of many."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

BLOCK_SECONDS = 0.01
Times = dict[str, dict[str, float]]


def interleaved(
    runs: Mapping[str, Callable[[], Any]], seconds: float = 2.0, most: int = 200, turns: int | None = None,
    least: int = 3, clock: Callable[[], float] = time.perf_counter,
) -> Times:  # fmt: skip
    """Call each in turn until the time is spent, or for a number of turns: {name: {"min": ms, "median": ms,
    "p99": ms, "runs": n}}.

    A call that is shorter than a block is repeated within its turn, after one that is not timed and warms the caches
    that the others filled. most: timed calls of each. least: rounds, whatever the time. turns: rounds; the time then
    only ends a measurement that is four times slower. clock: says the seconds of a call.
    """
    blocks = {name: _block(run, clock) for name, run in runs.items()}
    times: dict[str, list[float]] = {name: [] for name in runs}
    end = time.perf_counter() + (seconds if turns is None else 4 * seconds)
    done = 0
    while done < least or (time.perf_counter() < end and done != turns and any(len(t) < most for t in times.values())):
        for name, run in runs.items():
            if blocks[name] > 1:
                run()
            for _ in range(blocks[name]):
                start = clock()
                run()
                times[name].append((clock() - start) * 1e3)
        done += 1
    return {name: summary(t) for name, t in times.items()}


def summary(times: list[float]) -> dict[str, float]:
    """Of milliseconds of many calls."""
    return {
        "min": min(times),
        "median": float(np.median(times)),
        "p99": float(np.percentile(times, 99)),
        "runs": float(len(times)),
    }


def _block(run: Callable[[], Any], clock: Callable[[], float]) -> int:
    """Calls in one turn, after two that warm it up."""
    run()
    start = clock()
    run()
    return max(1, min(20, int(BLOCK_SECONDS / max(clock() - start, 1e-9))))
