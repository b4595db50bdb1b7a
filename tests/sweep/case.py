"""Cases of the sweep: one node with its inputs, and the opsets at which the schema of an op changed."""

from __future__ import annotations

import zlib
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import cache
from typing import Any

import numpy as np
import onnx

Array = np.ndarray
OLDEST, NEWEST = 7, 26  # the opsets that both qglow and onnxruntime accept


@dataclass(frozen=True)
class Fixed:
    """An input that is an initializer of the model, not an input of the graph."""

    array: Array

    def __post_init__(self) -> None:
        object.__setattr__(self, "array", np.asarray(self.array))


@dataclass(frozen=True)
class Case:
    """One node. inputs: arrays (graph inputs), Fixed ones (initializers) or None (left out).

    outputs: how many it has; those that `unused` lists have no name. tolerance: relative, of floats.
    """

    op: str
    inputs: tuple[Array | Fixed | None, ...]
    attributes: dict[str, Any] = field(default_factory=dict)
    opset: int = 18
    outputs: int = 1
    unused: tuple[int, ...] = ()
    tolerance: float = 1e-5
    domain: str = ""

    @property
    def name(self) -> str:
        """Unique among the cases: what stands in the table of expected failures."""
        shapes = "_".join("-" if i is None else described(i) for i in self.inputs)
        attributes = ",".join(f"{k}={_short(v)}" for k, v in self.attributes.items())
        return f"{self.op}.{self.opset} {shapes} {attributes} {self.outputs if self.outputs > 1 else ''}".strip()


def described(given: Array | Fixed) -> str:
    a = given.array if isinstance(given, Fixed) else given
    kind = "f" if isinstance(given, Fixed) else ""
    values = (
        f"={a.tolist()}".replace(" ", "") if isinstance(given, Fixed) and a.size <= 8 and a.dtype.kind in "iub" else ""
    )
    digest = (
        "" if values else f"#{zlib.crc32(a.astype('S').tobytes() if a.dtype.kind in 'OU' else a.tobytes()) & 0xFFF:03x}"
    )
    return f"{kind}{a.dtype.str[1:]}{list(a.shape)}{values}{digest}".replace(" ", "")


def _short(value: Any) -> str:
    if isinstance(value, onnx.TensorProto):
        return f"{onnx.numpy_helper.to_array(value).tolist()}".replace(" ", "")
    return str(value).replace(" ", "")


@cache
def _since() -> dict[str, set[int]]:
    """The opsets at which the schema of each op changed."""
    found: dict[str, set[int]] = defaultdict(set)
    for schema in onnx.defs.get_all_schemas_with_history():
        if schema.domain == "":
            found[schema.name].add(schema.since_version)
    return found


def versions(op: str, first: int = OLDEST, last: int = NEWEST) -> list[int]:
    """The opsets up to `last` at which the schema of an op changed; `first` stands for the newest before it."""
    since = _since().get(op, set())
    old = [first] if any(v <= first for v in since) else []
    return old + sorted(v for v in since if first < v <= last)


def at_versions(
    op: str, inputs: Sequence[Array | Fixed | None], first: int = OLDEST, last: int = NEWEST, **more: Any
) -> Iterator[Case]:
    """A case at each opset at which the schema changed. Keywords are fields of Case, or else attributes of the node."""
    for opset in versions(op, first, last):
        yield case(op, *inputs, opset=opset, **more)


OWN = ("outputs", "unused", "tolerance", "domain", "opset")


def case(op: str, *inputs: Array | Fixed | None, opset: int = 18, **more: Any) -> Case:
    own = {k: more.pop(k) for k in OWN if k in more}
    arrays = (
        i if i is None or isinstance(i, Fixed) else np.asarray(i) for i in inputs
    )  # NOTE: numpy makes scalars of 0-d arrays
    return Case(op, tuple(arrays), more, opset, **own)


def ints(*values: int, dtype: Any = np.int64) -> Fixed:
    """A vector of integers as an initializer."""
    return Fixed(np.array(values, dtype))


def scalar(value: float, dtype: Any = np.float32) -> Fixed:
    return Fixed(np.array(value, dtype))


def normal(*shape: int, scale: float = 1.0, dtype: Any = np.float32, seed: int = 0) -> Array:
    """Noise that depends on shape and seed alone."""
    return np.asarray(np.random.default_rng([seed, len(shape), *shape]).normal(0, scale, shape)).astype(dtype)


def whole(*shape: int, low: int = -9, high: int = 10, dtype: Any = np.int64, seed: int = 0) -> Array:
    """Random integers from low to below high."""
    return np.asarray(np.random.default_rng([seed, len(shape), *shape]).integers(low, high, shape)).astype(dtype)


def truths(*shape: int, seed: int = 0) -> Array:
    return whole(*shape, low=0, high=2, seed=seed).astype(bool)


Family = Callable[[], Iterator[Case]]
