"""A session's plan step by step: what runs as a native instruction, what on the host, and how long each takes."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise
from math import prod
from typing import Any

import numpy as np

from ..graph import Array
from ..instructions.program import Host, Native, Program
from .native import NativePlan, Segment
from .plans import Plan, taken
from .session import InferenceSession

BATCH_SECONDS = 0.002
PRODUCTS = ("conv2d", "depthwise2d")


@dataclass(frozen=True, slots=True)
class StepTime:
    """One step. ops: 2 for each multiplication of a product, else 1 for each output element; 0 for host steps. moved: bytes that
    it reads and writes at least once. seconds: the fastest of some repeated runs, its operands in the caches that they fit in."""

    index: int
    kind: str
    name: str
    host: bool
    seconds: float
    ops: int
    moved: int
    shape: str


def plan_of(session: InferenceSession, feeds: Mapping[str, Array]) -> Plan:
    """The plan that the session runs these inputs with, made where it is missing."""
    arrays = session._checked(feeds)
    plan = session._plan(arrays)
    return taken(plan, dict(zip(session.graph.inputs, arrays, strict=True)))


def host_steps(plan: Plan) -> Counter[str]:
    """Operators that run on the host, and how many of each; of a plan without a native program all are."""
    if isinstance(plan, NativePlan):
        return Counter(s.node.op for s in plan.program.steps if isinstance(s, Host))
    graph = getattr(plan, "graph", None)
    return Counter(n.op for n in graph.nodes) if graph is not None else Counter()


def time_steps(session: InferenceSession, feeds: Mapping[str, Array], repeats: int = 5) -> list[StepTime]:
    """Time every step of the program by itself, in order; an empty list where the model runs on the reference as a whole.

    Each native instruction is repeated within one call of the executor, so that the cost of a call is not in its time.
    """
    plan = plan_of(session, feeds)
    if not isinstance(plan, NativePlan):
        return []
    session.run(None, feeds)
    names, sizes = _value_names(plan.program), _constant_sizes(plan.program)
    rows = iter([row for s in plan._steps if isinstance(s, Segment) for row in s.rows])
    found = []
    for k, step in enumerate(plan.program.steps):
        if isinstance(step, Host):
            seconds = min(_timed(lambda: plan._run_host(step.node)) for _ in range(repeats))
            found.append(StepTime(k, step.node.op, step.node.name or step.node.outputs[0], True, seconds, 0, 0, ""))
            continue
        out = next((id(b) for n, (b, _) in step.operands.items() if n == "y"), 0)
        seconds = _native(plan, next(rows), repeats)
        found.append(StepTime(k, step.kind, names.get(out, ""), False, seconds, _ops(step), _moved(step, sizes), _shape(step)))
    return found


def _timed(call: Any) -> float:
    start = time.perf_counter()
    call()
    return time.perf_counter() - start


def _native(plan: NativePlan, row: Array, repeats: int) -> float:
    once = _timed(lambda: plan._run_segment(Segment([row], plan.threads)))
    count = max(1, min(2000, int(BATCH_SECONDS / max(once, 1e-6))))
    many = Segment([row] * count, plan.threads)
    return min(_timed(lambda: plan._run_segment(many)) for _ in range(repeats)) / count


def _value_names(program: Program) -> dict[int, str]:
    return {id(p.buffer): n for n, p in reversed(program.places.items())}


def _constant_sizes(program: Program) -> dict[int, int]:
    """Bytes of each constant by its place in the blob."""
    starts = [0]
    for data in program.blob:
        starts.append(starts[-1] + len(data))
    return {a: b - a for a, b in pairwise(starts)}


def _ops(step: Native) -> int:
    """Operations of one instruction, see StepTime."""
    f = step.fields
    elements = prod(int(f[n]) for n in "NHWC" if n in f)
    if step.kind.endswith("conv2d"):
        return 2 * elements * int(f["G"]) * int(f["KH"]) * int(f["runs"]) * int(f["run"])
    window = int(f.get("KH", 1)) * int(f.get("KW", 1))
    return elements * window * (2 if step.kind.endswith("depthwise2d") else 1)


def _moved(step: Native, sizes: Mapping[int, int]) -> int:
    """Bytes of the constants, of the output, and of as much of each input's buffer as the window can reach."""
    f = step.fields
    elements = prod(int(f[n]) for n in "NHWC" if n in f) * int(f.get("G", 1))
    element = 4 if step.kind.startswith("float_") else 1
    out = elements * (4 if f.get("y_f32") or step.kind == "dequantize" else element)
    total = sum(sizes.get(at, 0) for at in step.constants.values())
    reach = int(f.get("SH", 1)) * int(f.get("SW", 1))
    for name, (buffer, _) in step.operands.items():
        if buffer is None:
            continue
        size = max(0, buffer.size)
        wide = 4 if step.kind == "quantize" else element
        total += min(size, out) if name == "y" else size if step.kind.endswith("conv2d") else min(size, elements * reach * wide)
    return total


def _shape(step: Native) -> str:
    """Output shape and window for people: 1x56x56x64 k3x3 s2."""
    f = step.fields
    text = "x".join(str(int(f[n])) for n in "NHWC" if n in f)
    if step.kind.endswith("conv2d"):
        text += f" in {int(f['runs']) * int(f['run']) // max(1, int(f['KW']))}" + (f" g{int(f['G'])}" if f["G"] > 1 else "")
    if "KH" in f:
        text += f" k{int(f['KH'])}x{int(f['KW'])}" + (f" s{int(f['SH'])}" if f["SH"] > 1 else "")
    return text


def total_seconds(steps: list[StepTime]) -> float:
    return float(np.sum([s.seconds for s in steps])) if steps else 0.0
