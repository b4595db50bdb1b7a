"""Functions that declarations of ops name, found when they are first asked for: a session loads the files of the ops
that it runs alone."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from importlib import import_module
from typing import Any, Generic, TypeVar

from ..ops import OPS, Meaning, OpDef

F = TypeVar("F")


def function_of(meaning: Meaning) -> Any:
    """The function that a declaration gives or names."""
    return named(meaning.function)


def named(function: str | Callable[..., Any], package: str | None = __package__) -> Any:
    """A function itself, or the one that a name stands for: "file.function" of a package, or "numpy.function"."""
    if not isinstance(function, str):
        return function
    module, _, name = function.rpartition(".")
    return getattr(import_module(module if module == "numpy" else f"{package}.{module}"), name)


class Meanings(Mapping[str, F], Generic[F]):
    """Functions by op, of the ops whose declaration has a field. made: the function from the declaration and the
    field."""

    def __init__(self, field: str, made: Callable[[OpDef, str], F]) -> None:
        self._field, self._made = field, made
        self._found: dict[str, tuple[OpDef, F]] = {}

    def __getitem__(self, op: str) -> F:
        row = OPS[op]
        found = self._found.get(op)
        if found is not None and found[0] is row:
            return found[1]
        if not getattr(row, self._field):
            raise KeyError(op)
        self._found[op] = (row, self._made(row, self._field))
        return self._found[op][1]

    def __contains__(self, op: object) -> bool:
        return op in OPS and bool(getattr(OPS[str(op)], self._field))

    def __iter__(self) -> Iterator[str]:
        return (op for op, row in OPS.items() if getattr(row, self._field))

    def __len__(self) -> int:
        return sum(1 for _ in self)
