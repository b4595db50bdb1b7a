"""int8 beside float of many models, by onnxruntime's quantizer, NNCF and qglow, on samples that did not calibrate.

    python -m bench.accuracy --results results.jsonl
    python -m bench.accuracy --results results.jsonl --against before.jsonl --methods default

Every result is a line of JSON and is not computed again: a run that was stopped goes on, and after a change of qglow
its own columns alone are. `--against` shows what changed between two such files.
"""

from __future__ import annotations

import argparse
import json
import logging
import sys
import time
import warnings
from pathlib import Path
from typing import Any

import onnxruntime

from qglow.errors import in_one_line

from ..isolated import Crash, Say, isolated
from ..options import parser
from ..prepared import default_cache
from . import methods, subjects, table
from .agreement import powers

Row = dict[str, Any]


def measured(say: Say, name: str, group: str, wanted: list[str], options: argparse.Namespace) -> list[Row]:
    """A row for each method. Signal and noise are [samples][outputs]."""
    warnings.simplefilter("ignore")
    logging.disable(logging.WARNING)
    onnxruntime.set_default_logger_severity(4)
    say("the model")
    subject = subjects.load(name, group, options.folder, options.cache)
    true, _ = methods.run("fp32", subject, options.cache, None)
    rows = []
    for method in wanted:
        say(method)
        row: Row = {
            "model": name,
            "method": method,
            "version": options.label or methods.version(method),
            "group": group,
            "family": subject.family,
        }
        start = time.perf_counter()
        try:
            got, seconds = methods.run(method, subject, options.cache, options.nncf)
            pairs = [powers(t, g) for t, g in zip(true, got, strict=True)]
            row |= {"seconds": round(seconds, 3), "signal": [s for s, _ in pairs], "noise": [n for _, n in pairs]}
            if subject.score is not None:
                row["score"] = [subject.score(k, g) for k, g in enumerate(got)]
        except Exception as error:  # NOTE: a method that fails is a result
            row["failed"] = f"{type(error).__name__}: {in_one_line(error)}"[:200]
        row["all_seconds"] = round(time.perf_counter() - start, 1)
        rows.append(row)
    return rows


def read(path: Path) -> dict[tuple[str, str, str], Row]:
    """Rows by model, method and version, the last of each."""
    if not path.is_file():
        return {}
    rows = (json.loads(line) for line in path.read_text().splitlines())
    return {(r["model"], r["method"], r["version"]): r for r in rows}


def options_of(arguments: list[str]) -> argparse.Namespace:
    p = parser(__doc__)
    known = ["fp32", *methods.PEERS, *methods.CONFIGS]
    p.add_argument("--results", type=Path, required=True, metavar="FILE", help="lines of JSON, read and added to")
    p.add_argument("--against", type=Path, metavar="FILE", help="results of another version to compare with")
    p.add_argument("--models", help="by comma, or beginnings of names followed by * (default: all)")
    p.add_argument("--methods", default=",".join(known), help="by comma (default %(default)s)")
    p.add_argument("--folder", type=Path, metavar="DIR", help="further models NAME.onnx with NAME.npz")
    p.add_argument("--nncf", metavar="PYTHON", help="an interpreter that has nncf and openvino")
    p.add_argument("--label", help="take results for those of this version")
    p.add_argument("--show", action="store_true", help="measure nothing, show what is there")
    p.add_argument("--cache", type=Path, default=default_cache() / "accuracy", help="folder of what is made")
    options = p.parse_args(arguments)
    options.methods = options.methods.split(",")
    if unknown := [m for m in options.methods if m not in known]:
        p.error(f"no method {unknown[0]!r}; there are {', '.join(known)}")
    options.cache.mkdir(parents=True, exist_ok=True)
    return options


def chosen(options: argparse.Namespace) -> dict[str, str]:
    everything = subjects.names(options.folder)
    if options.models is None:
        return everything
    wanted = options.models.split(",")
    return {
        n: g for n, g in everything.items() if any(n == w or (w.endswith("*") and n.startswith(w[:-1])) for w in wanted)
    }


def main(arguments: list[str]) -> int:
    options = options_of(arguments)
    models = chosen(options)
    for name, group in models.items() if not options.show else ():
        there = read(options.results)
        missing = [m for m in options.methods if (name, m, options.label or methods.version(m)) not in there]
        if not missing:
            continue
        try:
            rows = isolated(measured, name, group, missing, options)
        except (Crash, RuntimeError) as error:
            doing = error.doing if isinstance(error, Crash) else "the model"
            print(f"{name}: {doing}: {error}", file=sys.stderr, flush=True)
            rows = []
        with options.results.open("a") as out:
            out.writelines(json.dumps(r) + "\n" for r in rows)
    versions = {m: options.label or methods.version(m) for m in options.methods}
    there = read(options.results)
    rows = [there[key] for name in models for m in options.methods if (key := (name, m, versions[m])) in there]
    print(table.text(rows, options.methods))
    if options.against is not None:
        print(table.changes(rows, list(read(options.against).values())))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
