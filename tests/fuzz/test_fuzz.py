"""Two thousand cases of a fixed seed, every case that was found once, and faults made on purpose, which are seen."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from .account import FINDINGS, Account
from .cases import KINDS, kind_of, make
from .corpus import Corpus, make_corpus
from .draws import Draws
from .kept import kept_cases
from .pool import TESTS, run_cases

SEED, COUNT = 0, 700  # NOTE: `python -m tools.fuzz` tries as many as it is given time for
PATHS = f"{TESTS.parent}{os.pathsep}{TESTS}"


@pytest.fixture(scope="module")
def corpus() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="qglow-fuzz-") as folder:
        yield make_corpus(Path(folder))


def test_hundreds_of_cases(corpus: Path, tmp_path: Path) -> None:
    """Each is refused by a clear error, or runs within its memory and with the reference's bits."""
    account = Account()
    for answer in run_cases(
        ({"kind": kind_of(SEED, k), "seed": SEED, "number": k} for k in range(COUNT)), corpus, tmp_path, 2
    ):
        account.add(answer)
    said = "\n".join(f"{a.asked}: {a.outcome}: {a.where}\n{a.text[-600:]}" for a in account.found.values())
    assert not account.findings, f"{account.table()}\n{said}"
    assert account.total == COUNT
    for kind in ("bundle", "text", "program", "onnx", "profile", "toml", "picture"):
        counts = account.counts[kind]
        ran = counts["ran"] + counts["compared"]
        assert counts["refused"] > 5 and ran > 5, (
            f"{kind}: {counts['refused']} refused and {ran} ran: nothing is tested"
        )


def test_cases_that_were_found_once(corpus: Path, tmp_path: Path) -> None:
    cases = kept_cases()
    answers = list(run_cases(cases, corpus, tmp_path, 2))
    found = [f"{Path(a.asked['path']).name}: {a.outcome}: {a.text[-600:]}" for a in answers if a.outcome in FINDINGS]
    assert len(answers) == len(cases) and not found, "\n".join(found)


WANTED = {
    "crash": "crash",
    "hang": "hang",
    "leak": "leak",
    "memory": "memory",
    "internal": "internal",
    "message": "message",
    "terminal": "message",
    "wrong": "wrong",
    "pickle": "pickle",
    "refused": "refused",
}


def test_faults_made_on_purpose_are_seen(corpus: Path, tmp_path: Path) -> None:
    """One worker has all of them, one after the other: what one leaves is not taken for the next one's."""
    empty = tmp_path / "empty"
    empty.touch()
    cases: list[dict[str, Any]] = [{"kind": "fault", "name": n, "path": str(empty)} for n in (*WANTED, "refused")]
    cases[list(WANTED).index("hang")]["seconds"] = 2.0  # NOTE: not the others, for a busy machine's pages take long
    answers = list(run_cases(cases, corpus, tmp_path, 1))
    assert [(a.asked["name"], a.outcome) for a in answers] == [*WANTED.items(), ("refused", "refused")]


def test_a_worker_ends_with_its_parent(corpus: Path, tmp_path: Path) -> None:
    """However the parent ends: here it is killed while its worker is in a case that has no end."""
    empty = tmp_path / "empty"
    empty.touch()
    code = (
        "import sys, time\nfrom pathlib import Path\nfrom fuzz.pool import Worker\n"
        "w = Worker(Path(sys.argv[1]), Path(sys.argv[2]))\n"
        "w.ask({'kind': 'fault', 'name': 'hang', 'path': sys.argv[3]})\nprint(w.process.pid, "
        "flush=True)\ntime.sleep(600)"
    )
    command = [sys.executable, "-c", code, str(corpus), str(tmp_path / "w"), str(empty)]
    parent = subprocess.Popen(
        command, stdout=subprocess.PIPE, text=True, env={**os.environ, "PYTHONPATH": PATHS}, cwd=TESTS
    )
    assert parent.stdout is not None
    worker = int(parent.stdout.readline())
    parent.kill()
    parent.wait()
    parent.stdout.close()
    end = time.monotonic() + 600
    while is_alive(worker):
        assert time.monotonic() < end, "it outlives its parent"
        time.sleep(0.05)


def is_alive(pid: int) -> bool:
    """NOTE: in a container whose first process takes in nobody's children, one that has ended stays in the table."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except OSError:
        return False


def test_a_case_follows_from_its_numbers(corpus: Path) -> None:
    first, again = Corpus(corpus), Corpus(corpus)
    for kind in KINDS:
        made = [make(kind, Draws.of(3, kind, k), first) for k in range(20)]
        assert made == [make(kind, Draws.of(3, kind, k), again) for k in reversed(range(20))][::-1]
        assert len({case.data for case in made}) > 15, f"{kind}: the cases are alike"
        assert make(kind, Draws.from_bytes(b""), first) == make(kind, Draws.from_bytes(b"\0"), first)


def test_corpora_are_equal(corpus: Path, tmp_path: Path) -> None:
    other = make_corpus(tmp_path)
    files = sorted(p.relative_to(corpus) for p in corpus.rglob("*") if p.is_file())
    assert files == sorted(p.relative_to(other) for p in other.rglob("*") if p.is_file())
    assert [f for f in files if (corpus / f).read_bytes() != (other / f).read_bytes()] == []
