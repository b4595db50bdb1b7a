"""Tables of functions by name, filled by decorators where the functions are written."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

F = TypeVar("F", bound=Callable[..., Any])


def enters(table: dict[str, F]) -> Callable[..., Callable[[F], F]]:
    """A decorator of names: `@it("Add", "Sub")` enters the function below it into the table under each. It raises
    ValueError where a name has another function already: which of the two came first would decide."""

    def names_of(*names: str) -> Callable[[F], F]:
        def enter(function: F) -> F:
            for name in names:
                if table.setdefault(name, function) is not function:
                    raise ValueError(
                        f"{name} has two functions: one of {table[name].__module__}, one of {function.__module__}"
                    )
            return function

        return enter

    return names_of
