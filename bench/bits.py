"""Whether a change of the code changed a bit of any answer: bundles and inputs are kept, then run again by later code.

    python -m bench.bits keep /tmp/bits                     bundles of every model, an input of each, and the hashes of
    today's answers python -m bench.bits check /tmp/bits                    the same bundles and inputs: which answers
    differ python -m bench.bits check /tmp/bits --models residual,lstm --engines reference,avx2

Engines: `reference`, the graph's own meaning; `instructions`, the meaning of the instructions it is lowered to; and the
kernels of each instruction set, on one and on two threads, emulated where this CPU lacks it (slowly: those only of
models below a millisecond). The hashes of one model are all equal, or they are shown. A program that could not be run
before and can be now is no difference.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np

import qglow
from qglow.errors import QGlowError, in_one_line
from qglow.graph import Array
from qglow.targets import TARGETS, has
from tests import shared_models

from . import options
from .children import HERE, environment
from .models import real

ENGINES = ("reference", "instructions", *TARGETS)
SLOW = 1e-3  # seconds of a run on this CPU beyond which no instruction set is emulated
Hashes = dict[str, str]


def hash_of(outputs: list[Any]) -> str:
    """Of types, shapes and bytes; a NaN is a NaN, whatever its payload."""
    digest = hashlib.sha256()
    for array in map(np.asarray, outputs):
        a = np.where(np.isnan(array), np.float32(np.nan), array) if array.dtype.kind == "f" else array
        digest.update(
            f"{a.dtype.str}{a.shape}".encode() + (a.tobytes() if a.dtype.kind != "O" else repr(a.tolist()).encode())
        )
    return digest.hexdigest()[:16]


def names() -> list[str]:
    return [*shared_models.MADE, *real.available()]


def keep(name: str, folder: Path) -> None:
    """Make a model's bundle and inputs, unless they are there."""
    if (folder / f"{name}.npz").is_file():
        return
    samples = shared_models.feeds(name, 2)
    bundle = qglow.quantize(shared_models.path(name), qglow.profile(shared_models.path(name), samples), check=False)
    bundle.save(folder / f"{name}.qglow")
    np.savez(folder / f"{name}.npz", **samples[1])


def answers(name: str, folder: Path, engine: str) -> Hashes:
    """Hashes by engine and threads. Raises QGlowError."""
    bundle = qglow.load(folder / f"{name}.qglow")
    with np.load(folder / f"{name}.npz") as file:
        feeds = dict(file)
    if engine == "reference":
        from qglow.reference import evaluate

        found = evaluate(bundle.graph, feeds)
        return {engine: hash_of([found[o] for o in bundle.graph.outputs])}
    if engine == "instructions":
        return {engine: hash_of(interpreted(bundle, feeds))}
    return {f"{engine}, {t} threads": hash_of(qglow.InferenceSession(bundle, t).run(None, feeds)) for t in (1, 2)}


def interpreted(bundle: qglow.Bundle, feeds: dict[str, Array]) -> list[Array]:
    from qglow.instructions.interpret import run_program
    from qglow.instructions.lower import lower
    from qglow.reference import retype
    from qglow.targets import choose

    program = lower(retype(bundle.graph, {n: a.shape for n, a in feeds.items()}), choose()[0].name)
    found = run_program(program, feeds)
    return [found[o] for o in bundle.graph.outputs]


def engine_of_all(engine: str, folder: Path, models: list[str]) -> dict[str, Hashes]:
    """The answers of one engine, in a process of its own: the instruction set is chosen when a process starts."""
    environ = environment()
    if engine in TARGETS:
        environ |= {"QGLOW_ISA": engine, "QGLOW_EMULATE": "" if has(engine) else "1"}
    command = [
        sys.executable,
        "-m",
        "bench.bits",
        "one",
        str(folder),
        "--engines",
        engine,
        "--models",
        ",".join(models),
    ]
    done = subprocess.run(command, capture_output=True, text=True, env=environ, cwd=HERE, check=False)
    if done.returncode != 0:
        raise RuntimeError(f"{engine}: {(done.stderr.strip().splitlines() or ['no error line'])[-1]}")
    found: dict[str, Hashes] = json.loads(done.stdout.splitlines()[-1])
    return found


def one(folder: Path, engine: str, models: list[str]) -> dict[str, Hashes]:
    """What a process of one engine finds; an error is an answer too."""
    found = {}
    for name in models:
        if engine in TARGETS and not has(engine) and too_slow(name, folder):
            continue
        try:
            found[name] = answers(name, folder, engine)
        except QGlowError as error:
            found[name] = {engine: f"error: {in_one_line(error)[:120]}"}
    return found


def too_slow(name: str, folder: Path) -> bool:
    """Whether a model's file is one whose runs take long; by size, which is the same everywhere."""
    return (folder / f"{name}.qglow").stat().st_size > 1_000_000


def show(name: str, now: Hashes, before: Hashes | None) -> bool:
    """Print a model's line; whether all is as it should be."""
    errors = sorted({h for h in now.values() if h.startswith("error")})
    differ = (
        []
        if before is None
        else [e for e in now if e in before and before[e] != now[e] and not before[e].startswith("error")]
    )
    hashes = {h for h in now.values() if not h.startswith("error")}
    said = "differs from before: " + ", ".join(differ) if differ else "as before" if before is not None else "kept"
    if len(hashes) > 1:
        said += "; engines differ: " + ", ".join(f"{e} {h}" for e, h in now.items())
    print(f"{name:32s} {len(now):3d} engines  {said}" + "".join(f"; {e}" for e in errors), flush=True)
    return not differ and len(hashes) <= 1


def arguments() -> argparse.Namespace:
    parser = options.parser(__doc__)
    parser.add_argument("what", choices=("keep", "check", "one"), help="`one` is for its own processes")
    parser.add_argument("folder", type=Path)
    parser.add_argument("--models", type=lambda text: text.split(","), help="by comma, of " + ", ".join(names()))
    parser.add_argument(
        "--engines", type=lambda text: text.split(","), default=list(ENGINES), help="by comma, of " + ", ".join(ENGINES)
    )
    given = parser.parse_args()
    for kind, wanted, known in (("model", given.models or [], names()), ("engine", given.engines, ENGINES)):
        for name in wanted:
            if name not in known:
                parser.error(f"no {kind} {name!r}; there are {', '.join(known)}")
    return given


def main() -> int:
    given = arguments()
    folder: Path = given.folder
    file = folder / "bits.json"
    if given.what == "one":
        print(json.dumps(one(folder, given.engines[0], given.models)))
        return 0
    if given.what == "keep":
        folder.mkdir(parents=True, exist_ok=True)
        for name in given.models or names():
            keep(name, folder)
    elif not file.is_file():
        print(f"error: {file}: no such file; `python -m bench.bits keep {folder}` makes it", file=sys.stderr)
        return 2
    kept: dict[str, Hashes] = json.loads(file.read_text()) if file.is_file() else {}
    models = [n for n in given.models or names() if (folder / f"{n}.qglow").is_file()]
    now: dict[str, Hashes] = {n: {} for n in models}
    for engine in given.engines:
        for name, hashes in engine_of_all(engine, folder, models).items():
            now[name] |= hashes
    right = [show(n, now[n], kept.get(n) if given.what == "check" else None) for n in models]
    if given.what == "keep":
        file.write_text(json.dumps(kept | now, indent=1))
    return 0 if all(right) else 1


if __name__ == "__main__":
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    sys.exit(main())
