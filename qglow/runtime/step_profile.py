"""A session's plan step by step: what runs as a native instruction, what on the host, and how long each takes."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from itertools import pairwise
from math import prod
from typing import Any

import numpy as np

from ..float_mode import UsualMode
from ..graph import Array, Graph, Node
from ..instructions.program import HostCall, Instruction, Program
from ..reference import evaluate, evaluate_node
from .interpreted import InterpretedPlan
from .native import HostStep, NativePlan, Segment
from .placement import place_nodes, symbolic_as_one
from .plans import ChoicePlan, Plan, ReferencePlan, Rest, SplitPlan, StagedPlan, taken
from .session import InferenceSession

BATCH_SECONDS = 0.002
PRODUCTS = ("conv2d", "depthwise2d")


@dataclass(frozen=True, slots=True)
class StepTime:
    """One step. ops: 2 for each multiplication of a product, else 1 for each output element; 0 for host steps. moved:
    bytes that it reads and writes at least once. seconds: the fastest of some repeated runs, its operands in the caches
    that they fit in."""

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


def host_steps(session: InferenceSession, feeds: Mapping[str, Array]) -> Counter[str]:
    """Operators that run on the host for these inputs, and how many of each."""
    return Counter(s.kind for s in time_steps(session, feeds, 1, native=False))


def time_steps(
    session: InferenceSession, feeds: Mapping[str, Array], repeats: int = 5, *, native: bool = True
) -> list[StepTime]:
    """Time every step by itself, in order: of each program that these inputs need, and the nodes on the host between
    them.

    Each native instruction is repeated within one call of the executor, so that the cost of a call is not in its time.
    native: False leaves these out.
    """
    session.run(None, feeds)
    arrays = session._checked(feeds)
    found = _times(session._plan(arrays), dict(zip(session.graph.inputs, arrays, strict=True)), repeats, native)
    return [replace(s, index=k) for k, s in enumerate(found)]


def host_nodes(graph: Graph) -> Counter[str]:
    """Operators that will run on the host, as far as shapes say, 1 for symbolic dimensions; empty where the model does
    not take these."""
    try:
        placed = place_nodes(graph, symbolic_as_one(graph))
    except Exception:  # NOTE: branches for other inputs fail on these shapes in whatever op meets them first
        return Counter()
    return Counter(placed.run[name].operator for name in placed.host)


def host_cost(steps: Iterable[StepTime], most: int = 4) -> str:
    """One line on what runs on the host: milliseconds, and the operators that take most; empty where nothing does."""
    spent: Counter[str] = Counter()
    for s in steps:
        if s.host:
            spent[s.kind] += s.seconds  # type: ignore[assignment]
    if not spent:
        return ""
    names = [f"{kind} {1e3 * seconds:.3g}" for kind, seconds in spent.most_common(most)]
    others = f" and {len(spent) - most} others" if len(spent) > most else ""
    return f"{1e3 * sum(spent.values()):.3g} ms on the host: {', '.join(names)}{others}"


def _times(plan: Plan, feeds: Mapping[str, Array], repeats: int, native: bool) -> Iterator[StepTime]:
    if isinstance(plan, NativePlan):
        yield from _times_of_program(plan, feeds, repeats, native)
    elif isinstance(plan, InterpretedPlan):
        yield from _times_interpreted(plan, feeds, repeats, native)
    elif isinstance(plan, ChoicePlan):
        yield from _times(plan.first, feeds, repeats, native)
        yield from _times(plan.chosen(feeds), feeds, repeats, native)
    elif isinstance(plan, StagedPlan):
        values = plan.known(feeds)
        if plan.first is not None:
            yield from _times(plan.first, {i: feeds[i] for i in plan.stage.first.inputs}, repeats, native)
        yield from _times_on_host(plan.stage.full_graph, plan.stage.host, values, repeats)
        if plan.stage.rest is not None:
            yield from _times(plan.following(values), plan.inputs_of_rest(values), repeats, native)
    elif isinstance(plan, SplitPlan):
        values = plan.known(feeds)
        yield from _times(plan.first, feeds, repeats, native)
        yield from _times(plan.following(values), plan.inputs_of_rest(values), repeats, native)
    elif isinstance(plan, Rest):
        yield from _times(plan.plan(feeds), {i: feeds[i] for i in plan.inputs}, repeats, native)
    elif isinstance(plan, ReferencePlan):
        yield from _times_of_graph(plan.graph, feeds, repeats)


def _times_of_program(plan: NativePlan, feeds: Mapping[str, Array], repeats: int, native: bool) -> Iterator[StepTime]:
    """NOTE: a step is timed on the values of a run, which are put back for those that come after: it may write over its
    inputs."""
    plan.run(feeds)
    for name, array in feeds.items():
        plan._views[name][...] = array
    sizes = _constant_sizes(plan.program)
    rows = iter([row for s in plan._steps if isinstance(s, Segment) for row in s.rows])
    for k, step in enumerate(plan.program.steps):
        if isinstance(step, HostCall):
            yield _host_time(k, step.node, _time_on_host(plan._host_step(step.node), repeats))
            continue
        row = next(rows)
        if native:
            before = plan.arena.copy()
            seconds = _native(plan, row, repeats)
            plan.arena[...] = before
        plan._run_segment(Segment([row], plan.threads))
        if native:
            yield StepTime(
                k, step.kind, step.label, False, seconds, _ops(step), _moved(step, plan.program, sizes), _shape(step)
            )


def _times_interpreted(
    plan: InterpretedPlan, feeds: Mapping[str, Array], repeats: int, native: bool
) -> Iterator[StepTime]:
    """Whole runs, timed step by step."""
    sizes = _constant_sizes(plan.program)
    fastest = np.min([plan.step_seconds(feeds) for _ in range(repeats)], axis=0)
    for k, (step, seconds) in enumerate(zip(plan.program.steps, fastest.tolist(), strict=True)):
        if isinstance(step, HostCall):
            yield _host_time(k, step.node, seconds)
        elif native:
            yield StepTime(
                k, step.kind, step.label, False, seconds, _ops(step), _moved(step, plan.program, sizes), _shape(step)
            )


def _times_on_host(graph: Graph, nodes: Iterable[Node], values: dict[str, Array], repeats: int) -> Iterator[StepTime]:
    """Of nodes that are computed one by one; what they make is added to the values."""
    for node in nodes:
        inputs = [values[i] if i else None for i in node.inputs]
        yield _host_time(0, node, min(_timed(lambda: evaluate_node(graph, node, inputs)) for _ in range(repeats)))
        values.update((o, a) for o, a in zip(node.outputs, evaluate_node(graph, node, inputs), strict=False) if o)


def _times_of_graph(graph: Graph, feeds: Mapping[str, Array], repeats: int) -> Iterator[StepTime]:
    """Of a graph on the reference: a node takes the time until its first value is there."""
    producers, fastest, last = graph.producers(), dict[str, float](), 0.0

    def keep(name: str, array: Array) -> None:
        nonlocal last
        node = producers.get(name)
        if node is not None and name == next(filter(None, node.outputs)):
            fastest[name] = min(fastest.get(name, float("inf")), time.perf_counter() - last)
        last = time.perf_counter()

    for _ in range(repeats):
        last = time.perf_counter()
        evaluate(graph, feeds, keep=keep)
    for name, seconds in fastest.items():
        yield _host_time(0, producers[name], seconds)


def _time_on_host(step: HostStep, repeats: int) -> float:
    with UsualMode(), np.errstate(all="ignore"):
        return min(_timed(step.run) for _ in range(repeats))


def _host_time(index: int, node: Node, seconds: float) -> StepTime:
    return StepTime(index, node.operator, node.name or node.outputs[0], True, seconds, 0, 0, "")


def _timed(call: Any) -> float:
    start = time.perf_counter()
    call()
    return time.perf_counter() - start


def _native(plan: NativePlan, row: Array, repeats: int) -> float:
    once = _timed(lambda: plan._run_segment(Segment([row], plan.threads)))
    count = max(1, min(2000, int(BATCH_SECONDS / max(once, 1e-6))))
    many = Segment([row] * count, plan.threads)
    return min(_timed(lambda: plan._run_segment(many)) for _ in range(repeats)) / count


def _constant_sizes(program: Program) -> dict[int, int]:
    """Bytes of each constant by its place in the constant pool."""
    starts = [0]
    for data in program.constant_pool:
        starts.append(starts[-1] + len(data))
    return {a: b - a for a, b in pairwise(starts)}


def _ops(step: Instruction) -> int:
    """Operations of one instruction, see StepTime."""
    f = step.fields
    elements = prod(int(f[n]) for n in "NHWC" if n in f)
    if step.kind.endswith("conv2d"):
        return 2 * elements * int(f["G"]) * int(f["KH"]) * int(f["runs"]) * int(f["run"])
    window = int(f.get("KH", 1)) * int(f.get("KW", 1))
    return elements * window * (2 if step.kind.endswith("depthwise2d") else 1)


def _moved(step: Instruction, program: Program, sizes: Mapping[int, int]) -> int:
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
        size = program.buffers[buffer].size
        wide = 4 if step.kind == "quantize" else element
        total += (
            min(size, out)
            if name == "y"
            else size
            if step.kind.endswith("conv2d")
            else min(size, elements * reach * wide)
        )
    return total


def _shape(step: Instruction) -> str:
    """Output shape and window for people: 1x56x56x64 k3x3 s2."""
    f = step.fields
    text = "x".join(str(int(f[n])) for n in "NHWC" if n in f)
    if step.kind.endswith("conv2d"):
        text += f" in {int(f['runs']) * int(f['run']) // max(1, int(f['KW']))}" + (
            f" g{int(f['G'])}" if f["G"] > 1 else ""
        )
    if "KH" in f:
        text += f" k{int(f['KH'])}x{int(f['KW'])}" + (f" s{int(f['SH'])}" if f["SH"] > 1 else "")
    return text
