"""Instructions that work in place: where they may, that kernels do so rightly at every width, and that wrong plans are
refused."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from kernel_targets import KERNEL_TARGETS
from mutable_program import MutableProgram, changed
from program_graphs import COMMON, Net, feeds_of
from three_engines import all_agree, static

from qglow.errors import VerifyError
from qglow.graph import DType, Graph
from qglow.instructions.lower import lower, lower_observed, stages
from qglow.instructions.meaning import load_families
from qglow.instructions.program import Instruction, Program
from qglow.instructions.prove import is_quick
from qglow.instructions.verify import verify_program
from qglow.instructions.verify_stages import apart, verify_dataflow, verify_stages

WIDTHS = (1, 3, 15, 16, 17, 31, 33, 63, 64, 65, 130)


def in_place(program: Program) -> list[str]:
    """Kinds of the steps that write over one of their inputs, in order."""
    found = []
    for s in program.steps:
        if isinstance(s, Instruction) and (names := load_families()[s.kind].in_place):
            found += [s.kind] if any(s.operands.get(n) == s.operands["y"] for n in names) else []
    return found


def bytes_net(width: int) -> Graph:
    """lookup, add, mul, add of a row and of itself, each over its first input."""
    net = Net(width)
    x = net.input(1, width, 3, 2)
    row = net.constant("row", net.rng.integers(0, 256, (1, width, 1, 1)).astype(np.uint8), COMMON)
    y = net.table(net.table(x))
    y = net.op("Mul", (net.op("Add", (y, x)), x))
    y = net.op("Add", (net.op("Add", (y, row)), y))
    return net.graph(net.op("Mul", (y, y)))


def floats_net(width: int) -> Graph:
    net = Net(width)
    x = net.input(3, width, quant=None, dtype=DType.F32)
    row, column = net.floats(width), net.floats(3, 1)
    y = net.op("Exp", (net.op("Neg", (net.op("Tanh", (x,), None),), None),), None)
    for op, other in (("Add", row), ("Mul", column), ("Sub", x), ("Max", row), ("Min", x), ("Div", x)):
        y = net.op(op, (y, other), None)
    y = net.op("Sub", (row, y), None)  # its second input
    return net.graph(net.op("Sigmoid", (net.op("Mul", (y, y), None),), None))


@pytest.mark.parametrize("isa", KERNEL_TARGETS)
@pytest.mark.parametrize("make", [bytes_net, floats_net])
def test_kernels_work_in_place_at_every_width(
    isa: str, make: Callable[[int], Graph], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("QGLOW_ISA", isa)
    monkeypatch.setenv("QGLOW_EMULATE", "1")
    for width in WIDTHS:
        graph = make(width)
        program = all_agree(graph, feeds_of(graph, np.random.default_rng(width)), isa)
        assert is_quick(program)
        assert len(in_place(program)) == (5 if make is bytes_net else 11), in_place(program)


def test_what_is_looked_at_or_read_again_is_not_written_over() -> None:
    net = Net()
    x = net.input(2, 40, quant=None, dtype=DType.F32)
    a = net.op("Exp", (x,), None)  # x is an input
    b = net.op("Tanh", (a,), None)  # a is read once more
    c = net.op("Neg", (a,), None)  # over a
    d = net.op("Abs", (b,), None)  # b is an output
    e = net.op("Reshape", (d, net.constant("shape", np.array([40, 2]))), None)
    f = net.op("Sqrt", (e,), None)  # d is read through another view
    graph = net.graph(b, c, f, net.op("Transpose", (d,), None, perm=(1, 0)))
    program = all_agree(graph, feeds_of(graph, np.random.default_rng(0)), "avx2")
    assert program.places[c].buffer == program.places[a].buffer
    assert program.places[d].buffer != program.places[b].buffer
    assert program.places[f].buffer != program.places[d].buffer


def test_watched_values_are_not_written_over() -> None:
    net = Net()
    y = net.op("Exp", (net.input(2, 40, quant=None, dtype=DType.F32),), None)
    z = net.op("Tanh", (y,), None)
    graph = static(net.graph(net.op("Neg", (z,), None)), net.feeds())
    program = lower_observed(graph, "avx2", [y, z])
    assert in_place(program) == [] and verify_program(program)
    assert in_place(lower(graph, "avx2")) == ["float_unary"] * 2


def one_further(p: MutableProgram) -> None:
    """The second table reads the bytes behind those that it writes."""
    step = p.instructions()[1]
    step.fields["C"] -= 1
    step.operands["x"] = step.operands["x"][0], step.operands["x"][1] + 1


def beside(p: MutableProgram) -> None:
    """The output begins one byte behind the input."""
    index, at = p.instructions()[1].operands["y"]
    p.instructions()[1].operands["y"] = index, at + 1


def long_before(p: MutableProgram) -> None:
    """The buffer is said to die before the instruction that writes over it."""
    p.buffer(p.instructions()[1], "y").last = 0


def copy_in_place(p: MutableProgram) -> None:
    """A kind that may not work in place."""
    step = p.instructions()[1]
    step.kind, step.constants = "copy", {}
    step.operands.pop("scratch")
    step.fields.pop("t_c")


@pytest.mark.parametrize("change", [one_further, beside, long_before, copy_in_place])
def test_wrong_work_in_place_is_refused(change: Callable[[MutableProgram], None]) -> None:
    net = Net()
    graph = net.graph(net.table(net.table(net.input(1, 4, 6, 5))))
    program = lower(static(graph, net.feeds()), "avx2")
    assert in_place(program) == ["lookup"] and is_quick(program)
    program = changed(program, change)
    assert not is_quick(program)
    with pytest.raises(VerifyError):
        verify_program(program)


def merged(program: Program, gone: int, into: int) -> Program:
    """The program with one buffer's values in another one."""

    def merge(p: MutableProgram) -> None:
        for s in p.instructions():
            s.operands = {n: (into if b == gone else b, at) for n, (b, at) in s.operands.items()}
        p.places = {n: v._replace(buffer=into) if v.buffer == gone else v for n, v in p.places.items()}

    return changed(program, merge)


@pytest.mark.parametrize("seed", range(3))
def test_buffers_that_are_merged_wrongly_are_found(seed: int) -> None:
    """Every pair of equally large buffers, one written over the other: the values that steps read tell those apart that
    may."""
    net = Net(seed)
    x = net.table(net.input(1, 4, 6, 5))
    y, z = net.table(x), net.table(x)
    graph = net.graph(net.op("Add", (net.table(y), net.op("Mul", (z, x)))), z)
    made = dict(stages(static(graph, net.feeds()), "avx2"))
    selected = made["select"]
    assert isinstance(selected, Program)
    whole, count = apart(selected), len(selected.buffers)
    allowed = set()
    for gone in range(count):
        for into in set(range(count)) - {gone}:
            try:
                verify_dataflow(whole, apart(merged(selected, gone, into)))
                allowed.add((gone, into))
            except VerifyError:
                pass
    final = made["plan"]
    assert isinstance(final, Program)
    assert 0 < len(allowed) < count * (count - 1)
    done = {(a, b) for a, p in selected.places.items() for b, q in selected.places.items() if p.buffer != q.buffer}
    for a, b in done:
        if final.places[a].buffer == final.places[b].buffer:
            pair = selected.places[a].buffer, selected.places[b].buffer
            assert pair in allowed or pair[::-1] in allowed, f"{a} and {b} share a buffer"


def test_a_plan_whose_values_overlap_is_found() -> None:
    """Buffers of other live ranges than those that steps need."""
    net = Net()
    x = net.table(net.input(1, 4, 6, 5))
    y = net.conv(x, 4, (1, 1))
    graph = static(net.graph(net.op("Add", (net.conv(y, 4, (1, 1)), x))), net.feeds())
    made = dict(stages(graph, "avx2"))
    verify_stages(graph, made)
    final = made["plan"]
    assert isinstance(final, Program)

    def overlap(p: MutableProgram) -> None:
        p.buffers[final.places[y].buffer].offset = p.buffers[final.places[x].buffer].offset

    with pytest.raises(VerifyError, match="is not what it was with all buffers apart"):
        verify_stages(graph, {**made, "plan": changed(final, overlap)})


def test_programs_cannot_be_changed() -> None:
    net = Net()
    graph = net.graph(net.conv(net.table(net.input(1, 4, 6, 5)), 8, (3, 3)))
    program = lower(static(graph, net.feeds()), "avx2")
    step = program.steps[0]
    assert isinstance(step, Instruction)
    for part in (step.fields, step.operands, step.constants, step.hints, program.places, program.moments):
        with pytest.raises(TypeError):
            part["x"] = 1  # type: ignore[index]
    for whole, name in (
        (program, "steps"),
        (step, "kind"),
        (program.buffers[0], "offset"),
        (program.places["conv"], "start"),
    ):
        with pytest.raises(AttributeError):
            setattr(whole, name, 0)
