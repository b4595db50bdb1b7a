"""Five tasks of somebody who quantizes a classifier of pictures, each with qglow, onnxruntime.quantization and NNCF.

    python -m bench.tasks
    python -m bench.tasks --tasks quantize,score --nncf-python /path/to/venv/bin/python --json tasks.json

quantize: to int8 by 100 pictures. score: top-1 accuracy on 400 others. blame: the layer that costs most. target: at
most a point of accuracy lost. compare: two int8 forms beside float. The programs stand in bench/tasks/TASK/; lines are
those with code, imports included; seconds are of the whole process, the tools in turns, their modules compiled. A tool
without a program has no means of its own for the task. Programs read MODEL, CALIBRATION and TEST and write into one
folder, where a later task finds what an earlier one made.
"""

from __future__ import annotations

import compileall
import csv
import json
import os
import shutil
import statistics
import subprocess
import sys
import sysconfig
import tempfile
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

import qglow
from tests import shared_models

from .. import options

HERE = Path(__file__).resolve().parent
TASKS, TOOLS = ("quantize", "score", "blame", "target", "compare"), ("qglow", "onnxruntime", "nncf")
MODEL, PICTURES, CALIBRATION = "squeezenet1.1_imagenet", "imagenet", 100


@dataclass(frozen=True, slots=True)
class Row:
    """lines: of code. seconds: of each run. said: the last line that the program printed."""

    task: str
    tool: str
    lines: int
    seconds: tuple[float, ...]
    said: str


def program(task: str, tool: str) -> Path | None:
    """The program of a tool for a task; None where the tool has no means of its own."""
    return next((HERE / task).glob(f"with_{tool}.*"), None)


def lines_of(text: str) -> int:
    """Lines with code."""
    return sum(bool(line.strip()) and not line.lstrip().startswith("#") for line in text.splitlines())


def measure(tasks: list[str], folder: Path, rounds: int, nncf_python: str) -> Iterator[Row]:
    """A row for each task and tool, in their order: a later one reads the files of an earlier one. Raises RuntimeError
    where a program fails."""
    environment = _environment(folder)
    for task in TASKS[: max(TASKS.index(t) for t in tasks) + 1]:
        programs = {tool: found for tool in TOOLS if (found := program(task, tool)) is not None}
        seconds: dict[str, list[float]] = {tool: [] for tool in programs}
        said = {}
        for _ in range(rounds if task in tasks else 1):
            for tool, file in programs.items():
                interpreter = nncf_python if tool == "nncf" else sys.executable
                command = ["bash", "-e", str(file)] if file.suffix == ".sh" else [interpreter, str(file)]
                start = time.perf_counter()
                done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)
                seconds[tool].append(time.perf_counter() - start)
                if done.returncode:
                    last = (done.stderr.strip().splitlines() or ["it says nothing"])[-1]
                    raise RuntimeError(f"{file.relative_to(HERE)}: exit code {done.returncode}: {last}")
                said[tool] = (done.stdout.strip().splitlines() or [""])[-1]
        if task in tasks:
            for tool, file in programs.items():
                yield Row(task, tool, lines_of(file.read_text()), tuple(seconds[tool]), said[tool])


def _environment(folder: Path) -> dict[str, str]:
    """The folders of pictures, made of the real ones, the model, and qglow's command on the path."""
    pictures = shared_models.FOLDER / "data" / PICTURES
    rows = list(csv.DictReader((pictures / "labels.csv").open()))
    kept = {row["file"] for row in rows[:: len(rows) // CALIBRATION][:CALIBRATION]}
    for name, chosen in (
        ("calibration", [r for r in rows if r["file"] in kept]), ("test", [r for r in rows if r["file"] not in kept])
    ):  # fmt: skip
        (folder / name).mkdir()
        shutil.copy(pictures / "dataset.toml", folder / name)
        for row in chosen:
            shutil.copy(pictures / row["file"], folder / name)
        with (folder / name / "labels.csv").open("w", newline="") as out:
            writer = csv.DictWriter(out, rows[0])
            writer.writeheader()
            writer.writerows(chosen)
    # NOTE: an installed tool has its modules compiled; a checkout has them as soon as it may write them
    compileall.compile_dir(Path(qglow.__file__).parent, quiet=2)
    kept = {k: v for k, v in os.environ.items() if k != "PYTHONDONTWRITEBYTECODE"}
    return {
        **kept,
        "PATH": os.pathsep.join([sysconfig.get_path("scripts"), os.environ["PATH"]]),
        "MODEL": str(shared_models.FOLDER / "models" / f"{MODEL}.onnx"),
        "CALIBRATION": str(folder / "calibration"),
        "TEST": str(folder / "test"),
    }


def main(argv: list[str] | None = None) -> None:
    parser = options.parser(__doc__)
    parser.add_argument("--tasks", default=",".join(TASKS), help="by comma (default: %(default)s)")
    parser.add_argument("--rounds", type=int, default=3, help="runs of each program (default %(default)s)")
    parser.add_argument("--nncf-python", default=sys.executable, help="the Python that has nncf (default: this one)")
    options.add_json(parser)
    given = parser.parse_args(argv)
    tasks = given.tasks.split(",")
    if unknown := set(tasks) - set(TASKS):
        parser.error(f"no task {min(unknown)!r}; there are {', '.join(TASKS)}")
    print(f"{'task':10}{'tool':13}{'lines':>6}{'seconds':>9}{'median':>8}  it says")
    found = []
    with tempfile.TemporaryDirectory() as folder:
        for row in measure(tasks, Path(folder), given.rounds, given.nncf_python):
            found.append(row)
            least, middle = min(row.seconds), statistics.median(row.seconds)
            print(f"{row.task:10}{row.tool:13}{row.lines:6}{least:9.1f}{middle:8.1f}  {row.said[:60]}", flush=True)
    if given.json:
        given.json.write_text(json.dumps([asdict(row) for row in found], indent=1))


if __name__ == "__main__":
    main()
