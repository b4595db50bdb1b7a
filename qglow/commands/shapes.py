"""Concrete shapes of a model's inputs, as `--shape` gives them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import zip_longest

from ..errors import ConfigError
from ..graph import Graph
from ..runtime.placement import symbolic_as_one

METAVAR = "NAME=1,3,224,224"  # x stands for a comma too


def input_shapes(
    graph: Graph, given: Sequence[str], known: Mapping[str, Sequence[int]] | None = None
) -> dict[str, tuple[int, ...]]:
    """The given shapes, else the known ones, else the declared ones with 1 for symbolic dimensions. Raises ConfigError
    for a given shape that the model does not have."""
    shapes = symbolic_as_one(graph)
    shapes |= {n: tuple(s) for n, s in (known or {}).items() if n in shapes and _fits(graph, n, tuple(s))}
    for text in given:
        name, _, numbers = text.rpartition("=")
        if name not in shapes:
            raise ConfigError(f"--shape {text!r}: no input {name!r}; the inputs are {', '.join(shapes)}")
        try:
            shape = tuple(int(n) for n in numbers.replace("x", ",").split(",") if n)
        except ValueError as error:
            raise ConfigError(f"--shape {text!r}: expected {METAVAR}") from error
        if any(s < 1 for s in shape):
            raise ConfigError(f"--shape {text!r}: expected dimensions of at least 1")
        if not _fits(graph, name, shape):
            declared = list(graph.types[name].shape or ())
            raise ConfigError(f"--shape {text!r}: the model declares {name!r} as {declared}")
        shapes[name] = shape
    return shapes


def _fits(graph: Graph, name: str, shape: tuple[int, ...]) -> bool:
    declared = graph.types[name].shape
    if declared is not None and [d if isinstance(d, int) else s for d, s in zip_longest(declared, shape)] != [*shape]:
        return False
    return all(s >= 1 for s in shape)
