"""What runs a graph or a program in a case, and what is held of it there."""

from __future__ import annotations

import json
from functools import cache
from typing import Any

import numpy as np

from qglow.errors import QGlowError, VerifyError
from qglow.graph import Array, DType, Graph
from qglow.graph.text import parse_graph
from qglow.instructions.interpret import run_program
from qglow.instructions.lower import lower
from qglow.instructions.program import Program
from qglow.instructions.text import parse_program, print_program
from qglow.instructions.verify import verify_program
from qglow.kernels.library import load as load_library
from qglow.reference import evaluate, retype
from qglow.runtime import native
from qglow.runtime.native import NativePlan
from qglow.runtime.session import InferenceSession
from qglow.targets import choose

from .bundles import parts_of
from .corpus import Corpus

MOST_INPUT = 1 << 20  # elements of an input that a case may ask for
MOST_COMPARED = (
    1 << 18
)  # bytes of a plan's memory, and elements of an output, up to which the reference is asked as well

MOST_PROVEN = 1 << 24  # bytes of an arena; NOTE: the exact verifier has several numbers for each
MOST_PLAYED = 1 << 13  # steps of a program, which it plays through one by one


class Wrong(BaseException):
    """What must not happen: other bits than the reference's, or a plan that ran although it is disproven.

    NOTE: no Exception, which a session would take for a fault of the bundle.
    """


class TooLarge(Exception):
    """Inputs of sizes that no test gives."""


ACCEPTED: list[Program] = []  # programs that the quick proof let through in this case


def watch_proofs() -> None:
    """Hold every plan that is accepted to the exact verifier, which knows nothing of footprints."""
    quick = native.prove

    def prove(program: Program) -> Any:
        flags = quick(program)
        if program.arena_size > MOST_PROVEN or len(program.steps) > MOST_PLAYED:
            return flags
        try:
            verify_program(program)
        except VerifyError as error:
            raise Wrong(f"a plan was accepted that is disproven: {error}") from error
        ACCEPTED.append(program)
        return flags

    native.prove = prove


def feeds_of(graph: Graph) -> dict[str, Array]:
    """Noise for float inputs, small whole numbers for others; 2 for dimensions without a size."""
    rng, feeds = np.random.default_rng(0), {}
    for name in graph.inputs:
        t = graph.types[name]
        shape = tuple(d if isinstance(d, int) else 2 for d in t.shape or ())
        if np.prod(shape, dtype=float) > MOST_INPUT:
            raise TooLarge
        if t.dtype is DType.STRING:
            feeds[name] = np.full(shape, "a", object)
        else:
            feeds[name] = (rng.normal(0, 1, shape) if t.dtype.is_float else rng.integers(0, 3, shape)).astype(
                t.dtype.numpy
            )
    return feeds


def run_graph(graph: Graph, threads: int = 2) -> str:
    """A session on the graph, beside the reference where little is computed: `ran` or `compared`.

    Raises Wrong where bits differ.
    """
    feeds = feeds_of(graph)
    ACCEPTED.clear()
    with np.errstate(all="ignore"):
        session = InferenceSession(graph, threads)
        outputs = session.run(None, feeds)
        again = session.run(None, feeds)
    got = dict(zip(graph.outputs, outputs, strict=True))
    different(got, dict(zip(graph.outputs, again, strict=True)), "the second run")
    if sum(p.arena_size for p in ACCEPTED) > MOST_COMPARED or any(np.size(a) > MOST_COMPARED for a in outputs):
        return "ran"
    with np.errstate(all="ignore"):
        try:
            want = evaluate(graph, feeds)
        except (QGlowError, ArithmeticError, ValueError, IndexError):
            return "ran"
    different(got, want, "the reference")
    return "compared"


def different(got: dict[str, Array], want: dict[str, Array], who: str) -> None:
    for name, array in want.items():
        if not isinstance(array, np.ndarray) or array.dtype.kind == "O":
            continue
        other = got[name]
        if other.dtype != array.dtype or not np.array_equal(other, array, equal_nan=array.dtype.kind == "f"):
            raise Wrong(
                f"output {name!r} is not that of {who}: expected {array.dtype}{list(array.shape)}, "
                f"got {other.dtype}{list(other.shape)}"
            )


@cache
def static_graph(corpus: Corpus, name: str) -> Graph:
    arrays, metadata = parts_of(corpus.read(f"bundle/{name}"))
    graph = parse_graph(metadata["graph"], arrays)
    return retype(graph, {i: graph.types[i].static_shape for i in graph.inputs})


@cache
def program_case(corpus: Corpus, name: str) -> bytes:
    """A program's text as a case, for this machine's instruction set."""
    program = lower(static_graph(corpus, name), choose()[0].name)
    return json.dumps({"bundle": name, "isa": program.isa, "text": print_program(program)}).encode()


def run_case_of_program(data: bytes, corpus: Corpus) -> str:
    """Parse, prove and run a program beside the meaning of its instructions."""
    case = json.loads(data)
    graph = static_graph(corpus, case["bundle"])
    program = parse_program(case["text"], lower(graph, case["isa"]).constant_pool, graph)
    if program.arena_size > 1 << 30:
        raise TooLarge
    feeds = feeds_of(graph)
    ACCEPTED.clear()
    plan = NativePlan(program, load_library(), 2)
    got = plan.run(feeds)
    if program.arena_size > MOST_COMPARED:
        return "ran"
    with np.errstate(all="ignore"):
        try:
            want = run_program(program, feeds)
        except (OverflowError, FloatingPointError):
            return "ran"
    for name, array in want.items():
        if array.shape != got[name].shape:
            raise Wrong(f"output {name!r} has another shape than by the meaning of its instructions")
    return (
        "ran"
        if any(not np.array_equal(got[n], a, equal_nan=a.dtype.kind == "f") for n, a in want.items())
        else "compared"
    )
