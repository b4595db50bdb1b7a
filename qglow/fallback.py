"""Meanings of the ops that have no definition here: the package's root hands them in (qglow/__init__.py), the reference
asks for them.

So the reference knows no protobuf, and a process imports onnx when it meets the first such op. What runs the bodies of
loops is the reference, unless a session hands in what it compiles (runtime/loop_bodies.py).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from functools import cache
from typing import Any

from .record import NamedTuple


class FallbackOps(NamedTuple):
    """evaluate: outputs of a node from its inputs. infer: types of its outputs from those of its inputs and from
    constants, None where they do not say."""

    evaluate: Callable[[Any, list[Any]], list[Any]]
    infer: Callable[[Any, list[Any], list[Any]], list[Any]]


RunBody = Callable[[dict[str, Any]], dict[str, Any]]
StartBody = Callable[[Any, dict[str, Any]], RunBody]
"""start(graph, fixed): what gives the outputs of a body by name from its other inputs, trip after trip. fixed: inputs
that hold the same array in all of them."""

_given: list[Callable[[], FallbackOps]] = []


def hand_in(find: Callable[[], FallbackOps]) -> None:
    """Say who knows the ops of fallbacks; `find` is called when the first is met. Refuses a second one."""
    if _given:
        raise ValueError("fallbacks are handed in already")
    _given.append(find)


@cache
def fallback_ops() -> FallbackOps:
    """What was handed in."""
    return _given[0]()


_bodies: ContextVar[StartBody | None] = ContextVar("bodies", default=None)


@contextmanager
def bodies_run_by(start: StartBody | None) -> Iterator[None]:
    """Within it, in this thread, bodies of loops are run so; None: by the reference."""
    token = _bodies.set(start)
    try:
        yield
    finally:
        _bodies.reset(token)


def body_runner() -> StartBody | None:
    """What runs the bodies of loops now; None: the reference."""
    return _bodies.get()
