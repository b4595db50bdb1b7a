"""qglow beside onnxruntime and OpenVINO, float and int8, interleaved in one run.

    python -m bench.peers                                        ResNet-50 and MobileNetV2 on one thread
    python -m bench.peers --quick --models resnet50,bert128      a quick look: int8 peers only, and what qglow runs on
    the host python -m bench.peers --all --threads 1,2 --json all.json    every network, and every real model that is
    found python -m bench.peers --quick --isa avx2                     qglow and OpenVINO held to one instruction set;
    onnxruntime cannot be

A cell is qglow's time over the peer's, of the minima and (of the medians, of the 99th percentiles): below 1 qglow is
faster. Every runtime gets the same model, input and number of threads. int8 peers run onnxruntime's QDQ model (u8
activations, s8 weights per channel), and OpenVINO also NNCF's where nncf is installed. Models in their int8 forms are
kept in the cache folder, so that a second run starts at once. The peer `litert`, which must be asked for, runs the
.tflite file of the same network, where one lies beside the repository: int8 in and out, without the copies of its
`set_tensor` and `get_tensor`. --io int8 and --bound have qglow called likewise. --clock cpu counts the processor time
of the process and not what passes on the wall: of one thread, on a machine whose CPUs other processes want too.

    python -m bench.peers --peers litert --io int8 --bound --models mobilenetv2,mlperftiny_vww_mobilenet025
"""

from __future__ import annotations

import argparse
import json
import logging
import os
import sys
import time
from collections.abc import Callable
from functools import partial
from math import exp, log
from pathlib import Path
from typing import Any

import onnxruntime

import qglow
from qglow.errors import in_one_line
from qglow.profiling import open_dataset
from qglow.record import NamedTuple
from qglow.report.latency import interleaved
from qglow.report.peers import onnxruntime_runner, openvino_runner
from qglow.runtime.step_profile import host_steps, plan_of

from . import options
from .contention import litert_runner
from .isolated import Crash, Say, isolated
from .models import CONVOLUTIONAL
from .prepared import Prepared, names, prepare

KEYS = ("min", "median", "p99")
PEERS = ("ort fp32", "ort int8", "ov fp32", "ov int8", "ov nncf")
QUICK = ("ort int8", "ov int8")
LITERT = "litert"
ORIGIN = "qglow"
CLOCKS = {"wall": time.perf_counter, "cpu": time.process_time}
ONEDNN = {"avx512_vnni": "AVX512_CORE_VNNI", "avx_vnni": "AVX2_VNNI", "avx2": "AVX2", "generic": "SSE41"}  # in OpenVINO
Call = Callable[[], Any]


def peer(name: str, model: Prepared, threads: int) -> Call:
    """A call of one peer on a model."""
    if name == LITERT:
        return litert_runner(model.name, threads)
    make = onnxruntime_runner if name.startswith("ort") else openvino_runner
    path = model.path if name.endswith("fp32") else model.nncf() if name.endswith("nncf") else model.qdq()
    return make(path, model.samples[0], threads)


class Way(NamedTuple):
    """How the runtimes are called and timed. io: of qglow, see QuantConfig; bound: qglow by a bound call; clock: a key
    of CLOCKS."""

    io: str = "float"
    bound: bool = False
    clock: str = "wall"


USUAL = Way()


def surely(
    name: str, folder: Path, threads: int, peers: tuple[str, ...], turns: int, seconds: float, way: Way
) -> dict[str, Any]:
    """`measure` in a child process, again without a peer that takes it down."""
    crashed: dict[str, str] = {}
    while True:
        left = tuple(p for p in peers if p not in crashed)
        try:
            row: dict[str, Any] = isolated(measure, prepare(name, folder), threads, left, turns, seconds, way)
            return {**row, "failed": {**row["failed"], **crashed}}
        except Crash as crash:
            if crash.doing not in left:  # while all ran in turns: nothing says which
                everything = dict.fromkeys((ORIGIN, *peers), str(crash))
                return {"model": name, "threads": threads, "times": {}, "failed": everything, "host": {}, "steps": 0}
            crashed[crash.doing] = str(crash)


def measure(
    say: Say, model: Prepared, threads: int, peers: tuple[str, ...], turns: int, seconds: float, way: Way = USUAL
) -> dict[str, Any]:
    """Times of all that work, and one line on each that does not. say: told which runtime runs, before it is called."""
    runs: dict[str, Call] = {}
    failed: dict[str, str] = {}
    host: dict[str, int] = {}
    steps = 0
    for name in (ORIGIN, *peers):
        say(name)
        try:
            if name == ORIGIN:
                config = qglow.QuantConfig(calibration="minmax", io=way.io)
                session = qglow.InferenceSession(model.bundle(config), threads)
                feeds = next(iter(open_dataset([model.samples[0]], session.graph))).feeds
                plan = plan_of(session, feeds)
                host = dict(host_steps(session, feeds).most_common())
                steps = len(plan.program.steps) if hasattr(plan, "program") else 0
                run: Call = session.bind(feeds) if way.bound else partial(session.run, None, feeds)
            else:
                run = peer(name, model, threads)
            run()
            runs[name] = run
        except Exception as error:  # NOTE: a runtime that cannot do a model is a result, not a reason to stop
            failed[name] = f"{type(error).__name__}: {in_one_line(error)}"
    say("turns")
    times = interleaved(runs, seconds, most=1000, turns=turns, clock=CLOCKS[way.clock]) if runs else {}
    return {"model": model.name, "threads": threads, "times": times, "failed": failed, "host": host, "steps": steps}


def ratio(row: dict[str, Any], name: str, key: str) -> float | None:
    times = row["times"]
    return times[ORIGIN][key] / times[name][key] if ORIGIN in times and name in times else None


def geomeans(rows: list[dict[str, Any]], peers: tuple[str, ...], key: str) -> dict[str, float]:
    """Geometric mean of the ratios to each peer, over the models where both work."""
    found = {p: [r for row in rows if (r := ratio(row, p, key)) is not None] for p in peers}
    return {p: exp(sum(map(log, rs)) / len(rs)) for p, rs in found.items() if rs}


def line(first: str, time: str, cells: list[str]) -> str:
    return f"{first:26s} {time:>23s}  " + "  ".join(f"{c:>17s}" for c in cells)


def cells_of(ratios: list[dict[str, float | None]], peers: tuple[str, ...]) -> list[str]:
    """Of each peer the ratios of KEYS."""
    low, middle, high = ratios
    return ["-" if low.get(p) is None else f"{low[p]:.2f} ({middle[p]:.2f}, {high[p]:.2f})" for p in peers]


def show(row: dict[str, Any], peers: tuple[str, ...], quick: bool) -> None:
    own = row["times"].get(ORIGIN)
    spent = f"{own['min']:.3f} ({own['median']:.3f}, {own['p99']:.3f})" if own else "failed"
    ratios = [{p: ratio(row, p, key) for p in peers} for key in KEYS]
    print(line(row["model"], spent, cells_of(ratios, peers)), flush=True)
    if quick and own:
        host = row["host"]
        listed = ", ".join(f"{n} {op}" for op, n in host.items()) or "none"
        whole = "" if row["steps"] else " (the whole model runs on the reference)"
        print(
            f"    host steps: {sum(host.values())} of {row['steps'] or sum(host.values())}{whole}: {listed}", flush=True
        )
    for name, why in row["failed"].items():
        print(f"    {name} failed: {why}", flush=True)


def known_peers(text: str) -> tuple[str, ...]:
    """Peers by comma, for argparse."""
    found = tuple(text.split(","))
    for p in found:
        if p not in (*PEERS, LITERT):
            raise argparse.ArgumentTypeError(f"no peer {p!r}; there are {', '.join((*PEERS, LITERT))}")
    return found


def arguments() -> argparse.Namespace:
    parser = options.parser(__doc__)
    options.add_models(parser, "resnet50,mobilenetv2")
    parser.add_argument("--all", action="store_true", help="every model that has a name")
    parser.add_argument("--threads", type=options.numbers, default="1", help="numbers of threads, by comma")
    parser.add_argument("--repeats", type=int, help="rounds over the runtimes, default 12, quick 5")
    parser.add_argument(
        "--seconds", type=float, default=4.0, help="a model whose rounds take longer is cut at four times this"
    )
    parser.add_argument(
        "--isa", choices=tuple(ONEDNN), help="hold qglow and OpenVINO to an instruction set; onnxruntime cannot be held"
    )
    parser.add_argument("--quick", action="store_true", help="few rounds, int8 peers only, and qglow's host steps")
    parser.add_argument("--peers", type=known_peers, default=None, help="by comma, of " + ", ".join((*PEERS, LITERT)))
    parser.add_argument("--io", choices=("float", "int8", "uint8"), default="float", help="of qglow's bundles")
    parser.add_argument("--bound", action="store_true", help="qglow by a call that is bound to its arrays")
    parser.add_argument("--clock", choices=tuple(CLOCKS), default="wall", help="what a call is timed by")
    options.add_json(parser)
    return parser.parse_args()


def main() -> int:
    given = arguments()
    logging.getLogger().setLevel(logging.ERROR)
    onnxruntime.set_default_logger_severity(3)
    peers = given.peers or (QUICK if given.quick else PEERS)
    if given.isa:
        os.environ |= {"QGLOW_ISA": given.isa, "ONEDNN_MAX_CPU_ISA": ONEDNN[given.isa]}
    turns = given.repeats or (5 if given.quick else 12)
    rows: list[dict[str, Any]] = []
    means: dict[str, dict[str, dict[str, float]]] = {}
    for threads in given.threads:
        print(line(f"{threads} thread(s)", "qglow ms", [f"/ {p}" for p in peers]))
        block = []
        for name in names() if given.all else given.models:
            block.append(
                surely(name, given.cache, threads, peers, turns, given.seconds, Way(given.io, given.bound, given.clock))
            )
            show(block[-1], peers, given.quick)
        groups = {"all": block, "convolutional": [r for r in block if r["model"] in CONVOLUTIONAL]}
        groups["other"] = [r for r in block if r not in groups["convolutional"]]
        for group, part in groups.items():
            mean = means[f"{threads} {group}"] = {key: geomeans(part, peers, key) for key in KEYS}
            if len(part) > 1 and (group == "all" or len(part) < len(block)):
                print(line(f"geometric mean, {group}", "", cells_of([dict(mean[key]) for key in KEYS], peers)))
        rows += block
        if given.json:
            given.json.write_text(json.dumps({"results": rows, "geomeans": means}, indent=1))
    return 0


if __name__ == "__main__":
    sys.exit(main())
