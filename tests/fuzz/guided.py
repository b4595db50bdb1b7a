"""Fuzzing guided by coverage: atheris grows the bytes that a case's choices are taken from, towards lines that no case
reached."""

from __future__ import annotations

import importlib.util
import sys
import tempfile
from pathlib import Path

ABSENT = (
    "atheris is not installed: `pip install atheris` (CPython 3.11 to 3.13 on Linux) into this environment, or run "
    "without --guided"
)


def instrument() -> bool:
    """Import qglow so that its lines are counted, before anything else does. Whether atheris is there."""
    if importlib.util.find_spec("atheris") is None:
        return False
    import atheris

    with atheris.instrument_imports(include=["qglow"]):
        import fuzz.trial  # noqa: F401
        import qglow.commands.profile
        import qglow.commands.run  # noqa: F401
    return True


def run_guided(kinds: tuple[str, ...], minutes: float, findings: Path) -> int:
    """Run until the time is over or something is found, in this process; libFuzzer prints what it does. Returns the
    exit code.

    NOTE: a crash ends the process, and libFuzzer leaves the bytes that made it in `findings`.
    """
    import atheris

    from .cases import make
    from .corpus import Corpus, make_corpus
    from .draws import Draws
    from .engines import watch_proofs
    from .trial import GOOD, attempt

    folder = Path(tempfile.mkdtemp(prefix="qglow-fuzz-"))
    findings.mkdir(parents=True, exist_ok=True)
    (folder / "tried").mkdir()
    corpus = Corpus(make_corpus(folder / "corpus"))
    watch_proofs()

    def one(data: bytes) -> None:
        if not data:
            return
        case = make(kinds[data[0] % len(kinds)], Draws.from_bytes(data[1:]), corpus)
        result = attempt(case, folder / "tried", corpus)
        if result.outcome not in GOOD:
            (findings / f"{case.kind}-guided{Path(case.name).suffix}").write_bytes(case.data)
            raise AssertionError(f"{result.outcome}: {result.where}: {result.text[-2000:]}")

    limits = [
        f"-max_total_time={int(60 * minutes)}",
        "-timeout=60",
        "-rss_limit_mb=8192",
        f"-artifact_prefix={findings}/",
    ]
    atheris.Setup([sys.argv[0], *limits], one)
    atheris.Fuzz()
    return 0
