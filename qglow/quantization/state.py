"""What quantization knows of a graph: one immutable state, which every pass (passes.py) takes and gives back with its
own part changed."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property, wraps

from ..errors import VerifyError
from ..graph import Array, DType, Graph, Node, Quant
from ..graph.blocks import Precision
from ..profiling.observers import Observer
from ..record import NamedTuple
from ..simplify.assume_branches import AssumedBranches
from .config import QuantConfig
from .pointwise import Function
from .qdq import Stored

Quants = Mapping[str, tuple[DType, Quant]]


class Decision(NamedTuple):
    """What became of one node of the float graph. folded: it is part of another int8 node."""

    node: str
    op: str
    precision: Precision
    reason: str


@dataclass(frozen=True)
class PrecisionUses:
    """quantized / real: values needed so. fused_clamps: root -> the clamp's value that its producer writes in its
    place."""

    quantized: frozenset[str] = frozenset()
    real: frozenset[str] = frozenset()
    fused_clamps: Mapping[str, str] = field(default_factory=dict)

    @cached_property
    def clamped(self) -> frozenset[str]:
        """Values that the producers of fused clamps' roots write."""
        return frozenset(self.fused_clamps.values())

    @cached_property
    def stored(self) -> frozenset[str]:
        """Values that something reads quantized, or that a clamp limits (a float accumulator is not clamped)."""
        return self.quantized | self.clamped

    @cached_property
    def wanted(self) -> frozenset[str]:
        """All values that are needed, roots of fused clamps among them."""
        return self.quantized | self.real | frozenset(self.fused_clamps)

    def target(self, value: str) -> str:
        """The value that a node writes in place of its output."""
        return self.fused_clamps.get(value, value)


@dataclass(frozen=True, slots=True)
class QuantState:
    """graph: the float graph, until `convert` makes it the quantized one. imported: before it was simplified. observed:
    what was seen of its values. calibrated: whether by a profile; without one the model's own parameters hold, and
    precisions are not chosen by gain.

    model_quants, rounded, constants: what a model that came quantized says of its values and constants (qdq.py).
    reasons: why a node stays float, by its name; int8: the names of all others. functions: table lookups by output
    value. uses, quants: what each value is needed as, and (dtype, parameters) of those needed quantized; both hold for
    the set `chosen_for`. factors, means: of values' channels, by which they are scaled, and of which biases are
    corrected. decisions: an account of every node. branches: what was assumed of branches to come to `graph`.
    """

    graph: Graph
    imported: Graph
    observed: Mapping[str, Observer]
    config: QuantConfig
    calibrated: bool = True
    model_quants: Quants = field(default_factory=dict)
    rounded: frozenset[str] = frozenset()
    constants: Mapping[str, Stored] = field(default_factory=dict)
    reasons: Mapping[str, str] = field(default_factory=dict)
    int8: frozenset[str] = frozenset()
    functions: Mapping[str, Function] = field(default_factory=dict)
    uses: PrecisionUses = PrecisionUses()
    quants: Quants = field(default_factory=dict)
    chosen_for: frozenset[str] | None = None
    factors: Mapping[str, Array] = field(default_factory=dict)
    means: Mapping[str, Array] = field(default_factory=dict)
    decisions: tuple[Decision, ...] = ()
    branches: AssumedBranches | None = None

    def is_int8(self, node: Node) -> bool:
        return node.name in self.int8

    def kept_float(self, reasons: Mapping[str, str]) -> QuantState:
        """The state with further nodes float, and why."""
        if not reasons:
            return self
        int8 = self.int8 - set(reasons)
        functions = {k: f for k, f in self.functions.items() if all(n.name in int8 for n in f.nodes)}
        return replace(self, reasons={**self.reasons, **reasons}, int8=int8, functions=functions)

    def check(self, name: str) -> None:
        """Raises VerifyError, with the pass `name`, where parts of the state contradict each other."""
        if self.decisions or not (self.int8 or self.reasons):
            return
        nodes = {n.name for n in self.graph.nodes}
        split = [f"node {n!r} is int8 and float, or neither" for n in nodes if (n in self.int8) == (n in self.reasons)]
        halves = [
            f"the function {v!r} has a float node"
            for v, f in self.functions.items()
            if not all(map(self.is_int8, f.nodes))
        ]
        strange = [f"{v!r} has parameters and no type" for v in self.quants if v not in self.graph.types]
        if faults := [*split, *halves, *strange]:
            raise VerifyError(f"pass {name}: {'; '.join(faults[:8])}")


Pass = Callable[[QuantState], QuantState]


def by_gain(apply: Pass) -> Pass:
    """A pass that chooses what is worth it: a model that came quantized has chosen."""

    @wraps(apply)
    def of(state: QuantState) -> QuantState:
        return apply(state) if state.calibrated else state

    return of
