"""Latency on a busy machine: qglow beside onnxruntime, OpenVINO and LiteRT while other processes want the CPUs.

    python -m bench.contention                                       MobileNetV2, no load to four busy processes, one
    and two threads python -m bench.contention --models mobilenetv2,mobilefacenet --loads 0,2,4,sessions,spin --threads
    2 --json busy.json

A load is a number of busy processes, or `sessions`: two threads of one process, each with a session of its own, or
`spin`: before each timed call onnxruntime runs in the same process, and its threads spin. Every runtime has a process
of its own, so that none meets another's threads but in `spin`; they take turns in blocks of some 60 ms. A cell is the
median and the 99th percentile in milliseconds. onnxruntime is measured as it comes, its threads spinning, and with
`session.intra_op.allow_spinning` off. LiteRT runs models that lie beside the repository as .tflite files.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from multiprocessing.connection import Connection
from typing import Any

import numpy as np

from . import options
from .models.real import litert_file
from .prepared import Prepared, prepare

Call = Callable[[], Any]
RUNTIMES = ("qglow", "ort", "ort no spin", "openvino", "litert")
BLOCK = 0.06  # seconds of one runtime's turn


def busy() -> None:
    """What a busy process does."""
    while True:
        pass


def call_of(runtime: str, model: Prepared, threads: int) -> Call:
    """A call of a runtime on a model's first sample."""
    feeds = model.samples[0]
    if runtime == "qglow":
        import qglow

        session = qglow.InferenceSession(model.bundle(), threads)
        return lambda: session.run(None, feeds)
    if runtime == "openvino":
        from qglow.report.peers import openvino_runner

        return openvino_runner(model.qdq(), feeds, threads)
    if runtime == "litert":
        return litert_runner(model.name, threads)
    return onnxruntime_runner(model, threads, runtime == "ort")


def onnxruntime_runner(model: Prepared, threads: int, spins: bool) -> Call:
    """onnxruntime as it comes; its threads spin between two runs, unless told not to."""
    import onnxruntime

    settings = onnxruntime.SessionOptions()
    settings.intra_op_num_threads, settings.log_severity_level = threads, 3
    settings.add_session_config_entry("session.intra_op.allow_spinning", str(int(spins)))
    session = onnxruntime.InferenceSession(str(model.qdq()), settings, providers=["CPUExecutionProvider"])
    return lambda: session.run(None, model.samples[0])


def litert_runner(name: str, threads: int) -> Call:
    """LiteRT on its own file of a network. Raises LookupError where there is none."""
    from ai_edge_litert.interpreter import Interpreter

    interpreter = Interpreter(str(litert_file(name)), num_threads=threads)
    interpreter.allocate_tensors()
    rng = np.random.default_rng(0)
    for detail in interpreter.get_input_details():
        limits = np.iinfo(detail["dtype"])
        interpreter.set_tensor(
            detail["index"], rng.integers(limits.min, limits.max, detail["shape"], detail["dtype"], True)
        )
    return interpreter.invoke  # type: ignore[no-any-return]


def timed(call: Call, count: int, before: Call | None = None) -> list[float]:
    """Milliseconds of each of so many calls. before: is called before each, untimed."""
    times = []
    for _ in range(count):
        if before is not None:
            before()
        start = time.perf_counter()
        call()
        times.append((time.perf_counter() - start) * 1e3)
    return times


def at_once(calls: list[Call], count: int) -> list[float]:
    """The same of several calls, each in a thread."""
    found: list[list[float]] = [[] for _ in calls]

    def run(k: int) -> None:
        found[k] = timed(calls[k], count)

    threads = [threading.Thread(target=run, args=(k,)) for k in range(len(calls))]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    return [t for one in found for t in one]


def serve(pipe: Connection, runtime: str, model: Prepared, threads: int) -> None:
    """A runtime's process: answers (load, count) with the times of so many calls, or the reason why there are none."""
    calls: dict[str, Call] = {}
    try:
        calls["first"] = call_of(runtime, model, threads)
        timed(calls["first"], 3)
    except Exception as error:  # NOTE: a runtime that cannot do a model is a result, not a reason to stop
        pipe.send(f"{type(error).__name__}: {error}")
        return
    pipe.send("")
    while (asked := pipe.recv()) is not None:
        load, count = asked
        if load == "sessions":
            if "second" not in calls:
                calls["second"] = call_of(runtime, model, threads)
            pipe.send(at_once([calls["first"], calls["second"]], count))
            continue
        if load == "spin" and "spin" not in calls:
            calls["spin"] = onnxruntime_runner(model, 2, True)
        timed(calls["first"], 1)
        pipe.send(timed(calls["first"], count, calls["spin"] if load == "spin" else None))


@contextmanager
def processes(count: int) -> Iterator[None]:
    """So many busy processes."""
    context = multiprocessing.get_context("spawn")
    others = [context.Process(target=busy, daemon=True) for _ in range(count)]
    for p in others:
        p.start()
    if others:
        time.sleep(0.5)
    try:
        yield
    finally:
        for p in others:
            p.kill()
            p.join()


@contextmanager
def runtimes(
    model: Prepared, threads: int, names: tuple[str, ...]
) -> Iterator[tuple[dict[str, Connection], dict[str, str]]]:
    """A process of each runtime that can do the model, and why the others cannot."""
    context = multiprocessing.get_context("spawn")
    pipes: dict[str, Connection] = {}
    failed: dict[str, str] = {}
    children = []
    for name in names:
        ours, theirs = context.Pipe()
        child = context.Process(target=serve, args=(theirs, name, model, threads), daemon=True)
        child.start()
        children.append(child)
        theirs.close()
        why = ours.recv()
        if why:
            failed[name] = why
        else:
            pipes[name] = ours
    try:
        yield pipes, failed
    finally:
        for child in children:
            child.kill()
            child.join()


def measure(pipes: dict[str, Connection], load: str, seconds: float) -> dict[str, list[float]]:
    """Times of each runtime under a load, in turns."""
    times: dict[str, list[float]] = {name: [] for name in pipes}
    counts = {}
    for name, pipe in pipes.items():
        counts[name] = max(1, min(50, int(BLOCK * 1e3 / float(np.median(ask(pipe, load, 3))))))
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        for name, pipe in pipes.items():
            times[name] += ask(pipe, load, counts[name])
    return times


def ask(pipe: Connection, load: str, count: int) -> list[float]:
    pipe.send((load, count))
    found: list[float] = pipe.recv()
    return found


def row_of(times: dict[str, list[float]]) -> dict[str, dict[str, float]]:
    return {
        n: {"median": float(np.median(t)), "p99": float(np.percentile(t, 99)), "runs": float(len(t))}
        for n, t in times.items()
    }


def show(threads: int, load: str, row: dict[str, dict[str, float]], names: tuple[str, ...]) -> None:
    cells = [f"{row[n]['median']:7.2f} /{row[n]['p99']:7.2f}" if n in row else f"{'-':>7s}  {'':7s}" for n in names]
    print(f"{threads:7d} {load:>9s}  " + "  ".join(f"{c:>16s}" for c in cells), flush=True)


def loads(text: str) -> list[str]:
    """Loads by comma, for argparse."""
    found = text.split(",")
    for one in found:
        if one not in ("sessions", "spin") and not one.isdecimal():
            raise argparse.ArgumentTypeError(f"no load {one!r}: a number of busy processes, sessions or spin")
    return found


def runtime_names(text: str) -> tuple[str, ...]:
    """Runtimes by comma, for argparse."""
    found = tuple(text.split(","))
    for one in found:
        if one not in RUNTIMES:
            raise argparse.ArgumentTypeError(f"no runtime {one!r}; there are {', '.join(RUNTIMES)}")
    return found


def arguments() -> argparse.Namespace:
    parser = options.parser(__doc__)
    options.add_models(parser, "mobilenetv2")
    parser.add_argument("--threads", type=options.numbers, default="1,2", help="numbers of threads, by comma")
    parser.add_argument(
        "--loads",
        type=loads,
        default="0,1,2,4,sessions,spin",
        help="by comma: numbers of busy processes, sessions, spin",
    )
    parser.add_argument("--runtimes", type=runtime_names, default=RUNTIMES, help="by comma, of " + ", ".join(RUNTIMES))
    parser.add_argument("--seconds", type=float, default=8.0, help="of each row, for all runtimes together")
    options.add_json(parser)
    return parser.parse_args()


def main() -> int:
    given = arguments()
    rows: list[dict[str, Any]] = []
    for name in given.models:
        model = prepare(name, given.cache)
        model.bundle()
        print(
            f"{name}: median / 99th percentile, ms\nthreads      load  "
            + "  ".join(f"{n:>16s}" for n in given.runtimes)
        )
        for threads in given.threads:
            with runtimes(model, threads, given.runtimes) as (pipes, failed):
                for load in given.loads:
                    with processes(int(load) if load.isdecimal() else 0):
                        row = row_of(measure(pipes, load, given.seconds))
                    rows.append({"model": name, "threads": threads, "load": load, "times": row, "failed": failed})
                    show(threads, load, row, given.runtimes)
        for runtime, why in failed.items():
            print(f"    {runtime} failed: {why}")
    if given.json:
        given.json.write_text(json.dumps(rows, indent=1))
    return 0


if __name__ == "__main__":
    sys.exit(main())
