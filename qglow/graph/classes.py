"""Classes of things that belong together: union-find."""

from __future__ import annotations

from collections.abc import Hashable, Iterable
from typing import Generic, TypeVar

T = TypeVar("T", bound=Hashable)


class Classes(Generic[T]):
    """Elements are known from their first use, each in a class of its own until it is joined."""

    def __init__(self) -> None:
        self._parent: dict[T, T] = {}

    def find(self, element: T) -> T:
        """The element that stands for the whole class; another one may after the next `join`."""
        parent = self._parent
        while parent.setdefault(element, element) != element:
            parent[element] = parent[parent[element]]
            element = parent[element]
        return element

    def join(self, a: T, b: T) -> None:
        """Make one class of those of a and b."""
        self._parent[self.find(a)] = self.find(b)

    def beside(self, elements: Iterable[T]) -> set[T]:
        """All elements that are in a class with one of these, and these."""
        roots = {self.find(e) for e in elements}
        return {e for e in list(self._parent) if self.find(e) in roots}
