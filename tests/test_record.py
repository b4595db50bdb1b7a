"""qglow/record.py beside typing.NamedTuple."""

from __future__ import annotations

import pickle
import typing

import pytest

from qglow.record import NamedTuple

pytestmark = pytest.mark.smoke


class Ours(NamedTuple):
    """A pair."""

    a: int
    b: str = "x"

    @property
    def twice(self) -> int:
        return 2 * self.a


class Theirs(typing.NamedTuple):
    """A pair."""

    a: int
    b: str = "x"

    @property
    def twice(self) -> int:
        return 2 * self.a


@pytest.mark.parametrize(
    "of",
    [
        lambda c: tuple(c(1)) + tuple(c(b="y", a=2)._replace(a=3)),
        lambda c: (c(1).twice, c(1).b, c(1) == c(1, "x"), hash(c(1)), c._fields, c._field_defaults),
        lambda c: (c.__doc__, c.__module__, c.__bases__, list(c.__annotations__), c(1)._asdict()),
        lambda c: repr(c(1)).partition("(")[2],
        lambda c: tuple(pickle.loads(pickle.dumps(c(4)))),
    ],
)
def test_a_class_is_as_typing_makes_it(of):
    assert of(Ours) == of(Theirs)


@pytest.mark.parametrize("made", [lambda: Ours(), lambda: Ours(1, "x", 2), lambda: Ours(c=1), lambda: Ours(1).__dict__])
def test_what_a_tuple_refuses(made):
    with pytest.raises((TypeError, AttributeError)):
        made()


def test_a_default_before_a_field_without_one_is_refused():
    with pytest.raises(TypeError, match="without a default"):

        class Wrong(NamedTuple):
            a: int = 1
            b: int
