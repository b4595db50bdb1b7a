"""Run in a process of its own with QGLOW_GUARD=1: `python guarded_runs.py MODEL...`, or `python guarded_runs.py beyond
OPERAND`.

Models: quantized and run on one thread and on two, as without guards. beyond: a copy that reads or writes one element
too many.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

import numpy as np

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE.parent), str(HERE.parents[1]), str(HERE.parent / "instructions")]


def models(names: list[str]) -> None:
    import shared_models

    import qglow
    from qglow.reference import evaluate
    from qglow.runtime import native

    native.SMALL_WORK = 0  # as if no program were small
    for name in names:
        feeds = shared_models.feeds(name, 2)
        path = shared_models.path(name)
        bundle = qglow.quantize(path, qglow.profile(path, feeds), check=False)
        want = evaluate(bundle.graph, feeds[0])
        for threads in (1, 2):
            got = qglow.InferenceSession(bundle, threads=threads).run(None, feeds[0])
            assert all(
                np.array_equal(a, want[n], equal_nan=a.dtype.kind == "f")
                for n, a in zip(bundle.graph.outputs, got, strict=True)
            )
        print(f"{name} ran between guards", flush=True)


def beyond(operand: str) -> None:
    from program_graphs import Net

    from qglow.instructions.barriers import flags_of
    from qglow.instructions.lower import lower
    from qglow.instructions.program import Instruction
    from qglow.kernels import library
    from qglow.reference import retype
    from qglow.runtime import native

    net = Net()
    graph = net.graph(net.table(net.input(1, 4, 16, 16)))
    feeds, kernels = net.feeds(), library.load()
    program = lower(retype(graph, {k: v.shape for k, v in feeds.items()}), kernels.isa)
    native.prove = flags_of  # type: ignore[attr-defined]
    native.NativePlan(program, kernels, 1).run(feeds)
    print("ran within its memory", flush=True)
    k, step = next((k, s) for k, s in enumerate(program.steps) if isinstance(s, Instruction) and s.kind == "lookup")
    buffer, at = step.operands[operand]
    moved = buffer, at + (64 if operand == "x" else 0) + (1 if operand == "x" else 128)
    step = step._replace(operands={**step.operands, operand: moved})
    program = program._replace(steps=(*program.steps[:k], step, *program.steps[k + 1 :]))
    native.NativePlan(program, kernels, 1).run(feeds)
    print("ran beyond its memory", flush=True)


if __name__ == "__main__":
    assert os.environ.get("QGLOW_GUARD") == "1"
    beyond(sys.argv[2]) if sys.argv[1] == "beyond" else models(sys.argv[1:])
