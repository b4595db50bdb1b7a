"""The processes that compile kernels: one that dies is an error, and none outlives the one that asked."""

from __future__ import annotations

import multiprocessing
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from qglow.kernels.workers import shared_out

LONG = 600  # seconds, far more than a machine that is busy takes


def test_work_is_shared_out() -> None:
    assert sorted(shared_out(lambda item: item * 2, list("abcdefg"), 3)) == ["aa", "bb", "cc", "dd", "ee", "ff", "gg"]


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_a_process_that_dies_is_an_error(number: int) -> None:
    def work(item: str) -> str:
        if item == "c":
            os.kill(os.getpid(), number)
        return item

    with pytest.raises(RuntimeError, match=rf"a process that compiles died \(exit code -{int(number)}\)"):
        list(shared_out(work, list("abcdefg"), 2))


def test_a_process_that_dies_between_two_items_is_an_error() -> None:
    work = shared_out(lambda item: item, list("abcdefg"), 2)
    next(work)
    for child in multiprocessing.active_children():
        child.kill()
        child.join()
    with pytest.raises(RuntimeError, match=r"a process that compiles died \(exit code -9\)"):
        list(work)


def test_what_fails_in_a_process_is_said() -> None:
    def work(item: str) -> str:
        return str(1 // (item != "c"))

    with pytest.raises(RuntimeError, match="ZeroDivisionError: "):
        list(shared_out(work, list("abcdefg"), 2))


def processes_of(marker: str) -> list[int]:
    """Running processes whose environment has the words."""
    found = []
    for path in Path("/proc").glob("[0-9]*"):
        try:
            if (
                marker.encode() in (path / "environ").read_bytes()
                and (path / "stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
            ):
                found.append(int(path.name))
        except OSError:
            continue
    return found


def until(holds: Callable[[], object], what: str) -> None:
    end = time.monotonic() + LONG
    while not holds():
        assert time.monotonic() < end, what
        time.sleep(0.02)


def starting(folder: Path) -> subprocess.Popen[str]:
    """`qglow kernels build` into a folder, which the environment of all its processes names."""
    environment = {**os.environ, "QGLOW_CACHE_DIR": str(folder)}
    command = [sys.executable, "-m", "qglow", "kernels", "build", "--isa", "generic"]
    return subprocess.Popen(
        command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True
    )


@pytest.mark.skipif(sys.platform != "linux", reason="looks at /proc")
@pytest.mark.parametrize(("number", "code", "said"), [
    (signal.SIGINT, 130, "qglow: stopped\n"), (signal.SIGTERM, 143, "qglow: stopped\n"), (signal.SIGKILL, -9, ""),
])  # fmt: skip
def test_a_build_that_is_ended_leaves_no_process(number: int, code: int, said: str, tmp_path: Path) -> None:
    process = starting(tmp_path / "cache")
    until(lambda: len(processes_of(str(tmp_path))) >= 2, "no compiler was started")
    process.send_signal(number)
    assert process.communicate(timeout=LONG) == ("", said) and process.returncode == code
    until(lambda: not processes_of(str(tmp_path)), "a compiler is left")
    if number != signal.SIGKILL:  # NOTE: nobody is left then to remove it; `qglow kernels clear` does
        assert not list((tmp_path / "cache").iterdir())


@pytest.mark.skipif(sys.platform != "linux", reason="looks at /proc")
def test_a_build_whose_process_is_killed_ends_with_an_error(tmp_path: Path) -> None:
    """Whichever it is: the one that the others work for, or with more than one CPU one of these."""
    process = starting(tmp_path / "cache")
    wanted = 3 if len(os.sched_getaffinity(0)) > 1 else 2
    until(lambda: len(processes_of(str(tmp_path))) >= wanted, "no compiler was started")
    os.kill(max(processes_of(str(tmp_path))), signal.SIGKILL)
    _, said = process.communicate(timeout=LONG)
    assert (
        process.returncode == 2
        and said.startswith("qglow: the generic kernels cannot be built: ")
        and said.count("\n") == 1
    )
    assert "died (exit code -9)" in said or "ended by signal 9 (SIGKILL)" in said
    until(lambda: not processes_of(str(tmp_path)), "a compiler is left")
    assert not list((tmp_path / "cache").iterdir())
