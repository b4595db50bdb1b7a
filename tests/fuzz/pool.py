"""Workers that live for many cases, watched from outside: where one crashes or hangs, another takes its place."""

from __future__ import annotations

import contextlib
import json
import os
import select
import signal
import subprocess
import sys
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

TESTS = Path(__file__).resolve().parent.parent
CPU_SECONDS, WALL_SECONDS = 20.0, 240.0  # of one case: what it computes, and how long it may wait
TICKS = os.sysconf("SC_CLK_TCK")
CASES_A_WORKER = 5000  # NOTE: so that a process which grows is seen in the table, not in the machine's memory


@dataclass(frozen=True)
class Answer:
    """asked: the case. outcome, text, where: see trial.py; crash and hang besides. data: of a finding."""

    asked: dict[str, Any]
    outcome: str
    text: str = ""
    where: str = ""
    name: str = ""
    data: bytes = b""
    seconds: float = 0.0


@dataclass
class Worker:
    """One process and the case that it has."""

    corpus: Path
    folder: Path
    asked: dict[str, Any] | None = None
    served: int = 0
    process: subprocess.Popen[str] = field(init=False)

    def __post_init__(self) -> None:
        self.start()

    def start(self) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        (self.folder / "stderr.txt").write_text("")
        environment = {
            **os.environ,
            "PYTHONPATH": f"{TESTS.parent}{os.pathsep}{TESTS}",
            "QGLOW_GUARD": "1",
            "OMP_NUM_THREADS": "1",
            "OPENBLAS_NUM_THREADS": "1",
            "PYTHONHASHSEED": "0",
            "QGLOW_MAX_MEMORY": "512M",
            "QGLOW_MAX_WORK": "20000",
        }
        command = [
            sys.executable,
            "-W",
            "ignore",
            "-m",
            "fuzz.worker",
            str(self.corpus),
            str(self.folder),
            str(os.getpid()),
        ]
        self.process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment, cwd=TESTS
        )
        self.served = 0

    def ask(self, asked: dict[str, Any]) -> None:
        if self.served >= CASES_A_WORKER:
            self.end()
            self.start()
        assert self.process.stdout is not None
        if self.served == 0:
            self.process.stdout.readline()  # that it is ready: to start is no part of the case
        self.asked, self.served = asked, self.served + 1
        self.since, self.cpu = time.monotonic(), self.cpu_seconds()
        assert self.process.stdin is not None
        with contextlib.suppress(BrokenPipeError):  # NOTE: its end is seen where its answer is read
            self.process.stdin.write(json.dumps(asked) + "\n")
            self.process.stdin.flush()

    def cpu_seconds(self) -> float:
        """What the process has computed so far; 0 where it is gone."""
        try:
            fields = Path(f"/proc/{self.process.pid}/stat").read_text().rsplit(")", 1)[1].split()
        except OSError:
            return 0.0
        return (int(fields[11]) + int(fields[12])) / TICKS

    def answer(self) -> Answer | None:
        """How the case went, once something has come; a crash where the process is gone."""
        assert self.process.stdout is not None and self.asked is not None
        line, asked = self.process.stdout.readline(), self.asked
        seconds = time.monotonic() - self.since
        if not line:
            return self.lost("crash", f"ended with {self.process.wait()}", seconds)
        self.asked = None
        got = json.loads(line)
        data = (
            (self.folder / "case").read_bytes()
            if got["outcome"] not in ("refused", "ran", "compared", "large")
            else b""
        )
        return Answer(asked, got["outcome"], got["text"], got["where"], got["name"], data, seconds)

    def overdue(self) -> bool:
        if self.asked is None:
            return False
        busy = self.cpu_seconds() - self.cpu > self.asked.get("seconds", CPU_SECONDS)
        return busy or time.monotonic() - self.since > WALL_SECONDS

    def hung(self) -> Answer:
        """End the process, with where it was."""
        self.process.send_signal(signal.SIGUSR1)
        time.sleep(0.5)
        self.process.kill()
        self.process.wait()
        return self.lost("hang", "did not end", time.monotonic() - self.since)

    def lost(self, outcome: str, text: str, seconds: float) -> Answer:
        """The finding of a process that is gone, and another process."""
        asked, self.asked = self.asked, None
        trace = (self.folder / "stderr.txt").read_text(errors="replace")[-6000:]
        frames = [line.strip() for line in trace.splitlines() if "/qglow/" in line]
        if not (self.folder / "case.name").exists():
            raise RuntimeError(f"a worker ended before it began: {trace}")
        name, data = (self.folder / "case.name").read_text(), (self.folder / "case").read_bytes()
        self.end()
        self.start()
        assert asked is not None
        return Answer(
            asked, outcome, f"{text}\n{trace}", f"{outcome} {frames[0] if frames else trace[:60]}", name, data, seconds
        )

    def end(self) -> None:
        for stream in (self.process.stdin, self.process.stdout):
            if stream is not None:
                with contextlib.suppress(BrokenPipeError):
                    stream.close()
        try:
            self.process.wait(10)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()


def run_cases(cases: Iterable[dict[str, Any]], corpus: Path, folder: Path, jobs: int) -> Iterator[Answer]:
    """Answers as they come.

    cases: {"kind", "seed", "number"}, or {"kind", "name", "path"} of a file that is kept; "seconds": that one may
    compute, CPU_SECONDS otherwise.
    """
    workers, cases = [Worker(corpus, folder / f"worker{k}") for k in range(jobs)], iter(cases)
    try:
        while True:
            for worker in workers:
                if worker.asked is None and (asked := next(cases, None)) is not None:
                    worker.ask(asked)
            busy = [w for w in workers if w.asked is not None]
            if not busy:
                return
            ready, _, _ = select.select([w.process.stdout for w in busy], [], [], 1.0)
            for worker in busy:
                if worker.process.stdout in ready:
                    answer = worker.answer()
                    if answer is not None:
                        yield answer
                elif worker.overdue():
                    yield worker.hung()
    finally:
        for worker in workers:
            worker.end()
