"""Load and endurance: many runs, sessions, shapes, threads, processes, and little memory; every output is compared with
the first.

    python -m bench.soak                                       all of it, some 10 minutes
    python -m bench.soak --only runs,limits --scale 0.01       a hundredth of the runs of two parts

Each part has a process of its own. Memory, descriptors and threads are looked at after a tenth of a part, and at its
end. In `limits` the process may have so many MiB of address space beyond those that it has with its libraries imported:
each limit must end in the right bits or in one QGlowError. Exits with 1 where an output differs, or a limit ends
otherwise.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import random
import resource
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable
from importlib import import_module
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import numpy as np

import qglow
from qglow.graph import Array
from qglow.runtime import native

from . import options

Found = dict[str, Any]
Session = qglow.InferenceSession
FEW_LIMITS = 8
MIB = 1 << 20
MODULES = (
    "runtime.session",
    "runtime.native",
    "runtime.thread_pool",
    "instructions.lower",
    "kernels.library",
    "tuning.choose",
    "reference",
)


def bundles(folder: Path, names: tuple[str, ...] = ("small", "large")) -> dict[str, Path]:
    """A small model of images of any size, and one of many weights, quantized."""
    import onnx
    from onnx import parser

    rng = np.random.default_rng(0)
    head = '<ir_version: 8, opset_import: ["": 17]> g '
    texts = {
        "small": head + "(float[n,8,h,w] x) => (float[n,10] y) { a = Conv<pads = [1, 1, 1, 1]>(x, u) b = Relu(a) "
        "c = Conv<pads = [1, 1, 1, 1]>(b, v) d = GlobalAveragePool(c) e = Flatten(d) y = MatMul(e, m) }",
        "large": head + "(float[1,2048] x) => (float[1,2048] y) { a = MatMul(x, k) b = Relu(a) y = MatMul(b, l) }",
    }
    weights = {"u": (16, 8, 3, 3), "v": (16, 16, 3, 3), "m": (16, 10), "k": (2048, 4096), "l": (4096, 2048)}
    made = {}
    for name in names:
        model = parser.parse_model(texts[name])
        read = {i for n in model.graph.node for i in n.input}
        for w, shape in weights.items():
            if w in read:
                model.graph.initializer.append(
                    onnx.numpy_helper.from_array(rng.standard_normal(shape).astype(np.float32), w)
                )
        made[name] = folder / f"{name}.qglow"
        qglow.quantize(model, qglow.profile(model, [image() if name == "small" else row()])).save(made[name])
    return made


def image(n: int = 1, h: int = 8, w: int = 8) -> dict[str, Array]:
    return {"x": np.random.default_rng(n * 10000 + h * 100 + w).standard_normal((n, 8, h, w)).astype(np.float32)}


def row() -> dict[str, Array]:
    return {"x": np.random.default_rng(1).standard_normal((1, 2048)).astype(np.float32)}


def state() -> dict[str, float]:
    """Of this process: resident MiB, open descriptors, threads."""
    lines = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines() if ":" in line)
    return {
        "mib": int(lines["VmRSS"].split()[0]) / 1024,
        "descriptors": len(os.listdir("/proc/self/fd")),
        "threads": int(lines["Threads"]),
    }


def repeated(work: Callable[[int], int], count: int) -> Found:
    """work(k), which returns how many outputs differed, so many times, and what grew after the first tenth."""
    wrong, start = 0, time.perf_counter()
    early = max(1, count // 10)
    for k in range(early):
        wrong += work(k)
    before = state()
    for k in range(early, count):
        wrong += work(k)
    grown = {f"more {name}": round(value - before[name], 2) for name, value in state().items()}
    return {"count": count, "wrong": wrong, "seconds": round(time.perf_counter() - start, 1), **grown}


def differs(session: Session, feeds: dict[str, Array], expected: Array) -> int:
    return int(not np.array_equal(session.run(None, feeds)[0], expected))


def runs(paths: dict[str, Path], scale: float) -> Found:
    """A million runs of one session on one thread."""
    session, feeds = Session(paths["small"], 1), image()
    (expected,) = session.run(None, feeds)
    return repeated(lambda _: differs(session, feeds, expected), int(1_000_000 * scale))


def teams(paths: dict[str, Path], scale: float) -> Found:
    """A hundred thousand runs of a team of two threads."""
    native.SMALL_WORK = 0
    feeds = image()
    (expected,) = Session(paths["small"], 1).run(None, feeds)
    session = Session(paths["small"], 2)
    return repeated(lambda _: differs(session, feeds, expected), int(100_000 * scale))


def sessions(paths: dict[str, Path], scale: float) -> Found:
    """5,000 sessions opened from a file, run once and dropped, without the collector of cycles."""
    import gc

    native.SMALL_WORK = 0
    feeds = image()
    (expected,) = Session(paths["small"], 1).run(None, feeds)
    gc.collect()
    gc.disable()
    return repeated(lambda k: differs(Session(paths["small"], 1 + k % 2), feeds, expected), int(5_000 * scale))


def shapes(paths: dict[str, Path], scale: float) -> Found:
    """200 shapes on one session, each ten times, in any order: more than the plans that it keeps."""
    rng, session = random.Random(0), Session(paths["small"], 1)
    given = [(1 + k % 2, 4 + k % 10, 4 + k // 10) for k in range(200)]
    expected = {s: Session(paths["small"], 1).run(None, image(*s))[0] for s in given}

    def work(_: int) -> int:
        shape = rng.choice(given)
        return differs(session, image(*shape), expected[shape])

    found = repeated(work, int(2_000 * scale))
    return found | {"plans": len(session._cache)}


def together(make: Callable[[], Session], feeds: dict[str, Array], expected: Array, count: int) -> Found:
    """Eight threads, each with a session, which may be the same."""
    wrong = [0] * 8

    def work(k: int, session: Session) -> None:
        for _ in range(count):
            wrong[k] += differs(session, feeds, expected)

    before, start = state(), time.perf_counter()
    threads = [threading.Thread(target=work, args=(k, make())) for k in range(8)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    del threads
    grown = {f"more {name}": round(value - before[name], 2) for name, value in state().items()}
    return {"count": 8 * count, "wrong": sum(wrong), "seconds": round(time.perf_counter() - start, 1), **grown}


def one_session(paths: dict[str, Path], scale: float) -> Found:
    """8 threads on one session of two threads."""
    native.SMALL_WORK = 0
    session, feeds = Session(paths["small"], 2), image()
    (expected,) = Session(paths["small"], 1).run(None, feeds)
    differs(session, feeds, expected)
    return together(lambda: session, feeds, expected, int(10_000 * scale))


def own_sessions(paths: dict[str, Path], scale: float) -> Found:
    """8 sessions of two threads in 8 threads."""
    native.SMALL_WORK = 0
    feeds = image()
    (expected,) = Session(paths["small"], 1).run(None, feeds)
    differs(Session(paths["small"], 2), feeds, expected)
    return together(lambda: Session(paths["small"], 2), feeds, expected, int(10_000 * scale))


def processes(paths: dict[str, Path], scale: float) -> Found:
    """8 processes that map one bundle of 16 MiB: their resident memory, and the part of it that is theirs alone."""
    context, children = multiprocessing.get_context("spawn"), []
    (expected,) = Session(paths["large"], 1).run(None, row())
    start, count = time.perf_counter(), max(1, int(200 * scale))
    for _ in range(8):
        ours, theirs = context.Pipe()
        child = context.Process(target=_one_of_many, args=(theirs, paths["large"], count))
        child.start()
        theirs.close()
        children.append((ours, child))
    answers = [pipe.recv() for pipe, _ in children]
    sizes = []
    for pipe, _ in children:  # NOTE: one after the other, while all are there
        pipe.send(None)
        sizes.append(pipe.recv())
    for pipe, child in children:
        pipe.send(None)
        child.join()
    wrong = sum(bad + int(not np.array_equal(first, expected)) for bad, first in answers)
    mean = {k: round(sum(s[k] for s in sizes) / 8 / 1024, 1) for k in ("Rss", "Pss", "Private_Dirty")}
    found = {"count": 8 * count, "wrong": wrong, "seconds": round(time.perf_counter() - start, 1)}
    return found | {f"{k} MiB each": v for k, v in mean.items()}


def _one_of_many(pipe: Connection, path: Path, count: int) -> None:
    session = Session(path, 1, mapped=True)
    (first,) = session.run(None, row())
    pipe.send((sum(differs(session, row(), first) for _ in range(count)), first))
    pipe.recv()
    lines = (line.split() for line in Path("/proc/self/smaps_rollup").read_text().splitlines()[1:])
    pipe.send({words[0].rstrip(":"): int(words[1]) for words in lines})
    pipe.recv()


def limits(paths: dict[str, Path], scale: float) -> Found:
    """200 limits of address space, from none beyond what is there to 100 MiB more; on one thread and on two.

    This process has all modules and ran nothing yet, so that its heap has no room.
    """
    outcomes: Counter[str] = Counter()
    steps = max(FEW_LIMITS, int(200 * scale))
    start = time.perf_counter()
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    child = context.Process(target=_answers, args=(theirs, paths))
    child.start()
    expected: dict[str, bytes] = ours.recv()
    child.join()
    for module in MODULES:
        import_module(f"qglow.{module}")
    for k in range(steps):
        for name in paths:
            outcomes[_limited(paths[name], name, 1 + k % 2, k * 100 / steps, expected[name])] += 1
    wrong = sum(n for outcome, n in outcomes.items() if outcome not in ("right", "one error"))
    return {
        "count": sum(outcomes.values()),
        "wrong": wrong,
        "seconds": round(time.perf_counter() - start, 1),
        **outcomes,
    }


def _answers(pipe: Connection, paths: dict[str, Path]) -> None:
    pipe.send(
        {
            name: Session(path, 1).run(None, image() if name == "small" else row())[0].tobytes()
            for name, path in paths.items()
        }
    )


def _limited(path: Path, name: str, threads: int, mib: float, expected: bytes) -> str:
    """How a forked process ends that may have so much more memory. NOTE: it makes its threads anew."""
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(reading)
        os.write(writing, _within(path, name, threads, mib, expected).encode()[:4000])
        os._exit(0)
    os.close(writing)
    with open(reading) as file:
        said = file.read()
    code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    return said if code == 0 else f"exit {code} at {mib:.1f} MiB"


def _within(path: Path, name: str, threads: int, mib: float, expected: bytes) -> str:
    import signal

    signal.alarm(120)
    native.SMALL_WORK = 0
    feeds = image() if name == "small" else row()
    there = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (there + int(mib * MIB), resource.RLIM_INFINITY))
    try:
        (y,) = Session(path, threads).run(None, feeds)
        outcome = "right" if y.tobytes() == expected else "other bits"
    except qglow.QGlowError:
        outcome = "one error"
    except BaseException as error:
        outcome = f"{type(error).__name__}: {error}"
    resource.setrlimit(resource.RLIMIT_AS, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
    return outcome


PARTS: dict[str, Callable[[dict[str, Path], float], Found]] = {
    f.__name__: f for f in (runs, teams, sessions, shapes, one_session, own_sessions, processes, limits)
}


def _part(pipe: Connection, name: str, paths: dict[str, Path], scale: float) -> None:
    pipe.send(PARTS[name](paths, scale))


def isolated(name: str, paths: dict[str, Path], scale: float) -> Found:
    """A part in a process of its own."""
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    child = context.Process(target=_part, args=(theirs, name, paths, scale))
    child.start()
    theirs.close()
    try:
        found: Found = ours.recv()
    except EOFError:
        child.join()
        found = {"wrong": 1, "died": child.exitcode}
    child.join()
    return found


def part_names(text: str) -> list[str]:
    """Parts by comma, for argparse."""
    for one in text.split(","):
        if one not in PARTS:
            raise argparse.ArgumentTypeError(f"no part {one!r}; there are {', '.join(PARTS)}")
    return text.split(",")


def main() -> int:
    parser = options.parser(__doc__)
    parser.add_argument("--only", type=part_names, default=list(PARTS), help="parts by comma, of " + ", ".join(PARTS))
    parser.add_argument("--scale", type=float, default=1.0, help="so many times the usual counts")
    options.add_json(parser)
    given = parser.parse_args()
    results: dict[str, Found] = {}
    with tempfile.TemporaryDirectory() as folder:
        paths = bundles(Path(folder))
        for name in given.only:
            results[name] = isolated(name, paths, given.scale)
            print(f"{name:13s} " + ", ".join(f"{k} {v}" for k, v in results[name].items()), flush=True)
    if given.json:
        given.json.write_text(json.dumps(results, indent=1))
    return int(any(found["wrong"] for found in results.values()))


if __name__ == "__main__":
    sys.exit(main())
