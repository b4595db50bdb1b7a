"""Calls that keep states: what `run` computes when its outputs are fed to it again, whatever serves the call."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from typing import Any

import numpy as np
import pytest
from test_lengths import asked, decoder

import qglow
from qglow.errors import InputError, QGlowError
from qglow.graph.text import parse_graph
from qglow.runtime.lengths import FIRST

Feeds = dict[str, Any]


@cache
def names() -> dict[str, str]:
    """The states of the decoder: its outputs but for the last."""
    inputs = [i for i in decoder().inputs if i.startswith("past")]
    return dict(zip(inputs, decoder().outputs[:-1], strict=True))


def empty(past: int = 0) -> Feeds:
    return {n: a for n, a in asked(past).items() if n in names()}


def tokens(count: int, seed: int) -> Feeds:
    return {n: a for n, a in asked(seed, count).items() if n not in names()}


class Pair:
    """Calls that keep states beside a session whose outputs are fed to it."""

    def __init__(self, threads: int = 1, past: int = 0) -> None:
        self.session, self.other = (qglow.InferenceSession(decoder(), threads) for _ in range(2))
        self.calls, self.past = self.session.stateful(names(), empty(past)), empty(past)

    def step(self, count: int, seed: int) -> None:
        (got,) = self.calls.run(None, tokens(count, seed))
        *states, want = self.other.run(None, {**tokens(count, seed), **self.past})
        self.past = dict(zip(names(), states, strict=True))
        assert np.array_equal(got, want)

    def check(self) -> None:
        now = self.calls.states
        assert all(np.array_equal(now[n], a) for n, a in self.past.items())


@pytest.mark.parametrize("threads", [1, 2])
def test_a_cache_grows_in_place(threads: int) -> None:
    """From the third token on, over the end of one program for many lengths into the next, a prompt in between."""
    pair = Pair(threads)
    pair.step(6, 0)
    for k in range(8):
        pair.step(1, k)
        pair.check()
    assert pair.calls._in_place == frozenset(names()) and pair.calls._template is not None
    pair.step(FIRST - 20, 3)
    assert pair.calls._template is None
    templates = set()
    for k in range(12):
        pair.step(1, k)
        templates.add(pair.calls._template)
    assert len(templates) == 2
    pair.check()


def test_other_calls_of_the_session_leave_the_states_alone() -> None:
    pair = Pair(past=9)
    for k in range(12):
        pair.step(1, k)
        pair.session.run(None, asked(3 * k + 1, 1 + k % 3))
    again = pair.session.stateful(names(), pair.past)
    for k in range(5):
        pair.step(1, k)
        again.run(None, tokens(1, k))
    assert all(np.array_equal(a, pair.past[n]) for n, a in again.states.items())


def test_what_a_caller_has_is_his() -> None:
    """Neither what he gave, nor what he got, is part of the states."""
    start = empty(9)
    kept = {n: a.copy() for n, a in start.items()}
    session = qglow.InferenceSession(decoder(), 1)
    calls = session.stateful(names(), start)
    for k in range(6):
        results = calls.run([*decoder().outputs], tokens(1, k))
        states = calls.states
        for array in (*results, *states.values()):
            array[...] = 7
    want = session.stateful(names(), kept)
    for k in range(6):
        want.run(None, tokens(1, k))
    assert all(np.array_equal(a, start[n]) for n, a in kept.items())
    assert all(np.array_equal(a, want.states[n]) for n, a in calls.states.items())


def test_a_call_that_fails_leaves_the_states() -> None:
    """A word that there is not, in a program for many lengths and before there is one."""
    pair = Pair(past=9)
    wrong = {n: np.full_like(a, 1 << 40) for n, a in tokens(1, 0).items()}
    for k in range(12):
        if k in (1, 9, 10):
            with pytest.raises(QGlowError, match="Gather"):
                pair.calls.run(None, wrong)
        assert (pair.calls._template is not None) == (k > 3)
        pair.step(1, k)
        pair.check()


def test_reset_sets_the_states() -> None:
    pair = Pair(past=9)
    for k in range(6):
        pair.step(1, k)
    pair.calls.reset(empty(12))
    pair.past = empty(12)
    for k in range(6):
        pair.step(1, k)
    pair.check()


SUM = """graph "sum"
input %x: f32[3]
input %s: f32[3]
%t: f32[3] = Add(%x, %s) "add"
%y: f32[3] = Relu(%t) "relu"
output %y
output %t
"""
BEHIND = """graph "behind"
input %x: f32[1,32]
input %s: f32[N,32]
%t: f32[Q,32] = Concat(%x, %s) {"axis": 0} "concat"
%y: f32[Q,32] = Relu(%t) "relu"
output %y
output %t
"""


def test_a_state_that_does_not_grow_is_kept() -> None:
    session = qglow.InferenceSession(parse_graph(SUM), 1)
    calls, total = session.stateful({"s": "t"}, {"s": np.zeros(3, np.float32)}), np.zeros(3, np.float32)
    for k in range(6):
        x = np.array([k, -k, 1], np.float32)
        total += x
        (y,) = calls.run(["y"], {"x": x})
        assert np.array_equal(y, np.maximum(total, 0)) and np.array_equal(calls.states["s"], total)


def test_what_is_new_may_come_first() -> None:
    """Such a state moves in each call: it is copied."""
    session, rng = qglow.InferenceSession(parse_graph(BEHIND), 1), np.random.default_rng(0)
    calls, whole = session.stateful({"s": "t"}, {"s": np.zeros((9, 32), np.float32)}), np.zeros((9, 32), np.float32)
    for _ in range(40):
        x = rng.normal(0, 1, (1, 32)).astype(np.float32)
        whole = np.concatenate([x, whole])
        (y,) = calls.run(["y"], {"x": x})
        assert np.array_equal(y, np.maximum(whole, 0)) and np.array_equal(calls.states["s"], whole)
    assert calls._template is not None and not calls._in_place


def bad() -> Iterator[tuple[Any, Any, str]]:
    states, start = names(), empty(2)
    first, second = states
    yield {}, {}, "states must be given as {input: output}"
    yield [*states], start, "states must be given as {input: output}"
    yield {"nothing": states[first]}, start, "no input 'nothing' to be a state"
    yield {first: "nothing"}, start, "no output 'nothing' to be a state"
    yield {"input_ids": states[first]}, start, "has not the dtype of the input 'input_ids'"
    yield states, {first: start[first]}, f"state '{second}' is missing"
    yield states, {**start, "input_ids": [[1]]}, "'input_ids' is no state"
    yield states, {**start, second: np.zeros((1, 2), np.float32)}, f"input '{second}': expected shape"
    yield states, {**start, second: start[second].astype(np.int32)}, f"input '{second}': expected float32"
    yield states, None, "states must be given as {input: array}"


@pytest.mark.parametrize(("states", "start", "why"), bad())
def test_what_is_no_state_is_refused(states: Any, start: Any, why: str) -> None:
    with pytest.raises(InputError, match=why):
        qglow.InferenceSession(decoder(), 1).stateful(states, start)


def test_a_state_is_not_given_to_a_call() -> None:
    calls = qglow.InferenceSession(decoder(), 1).stateful(names(), empty(9))
    with pytest.raises(InputError, match="is a state: it is kept from call to call"):
        calls.run(None, asked(9))
    with pytest.raises(InputError, match="input 'input_ids' is missing"):
        calls.run(None, {})
    assert "present" in repr(calls)
