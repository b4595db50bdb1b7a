"""A worker process: `python -m fuzz.worker CORPUS FOLDER PARENT`. A first line says that it is ready;
then lines in name cases, and lines out say how they went.

It ends with its parent, whose process number it is given.
"""

from __future__ import annotations

import faulthandler
import json
import os
import resource
import signal
import sys
from pathlib import Path
from typing import Any, TextIO

from qglow.kernels.workers import die_with

ADDRESS_SPACE = 8 << 30  # bytes; a session's threads and onnxruntime take little of it
CPU_SLACK = 3600


def serve(corpus_folder: Path, folder: Path) -> None:
    """NOTE: what libraries print must not come between the lines, so those go over a copy of the standard output."""
    lines = os.fdopen(os.dup(1), "w", buffering=1)
    errors = (folder / "stderr.txt").open("a")
    os.dup2(errors.fileno(), 1)
    os.dup2(errors.fileno(), 2)
    faulthandler.enable(errors)
    faulthandler.register(signal.SIGUSR1, errors, all_threads=True)
    os.chdir(folder)
    from . import cases, trial  # noqa: F401  (a case begins when all is there)
    from .corpus import Corpus
    from .engines import watch_proofs

    watch_proofs()
    corpus = Corpus(corpus_folder)
    resource.setrlimit(resource.RLIMIT_AS, (ADDRESS_SPACE, ADDRESS_SPACE))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    lines.write("ready\n")
    for line in sys.stdin:
        _answer(json.loads(line), folder, corpus, lines)


def _answer(asked: dict[str, Any], folder: Path, corpus: Any, lines: TextIO) -> None:
    from .cases import Case, make
    from .draws import Draws
    from .trial import attempt

    if "path" in asked:
        case = Case(asked["kind"], asked["name"], Path(asked["path"]).read_bytes())
    else:
        case = make(asked["kind"], Draws.of(asked["seed"], asked["kind"], asked["number"]), corpus)
    (folder / "case").write_bytes(case.data)
    (folder / "case.name").write_text(case.name)
    result = attempt(case, folder / "tried", corpus)
    lines.write(
        json.dumps({"outcome": result.outcome, "text": result.text[:6000], "where": result.where, "name": case.name})
        + "\n"
    )


if __name__ == "__main__":
    die_with(int(sys.argv[3]))
    Path(sys.argv[2], "tried").mkdir(parents=True, exist_ok=True)
    serve(Path(sys.argv[1]).resolve(), Path(sys.argv[2]).resolve())
