"""How much faster a session of several threads is than one of a single thread, on an idle machine.

    python -m bench.threads --models mobilenetv2,resnet50 --threads 2

Both sessions are in one process and take turns in blocks of some 50 ms: minimum, median and 99th percentile of a call
in milliseconds, and the ratios of minima and of medians. The minimum needs both cores idle for one call, the median
for half of them: what else runs shows in the medians first. `python -m bench.pieces` tells what is possible.
"""

from __future__ import annotations

import json
import sys
from time import perf_counter

import numpy as np

import qglow

from . import options
from .prepared import Prepared, prepare

BLOCK = 0.05


def times(model: Prepared, counts: list[int], seconds: float) -> dict[int, list[float]]:
    """Milliseconds of calls by number of threads, in turns for `seconds` in all."""
    sessions = {n: qglow.InferenceSession(model.bundle(), n) for n in counts}
    feeds = model.samples[0]
    found: dict[int, list[float]] = {n: [] for n in counts}
    for session in sessions.values():
        for _ in range(5):
            session.run(None, feeds)
    end = perf_counter() + seconds
    while perf_counter() < end:
        for n, session in sessions.items():
            block = perf_counter() + BLOCK
            while (start := perf_counter()) < block:
                session.run(None, feeds)
                found[n].append((perf_counter() - start) * 1e3)
    return found


def row(found: list[float]) -> dict[str, float]:
    """Milliseconds."""
    return {"min": min(found), "median": float(np.median(found)), "p99": float(np.percentile(found, 99))}


def main() -> int:
    parser = options.parser(__doc__)
    options.add_models(parser, "mobilenetv2")
    parser.add_argument("--threads", type=int, default=2, help="default %(default)s")
    parser.add_argument("--seconds", type=float, default=2.5, help="of each model, default %(default)s")
    options.add_json(parser)
    given = parser.parse_args()
    rows = {}
    print(f"min / median / p99, ms{'1 thread':>30}{given.threads:>22} threads      min  median")
    for name in given.models:
        found = times(prepare(name, given.cache), [1, given.threads], given.seconds)
        one, many = (row(t) for t in found.values())
        rows[name] = {"one": one, "many": many}
        cells = "".join(f"{' / '.join(f'{v:.3f}' for v in r.values()):>26}" for r in (one, many))
        print(f"{name:28s}{cells} {one['min'] / many['min']:8.2f}{one['median'] / many['median']:8.2f}", flush=True)
    if given.json:
        given.json.write_text(json.dumps(rows, indent=1) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
