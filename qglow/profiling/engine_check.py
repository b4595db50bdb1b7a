"""The engine that profiles a model is held to the oracle on the first samples: ranges of wrong values would be wrong in
silence.

1. Every float value that the profile records and the oracle knows is compared, in parts of at most LIMIT bytes: memory
   stays bounded.
2. A value agrees where signal to noise, and the largest value to the largest difference, are at least FLOOR_DB, or all
   differences are below what rounding makes of the node's inputs. Behind ops that step, where a rounding may move an
   element, noise alone counts.
3. A value that disagrees is ill-conditioned, and left alone, where the oracle itself moves as far when its inputs move
   by PERTURBATION; or where the oracle computes the same from what the engine has before that node, which then makes a
   difference larger that came to it and was small.
4. Where the oracle computes a float16 value that is infinite and the engine a finite one, as float16 models run in
   float32, that value and what is behind it are left alone.
5. The first other value in the order of the graph is an error, which names the node that computes it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np

from ..errors import DisagreementError
from ..graph import Array, Graph, Node
from ..ops.traits import STEP
from ..oracle import Oracle
from .dataset import Feeds

Keep = Callable[[str, Array], None]
Run = Callable[[Sequence[tuple[Feeds, Keep]]], None]
SAMPLES, ENOUGH = 2, 256 << 20  # samples, and bytes of values from which no further sample is compared
LIMIT = 64 << 20
FLOOR_DB, HALF_FLOOR_DB = 40.0, 20.0  # of float32 and float64; of float16
MOST_DB = 200.0
ROUNDING = 1e-6  # of the largest input of a node: what a few roundings come to
PERTURBATION = 1e-6
MARGIN_DB = 10.0
NORMAL = 1e-20  # sums of squares in float32 above this have lost nothing to underflow that matters
RANDOM = (
    "RandomNormal",
    "RandomUniform",
    "RandomNormalLike",
    "RandomUniformLike",
    "Multinomial",
    "Bernoulli",
    "Dropout",
)


class EngineCheck:
    """Holds an engine's values of a graph to an oracle's, on the first SAMPLES calls of `hold`."""

    def __init__(self, graph: Graph, names: Sequence[str], oracle: Oracle) -> None:
        random = _behind(graph, lambda n: n.operator in RANDOM)
        self.stepped = _behind(graph, lambda n: n.has(STEP) or n.operator == "DynamicQuantizeLinear")
        self.graph, self.oracle = graph, oracle
        self.names = [n for n in names if n not in random and n not in graph.inputs]
        self.left = SAMPLES
        self.overflown: set[str] = set()  # values that rule 4 leaves alone

    def hold(self, run: Run, feeds: Feeds, sample: str) -> None:
        """Raises DisagreementError, naming the node, where the engine computes another value than the oracle."""
        if not self.left:
            return
        self.left -= 1
        pending, compared = self.names, 0
        while pending:
            got = _collected(run, feeds, pending)
            seen = set(got)
            self.left = 0 if (compared := compared + sum(a.nbytes for a in got.values())) >= ENOUGH else self.left
            self._compare(feeds, got, sample)
            pending = [n for n in pending if n not in seen] if seen else []

    def _compare(self, feeds: Feeds, got: Mapping[str, Array], sample: str) -> None:
        real = self.oracle.values(feeds, list(got))
        producers = self.graph.producers()
        sizes = {n: _largest(a) for n, a in {**feeds, **real}.items()}
        for name in self.names:
            if name not in got or name not in real or name not in producers or name in self.overflown:
                continue
            node = producers[name]
            if _overflows(real[name], got[name]):
                self.overflown |= self._behind_value(name)
                continue
            slack = ROUNDING * max((sizes.get(i, 0.0) for i in node.inputs), default=0.0)
            ratio = _ratio_db(real[name], got[name], slack, peak=name not in self.stepped)
            floor = HALF_FLOOR_DB if real[name].dtype.itemsize == 2 else FLOOR_DB
            if ratio >= floor:
                continue
            alone = self.oracle.value_from({**feeds, **got}, name)
            if alone is not None and _ratio_db(alone, got[name], slack, peak=name not in self.stepped) >= floor:
                continue
            if ratio >= self._own_ratio(feeds, name, real[name]) - MARGIN_DB:
                continue
            raise DisagreementError(
                f"sample {sample}: node {node.name!r} ({node.operator}): value {name!r} differs from "
                f"{self.oracle.name}: {ratio:.1f} dB; "
                "this is a defect of qglow, please report it with the model; no profile is made of wrong values"
            )

    def _behind_value(self, name: str) -> set[str]:
        return _behind(self.graph, lambda n: name in n.outputs)

    def _own_ratio(self, feeds: Feeds, name: str, real: Array) -> float:
        """How far the oracle's own value moves when its float inputs do, by about a rounding or two: in dB."""
        rng = np.random.default_rng(0)
        moved = {
            k: (a * (1 + PERTURBATION * rng.choice((-1.0, 1.0), a.shape))).astype(a.dtype) if a.dtype.kind == "f" else a
            for k, a in feeds.items()
        }
        again = self.oracle.values(moved, [name]).get(name)
        return MOST_DB if again is None else _ratio_db(real, again, 0.0, peak=name not in self.stepped)


def _overflows(real: Array, got: Array) -> bool:
    """Rule 4."""
    return real.dtype == np.float16 and not np.isfinite(real).all() and bool(np.isfinite(got).all())


def _collected(run: Run, feeds: Feeds, names: Sequence[str]) -> dict[str, Array]:
    """Copies of the named values, as many as LIMIT holds and at least one."""
    wanted, got, size = set(names), dict[str, Array](), 0

    def keep(name: str, array: Array) -> None:
        nonlocal size
        if name in wanted and name not in got and (not got or size + array.nbytes <= LIMIT):
            got[name] = np.array(array)
            size += array.nbytes

    run([(feeds, keep)])
    return got


def _ratio_db(real: Array, got: Array, slack: float, *, peak: bool) -> float:
    """Signal to noise in dB; -200 where shapes, NaN or infinities differ, 200 where they are near or no difference is
    above the slack.

    peak: the largest difference beside the largest value counts too, where that ratio is the lower one.
    """
    if real.shape != got.shape:
        return -MOST_DB
    if _is_near(real.ravel(), got.ravel()):
        return MOST_DB
    a, b = real.astype(np.float64).ravel(), got.astype(np.float64).ravel()
    finite = np.isfinite(a) & np.isfinite(b)
    if not np.array_equal(a[~finite], b[~finite], equal_nan=True):
        return -MOST_DB
    a, d = a[finite], a[finite] - b[finite]
    noise, largest = float(d @ d), _largest(d)
    if largest <= slack:
        return MOST_DB
    ratios = [float(a @ a) / noise, *([(_largest(a) / largest) ** 2] if peak else [])]
    return float(10 * np.log10(max(min(ratios), 1e-20)))


def _is_near(a: Array, b: Array) -> bool:
    """Whether both ratios are surely above FLOOR_DB, in float32 as the values are: all that most values need, and
    fast."""
    if a.dtype != np.float32 or b.dtype != np.float32 or not a.size:
        return False
    with np.errstate(all="ignore"):
        d = a - b
        noise, signal, largest = float(d @ d), float(a @ a), _largest(a)
    if not (NORMAL < signal < np.inf and largest > NORMAL):  # NOTE: squares that overflow or vanish say nothing
        return False
    return noise <= 10 ** (-FLOOR_DB / 10 - 1) * min(signal, largest * largest)


def _largest(a: Array) -> float:
    if a.dtype.kind != "f" or not a.size:
        return 0.0
    largest = max(float(a.max()), -float(a.min()))
    return largest if np.isfinite(largest) else 0.0


def _behind(graph: Graph, chosen: Callable[[Node], bool]) -> set[str]:
    """Values that one of the chosen nodes has a part in."""
    behind: set[str] = set()
    for node in graph.nodes:
        if chosen(node) or behind & set(node.inputs):
            behind |= {o for o in node.outputs if o}
    return behind
