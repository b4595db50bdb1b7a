"""Interrupt the command line at random moments, and look at what is left.

    python tools/interrupts.py --count 500 --seed 1 --signals INT,TERM

Each command runs in a process of its own, which is sent a signal at a moment within the time that the command takes. It
must end with 130 (INT) or 143 (TERM) and one line, or with 0 if it was done before; what it writes must be there whole
or not at all; no temporary file and no process may be left. Prints what each moment came to, and exits with 1 if any
was wrong.
"""

from __future__ import annotations

import argparse
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
DIGITS = ROOT / "calibration_data" / "digits"
LONGEST = 120.0  # seconds until a process that was told to end counts as hanging
# NOTE: it says when it begins: what interrupts Python before that is answered by Python
CODE = "import sys\nfrom qglow.commands.main import main\nprint('ready', flush=True)\nraise SystemExit(main())"


@dataclass(frozen=True)
class Case:
    """A command, and the files that it writes, by name in a folder of its own. Those of a report hold times, all others
    the same bytes."""

    name: str
    arguments: tuple[str, ...]
    written: tuple[str, ...] = ()


def cases(bundle: Path, profile: Path) -> list[Case]:
    """The commands. bundle, profile: of the model of the digits."""
    model, data = str(DIGITS / "model.onnx"), str(DIGITS)
    return [
        Case("profile", ("profile", model, "--data", data, "-o", "p.json"), ("p.json",)),
        Case("quantize", ("quantize", model, "--profile", str(profile), "-o", "q.qglow"), ("q.qglow",)),
        Case("run", ("run", str(bundle), "--data", data, "-o", "out.npz"), ("out.npz",)),
        Case(
            "report",
            ("report", model, str(bundle), "--data", data, "-o", "r.html", "--json", "r.json"),
            ("r.html", "r.json"),
        ),
        Case("export", ("export", str(bundle), "-o", "e.onnx"), ("e.onnx",)),
        Case("inspect", ("inspect", str(bundle), "--stage", "plan")),
    ]


def prepared(folder: Path) -> list[Case]:
    """The commands, with a bundle and a profile in a folder."""
    import qglow

    profile = qglow.profile(DIGITS / "model.onnx", DIGITS, samples=8)
    profile.save(folder / "digits.profile.json")
    qglow.quantize(DIGITS / "model.onnx", profile).save(folder / "digits.qglow")
    return cases(folder / "digits.qglow", folder / "digits.profile.json")


def start(case: Case, folder: Path) -> subprocess.Popen[str]:
    """The command in a process and a session of its own, begun."""
    packages = os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])
    environment = {**os.environ, "PYTHONPATH": packages, "QGLOW_INTERRUPTS": str(folder)}
    process = subprocess.Popen(
        [sys.executable, "-c", CODE, *case.arguments, "--quiet"], cwd=folder, env=environment, text=True,
        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, start_new_session=True,
    )  # fmt: skip
    assert process.stdout is not None and process.stdout.readline() == "ready\n"
    return process


def seconds_of(case: Case) -> tuple[float, dict[str, bytes]]:
    """How long a command takes that nobody interrupts, and what it writes. Raises RuntimeError where it fails."""
    with tempfile.TemporaryDirectory() as folder:
        process, begun = start(case, Path(folder)), time.perf_counter()
        _, said = process.communicate(timeout=600)
        if process.returncode != 0:
            raise RuntimeError(f"{case.name}: exit {process.returncode}: {said}")
        return time.perf_counter() - begun, {n: (Path(folder) / n).read_bytes() for n in case.written}


def interrupt(case: Case, delay: float, number: int, expected: dict[str, bytes]) -> tuple[str, str]:
    """Send a signal after so many seconds: how the command ended, and what is wrong with that; empty where nothing is.

    expected: what it writes.
    """
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        process = start(case, folder)
        time.sleep(delay)
        process.send_signal(number)
        try:
            _, said = process.communicate(timeout=LONGEST)
        except subprocess.TimeoutExpired:
            process.kill()
            process.communicate()
            return "hung", f"it goes on {LONGEST:.0f} s after the signal"
        code = process.returncode
        # NOTE: all was done, and Python had put its handlers away
        if (code, number, said) == (-signal.SIGTERM, signal.SIGTERM, ""):
            code = 0
        if code not in (0, 128 + number) or said != ("" if code == 0 else "qglow: stopped\n"):
            return "wrong", f"exit {code}: {said[-2000:]}"
        left = {p.name for p in folder.iterdir()} - set(case.written)
        if left or _is_alive(folder):
            return "wrong", f"left: {sorted(left)}, processes: {_is_alive(folder)}"
        for file, data in expected.items():
            path = folder / file
            if (code == 0 and not path.is_file()) or (
                path.is_file() and path.read_bytes() != data and not file.startswith("r.")
            ):
                return "wrong", f"{file} is missing or half written"
        return ("done before" if code == 0 else "stopped"), ""


def _is_alive(folder: Path) -> list[int]:
    """Running processes that the command started: they have its environment."""
    found = []
    for path in Path("/proc").glob("[0-9]*"):
        try:
            if f"QGLOW_INTERRUPTS={folder}".encode() in (path / "environ").read_bytes():
                found.append(int(path.name))
        except OSError:
            continue
    return found


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", type=int, default=200)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--signals", default="INT,TERM", help="by comma")
    options = parser.parse_args()
    rng, results, wrong = random.Random(options.seed), Counter[tuple[str, str, str]](), 0
    numbers = [signal.Signals[f"SIG{n}"] for n in options.signals.split(",")]
    with tempfile.TemporaryDirectory() as folder:
        timed = [(case, *seconds_of(case)) for case in prepared(Path(folder))]
        for _ in range(options.count):
            (case, seconds, expected), number = rng.choice(timed), rng.choice(numbers)
            delay = rng.uniform(0, seconds)
            ended, why = interrupt(case, delay, number, expected)
            results[case.name, number.name, ended] += 1
            if why:
                wrong += 1
                print(f"{case.name} after {delay:.3f} s of {seconds:.3f}, {number.name}: {why}", flush=True)
    for key, count in sorted(results.items()):
        print(f"{count:6d}  {'  '.join(key)}")
    print(f"{options.count} interrupts, {wrong} wrong")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
