"""Backends: what turns a program into something that runs. All of them give the same bits.

`native` runs compiled kernels. `interpreter` runs the meaning of each instruction in numpy: slow, exact, and on every
machine, for it needs no compiler and no compiled kernel.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import TYPE_CHECKING, Protocol

from ..arguments import shown
from ..errors import ConfigError
from ..graph import Array
from ..instructions.program import Program
from ..targets import choose, named
from .constants import ConstantPool

if TYPE_CHECKING:
    from ..tuning import SchedulePolicy


class Executable(Protocol):
    """A program that is ready to run."""

    def run(self, feeds: Mapping[str, Array]) -> dict[str, Array]:
        """Outputs by name; the arrays are the caller's."""
        ...

    def views(self, feeds: Mapping[str, Array]) -> dict[str, Array]:
        """As `run`, but the arrays may be the executable's own: they are valid until its next run."""
        ...

    @property
    def nbytes(self) -> int:
        """Bytes that are this executable's alone."""
        ...


class Backend(Protocol):
    name: str

    def target(self) -> str:
        """The name of the target that programs are compiled for."""
        ...

    def load(self, program: Program, threads: int, pool: ConstantPool) -> Executable:
        """Make a program for this backend's target ready to run on at most so many threads. pool: where constants are
        shared.

        Raises VerifyError for a program that would touch memory that is not its own.
        """
        ...


class NativeBackend:
    """Compiled kernels. choose: how products get their hints; by default as `qglow tune` measured, or by the rule
    where it never ran.
    """

    name = "native"

    def __init__(self, choose: SchedulePolicy | None = None) -> None:
        self.choose = choose

    def target(self) -> str:
        from ..kernels.library import load  # NOTE: the interpreter needs no kernels

        return load().isa

    def load(self, program: Program, threads: int, pool: ConstantPool) -> Executable:
        from ..kernels.library import load  # NOTE: the interpreter needs no kernels
        from ..tuning import schedule, schedule_policy  # NOTE: likewise
        from .native import NativePlan, pool_size  # NOTE: likewise

        size = pool_size(program, threads)
        program = schedule(program, size, self.choose or schedule_policy(program.isa))
        return NativePlan(program, load(), size, pool)


class InterpreterBackend:
    """The meaning of each instruction, on one thread. The target need not be one that this CPU has."""

    name = "interpreter"

    def target(self) -> str:
        forced = os.environ.get("QGLOW_ISA")
        return named(forced).name if forced else choose()[0].name

    def load(self, program: Program, threads: int, pool: ConstantPool) -> Executable:
        from .interpreted import InterpretedPlan  # NOTE: it loads every instruction's meaning

        return InterpretedPlan(program)


BACKENDS: dict[str, type[NativeBackend | InterpreterBackend]] = {b.name: b for b in (NativeBackend, InterpreterBackend)}


def backend_of(name: object) -> Backend:
    """The backend of a name. Raises ConfigError for an unknown one."""
    if not isinstance(name, str) or name not in BACKENDS:
        raise ConfigError(
            f"no backend {repr(name) if isinstance(name, str) else shown(name)}; known are {', '.join(BACKENDS)}"
        )
    return BACKENDS[name]()


def is_reference_only() -> bool:
    """QGLOW_ENGINE=reference: nothing is compiled, all of a graph runs on the reference."""
    return os.environ.get("QGLOW_ENGINE") == "reference"
