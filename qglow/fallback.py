"""Meanings of the ops that have no definition here: the package's root hands them in (qglow/__init__.py), the reference
asks for them.

So the reference knows no protobuf, and a process imports onnx when it meets the first such op.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any

from .record import NamedTuple


class FallbackOps(NamedTuple):
    """evaluate: outputs of a node from its inputs. infer: types of its outputs from those of its inputs and from
    constants, None where they do not say."""

    evaluate: Callable[[Any, list[Any]], list[Any]]
    infer: Callable[[Any, list[Any], list[Any]], list[Any]]


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
