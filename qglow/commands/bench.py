"""qglow bench: time a bundle beside other runtimes, interleaved in one run."""

from __future__ import annotations

import argparse
import json

import numpy as np

from ..errors import ConfigError
from ..files import write_atomically
from ..graph import Array, Kind
from ..report.latency import interleaved
from ..report.peers import onnxruntime_runner
from ..runtime import InferenceSession

EXAMPLES = """examples:
  qglow bench model.qglow
  qglow bench model.qglow model.onnx --threads 1 --vs onnxruntime,openvino
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("bundle", metavar="BUNDLE")
    parser.add_argument("model", metavar="MODEL.onnx", nargs="?", help="the float model, for the peers")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--vs", default="onnxruntime", help="peers, by comma: onnxruntime, openvino")
    parser.add_argument("--seconds", type=float, default=3.0, help="time to measure for")
    parser.add_argument("--json", metavar="FILE")


def run(options: argparse.Namespace) -> int:
    session = InferenceSession(options.bundle, options.threads)
    feeds = random_feeds(session)
    runs = {"qglow int8": lambda: session.run(None, feeds)}
    for peer in options.vs.split(",") if options.model else ():
        if peer == "onnxruntime":
            runs["onnxruntime fp32"] = onnxruntime_runner(options.model, feeds, options.threads)
        elif peer == "openvino":
            runs["openvino fp32"] = _openvino_runner(options.model, feeds, options.threads)
        else:
            raise ConfigError(f"--vs: unknown peer {peer!r}; known are onnxruntime, openvino")
    times = interleaved(runs, options.seconds)
    base = times["qglow int8"]["min"]
    for name, t in times.items():
        print(f"{name:20s} min {t['min']:9.3f} ms  median {t['median']:9.3f} ms  qglow takes {base / t['min']:.2f} of it")
    if options.json:
        write_atomically(options.json, json.dumps(times, indent=1).encode())
    return 0


def random_feeds(session: InferenceSession) -> dict[str, Array]:
    """Normal noise of every input's shape, 1 for symbolic dimensions."""
    rng = np.random.default_rng(0)
    feeds = {}
    for name in session.graph.inputs:
        t = session.graph.types[name]
        shape = tuple(d if isinstance(d, int) else 1 for d in t.shape or ())
        feeds[name] = rng.normal(0, 1, shape).astype(np.float32) if t.kind is Kind.F32 else np.zeros(shape, t.kind.dtype)
    return feeds


def _openvino_runner(model: str, feeds: dict[str, Array], threads: int):  # type: ignore[no-untyped-def]
    try:
        import openvino
    except ImportError as error:
        raise ConfigError("openvino is not installed: pip install qglow[peers]") from error
    settings = {"INFERENCE_NUM_THREADS": threads, "PERFORMANCE_HINT": "LATENCY", "INFERENCE_PRECISION_HINT": "f32"}
    request = openvino.Core().compile_model(model, "CPU", settings).create_infer_request()
    return lambda: request.infer(feeds)
