"""What code generation makes of constants alone, found once for all plans of a session.

A function is kept by itself, its arguments and its result: arrays are told apart by identity, so only those that
outlast the session's plans count, a graph's constants and what was found from them; all else is compared by value.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable
from typing import ParamSpec, TypeVar

import numpy as np

from ..graph import Array

P = ParamSpec("P")
T = TypeVar("T")


class Derived:
    """stable: arrays that outlast every plan; nobody writes to them."""

    def __init__(self, stable: Iterable[Array] = ()) -> None:
        self._stable = {id(a): a for a in stable}
        self._roots = {id(_root(a)) for a in self._stable.values()}
        self._found: dict[Hashable, object] = {}

    def of(self, make: Callable[P, T], *args: P.args, **named: P.kwargs) -> T:
        """What a pure function makes of arrays and hashable values. Its result is nobody's to change; made anew where
        an array may not outlast this plan."""
        key: list[Hashable] = [make]
        for a in args:
            if isinstance(a, np.ndarray):
                if id(a) not in self._stable:
                    return make(*args, **named)
                key.append(id(a))
            else:
                key.append(a)  # type: ignore[arg-type]
        full_key = tuple(key)
        try:
            return self._found[full_key]  # type: ignore[return-value]
        except KeyError:
            found = self._found[full_key] = make(*args, **named)
            for a in found if isinstance(found, tuple) else (found,):
                if isinstance(a, np.ndarray):
                    self._stable[id(a)] = a
                    self._roots.add(id(_root(a)))
            return found

    def outlasts(self, array: Array) -> bool:
        """Whether the memory of an array, or of what it is a view of, is here as long as any plan."""
        return id(_root(array)) in self._roots


def _root(array: Array) -> Array:
    """The array that holds the memory of a view."""
    while isinstance(array.base, np.ndarray):
        array = array.base
    return array
