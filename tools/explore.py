"""Run the suite's random tests at length, on seeds that nobody has seen.

    python tools/explore.py --minutes 10 [--seed N]

The suite takes fixed seeds; this takes one after the other from --seed (default: the clock) until the time is over. A
grown graph on which the engines differ is kept, shrunk, in tests/instructions/failures, where the suite runs it from
then on; of any other failure the example is printed. Exit code 1 where something failed; the same seed finds it again.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
import traceback
from collections.abc import Callable
from inspect import signature
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT), str(ROOT / "tests"), str(ROOT / "tests" / "instructions")]
FAILURES = ROOT / "tests" / "instructions" / "failures"

import numpy as np  # noqa: E402
from chains.chains import drawn, float_faults, int8_faults  # noqa: E402
from hypothesis import HealthCheck, given, seed, settings  # noqa: E402
from hypothesis.strategies import integers  # noqa: E402
from program_graphs import feeds_of, nets, text_of  # noqa: E402
from three_engines import all_agree, meaning_agrees, with_all_values  # noqa: E402

from qglow.graph import Graph  # noqa: E402
from qglow.targets import TARGETS, choose  # noqa: E402

Made = tuple[Graph, int]
OF_THE_SUITE = (
    ("instructions", "test_program_verify"), ("instructions", "test_reshape"), ("reference", "test_fused"),
    ("graph", "test_classes"),
    ("profiling", "test_profile"), ("profiling", "test_native_engine"),
)  # fmt: skip
AT_LENGTH_ONCE = settings(max_examples=4, deadline=None, database=None, suppress_health_check=list(HealthCheck))
AT_LENGTH = settings(max_examples=100, deadline=None, database=None, suppress_health_check=list(HealthCheck))


class Grown:
    """Random tests of grown graphs; the last graph that was tried is the shrunk one where a test fails."""

    def __init__(self) -> None:
        self.graph: Graph | None = None

    def engines(self) -> Callable[[], None]:
        def engines_agree(made: Made) -> None:
            self.graph = made[0]
            all_agree(made[0], feeds_of(made[0], np.random.default_rng(made[1])), choose()[0].name)

        return AT_LENGTH(given(nets())(engines_agree))

    def packings(self) -> Callable[[], None]:
        def meanings_agree(made: Made) -> None:
            self.graph = made[0]
            for isa in TARGETS:
                meaning_agrees(with_all_values(made[0]), feeds_of(made[0], np.random.default_rng(made[1])), isa)

        return AT_LENGTH(given(nets())(meanings_agree))


def of_the_suite() -> list[Callable[[], None]]:
    """The suite's random tests that need no fixture."""
    import importlib

    found: list[Any] = []
    for folder, name in OF_THE_SUITE:
        sys.path.insert(0, str(ROOT / "tests" / folder))
        module = importlib.import_module(name)
        tests = [f for f in vars(module).values() if getattr(f, "is_hypothesis_test", False)]
        found += [f for f in tests if not any(p.default is p.empty for p in signature(f).parameters.values())]
    return found


def chains() -> Callable[[], None]:
    """Chains of blocks, in float beside onnxruntime and in int8 beside the reference."""

    @AT_LENGTH_ONCE
    @given(integers(0, 2**31))
    def chains_agree(number: int) -> None:
        part = drawn(60, 2 + number % 7, number)
        faults = [*float_faults(part, number % 1000), *int8_faults(part, number % 1000, threads=1 + number % 2)]
        assert not faults, f"seed {number} of tests/chains: {faults}"

    return chains_agree


def keep(graph: Graph, number: int, why: str) -> Path:
    """Write a failing graph as a case of the suite."""
    path = FAILURES / f"seed_{number}.txt"
    path.write_text(f"; {' '.join(why.split())[:110]}\n{text_of(graph)}")
    return path


def explore(minutes: float, first: int) -> int:
    grown, failed = Grown(), 0
    tests = [grown.engines(), grown.packings(), chains(), *of_the_suite()]
    end, number = time.monotonic() + 60 * minutes, first
    while time.monotonic() < end:
        test = tests[(number - first) % len(tests)]
        grown.graph = None
        try:
            seed(number)(test)()
        except Exception as error:  # noqa: BLE001  (whatever a property raises)
            failed += 1
            traceback.print_exc()
            name = getattr(test, "__name__", "test")
            where = f", kept as {keep(grown.graph, number, str(error))}" if grown.graph is not None else ""
            print(f"seed {number}: {name} fails: {error}{where}", flush=True)
        number += 1
    print(f"{number - first} runs of {len(tests)} random tests, seeds {first} to {number - 1}: {failed} failed")
    return 1 if failed else 0


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=10.0)
    parser.add_argument("--seed", type=int, default=int(time.time()))
    options = parser.parse_args()
    os.environ.setdefault("QGLOW_VERIFY", "2")
    return explore(options.minutes, options.seed)


if __name__ == "__main__":
    sys.exit(main())
