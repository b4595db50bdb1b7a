"""The plans of a session by the shapes that they are for: so many, and so many bytes, the least recently used let go
first."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Hashable
from typing import TYPE_CHECKING, Protocol
from weakref import ref

if TYPE_CHECKING:
    from .plans import Plan

MOST_PLANS = 64
MOST_BYTES = 512 << 20  # that plans have for themselves; the newest plan is kept whatever its size
FEW, BYTES = 8, 32 << 20  # so many plans may have MOST_BYTES; more of them, together, no more than BYTES


class Plans(Protocol):
    """What plans are kept in."""

    def get(self, key: Hashable) -> Plan | None: ...
    def peek(self, key: Hashable) -> Plan | None: ...
    def put(self, key: Hashable, plan: Plan) -> Plan: ...


class PlanCache:
    """Not for several threads at once: a session has a lock."""

    def __init__(self, most_plans: int = MOST_PLANS, most_bytes: int = MOST_BYTES) -> None:
        self.most_plans, self.most_bytes = most_plans, most_bytes
        self._plans: OrderedDict[Hashable, Plan] = OrderedDict()
        self._newest: Plan | None = None

    def get(self, key: Hashable) -> Plan | None:
        plan = self._plans.get(key)
        if plan is not None and plan is not self._newest:
            self._plans.move_to_end(key)
            self._newest = plan
        return plan

    def peek(self, key: Hashable) -> Plan | None:
        """As `get`, and not counted as a use."""
        return self._plans.get(key)

    def put(self, key: Hashable, plan: Plan) -> Plan:
        """Keep a plan, and let go of others until the bounds hold; the plan."""
        self._plans.pop(key, None)
        self._plans[key] = self._newest = plan
        size = self.nbytes
        while len(self._plans) > 1 and self._is_full(size):
            _, gone = self._plans.popitem(last=False)
            size -= gone.nbytes
        return plan

    def _is_full(self, size: int) -> bool:
        count = len(self._plans)
        return count > self.most_plans or size > self.most_bytes or (count > FEW and size > BYTES)

    def __len__(self) -> int:
        return len(self._plans)

    @property
    def nbytes(self) -> int:
        """Bytes that the plans have for themselves; constants and the arena are shared (constants.py, arenas.py)."""
        return sum(p.nbytes for p in self._plans.values())


class WeakPlans:
    """A cache as its own plans know it: without a cycle, so that all of them go when the session does. They work
    without it, slowly."""

    def __init__(self, cache: PlanCache) -> None:
        self._cache = ref(cache)

    def get(self, key: Hashable) -> Plan | None:
        cache = self._cache()
        return cache.get(key) if cache is not None else None

    def peek(self, key: Hashable) -> Plan | None:
        cache = self._cache()
        return cache.peek(key) if cache is not None else None

    def put(self, key: Hashable, plan: Plan) -> Plan:
        cache = self._cache()
        return cache.put(key, plan) if cache is not None else plan
