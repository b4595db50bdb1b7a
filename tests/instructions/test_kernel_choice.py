"""The kernel of each instruction is chosen by its fields, stands in the program's text, and is held to what it
accepts."""

from __future__ import annotations

import numpy as np
import pytest
from program_graphs import Net
from three_engines import static

from qglow.errors import KernelError
from qglow.instructions.lower import lower
from qglow.instructions.program import Instruction, Program
from qglow.instructions.text import check_program_text, print_program
from qglow.kernels.library import load
from qglow.kernels.table import accepting, kernel_of
from qglow.runtime.native import NativePlan
from qglow.targets import choose
from qglow.tuning.schedule import hinted, schedule, with_kernels


@pytest.fixture
def program() -> Program:
    """Depthwise convolutions of 3 x 3 and of 2 x 3."""
    net = Net()
    x = net.input(1, 20, 9, 9)
    graph = net.graph(net.conv(x, 20, (3, 3), 20), net.conv(x, 20, (2, 3), 20))
    return lower(
        static(graph, {i: np.zeros(graph.types[i].static_shape, np.uint8) for i in graph.inputs}), choose()[0].name
    )


def kernels(program: Program) -> list[str]:
    return [s.kernel for s in program.steps if isinstance(s, Instruction) and s.kind == "depthwise2d"]


def test_the_choice_is_printed_and_read_back(program: Program) -> None:
    assert kernels(program) == ["", ""] and "@kernel" not in print_program(program)
    chosen = with_kernels(program)
    assert kernels(chosen) == kernels(schedule(program, 2)) == ["depthwise2d.k3s1", "depthwise2d"]
    check_program_text(chosen)
    assert "depthwise2d @kernel depthwise2d.k3s1 @in" in print_program(chosen)


@pytest.mark.parametrize("name", ["depthwise2d.k5s2", "conv2d", "nothing"])
def test_a_kernel_that_does_not_accept_an_instruction_never_computes_it(program: Program, name: str) -> None:
    steps = [
        s._replace(kernel=name) if isinstance(s, Instruction) and s.kind == "depthwise2d" else s for s in program.steps
    ]
    with pytest.raises(KernelError, match=f"no kernel {name} of "):
        NativePlan(program._replace(steps=tuple(steps)), load(), 1)


@pytest.mark.parametrize(
    ("place", "name"), [(0, "depthwise2d.k3s1"), (1, "depthwise2d"), (2, "depthwise2d.k3s1"), (15, "depthwise2d")]
)
def test_a_kernel_among_hints_is_one_that_accepts(program: Program, place: int, name: str) -> None:
    step = next(s for s in program.steps if isinstance(s, Instruction) and s.kind == "depthwise2d")
    found = hinted(step, {"kernel": place, "tile": 3}, program.isa)
    assert found.kernel == name and dict(found.hints) == {"tile": 3}
    assert kernel_of(found, program.isa) in list(accepting(step, program.isa))
