"""Mutation testing: change one expression of qglow at a time, and see whether the tests notice.

    python tools/mutate.py --area reference lowering import --count 300 --seed 0
    python tools/mutate.py --file qglow/reference/windows.py --all
    python tools/mutate.py --seed 0 --only 4 9 10 --tests tests/instructions/test_coalesce_dims.py
    tests/reference/test_convolve.py

First the tests run once, traced: which of them execute the lines of the mutants. Then each mutant is run, in a process
of its own, against the tests that execute its line, the quickest first, until one fails. The models that lie beside the
repository are not used. Survivors are printed as diffs under their numbers, which --only takes: the same for a seed, as
long as the files are the same. The exit code is 0 where at least --goal per cent are caught.
"""

from __future__ import annotations

import argparse
import difflib
import io
import json
import os
import resource
import signal
import sys
import tempfile
import threading
import time
from collections.abc import Sequence
from contextlib import redirect_stderr, redirect_stdout
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec, SourceFileLoader
from importlib.util import spec_from_file_location
from itertools import accumulate
from pathlib import Path
from types import CodeType, FrameType
from typing import IO, Any

from mutations import Mutant, mutants_of, sample

ROOT = Path(__file__).resolve().parent.parent
AREAS = {
    "reference": ["qglow/reference/*.py"],
    "lowering": [
        "qglow/instructions/lower*.py",
        "qglow/instructions/layout.py",
        "qglow/instructions/packing.py",
        "qglow/instructions/coalesce_dims.py",
    ],
    "import": ["qglow/onnx_import/*.py"],
    "quantization": ["qglow/quantization/*.py"],
}
TESTS = [
    "tests/sweep", "tests/chains", "tests/models", "tests/reference", "tests/simplify", "tests/onnx_import",
    "tests/quantization",
    "tests/instructions/test_program_cases.py",
    "tests/instructions/test_meaning.py", "tests/instructions/test_packing.py", "tests/instructions/test_reshape.py",
    "tests/instructions/test_reshaped.py", "tests/kernels/test_rows.py", "tests/kernels/test_float_products.py",
    "tests/kernels/test_floats.py",
]  # fmt: skip
LONGEST = 15.0  # seconds of the processor: a slower test is not run on mutants
LIMIT = 120  # seconds of the processor a mutant, beyond which it counts as caught: it hangs
TOGETHER = 60.0  # seconds of tests a mutant
Lines = dict[str, set[int]]  # by the path of a file
# by the test's name: `seconds`, and `lines`, each (path, line), that it executes; line 0: any
Tests = dict[str, dict[str, Any]]
CAUGHT, HANGS, SURVIVES, NOT_RUN = "caught", "hangs", "survives", "no test runs it"


class Seen:
    """A pytest plugin: how long each test takes, and which of some lines it executes.

    A function is traced line by line only while a test has not executed all of its lines that are asked for.
    """

    def __init__(self, wanted: Lines) -> None:
        self.wanted = {str(ROOT / p): lines for p, lines in wanted.items()}
        self.lines, self.left, self.bad = set[tuple[str, int]](), dict[CodeType, set[int]](), set[str]()
        self.tests = Tests()

    def _trace(self, frame: FrameType, event: str, argument: object) -> Any:
        code = frame.f_code
        if code not in self.left:
            lines = self.wanted.get(code.co_filename)
            self.left[code] = set() if lines is None else lines & {n for *_, n in code.co_lines() if n is not None}
            if lines is not None:
                self.lines.add((code.co_filename, 0))
        return self._line if self.left[code] else None

    def _line(self, frame: FrameType, event: str, argument: object) -> Any:
        if frame.f_lineno in (left := self.left.get(frame.f_code, ())):
            left.remove(frame.f_lineno)
            self.lines.add((frame.f_code.co_filename, frame.f_lineno))
        return self._line if left else None

    def pytest_runtest_logstart(self, nodeid: str) -> None:
        self.lines, self.left, self.start = set(), {}, time.process_time()
        threading.settrace(self._trace)
        sys.settrace(self._trace)

    def pytest_runtest_logfinish(self, nodeid: str) -> None:
        sys.settrace(None)
        threading.settrace(None)  # type: ignore[arg-type]
        seconds = time.process_time() - self.start
        lines = sorted((str(Path(f).relative_to(ROOT)), n) for f, n in self.lines)
        self.tests[nodeid] = {"seconds": seconds, "lines": lines}

    def pytest_runtest_logreport(self, report: Any) -> None:
        if not report.passed:
            self.bad.add(report.nodeid)


class Changed(MetaPathFinder, SourceFileLoader):
    """Imports one module from another source text."""

    def __init__(self, path: str, source: str) -> None:
        self.module = path.removesuffix(".py").removesuffix("/__init__").replace("/", ".")
        SourceFileLoader.__init__(self, self.module, str(ROOT / path))
        self.source = source

    def find_spec(self, name: str, path: Any = None, target: Any = None) -> ModuleSpec | None:
        return spec_from_file_location(name, self.path, loader=self) if name == self.module else None

    def get_code(self, fullname: str) -> CodeType:
        return compile(self.source, self.path, "exec", dont_inherit=True)


def run_tests(tests: Sequence[str], plugins: Sequence[object] = ()) -> int:
    import pytest

    # NOTE: another process would neither be traced nor have the mutant
    options = ["-n", "0", "-q", "-p", "no:cacheprovider"]
    with redirect_stdout(io.StringIO()), redirect_stderr(io.StringIO()):
        return int(pytest.main([*options, *(() if plugins else ("-x",)), *tests], plugins=list(plugins)))


def recorded(wanted: Lines, given: Sequence[str], file: Path | None, jobs: int) -> Tests:
    """What each test executes, from the file that keeps it or by running them, so many files or folders at once."""
    if file is not None and file.is_file():
        return dict(json.loads(file.read_text()))
    waiting, running, found = list(given), dict[int, IO[str]](), Tests()
    while waiting or running:
        while waiting and len(running) < jobs:
            kept = tempfile.TemporaryFile("w+")  # noqa: SIM115  (it is read once its process has ended)
            if not (process := os.fork()):
                _record(waiting[0], wanted, kept)
            print(f"running {waiting.pop(0)}", file=sys.stderr)
            running[process] = kept
        process, _ = os.wait()
        kept = running.pop(process)
        kept.seek(0)
        found |= json.load(kept)
    if file is not None:
        file.write_text(json.dumps(found))
    return found


def _record(test: str, wanted: Lines, file: IO[str]) -> None:
    """Write what the tests of a file or folder that pass execute, and end the process."""
    seen = Seen(wanted)
    run_tests([test], [seen])
    json.dump({name: t for name, t in seen.tests.items() if name not in seen.bad}, file)
    file.flush()
    os._exit(0)


def lines_of(mutants: Sequence[Mutant]) -> Lines:
    found = Lines()
    for m in mutants:
        found.setdefault(m.path, set()).update(range(m.start[0], m.end[0] + 1))
    return found


def tests_of(m: Mutant, tests: Tests) -> list[str]:
    """The tests that execute a line of the mutant, the quickest first; for what runs on import, those of the file."""
    wanted = {(m.path, n) for n in range(m.start[0], m.end[0] + 1)}
    quick = {name: t for name, t in tests.items() if t["seconds"] < LONGEST}
    running = [name for name, t in quick.items() if any(tuple(line) in wanted for line in t["lines"])]
    running = running or [name for name, t in quick.items() if any(line[0] == m.path for line in t["lines"])]
    running.sort(key=lambda name: quick[name]["seconds"])
    total = accumulate(quick[name]["seconds"] for name in running)
    return [name for name, seconds in zip(running, total, strict=True) if seconds < TOGETHER]


def start(m: Mutant, tests: Sequence[str]) -> int:
    """Run tests on a mutant in a new process; its id. It exits with 1 where a test failed, and 0 where none did."""
    if process := os.fork():
        return process
    source = m.applied((ROOT / m.path).read_text())
    resource.setrlimit(resource.RLIMIT_CPU, (LIMIT, LIMIT))  # NOTE: a busy machine makes no mutant hang
    signal.alarm(10 * LIMIT)
    sys.meta_path.insert(0, Changed(m.path, source))
    code = 1
    try:
        compile(source, m.path, "exec")
        code = min(1, run_tests(tests))
    finally:
        os._exit(code)


def outcomes(mutants: Sequence[Mutant], tests: Tests, jobs: int) -> list[str]:
    """What became of each mutant, so many at once."""
    found, running = [NOT_RUN] * len(mutants), dict[int, int]()
    waiting = [(k, tests_of(m, tests)) for k, m in enumerate(mutants)]
    waiting = [(k, names) for k, names in waiting if names]
    while waiting or running:
        while waiting and len(running) < jobs:
            k, names = waiting.pop(0)
            running[start(mutants[k], names)] = k
        process, status = os.wait()
        k = running.pop(process)
        found[k] = SURVIVES if not status else HANGS if os.WIFSIGNALED(status) else CAUGHT
        m = mutants[k]
        print(f"{k + 1}/{len(mutants)} {m.path}:{m.start[0]} {m.kind}: {found[k]}", file=sys.stderr)
    return found


def diff(m: Mutant) -> str:
    old = (ROOT / m.path).read_text()
    lines = difflib.unified_diff(old.splitlines(), m.applied(old).splitlines(), m.path, m.path, "", "", 1, "")
    return "\n".join(lines)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--area", nargs="+", choices=AREAS, default=["reference", "lowering", "import"])
    parser.add_argument("--file", nargs="+", default=[], help="these files instead of an area")
    parser.add_argument("--count", type=int, default=300, help="mutants, at random (default 300)")
    parser.add_argument("--all", action="store_true", help="every mutant")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", nargs="+", type=int, help="of these mutants the ones of these numbers, from 1")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1, help="processes at a time")
    parser.add_argument(
        "--tests", nargs="+", default=TESTS, help="the tests that may catch a mutant (default: the quick ones)"
    )
    parser.add_argument("--goal", type=float, default=95.0, help="per cent that must be caught (default 95)")
    parser.add_argument(
        "--map", type=Path, help="a file that keeps which test executes which line of this sample; made where absent"
    )
    options = parser.parse_args()
    os.chdir(ROOT)
    sys.path.insert(0, str(ROOT))
    os.environ |= {"QGLOW_SHARED_MODELS": "/nonexistent", "PYTHONDONTWRITEBYTECODE": "1"}
    import hypothesis  # noqa: F401  (each mutant's process then has them)
    import onnx.reference  # noqa: F401
    import onnxruntime  # noqa: F401
    import pytest  # noqa: F401

    chosen = options.file or sorted(
        str(p.relative_to(ROOT)) for a in options.area for g in AREAS[a] for p in ROOT.glob(g)
    )
    mutants = [m for p in chosen for m in mutants_of(p, (ROOT / p).read_text())]
    picked = mutants if options.all else sample(mutants, options.count, options.seed)
    tests = recorded(lines_of(picked), options.tests, options.map, options.jobs)
    numbers = options.only or list(range(1, len(picked) + 1))
    picked = [picked[k - 1] for k in numbers]
    found = outcomes(picked, tests, options.jobs)
    for k, m, outcome in zip(numbers, picked, found, strict=True):
        if outcome in (SURVIVES, NOT_RUN):
            print(f"{k} {outcome}:\n{diff(m)}\n")
    caught = sum(o in (CAUGHT, HANGS) for o in found)
    share = 100 * caught / max(1, len(found))
    where = f"of {len(mutants)} in {len(chosen)} files; seed {options.seed}"
    print(f"{caught} of {len(found)} mutants are caught ({share:.1f} %), {where}")
    return 0 if share >= options.goal else 1


if __name__ == "__main__":
    sys.exit(main())
