"""A session's memory does not grow with the shapes that it sees: plans are let go, and constants are there once."""

from __future__ import annotations

import gc
import weakref

import numpy as np
import pytest

import qglow
from qglow.graph import Array, Graph, Node, float_type
from qglow.runtime import arenas
from qglow.runtime.constants import ConstantPool
from qglow.runtime.native import NativePlan
from qglow.runtime.plan_cache import BYTES, FEW, PlanCache
from qglow.runtime.plans import Planner, ReferencePlan

WEIGHTS = np.random.default_rng(0).normal(0, 0.1, (256, 128, 3, 3)).astype(np.float32)


def graph() -> Graph:
    types = {"x": float_type(1, 128, "H", "W"), "w": float_type(*WEIGHTS.shape), "y": float_type(1, 256, "H", "W")}
    node = Node("Conv", ("x", "w"), ("y",), {"pads": (1, 1, 1, 1)}, "conv")
    return Graph("g", ("x",), ("y",), (node,), types, {"w": WEIGHTS})


def image(*size: int) -> dict[str, Array]:
    return {"x": np.random.default_rng(size).normal(0, 1, (1, 128, *size)).astype(np.float32)}


class Sized(ReferencePlan):
    def __init__(self, nbytes: int) -> None:
        super().__init__(graph())
        self.nbytes = nbytes


def test_the_least_recently_used_plans_go_first() -> None:
    cache = PlanCache(most_plans=3, most_bytes=100)
    plans = {k: cache.put(k, Sized(10)) for k in "abc"}
    assert cache.get("a") is plans["a"]
    cache.put("d", Sized(10))
    assert cache.peek("b") is None and [cache.peek(k) is not None for k in "acd"] == [True] * 3
    cache.put("e", Sized(85))
    assert cache.peek("c") is None and cache.peek("a") is None and cache.peek("d") is not None and cache.nbytes == 95
    cache.put("f", Sized(1000))
    assert len(cache) == 1 and cache.peek("f") is not None


def test_many_large_plans_are_too_many() -> None:
    cache = PlanCache()
    for k in range(20):
        cache.put(k, Sized(8 << 20))
    assert len(cache) == FEW and cache.nbytes > BYTES
    for k in range(20):
        cache.put(k, Sized(1 << 20))
    assert len(cache) == 20


def test_plans_of_many_shapes_share_weights_and_are_freed() -> None:
    session = qglow.InferenceSession(graph(), 1)
    session._cache.most_plans = 4
    first = session._plan([image(5, 5)["x"]])
    assert isinstance(first, NativePlan)
    seen, size = weakref.ref(first), session._planner.pool.nbytes
    assert size >= WEIGHTS.nbytes
    del first
    gc.disable()
    try:
        for k in range(6, 26, 2):  # NOTE: of widths that grow by one the session makes a program for many
            (got,) = session.run(None, image(5, k))
            assert got.shape == (1, 256, 5, k)
            assert len(session._cache) <= 4 and session._planner.pool.nbytes <= size * 1.1
        assert seen() is None  # without the collector of cycles
    finally:
        gc.enable()


def test_plans_run_in_one_arena_and_move_when_it_grows() -> None:
    session = qglow.InferenceSession(graph(), 1)
    sizes = [(5, 5), (4, 4), (9, 9), (10, 10), (30, 20), (3, 3)]
    want = {size: qglow.InferenceSession(graph(), 1).run(None, image(*size))[0] for size in sizes}
    shared = session._planner.pool.arena
    addresses = set()
    for size in (*sizes, *reversed(sizes), *sizes):
        (got,) = session.run(None, image(*size))
        assert np.array_equal(got, want[size])
        plan = session._plan([image(*size)["x"]])
        assert isinstance(plan, NativePlan) and np.shares_memory(plan.arena, shared.memory)
        addresses.add(shared.memory.ctypes.data)
    largest = session._plan([image(30, 20)["x"]])
    assert isinstance(largest, NativePlan) and largest.arena.nbytes <= shared.memory.nbytes < 2 * largest.arena.nbytes
    assert len(addresses) <= 4  # it grows by more than is asked for


def test_an_arena_larger_than_is_kept_goes_with_the_next_plan(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(arenas, "MOST_KEPT", 1000)
    arena = arenas.Arena()
    assert arena.take(100).size == 100 and arena.take(40) is arena.memory and arena.take(101).size == 150
    large = arena.take(5000)
    assert large.size == 5000 and arena.take(4000) is large and arena.take(500).size == 500
    assert arena.memory is not large


def test_constants_go_with_the_last_plan_that_reads_them() -> None:
    g = graph()
    planner = Planner(1, pool=ConstantPool(g.constants.values()))
    one, two = (planner.plan(g, {"x": (1, 128, 4, k)}) for k in (4, 5))
    assert isinstance(one, NativePlan) and isinstance(two, NativePlan)
    large = [[b for b in p.constants.blocks if len(b.data) > 1 << 20] for p in (one, two)]
    assert large[0] and all(a is b for a, b in zip(*large, strict=True))
    del one, large
    assert planner.pool.nbytes >= WEIGHTS.nbytes
    del two
    assert planner.pool.nbytes == 0


def test_arrays_that_are_made_anew_are_shared_by_their_bytes() -> None:
    planner = Planner(1)  # NOTE: it knows of no array that lasts
    plans = [planner.plan(graph(), {"x": (1, 128, 4, k)}) for k in (4, 5, 6)]
    blocks = {id(b) for p in plans for b in p.constants.blocks if len(b.data) > 1 << 20}  # type: ignore[attr-defined]
    assert len(blocks) == 1


def test_a_compiled_program_is_left_as_it_is() -> None:
    from qglow.instructions.lower import lower
    from qglow.instructions.program import bytes_of
    from qglow.kernels import library
    from qglow.reference import retype

    program = lower(retype(graph(), {"x": (1, 128, 4, 4)}), library.load().isa)
    pieces = list(program.constant_pool)
    plan = NativePlan(program, library.load(), 1)
    assert all(a is b for a, b in zip(pieces, program.constant_pool, strict=True))
    assert b"".join(bytes_of(plan.program.constant_pool)) == b"".join(bytes_of(program.constant_pool))
