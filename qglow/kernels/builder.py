"""The process that compiles an object: started, watched, and never left behind."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from pathlib import Path

from ..errors import KernelError
from ..progress import track

PARTS = "part "  # the builder prints `part 0 43`, and as each kernel is done `part 1 43`
ROOT = Path(__file__).parents[2]  # of the folder that holds the package


def compile_into(
    handle: int, isa: str, emulated: bool, quiet: bool, shown: Callable[..., Iterable[int]] = track
) -> None:
    """Compile an object into an open file. shown: shows progress, as `track` does.

    Raises KernelError with the last line of the process where it fails, or dies.
    """
    lines: list[str] = []
    with subprocess.Popen(
        [sys.executable, "-P", "-m", "qglow.kernels.build", isa, str(handle), str(os.getpid()),
        *(["--emulate"] if emulated else [])],
        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace",
        env=_environment(), cwd=ROOT, pass_fds=(handle,), start_new_session=True,
    ) as process:  # fmt: skip
        try:
            parts = _parts(process, lines)
            total = next(parts, 0)
            for _ in shown(parts, f"compiling {isa}", total, quiet):
                pass
            process.wait()
        except BaseException:
            _end(process)
            raise
    if process.returncode < 0:
        lines.append(
            f"the compiler was ended by signal {-process.returncode} ({signal.Signals(-process.returncode).name})"
        )
    if process.returncode != 0:
        raise KernelError(f"the {isa} kernels cannot be built: {(lines or ['no output'])[-1][:300]}")


def _end(process: subprocess.Popen[str]) -> None:
    """End the compiler and what it started: they are a process group of their own."""
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def _environment() -> dict[str, str]:
    """That of this process without numba's settings, none of which may get into an object, and with the package to
    import."""
    kept = {k: v for k, v in os.environ.items() if not k.startswith("NUMBA_")}
    folders = [os.path.abspath(p) for p in os.environ.get("PYTHONPATH", "").split(os.pathsep) if p]
    return {**kept, "PYTHONPATH": os.pathsep.join([str(ROOT), *folders])}


def _parts(process: subprocess.Popen[str], lines: list[str]) -> Iterator[int]:
    """How many kernels there are (part 0), then a number as each is done; what else the builder prints goes to
    `lines`."""
    assert process.stdout is not None
    for line in process.stdout:
        if not line.startswith(PARTS):
            lines += [line.strip()] if line.strip() else []
            continue
        done, total = map(int, line.split()[1:3])
        yield done or total
