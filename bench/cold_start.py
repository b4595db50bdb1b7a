"""From nothing to the first answer in a fresh process, and the most memory that the process ever had: qglow beside its
peers.

    python -m bench.cold_start
    python -m bench.cold_start --models resnet50,bert128 --pairs 9 --json cold.json

Each process imports its runtime, loads the model, runs once, and then 20 times more. Processes of all runtimes
alternate. qglow's kernel library is in its cache, as it is after the first use on a machine; files are in the page
cache for everyone.
"""

from __future__ import annotations

import json
import logging
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np

import qglow
from qglow.errors import in_one_line

from . import options
from .children import Ran, run
from .prepared import Prepared, prepare

FEEDS = """
import sys, time
start = time.perf_counter()
import numpy as np
feeds = dict(np.load(sys.argv[2]))
"""
ANSWER = """
ready = time.perf_counter()
call()
first = time.perf_counter()
found = {"import_and_load": ready - start, "first_answer": first - start}
for _ in range(20): call()
"""
QGLOW = """
import qglow
session = qglow.InferenceSession(sys.argv[1], 1)
call = lambda: session.run(None, feeds)
"""
ONNXRUNTIME = """
import onnxruntime as ort
options = ort.SessionOptions()
options.intra_op_num_threads, options.log_severity_level = 1, 3
session = ort.InferenceSession(sys.argv[1], options, providers=["CPUExecutionProvider"])
call = lambda: session.run(None, feeds)
"""
OPENVINO = """
import openvino
settings = {"INFERENCE_NUM_THREADS": 1, "PERFORMANCE_HINT": "LATENCY", "INFERENCE_PRECISION_HINT": "f32"}
compiled = openvino.Core().compile_model(sys.argv[1], "CPU", settings)
request = compiled.create_infer_request()
by_port = {p: feeds[next(n for n in feeds if n in p.get_names())] for p in compiled.inputs}
call = lambda: request.infer(by_port)
"""
RUNTIMES: dict[str, tuple[str, Callable[[Prepared], Path]]] = {
    "qglow": (QGLOW, Prepared.bundle),
    "ort fp32": (ONNXRUNTIME, lambda m: m.path),
    "ort int8": (ONNXRUNTIME, Prepared.qdq),
    "ov fp32": (OPENVINO, lambda m: m.path),
    "ov int8": (OPENVINO, Prepared.qdq),
}


def measure(model: Prepared, pairs: int) -> dict[str, dict[str, float]]:
    """Numbers by runtime; a runtime that fails is left out, with a line."""
    # makes the kernel library where it is missing
    qglow.InferenceSession(model.bundle(), 1).run(None, model.samples[0])
    results: dict[str, list[Ran]] = {}
    with tempfile.TemporaryDirectory() as folder:
        feeds = Path(folder) / "feeds.npz"
        np.savez(feeds, **model.samples[0])  # type: ignore[arg-type]
        for turn in range(pairs):
            for name, (code, form) in RUNTIMES.items():
                if turn and name not in results:
                    continue
                try:
                    results.setdefault(name, []).append(run(FEEDS + code + ANSWER, str(form(model)), str(feeds)))
                except Exception as error:
                    print(f"{model.name}: {name} failed: {in_one_line(error)}")
    return {name: summary(runs) for name, runs in results.items()}


def summary(runs: list[Ran]) -> dict[str, float]:
    first = [r.found["first_answer"] for r in runs]
    return {
        "process_s": median(r.seconds for r in runs),
        "first_answer_s": median(first),
        "first_answer_min_s": min(first),
        "load_s": median(r.found["import_and_load"] for r in runs),
        "peak_mib": median(r.peak_mib for r in runs),
    }


def main() -> int:
    parser = options.parser(__doc__)
    options.add_models(parser, "resnet50,mobilenetv2,bert128")
    parser.add_argument("--pairs", type=int, default=5, help="processes of each runtime")
    options.add_json(parser)
    given = parser.parse_args()
    logging.getLogger().setLevel(logging.ERROR)
    results: dict[str, Any] = {}
    print(
        f"{'model':20s} {'runtime':10s} {'first answer ms':>16s} {'(min)':>8s} {'load ms':>9s} {'process ms':>11s} "
        f"{'peak MiB':>9s}"
    )
    for name in given.models:
        rows = results[name] = measure(prepare(name, given.cache), given.pairs)
        for runtime, r in rows.items():
            times = f"{r['first_answer_s'] * 1e3:16.0f} {r['first_answer_min_s'] * 1e3:8.0f} {r['load_s'] * 1e3:9.0f}"
            print(f"{name:20s} {runtime:10s} {times} {r['process_s'] * 1e3:11.0f} {r['peak_mib']:9.0f}", flush=True)
    if given.json:
        given.json.write_text(json.dumps(results, indent=1))
    return 0


if __name__ == "__main__":
    sys.exit(main())
