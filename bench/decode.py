"""Tokens a second of a decoder with a cache: a prompt of 128 tokens at once, and then token by token.

    python -m bench.decode --sizes 125M,250M --bits 4,8 --threads 1,2
    python -m bench.decode --llama PYTHON      an interpreter that has llama_cpp and gguf

The networks are Llama-like, with random block-wise weights (bench/models/decoder.py): RMSNorm, rotary positions, four
queries to a key, SwiGLU. onnxruntime runs the same file (MatMulNBits, accuracy_level 4), llama.cpp a network of the
same size (bench/gguf_peer.py). "states" is qglow by `session.stateful`, which keeps the cache; "qglow" and onnxruntime
get it as inputs and give it back as outputs. The sessions are in one process, and take turns of 8 tokens; every token
has a length of its own, as in use. Cells: tokens a second of the fastest token, of the median one in parentheses, and
of the fastest prompt. GB/s: bytes of weights that a token reads over its time, and their share of what a plain read of
memory by as many threads gives. The last line, where the model lies beside the repository: stories260K, which has no
cache, so that a token is a run over 64 positions.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime as ort

import qglow
from qglow.pipeline import float_graph
from tests import shared_models

from . import options
from .models import real
from .models.decoder import SIZES, Size, decoder, feeds

TURN, PROMPTS = 8, 3  # tokens of one runtime in a row, and prompts that are timed
NAMES = ("qglow", "states", "onnxruntime", "llama.cpp")
Arrays = dict[str, np.ndarray]
Run = Callable[[Arrays], list[np.ndarray]]
Clock = Callable[[], float]


def read_bandwidth(threads: int, size: int = 1 << 28, rounds: int = 4) -> float:
    """Bytes a second that threads read of memory: the best of some rounds."""
    parts = np.split(np.ones(size // 8, np.int64), threads)
    best = 0.0
    for _ in range(rounds):
        workers = [threading.Thread(target=part.sum) for part in parts]
        start = time.perf_counter()
        for worker in workers:
            worker.start()
        for worker in workers:
            worker.join()
        best = max(best, size / (time.perf_counter() - start))
    return best


class Decoder:
    """A runtime that decodes: its cache, which goes in and out, and the seconds of prompts and tokens."""

    def __init__(self, run: Run, size: Size, clock: Clock) -> None:
        self.run, self.size, self.clock = run, size, clock
        self.prompt: list[float] = []
        self.token: list[float] = []
        self.asked: Arrays = {}

    def start(self, prompt: int) -> None:
        self._timed(feeds(self.size, 0, prompt), self.prompt)

    def next(self, count: int) -> None:
        for _ in range(count):
            past = self.asked["past.0.key"].shape[2]
            self.asked |= {k: v for k, v in feeds(self.size._replace(layers=0), past, 1).items()}
            self._timed(self.asked, self.token)

    def _timed(self, asked: Arrays, spent: list[float]) -> None:
        start = self.clock()
        _, *cache = self.run(asked)
        spent.append(self.clock() - start)
        names = [f"past.{k}.{name}" for k in range(self.size.layers) for name in ("key", "value")]
        self.asked = dict(zip(names, cache, strict=True))


class Stateful(Decoder):
    """One that keeps its cache."""

    def __init__(self, session: qglow.InferenceSession, size: Size, clock: Clock) -> None:
        super().__init__(lambda asked: self.calls.run(["logits"], asked), size, clock)
        self._states = {n: n.replace("past", "present") for n in session.graph.inputs if n.startswith("past.")}
        empty = feeds(size, 0, 1)
        self._empty = {n: empty[n] for n in self._states}
        self.calls, self.past = session.stateful(self._states, self._empty), 0

    def start(self, prompt: int) -> None:
        self.calls.reset(self._empty)
        self.past = 0
        self._step(prompt, self.prompt)

    def next(self, count: int) -> None:
        for _ in range(count):
            self._step(1, self.token)

    def _step(self, new: int, spent: list[float]) -> None:
        asked = feeds(self.size._replace(layers=0), self.past, new)
        start = self.clock()
        self.run(asked)
        spent.append(self.clock() - start)
        self.past += new


def decoders(model: onnx.ModelProto, size: Size, threads: int, clock: Clock) -> dict[str, Decoder]:
    names = [o.name for o in model.graph.output]
    names = ["logits", *[f"present.{n}" for n in (i.name[5:] for i in model.graph.input) if f"present.{n}" in names]]
    chosen = ort.SessionOptions()
    chosen.intra_op_num_threads = threads
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.onnx"
        onnx.save(model, path)
        theirs = ort.InferenceSession(str(path), chosen, providers=["CPUExecutionProvider"])
    ours = qglow.InferenceSession(float_graph(model), threads=threads)
    return {
        "qglow": Decoder(lambda asked: ours.run(names, asked), size, clock),
        "states": Stateful(ours, size, clock),
        "onnxruntime": Decoder(lambda asked: theirs.run(names, asked), size, clock),
    }


def measured(model: onnx.ModelProto, size: Size, threads: int, o: argparse.Namespace) -> dict[str, Decoder]:
    clock = time.process_time if o.cpu else time.perf_counter
    found = decoders(model, size, threads, clock)
    for _ in range(PROMPTS):
        for one in found.values():
            one.start(o.prompt)
    for _ in range(o.tokens // TURN):
        for one in found.values():
            one.next(TURN)
    return found


def of_llama(python: str, size: Size, bits: int, threads: int, o: argparse.Namespace) -> dict[str, list[float]]:
    numbers = [",".join(map(str, size)), bits, threads, o.prompt, o.tokens, int(o.cpu)]
    script = Path(__file__).with_name("gguf_peer.py")
    done = subprocess.run([python, str(script), *map(str, numbers)], capture_output=True, text=True, check=True)
    return dict(json.loads(done.stdout.splitlines()[-1]))


def line(name: str, bits: int, threads: int, o: argparse.Namespace, bandwidth: float, model: Any) -> dict[str, Any]:
    """A row of the table: least seconds and medians, of a prompt and of a token, by runtime; bytes a second follow from
    the least."""
    size = SIZES[name]
    both = measured(model, size, threads, o)
    spent = {n: {"prompt": d.prompt, "token": d.token} for n, d in both.items()}
    if o.llama:
        spent["llama.cpp"] = of_llama(o.llama, size, bits, threads, o)
    seconds = {n: {w: (min(t), float(np.median(t))) for w, t in each.items()} for n, each in spent.items()}
    rate = size.weight_bytes(bits) / seconds["states"]["token"][0]
    return {
        "model": name, "bits": bits, "threads": threads, "seconds": seconds, "bytes a second": rate,
        "share": rate / bandwidth, "tokens": both["qglow"].token,
    }  # fmt: skip


def show(found: dict[str, Any], prompt: int) -> None:
    cells = []
    for name in NAMES:
        if name in found["seconds"]:
            token, first = (found["seconds"][name][what] for what in ("token", "prompt"))
            cells.append(f"{1 / token[0]:.0f} ({1 / token[1]:.0f}), {prompt / first[0]:.0f}")
        else:
            cells.append("-")
    rate = f"{found['bytes a second'] / 1e9:.1f} ({100 * found['share']:.0f} %)"
    print(f"| {found['model']} | {found['bits']} | {found['threads']} | {' | '.join(cells)} | {rate} |", flush=True)


def stories(threads: int) -> str:
    """A row for the model that has no cache."""
    asked = shared_models.feeds("stories260K_llama", 16)
    path = shared_models.FOLDER / "models" / "stories260K_llama.onnx"
    ours = qglow.InferenceSession(qglow.quantize(path, qglow.profile(path, asked)), threads)
    chosen = ort.SessionOptions()
    chosen.intra_op_num_threads = threads
    theirs = ort.InferenceSession(str(path), chosen, providers=["CPUExecutionProvider"])
    spent: dict[str, list[float]] = {"qglow": [], "onnxruntime": []}
    for k in range(200):
        for name, session in (("qglow", ours), ("onnxruntime", theirs)):
            start = time.perf_counter()
            session.run(None, asked[k % len(asked)])
            spent[name].append(time.perf_counter() - start)
    cells = [f"{1 / min(t):.0f} ({1 / float(np.median(t)):.0f}), -" for t in spent.values()]
    return f"| stories260K, int8 beside float | 8 | {threads} | {cells[0]} | - | {cells[1]} | - | - |"


def main() -> int:
    p = options.parser(__doc__)
    p.add_argument("--sizes", default="125M", help="by comma, of " + ", ".join(SIZES) + " (default %(default)s)")
    for name, default in (("bits", "4,8"), ("threads", "1,2")):
        p.add_argument(f"--{name}", type=options.numbers, default=options.numbers(default), help=f"default {default}")
    p.add_argument("--prompt", type=int, default=128, help="tokens of the prompt (default %(default)s)")
    p.add_argument("--tokens", type=int, default=64, help="that are decoded behind it (default %(default)s)")
    p.add_argument("--llama", metavar="PYTHON", help="measure llama.cpp too, with this interpreter")
    p.add_argument("--cpu", action="store_true", help="time of the processor, for a busy machine and one thread")
    options.add_json(p)
    o = p.parse_args()
    print(f"| model | bits | threads | {' | '.join(NAMES)} | GB/s (of reading) |")
    print(f"| --- |{' ---: |' * (len(NAMES) + 3)}")
    bandwidth = {t: read_bandwidth(t) for t in o.threads}
    lines = []
    for name in o.sizes.split(","):
        for bits in o.bits:
            model = decoder(SIZES[name], bits)
            for threads in o.threads:
                lines.append(line(name, bits, threads, o, bandwidth[threads], model))
                show(lines[-1], o.prompt)
    if real.is_here("stories260K_llama"):
        for threads in o.threads:
            print(stories(threads), flush=True)
    print("read of memory:", ", ".join(f"{t} threads {b / 1e9:.1f} GB/s" for t, b in bandwidth.items()))
    if o.json:
        o.json.write_text(json.dumps(lines, indent=1))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
