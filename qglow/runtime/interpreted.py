"""A program run by the meaning of its instructions: the executable of the backend `interpreter`."""

from __future__ import annotations

import time
from collections.abc import Mapping
from itertools import pairwise

import numpy as np

from ..float_mode import in_usual_mode
from ..graph import Array
from ..graph.verify import verify_level
from ..instructions.interpret import Interpreter
from ..instructions.program import Program
from ..instructions.prove import prove
from .native import check_program


class InterpretedPlan:
    """A program with an arena and a copy of its constants."""

    def __init__(self, program: Program) -> None:
        """Raises VerifyError as NativePlan does."""
        prove(program)
        if verify_level() >= 2:
            check_program(program)
        self.program, self.interpreter = program, Interpreter(program)

    @in_usual_mode
    def run(self, feeds: Mapping[str, Array]) -> dict[str, Array]:
        """Outputs by name; the arrays are the caller's."""
        with np.errstate(all="ignore"):
            return {name: np.array(array) for name, array in self.interpreter.run(feeds).items()}

    views = run

    @in_usual_mode
    def step_seconds(self, feeds: Mapping[str, Array]) -> list[float]:
        """Run once; the seconds of each step."""
        times = [time.perf_counter()]
        self.interpreter.feed(feeds)
        with np.errstate(all="ignore"):
            for number, step in enumerate(self.program.steps):
                self.interpreter.step(number, step)
                times.append(time.perf_counter())
        return [after - before for before, after in pairwise(times)]

    @property
    def nbytes(self) -> int:
        """Bytes that are this executable's alone."""
        return int(self.interpreter.arena.nbytes + self.interpreter.constants.nbytes)
