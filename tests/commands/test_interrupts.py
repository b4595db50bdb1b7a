"""Commands that are interrupted: one line, 130 or 143, files whole or not there, nothing left; `tools/interrupts.py`
does it at length."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from qglow.commands.main import main
from qglow.commands.stopping import Stopping
from tools.interrupts import Case, interrupt, prepared, seconds_of


@pytest.fixture(scope="module")
def cases(tmp_path_factory: pytest.TempPathFactory) -> list[Case]:
    return prepared(tmp_path_factory.mktemp("models"))


@pytest.mark.skipif(sys.platform != "linux", reason="looks at /proc")
@pytest.mark.parametrize(("number", "k"), [(signal.SIGINT, 0), (signal.SIGTERM, 1), (signal.SIGINT, 2)])
def test_at_random_moments(number: int, k: int, cases: list[Case]) -> None:
    case = cases[k]
    seconds, expected = seconds_of(case)
    rng = random.Random(k)
    for _ in range(2):
        ended, why = interrupt(case, rng.uniform(0, seconds), number, expected)
        assert not why, f"{ended}: {why}"


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_exit_codes_and_handlers(
    number: int, code: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Called by another program, the command line leaves that program's handlers as they were."""
    kept = [signal.signal(signal.SIGINT, signal.default_int_handler), signal.signal(signal.SIGTERM, signal.SIG_DFL)]
    try:
        monkeypatch.setattr("qglow.commands.kernels.run", lambda _: signal.raise_signal(number))
        assert main(["kernels", "list"]) == code
        assert capsys.readouterr().err == "qglow: stopped\n"
        assert (
            signal.getsignal(signal.SIGINT) is signal.default_int_handler
            and signal.getsignal(signal.SIGTERM) == signal.SIG_DFL
        )
    finally:
        signal.signal(signal.SIGINT, kept[0])
        signal.signal(signal.SIGTERM, kept[1])


SCRIPT = """
import signal, sys
sys.path.insert(0, sys.argv[1])
from qglow.commands.stopping import Stopping
stopping = Stopping(final=True)
with stopping:
    PART
    print("went on")
print(stopping.signal, flush=True)
"""
IMPORTED = """
import signal, time
try:
    signal.raise_signal(signal.SIGINT)
    time.sleep(0)
except BaseException:
    raise ImportError("spoiled")
"""
DESTRUCTOR = """
    class Gone:
        def __del__(self):
            signal.raise_signal(signal.SIGINT)
    Gone()
    import time
    for _ in range(1000):
        time.sleep(0.05)
"""


@pytest.mark.parametrize("part", ["import interrupted\n    import time\n    time.sleep(60)", DESTRUCTOR.strip()])
def test_where_an_interrupt_would_be_lost(part: str, tmp_path: Path) -> None:
    """Within an import, which may make another error of it, and in a destructor, which cannot raise it: it comes a
    moment later."""
    (tmp_path / "interrupted.py").write_text(IMPORTED)
    script = SCRIPT.replace("PART", part)
    done = subprocess.run([sys.executable, "-c", script, str(tmp_path)], capture_output=True, text=True, timeout=1800)
    assert (done.returncode, done.stdout, done.stderr) == (0, f"{int(signal.SIGINT)}\n", "")


HALF_DONE = """
class Archive:
    def __del__(self):
        raise ValueError("seek of closed file")
def write():
    archive = Archive()
    signal.raise_signal(signal.SIGINT)
"""


@pytest.mark.parametrize("final", [True, False])
def test_what_an_interrupt_leaves_half_done_says_nothing(final: bool) -> None:
    script = "import signal, sys" + HALF_DONE + "from qglow.commands.stopping import Stopping\n"
    script += f"hook = sys.unraisablehook\nwith Stopping(final={final}):\n    write()\n"
    script += f"print({final} or sys.unraisablehook is hook)"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=1800)
    assert (done.returncode, done.stdout, done.stderr) == (0, "True\n", "")


def test_signals_that_are_ignored_or_handled_stay_so() -> None:
    """nohup, and a program that has a handler of its own."""
    kept = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        with Stopping(final=False) as stopping:
            signal.raise_signal(signal.SIGINT)
        assert stopping.signal == 0 and signal.getsignal(signal.SIGINT) == signal.SIG_IGN
    finally:
        signal.signal(signal.SIGINT, kept)


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="no /dev/full here")
def test_output_that_nobody_reads_or_that_has_no_place(digits: Path) -> None:
    command = f"{sys.executable} -m qglow inspect {digits / 'model.onnx'}"
    piped = ["bash", "-c", f"{command} | head -c 1; exit ${{PIPESTATUS[0]}}"]
    done = subprocess.run(piped, capture_output=True, text=True)
    assert (done.returncode, len(done.stdout), done.stderr) == (0, 1, "")
    done = subprocess.run(f"{command} > /dev/full", shell=True, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (2, "qglow: No space left on device\n")


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="no /dev/full here")
@pytest.mark.parametrize("length", [1, 8191, 8192, 8193, 100_000])
def test_output_of_any_length_that_has_no_place(length: int) -> None:
    """Python keeps what a flush could not write, unless it runs unbuffered: its own flush at exit would fail again."""
    script = f"""import sys, qglow.commands.main as m
m._run = lambda given: (print("x" * {length}), sys.stdout.flush())
sys.exit(m.main([]))"""
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONUNBUFFERED"}
    done = subprocess.run(
        f"{sys.executable} - > /dev/full", shell=True, capture_output=True, text=True, input=script, env=environment
    )
    assert (done.returncode, done.stderr) == (2, "qglow: No space left on device\n")
