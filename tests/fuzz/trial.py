"""One case, tried: refused by a clear error, run, or a finding."""

from __future__ import annotations

import contextlib
import gc
import io
import os
import traceback
import unicodedata
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

import qglow
from qglow.commands.main import main
from qglow.errors import QGlowError
from qglow.graph.text import parse_graph, print_graph
from qglow.graph.verify import verify
from qglow.quantization.config import QuantConfig

from .array_files import MARKER
from .cases import Case
from .corpus import Corpus
from .documents import PICTURES
from .engines import ACCEPTED, TooLarge, Wrong, run_case_of_program, run_graph

LONGEST_ERROR = 500
MOST_GROWTH = 1 << 30  # bytes by which one case may raise the process's largest memory, beside what its plans say
COPIES = 5  # of a plan's memory: two runs with guard pages, the outputs of both, and what packs them


@dataclass(frozen=True)
class Result:
    """outcome: refused, ran, compared (ran, as the reference says), large (inputs too large to give), or a finding.

    where: what findings of one cause have in common. crash and hang are for the parent to see.
    """

    outcome: str
    text: str = ""
    where: str = ""


def attempt(case: Case, folder: Path, corpus: Corpus) -> Result:
    """Try a case in this process, with a look at memory and descriptors behind it."""
    before, largest = descriptors(), largest_memory()
    path = folder / case.name
    result = _judged(lambda: TRIALS[case.kind](case, path, corpus))
    path.unlink(missing_ok=True)
    planned = COPIES * sum(p.arena_size for p in ACCEPTED)
    ACCEPTED.clear()
    grown = largest_memory() - largest
    if result.outcome in GOOD and grown << 10 > MOST_GROWTH + planned:
        return Result("memory", f"{grown >> 10} MiB more than before", f"memory {case.kind}")
    if MARKER.exists():
        MARKER.unlink()
        return Result("pickle", "code of a file was run", "pickle")
    if result.outcome in GOOD and len(descriptors()) > len(before):
        gc.collect()
        after = descriptors()
        if (left := len(after) - len(before)) > 0:
            new = [path for number, path in after.items() if number not in before]
            return Result("leak", f"{left} descriptors more than before: {new}", f"leak {case.kind}")
    return result


def descriptors() -> dict[str, str]:
    """What each open file descriptor of this process leads to.

    NOTE: but for sockets and event descriptors, which qglow never opens: onnxruntime's telemetry does, from a thread,
    at any time.
    """
    found = {}
    for number in os.listdir("/proc/self/fd"):
        with contextlib.suppress(FileNotFoundError):  # the one that lists them
            found[number] = os.readlink(f"/proc/self/fd/{number}")
    return {n: path for n, path in found.items() if not path.startswith(("socket:", "anon_inode:[eventfd]"))}


def largest_memory() -> int:
    """The most memory that this process had at once, KiB. NOTE: what getrusage says is inherited from the process that
    started it."""
    status = Path("/proc/self/status").read_text()
    return int(status.partition("VmHWM:")[2].split()[0])


GOOD = ("refused", "ran", "compared", "large")


def _judged(trial: Callable[[], str]) -> Result:
    try:
        return Result(trial())
    except TooLarge:
        return Result("large")
    except QGlowError as error:
        return judged_message(str(error), type(error).longest)
    except Wrong as error:
        return Result("wrong", str(error), f"wrong {str(error)[:30]}")
    except MemoryError as error:
        return Result("memory", f"MemoryError {error}", place_of(error))
    except (Exception, SystemExit) as error:
        return Result("internal", "".join(traceback.format_exception(error)[-12:]), place_of(error))


def place_of(error: BaseException) -> str:
    frames = [f for f in traceback.extract_tb(error.__traceback__) if "/qglow/" in f.filename]
    last = frames[-1] if frames else None
    return f"{type(error).__name__} {Path(last.filename).name}:{last.lineno}" if last else type(error).__name__


def judged_message(text: str, most: int = LONGEST_ERROR) -> Result:
    """An error is one short line that a terminal may show. most: characters; a verifier may have more."""
    control = [c for c in text if unicodedata.category(c) in ("Cc", "Cf", "Cs", "Zl", "Zp")]
    if control:
        return Result("message", ascii(text[:2000]), f"control character in: {text[:25]}")
    if len(text) > max(most, LONGEST_ERROR):
        return Result("message", text[:2000], f"long error: {text[:25]}")
    if "internal error" in text:
        return Result("internal", text[:2000], text[:120])
    return Result("refused", text)


def command(arguments: list[str]) -> str:
    """The outcome of a command: exit code 0, or 1 or 2 with one line that says why."""
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err), np.errstate(all="ignore"):
        code = main([*arguments, "--quiet"])
    if code == 0:
        return "ran"
    lines = [line for line in err.getvalue().split("\n") if line.startswith("qglow: ")]
    if code not in (1, 2) or len(lines) != 1:
        raise Wrong(f"exit {code} with {len(lines)} lines of error: {err.getvalue()[:300]!r}")
    raise QGlowError(lines[0])


def _bundle(case: Case, path: Path, corpus: Corpus) -> str:
    path.write_bytes(case.data)
    return run_graph(qglow.load(path).graph)


def _text(case: Case, path: Path, corpus: Corpus) -> str:
    graph = verify(parse_graph(case.data.decode("utf-8", "replace")))
    text = print_graph(graph)
    if print_graph(parse_graph(text, graph.constants)) != text:
        raise Wrong("a graph's text does not parse back equal")
    return run_graph(graph, 1)


def _fault(case: Case, path: Path, corpus: Corpus) -> str:
    from .faults import FAULTS

    return FAULTS[case.name]()


def _program(case: Case, path: Path, corpus: Corpus) -> str:
    return run_case_of_program(case.data, corpus)


def _onnx(case: Case, path: Path, corpus: Corpus) -> str:
    """profile, quantize, run, and of every fourth (by its size) report and export."""
    path.write_bytes(case.data)
    from .onnx_feeds import samples_of

    samples = samples_of(path)
    profile = qglow.profile(path, samples)
    config = QuantConfig(min_agreement_sqnr_db=-1000.0)
    bundle = qglow.quantize(path, profile, config)
    outcome = run_graph(bundle.graph)
    if len(case.data) % 4 == 0:
        qglow.compare(path, bundle, samples)
        stored = path.with_suffix(".qglow")
        bundle.save(stored)
        with contextlib.suppress(QGlowError):
            command(["export", str(stored), "-o", str(path.with_suffix(".qdq.onnx"))])
    return outcome


def _profile(case: Case, path: Path, corpus: Corpus) -> str:
    path.write_bytes(case.data)
    bundle = qglow.quantize(corpus.folder / "small.onnx", qglow.Profile.load(path))
    return run_graph(bundle.graph)


def _toml(case: Case, path: Path, corpus: Corpus) -> str:
    if case.name == "qglow.toml":
        path.write_bytes(case.data)
        model, profile = corpus.folder / "small.onnx", corpus.folder / "small.profile.json"
        return run_graph(qglow.quantize(model, profile, QuantConfig.load(path)).graph)
    return _data(corpus, path.parent / "pictures", {"dataset.toml": case.data, "a.png": corpus.read("picture/a.png")})


def _picture(case: Case, path: Path, corpus: Corpus) -> str:
    return _data(corpus, path.parent / "pictures", {"dataset.toml": PICTURES.encode(), case.name: case.data})


def _array(case: Case, path: Path, corpus: Corpus) -> str:
    """As data, and (npy) as an input."""
    if path.suffix == ".npy":
        path.write_bytes(case.data)
        with contextlib.suppress(QGlowError):
            command(["run", str(corpus.folder / "small.qglow"), "--input", f"x={path}"])
    name = f"test_data_set_0/input_0{path.suffix}" if path.suffix == ".pb" else case.name
    return _data(corpus, path.parent / "arrays", {name: case.data})


def _data(corpus: Corpus, folder: Path, files: dict[str, bytes]) -> str:
    """A folder of data, through `qglow run` and as calibration."""
    written = [folder / name for name in files]
    for path, data in zip(written, files.values(), strict=True):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
    try:
        return command(["run", str(corpus.folder / "small.qglow"), "--data", str(folder)])
    finally:
        for path in written:
            path.unlink()


TRIALS: dict[str, Callable[[Case, Path, Corpus], str]] = {
    "bundle": _bundle,
    "text": _text,
    "program": _program,
    "onnx": _onnx,
    "profile": _profile,
    "toml": _toml,
    "picture": _picture,
    "array": _array,
    "fault": _fault,
}
