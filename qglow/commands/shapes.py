"""Concrete shapes of a model's inputs, as `--shape` gives them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import zip_longest

from ..errors import ConfigError
from ..graph import Graph, TensorType
from ..runtime.placement import symbolic_as_one

METAVAR = "NAME=1,3,224,224"  # x stands for a comma too
PICTURE, TOKENS, SOUND = 224, 128, 16000
FACTORS = (1, 20 / 7, 3 / 14, 1 / 8)  # pictures of 224, 640, 48 and 28


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


def likely_shapes(
    graph: Graph, given: Sequence[str], known: Mapping[str, Sequence[int]] | None = None
) -> Iterator[dict[str, tuple[int, ...]]]:
    """`input_shapes`, but with sizes for symbolic dimensions that such inputs have: a batch of 1, pictures of 224 by
    224, 128 tokens, a second of sound; then other sizes, for a model that does not take these, and 1 at last. A symbol
    has one size in all inputs. Raises as `input_shapes`."""
    least = input_shapes(graph, given, known)
    fixed = {t.rpartition("=")[0] for t in given} | {n for n in known or {} if least.get(n) == tuple((known or {})[n])}
    tried = list[dict[str, tuple[int, ...]]]()
    for factor in FACTORS:
        sizes: dict[str, int] = {}
        for n in (n for n in graph.inputs if n in fixed):  # NOTE: what is given says what its symbols are elsewhere
            sizes |= {d: s for d, s in zip(graph.types[n].shape or (), least[n], strict=False) if isinstance(d, str)}
        shapes = {n: s if n in fixed else _likely(graph.types[n], factor, sizes) for n, s in least.items()}
        if shapes not in tried:
            tried.append(shapes)
            yield shapes
    if least not in tried:
        yield least


def _likely(t: TensorType, factor: float, sizes: dict[str, int]) -> tuple[int, ...]:
    """sizes: of symbols so far, which grows."""
    shape = t.shape or ()
    usual = PICTURE if len(shape) > 3 else SOUND if len(shape) == 2 and t.dtype.is_float else TOKENS
    found = list[int]()
    for axis, d in enumerate(shape):
        if isinstance(d, int):
            found.append(d)
            continue
        is_batch = axis == 0 or (axis == 1 and len(shape) > 3)  # NOTE: or channels that nobody declared
        size = 1 if is_batch else max(1, int(usual * factor))
        found.append(size if d is None else sizes.setdefault(d, size))
    return tuple(found)


def _fits(graph: Graph, name: str, shape: tuple[int, ...]) -> bool:
    declared = graph.types[name].shape
    if declared is not None and [d if isinstance(d, int) else s for d, s in zip_longest(declared, shape)] != [*shape]:
        return False
    return all(s >= 1 for s in shape)
