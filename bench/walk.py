"""The command line as a user walks it, on every model that lies beside the repository: one line each.

    python -m bench.walk
    python -m bench.walk --models mnist_cntk_8,lprnet --samples 16 --keep /tmp/walk

Each command is a process of its own: profile, quantize, run, report (HTML and JSON), diff, export, inspect, bench. A
command that fails is shown with its error line and the exit code is 1. Columns: agreement of the worst output with
float in dB; the model's own score in float and in int8 where its recipe has one; nodes on the host; agreement of the
exported QDQ file on onnxruntime with qglow's outputs, dB; seconds of each command.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from qglow.errors import in_one_line
from qglow.report.agreement import Error
from qglow.report.peers import onnxruntime_session
from tests import shared_models

from . import options
from .children import environment
from .models import real

QUANTIZED = ("shufflenet-v2-12-int8",)  # needs no profile
Feeds = list[dict[str, Any]]


@dataclass(slots=True)
class Walk:
    """What came of one model. seconds: by command. said: what each printed. failed: exit code and last line of those
    that failed."""

    name: str
    seconds: dict[str, float] = field(default_factory=dict)
    said: dict[str, str] = field(default_factory=dict)
    failed: dict[str, str] = field(default_factory=dict)
    agreement_db: float = float("nan")
    scores: tuple[str, str] = ("-", "-")
    host: dict[str, int] = field(default_factory=dict)
    exported_db: float = float("nan")
    exported_same: bool = False

    def command(self, name: str, *arguments: str | Path) -> bool:
        """Run `qglow NAME ARGUMENTS`; False where it failed."""
        start = time.perf_counter()
        command = [sys.executable, "-m", "qglow", name, *map(str, arguments)]
        done = subprocess.run(command, capture_output=True, text=True, env=environment(), timeout=900, check=False)
        self.seconds[name] = time.perf_counter() - start
        self.said[name] = done.stdout + done.stderr
        if done.returncode != 0:
            self.failed[name] = f"exit {done.returncode}: {(done.stderr.strip().splitlines() or ['no error line'])[-1]}"
        return done.returncode == 0

    def line(self) -> str:
        times = " ".join(f"{n} {s:.1f}" for n, s in self.seconds.items())
        host = ", ".join(f"{n} {op}" for op, n in sorted(self.host.items(), key=lambda i: -i[1])[:4]) or "none"
        exported = "same bits" if self.exported_same else f"{self.exported_db:.1f}"
        line = (
            f"{self.name:28s} {self.agreement_db:6.1f} {self.scores[0]:>8s} {self.scores[1]:>8s} {exported:>9s}  "
            f"[{times}] host: {host}"
        )
        return "\n".join([line, *(f"    {n} failed: {why}" for n, why in self.failed.items())])


def walk(name: str, samples: int, folder: Path) -> Walk:
    """All commands on one model, in a folder that gets its data and everything that is made."""
    found = Walk(name)
    model, data, bundle = shared_models.path(name), folder / "data", folder / f"{name}.qglow"
    data.mkdir(parents=True, exist_ok=True)
    feeds = shared_models.feeds(name, samples)
    for k, sample in enumerate(feeds):
        np.savez(data / f"{k:04d}.npz", **sample)
    profile = folder / f"{name}.profile.json"
    if name in QUANTIZED:
        ready = found.command("quantize", model, "-o", bundle, "--data", data)
    else:
        ready = found.command("profile", model, "--data", data, "-o", profile)
        ready = ready and found.command("quantize", model, "--profile", profile, "-o", bundle)
    if not ready and (folder / f"{name}.broken.qglow").is_file():
        bundle, ready = folder / f"{name}.broken.qglow", True
    if not ready:
        return found
    out, report, exported = folder / "out.npz", folder / "report.json", folder / "model.qdq.onnx"
    ran = found.command("run", bundle, "--data", data, "-o", out)
    if found.command(
        "report",
        model,
        bundle,
        "--data",
        data,
        "-o",
        folder / "report.html",
        "--json",
        report,
        "--samples",
        str(samples),
    ):
        outputs = json.loads(report.read_text())["outputs"]
        found.agreement_db = min((e["sqnr_db"] for e in outputs.values()), default=float("nan"))
    found.command("diff", model, bundle, "--data", data, "--samples", "2", "-o", folder / "cut")
    shapes = [f"--shape={n}={','.join(map(str, a.shape))}" for n, a in feeds[0].items()]
    found.command("inspect", bundle, "--stage", "plan", *shapes)
    times = folder / "times.json"
    if found.command("bench", bundle, model, "--per-layer", "--data", data, "--seconds", "0.5", "--json", times):
        for step in json.loads(times.read_text())["steps"]:
            if step["host"]:
                found.host[step["kind"]] = found.host.get(step["kind"], 0) + 1
    made = found.command("export", bundle, "-o", exported)
    if ran:
        ours = read_outputs(out, len(feeds))
        found.scores = scores(name, model, feeds, ours)
        if made:
            hold_exported(found, exported, feeds, ours)
    return found


def read_outputs(path: Path, count: int) -> list[list[Any]]:
    """Outputs of `qglow run -o`, sample by sample, in the order of the model's outputs."""
    with np.load(path) as arrays:
        values = [arrays[n] for n in arrays.files]
    per = len(values) // count
    return [values[k * per : (k + 1) * per] for k in range(count)]


def scores(name: str, model: Path, feeds: Feeds, ours: list[list[Any]]) -> tuple[str, str]:
    """The recipe's score of onnxruntime's float outputs and of ours."""
    metric = shared_models.metric(name)
    if metric is None:
        return "-", "-"
    session = onnxruntime_session(model, 1)
    real = [session.run(None, f) for f in feeds]
    first, second = (next(iter(metric(o).values())) for o in (real, ours))
    return f"{first:.3f}", f"{second:.3f}"


def hold_exported(found: Walk, exported: Path, feeds: Feeds, ours: list[list[Any]]) -> None:
    """The exported file on onnxruntime against qglow's outputs of the same inputs."""
    try:
        session = onnxruntime_session(exported, 1)
        errors: dict[int, Error] = {}
        same = True
        for sample, mine in zip(feeds, ours, strict=True):
            for k, (a, b) in enumerate(zip(session.run(None, sample), mine, strict=True)):
                same &= np.array_equal(a, b)
                if np.asarray(a).dtype.kind == "f":
                    errors.setdefault(k, Error()).add(np.asarray(a), np.asarray(b))
        found.exported_same = same
        found.exported_db = min((e.sqnr_db for e in errors.values()), default=200.0)
    except Exception as error:  # NOTE: whatever onnxruntime says of a file that we wrote is a finding
        found.failed["exported on onnxruntime"] = in_one_line(error, 300)


def main() -> int:
    parser = options.parser(__doc__)
    everything = ",".join(n for n in (*shared_models.ALL, *QUANTIZED) if real.is_here(n))
    parser.add_argument("--models", type=options.real_models, default=everything, help="by comma (default: all)")
    parser.add_argument("--samples", type=int, default=8)
    parser.add_argument("--keep", metavar="FOLDER", type=Path, help="keep what is made, and what was printed, there")
    given = parser.parse_args()
    print(f"{'model':28s} {'dB':>6s} {'float':>8s} {'int8':>8s} {'exported':>9s}  [seconds] host steps", flush=True)
    failed = False
    for name in given.models:
        with tempfile.TemporaryDirectory() as temporary:
            folder = given.keep / name if given.keep else Path(temporary)
            found = walk(name, given.samples, folder)
            for command, text in found.said.items() if given.keep else ():
                (folder / f"{command}.txt").write_text(text)
        print(found.line(), flush=True)
        failed |= bool(found.failed)
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())
