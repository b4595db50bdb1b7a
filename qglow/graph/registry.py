"""Tables of functions by name, filled by decorators where the functions are written."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

F = TypeVar("F", bound=Callable[..., Any])


def enters(table: dict[str, F]) -> Callable[..., Callable[[F], F]]:
    """A decorator of names: `@it("Add", "Sub")` enters the function below it into the table under each."""

    def names_of(*names: str) -> Callable[[F], F]:
        def enter(function: F) -> F:
            table.update(dict.fromkeys(names, function))
            return function

        return enter

    return names_of
