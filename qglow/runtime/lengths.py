"""Where the shapes of a session's inputs grow by one from call to call, as those of a decoder with a cache do, one
program is made for many lengths (length_plan.py).

It is made for the lengths up to a bound: 256, 512, 1024, and so on. Where that fails, lengths are planned one by one.
"""

from __future__ import annotations

from collections import OrderedDict
from typing import TYPE_CHECKING

from ..errors import VerifyError
from ..float_mode import in_usual_mode
from ..graph import Graph
from ..graph.select_op import has_branches
from ..graph.verify import verify_level
from ..record import NamedTuple
from .backends import NativeBackend, is_reference_only
from .handlers import of_a_signal_handler
from .plan_cache import PlanCache
from .plans import Plan, Planner

if TYPE_CHECKING:
    from .length_plan import LengthTemplate

SHORTEST, FIRST = 8, 256  # the shortest length of a program for many, and the longest of the first one
NARROW = 32  # lengths that are not worth a program for many
ROW = 3  # lengths in a row after which one is made
MOST_TEMPLATES = 8
MOST_FAILURES = 2
Key = tuple[tuple[int, ...], ...]


class Pattern(NamedTuple):
    """Shapes of all inputs, in which some dimensions are the length and more. base: the shapes at length 0.

    places: the input and the axis of each such dimension.
    """

    base: Key
    places: tuple[tuple[int, int], ...]

    @staticmethod
    def between(before: Key, after: Key) -> Pattern | None:
        """Of shapes whose differing dimensions are larger by one; None of others."""
        if [len(s) for s in before] != [len(s) for s in after]:
            return None
        pairs = [(k, a) for k, s in enumerate(after) for a, d in enumerate(s) if d != before[k][a]]
        if not pairs or any(after[k][a] != before[k][a] + 1 for k, a in pairs):
            return None
        least = min(after[k][a] for k, a in pairs)
        return Pattern(_grown(after, tuple(pairs), -least), tuple(pairs))

    def length(self, key: Key) -> int | None:
        """The length that shapes have; None where they are others."""
        (k, a), *_ = self.places
        if len(key) != len(self.base) or len(key[k]) != len(self.base[k]):
            return None
        length = key[k][a] - self.base[k][a]
        return length if length > 0 and self.at(length) == key else None

    def at(self, length: int) -> Key:
        return _grown(self.base, self.places, length)


def _grown(key: Key, places: tuple[tuple[int, int], ...], more: int) -> Key:
    shapes = [list(s) for s in key]
    for k, a in places:
        shapes[k][a] += more
    return tuple([tuple(s) for s in shapes])


class Lengths:
    """What a session knows of the shapes that were asked of it, and the programs for many lengths."""

    def __init__(self, kept: tuple[str, ...] = ()) -> None:
        """kept: outputs that have room for the last length of a program at every length."""
        self._kept = kept
        self._templates: OrderedDict[tuple[Pattern, int], LengthTemplate] = OrderedDict()  # by the last length
        self._pattern: Pattern | None = None  # of the shapes asked last, and how many in a row had it
        self._last: Key | None = None
        self._row = 0
        self._failures: list[tuple[int, int]] = []
        self._plans = PlanCache()  # NOTE: apart from others, which take long to make

    @property
    def nbytes(self) -> int:
        """Bytes that the programs for many lengths have for themselves."""
        return sum(t.nbytes for t in self._templates.values()) + self._plans.nbytes

    def plan(self, planner: Planner, graph: Graph, key: Key) -> Plan | None:
        """The plan for the shapes of the inputs; None where they are to be planned by themselves."""
        plan = self._plans.get(key)
        if plan is None and (plan := self._new(planner, graph, key)) is not None:
            self._plans.put(key, plan)
        return plan

    @in_usual_mode
    def _new(self, planner: Planner, graph: Graph, key: Key) -> Plan | None:
        last, self._last = self._last, key
        found = Pattern.between(last, key) if last is not None else None
        self._row = 0 if found is None else self._row + 1 if found == self._pattern else 1
        self._pattern = found or self._pattern
        length = None if self._pattern is None else self._pattern.length(key)
        if self._pattern is None or length is None or length < SHORTEST:
            return None
        try:
            template = self._template(planner, graph, self._pattern, length)
            return None if template is None else template.plan(dict(zip(graph.inputs, key, strict=True)), length)
        except Exception as error:  # NOTE: whatever it is, planning these shapes by themselves says it better
            if of_a_signal_handler(error) or (isinstance(error, VerifyError) and verify_level() >= 2):
                raise
            return None

    def _template(self, planner: Planner, graph: Graph, pattern: Pattern, length: int) -> LengthTemplate | None:
        """The program for a length and others, made where there is none yet."""
        for (known, last), template in self._templates.items():
            if known == pattern and template.lengths[0] <= length <= last:
                self._templates.move_to_end((known, last))
                return template
        seen = any(known == pattern for known, _ in self._templates)
        if not (seen or self._row >= ROW - 1) or not isinstance(planner.backend, NativeBackend):
            return None
        if len(self._failures) >= MOST_FAILURES or is_reference_only() or has_branches(graph):
            return None
        first, last = self._range(length)
        if last - first < NARROW:
            return None
        from .length_plan import LengthTemplate  # NOTE: few sessions see shapes that grow

        self._failures.append((first, last))
        made = LengthTemplate(
            graph, lambda n: dict(zip(graph.inputs, pattern.at(n), strict=True)), (first, last), planner.backend,
            planner.threads, planner.pool, self._kept,
        )  # fmt: skip
        self._failures.pop()
        self._templates[pattern, last] = made
        if len(self._templates) > MOST_TEMPLATES:
            self._templates.popitem(last=False)
        return made

    def _range(self, length: int) -> tuple[int, int]:
        """The lengths of one program; half as many where all of them failed."""
        last = FIRST
        while last < length:
            last *= 2
        first = last // 2 + 1 if last > FIRST else SHORTEST
        while (first, last) in self._failures:
            middle = (first + last) // 2
            first, last = (first, middle) if length <= middle else (middle + 1, last)
        return first, last
