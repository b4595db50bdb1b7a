"""qglow bench: time a bundle beside other runtimes, interleaved in one run, and step by step."""

from __future__ import annotations

import argparse
import json
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import asdict
from math import prod
from pathlib import Path
from shutil import get_terminal_size
from typing import Any

import numpy as np

from ..errors import ConfigError, QGlowError, in_one_line
from ..files import check_writable, write_atomically
from ..graph import Array, DType
from ..limits import check_memory
from ..pipeline import float_graph
from ..profiling.dataset import Dataset, open_dataset
from ..report.latency import Times, interleaved
from ..report.peer_int8 import quantize_static_int8
from ..report.peers import PEERS, onnxruntime_runner, openvino_runner
from ..runtime import InferenceSession, load
from ..runtime.machine_limits import MachineLimits, machine_roof
from ..runtime.placement import symbolic_as_one
from ..runtime.step_profile import StepTime, host_cost, time_steps
from ..words import counted
from .options import above_zero, add_backend, model_first, whole_number
from .shapes import METAVAR, input_shapes

EXAMPLES = """examples:
  qglow bench model.qglow --per-layer
  qglow bench model.qglow model.onnx --data images/
  qglow bench model.qglow model.onnx --threads 1 --vs onnxruntime,openvino

Peers run the float model, and the int8 model that onnxruntime's quantize_static
makes of it. Without --data the inputs are noise, of the shapes that the profile
had, or those of --shape.
"""


MOST, NOISY = 100_000, 1.25  # calls of each runtime; a median over the minimum from which times are noisy

Calls = dict[str, Callable[[], Any]]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("bundle", metavar="BUNDLE")
    parser.add_argument("model", metavar="MODEL.onnx", nargs="?", help="the float model, for the peers")
    parser.add_argument(
        "--data", help="folder or file of samples (see README): time on its first sample, calibrate the peers on it"
    )
    parser.add_argument("--threads", type=whole_number, default=1, metavar="N", help="of every runtime (default 1)")
    parser.add_argument(
        "--shape",
        action="append",
        default=[],
        metavar=METAVAR,
        help="of an input (default: as in the profile, else 1 where symbolic)",
    )
    parser.add_argument("--vs", help="peers, by comma: onnxruntime, openvino (default onnxruntime, with a model)")
    parser.add_argument("--seconds", type=above_zero, default=3.0, help="time to measure for")
    parser.add_argument(
        "--per-layer", action="store_true", help="also time each instruction by itself, beside what the machine can do"
    )
    parser.add_argument("--json", metavar="FILE", help="the figures; - prints them, and nothing else")
    add_backend(parser)


def _check(options: argparse.Namespace) -> None:
    """Raises ConfigError, OutputError for options that do not go together, and files that cannot be."""
    if options.model:
        options.model, options.bundle = model_first([options.model, options.bundle])
    unknown = [p for p in _peers(options) if p not in PEERS]
    if unknown:
        said = f"--vs: unknown peer {unknown[0]!r}; known are {', '.join(PEERS)}"
        raise ConfigError(f"{said}; a model stands behind the bundle" if unknown[0].endswith(".onnx") else said)
    if options.vs is not None and not options.model:
        raise ConfigError("--vs needs the float model that the peers run: qglow bench BUNDLE MODEL.onnx --vs ...")
    if options.data and options.shape:
        raise ConfigError("--shape is for noise, and --data has inputs with shapes of their own: leave one out")
    if options.model and not Path(options.model).is_file():
        raise ConfigError(f"{options.model}: no such model file")
    if options.json and options.json != "-":
        check_writable(options.json, options.bundle, options.model)


def run(options: argparse.Namespace) -> int:
    _check(options)
    bundle = load(options.bundle)
    if options.model:
        bundle = bundle.with_float_io()  # NOTE: what the peers run takes floats
    session = InferenceSession(bundle, options.threads, backend=options.backend)
    known = bundle.manifest.get("profile", {}).get("shapes", {})
    shapes = input_shapes(session.graph, options.shape, known if isinstance(known, dict) else {})
    data = open_dataset(options.data, session.graph) if options.data else random_data(session, shapes)
    feeds = first_that_runs(session, data, bool(options.data))
    runs: Calls = {"qglow int8": lambda: session.run(None, feeds)}
    failed: dict[str, str] = {}
    with tempfile.TemporaryDirectory() as folder:
        if options.model:
            _add_peers(runs, failed, options, feeds, data, Path(folder) / "peer.onnx")
        times = interleaved(runs, options.seconds, most=MOST, least=1)
    sizes = {n: list(a.shape) for n, a in feeds.items()}
    result: dict[str, Any] = {"shapes": sizes, "latency_ms": times, "failed": failed}
    steps = time_steps(session, feeds, native=options.per_layer)
    roof = machine_roof(session.threads) if options.per_layer and session.backend == "native" else None
    if options.per_layer:
        result |= {"machine": asdict(roof) if roof else None, "steps": [asdict(s) for s in steps]}
    result["host_steps"] = [asdict(s) for s in steps if s.host]
    if options.json == "-":
        print(json.dumps(result, indent=1))
        return 0
    print("inputs: " + ", ".join(f"{n} {'x'.join(map(str, s)) or 'scalar'}" for n, s in sizes.items()))
    print_times(times)
    for name, why in failed.items():
        print(f"{name:18s} failed: {why}")
    if options.per_layer:
        print_steps(steps, roof)
    if line := host_cost(steps):
        print(f"of qglow's time {line}")
    if options.json:
        write_atomically(options.json, json.dumps(result, indent=1).encode())
    return 0


def _peers(options: argparse.Namespace) -> list[str]:
    return (options.vs or "onnxruntime").split(",")


def _add_peers(
    runs: Calls, failed: dict[str, str], options: argparse.Namespace, feeds: dict[str, Array], data: Dataset, out: Path
) -> None:
    """Calls of every peer on the float model and on the int8 one; a float model that fails is an error, an int8 one is
    a line."""
    makers = {"onnxruntime": onnxruntime_runner, "openvino": openvino_runner}
    for peer in _peers(options):
        try:
            call = makers[peer](options.model, feeds, options.threads)
            call()
        except QGlowError:
            raise
        except Exception as error:
            raise ConfigError(
                f"{options.model}: {peer} cannot run it on the bundle's inputs: {in_one_line(error)}"
            ) from error
        runs[f"{peer} fp32"] = call
    try:
        out.write_bytes(quantize_static_int8(options.model, lambda: float_graph(options.model), data))
    except Exception as error:  # NOTE: another tool's failure, of any type, is no reason not to measure the rest
        failed |= {
            f"{p} int8": f"onnxruntime cannot quantize this model: {in_one_line(error)}" for p in _peers(options)
        }
        return
    for peer in _peers(options):
        try:
            call = makers[peer](out, feeds, options.threads)
            call()
            runs[f"{peer} int8"] = call
        except Exception as error:
            failed[f"{peer} int8"] = in_one_line(error)


def print_times(times: Times) -> None:
    """A row for each runtime: its latencies, and its median over qglow's. A median far from the minimum is noise."""
    base = times["qglow int8"]["median"]
    print(f"{'':18s} {'min':>9s} {'median':>9s} {'p99':>9s} ms  {'median, qglow = 1':>17s}")
    for name, t in times.items():
        print(f"{name:18s} {t['min']:9.3f} {t['median']:9.3f} {t['p99']:9.3f} ms  {t['median'] / base:17.2f}")
    if noisy := [name for name, t in times.items() if t["median"] > NOISY * t["min"]]:
        print(f"noisy: {', '.join(noisy)}\n  (half of the runs took long beside the fastest; is the machine busy?)")


def print_steps(steps: list[StepTime], roof: MachineLimits | None) -> None:
    """A row for each instruction, then the sum by kind. roof: what the machine can do; None: nothing is compared with
    it."""
    if not steps:
        print("no steps: there is nothing to compute")
        return
    total = sum(s.seconds for s in steps)
    if roof:
        print(f"machine: {roof.peak / 1e9:.0f} GOP/s, reads {roof.memory / 1e9:.0f} GB/s from memory and "
              f"{roof.cache / 1e9:.0f} from a "
              f"cache, {counted(roof.threads, 'thread')}")  # fmt: skip
    width = max(80, get_terminal_size((80, 24)).columns)
    print(f"{'step':>5s} {'kind':14s} {'us':>9s} {'%':>5s} {'GOP/s':>8s} {'of peak':>7s} {'GB/s':>7s}  what")
    for s in steps:
        row = _row(("host " if s.host else "") + s.kind, s.seconds, total, s.ops, s.moved, roof)
        said = f"{s.index:5d} {row}  {s.shape} {s.name}"
        print(said if len(said) <= width else f"{said[: width - 3]}...")
    for kind in sorted(
        {(s.host, s.kind) for s in steps}, key=lambda k: -sum(s.seconds for s in steps if (s.host, s.kind) == k)
    ):
        part = [s for s in steps if (s.host, s.kind) == kind]
        sums = sum(s.seconds for s in part), total, sum(s.ops for s in part), sum(s.moved for s in part)
        print(f"{'sum':>5s} {_row(('host ' if kind[0] else '') + kind[1], *sums, roof)}  {counted(len(part), 'step')}")


def _row(kind: str, seconds: float, total: float, ops: int, moved: int, roof: MachineLimits | None) -> str:
    text = f"{kind:14.14s} {seconds * 1e6:9.1f} {100 * seconds / total:5.1f}"
    if not ops:
        return f"{text} {'-':>8s} {'-':>7s} {'-':>7s}"
    of_peak = f"{100 * ops / seconds / roof.peak:6.1f}%" if roof else f"{'-':>7s}"
    return f"{text} {ops / seconds / 1e9:8.1f} {of_peak} {moved / seconds / 1e9:7.1f}"


def first_that_runs(session: InferenceSession, data: Dataset, real: bool) -> dict[str, Array]:
    """The first sample, run once. Raises ConfigError where noise is not what the model can run on."""
    feeds = next(iter(data)).feeds
    try:
        session.run(None, feeds)
    except Exception as error:  # NOTE: a length, an index or a state that noise cannot stand for fails anywhere
        if real:
            raise
        shapes = ", ".join(f"{n} {list(a.shape)}" for n, a in feeds.items())
        raise ConfigError(
            f"the model does not run on noise ({shapes}; {in_one_line(error)}); give real inputs with --data, or "
            "--shape"
        ) from error
    return feeds


def random_data(session: InferenceSession, shapes: Mapping[str, tuple[int, ...]] | None = None) -> Dataset:
    """One sample: normal noise of every input's shape, by default 1 for symbolic dimensions."""
    rng = np.random.default_rng(0)
    feeds = {}
    for name, shape in (symbolic_as_one(session.graph) if shapes is None else shapes).items():
        t = session.graph.types[name]
        check_memory(8 * prod(shape), f"input {name!r}: noise of its shape")
        feeds[name] = (
            rng.normal(0, 1, shape).astype(np.float32) if t.dtype is DType.F32 else np.zeros(shape, t.dtype.numpy)
        )
    return open_dataset([feeds], session.graph)
