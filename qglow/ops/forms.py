"""What of an op its integer meaning or a kernel implements: a node that asks for more stays float, or runs on the host.

An attribute that a form does not name is not implemented, whatever its value; neither is an output beyond those that it
counts.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any, Protocol

from ..record import NamedTuple

Takes = Callable[[Any], bool]


class NodeLike(Protocol):
    """What a form reads of a node."""

    @property
    def attributes(self) -> Mapping[str, Any]: ...
    @property
    def outputs(self) -> tuple[str, ...]: ...


def whatever(value: Any) -> bool:
    return True


def only(*values: Any) -> Takes:
    return lambda value: value in values


def all_ones(value: Any) -> bool:
    return all(v == 1 for v in value)


class Form(NamedTuple):
    """attributes: name -> whether a value is implemented. outputs: how many are, None for any number."""

    attributes: Mapping[str, Takes] = MappingProxyType({})
    outputs: int | None = 1

    def refusal(self, node: NodeLike) -> str | None:
        """What a node asks for that is not implemented, or None."""
        for name, value in node.attributes.items():
            if name not in self.attributes:
                return f"its attribute {name}"
            if not self.attributes[name](value):
                return f"{name} {value!r}"
        extra = [] if self.outputs is None else [o for o in node.outputs[self.outputs :] if o]
        return f"its output {extra[0]!r}" if extra else None

    def but(self, **takes: Takes) -> Form:
        """The form with other values of some attributes."""
        return Form({**self.attributes, **takes}, self.outputs)


def form(*names: str, outputs: int | None = 1, **takes: Takes) -> Form:
    """names: attributes that are implemented with any value. takes: those of which only some values are."""
    return Form(dict.fromkeys(names, whatever) | takes, outputs)


PLAIN = Form()  # no attributes, one output
