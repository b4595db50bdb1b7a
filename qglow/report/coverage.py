"""What became of every node of a model, by op: int8, float in a kernel, or on the host, with its share of the
multiply-adds, and why it is not int8."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, get_args

from ..graph import Graph
from ..graph.blocks import precision_of
from ..graph.multiply_adds import multiply_adds
from ..runtime.manifest import Decision
from ..runtime.placement import Placement, Shapes, place_nodes

# none: nothing runs, for the shapes say what it gives or its branch is not taken
# unknown: behind a shape that depends on data
Execution = Literal["int8", "float", "host", "none", "unknown"]
EXECUTIONS: tuple[Execution, ...] = get_args(Execution)
CONVERTS = ("quantize", "dequantize")  # rules of types (graph/type_rules.py)
ADDED = "computed where a branch goes another way than in calibration"


@dataclass(slots=True)
class OpCoverage:
    """One operator. nodes, multiply_adds: in each way. why: of nodes that are not int8, (way, reason): their names."""

    op: str
    nodes: Counter[Execution] = field(default_factory=Counter)
    multiply_adds: Counter[Execution] = field(default_factory=Counter)
    precisions: Counter[str] = field(default_factory=Counter)
    why: dict[tuple[Execution, str], list[str]] = field(default_factory=dict)

    def add(self, how: Execution, reason: str, name: str, products: int, precision: str) -> None:
        self.nodes[how] += 1
        self.multiply_adds[how] += products
        if how == "int8":
            self.precisions[precision] += 1
        elif reason:
            self.why.setdefault((how, reason), []).append(name)


@dataclass(frozen=True, slots=True)
class Coverage:
    """rows: by operator, those of most multiply-adds and then of most nodes first. shapes: of the inputs. added: nodes
    that quantization put between, such as conversions. assumed: conditions that depend on data, and what was taken for
    them."""

    rows: tuple[OpCoverage, ...]
    shapes: Shapes
    added: int
    assumed: Mapping[str, bool]

    def nodes(self) -> Counter[Execution]:
        return sum((r.nodes for r in self.rows), Counter[Execution]())

    def multiply_adds(self) -> Counter[Execution]:
        return sum((r.multiply_adds for r in self.rows), Counter[Execution]())

    def to_dict(self) -> dict[str, Any]:
        """Plain values, as JSON has them. share: of all multiply-adds, 0 to 1, None where there are none."""
        products = self.multiply_adds()
        total, count = products.total(), self.nodes()
        return {
            "shapes": {n: list(s) for n, s in self.shapes.items()},
            "assumed": dict(self.assumed),
            "nodes": {w: count[w] for w in EXECUTIONS},
            "multiply_adds": {w: products[w] for w in EXECUTIONS},
            "share": {w: products[w] / total if total else None for w in EXECUTIONS},
            "added": self.added,
            "ops": [
                {
                    "op": r.op,
                    "nodes": {w: r.nodes[w] for w in EXECUTIONS},
                    "multiply_adds": {w: r.multiply_adds[w] for w in EXECUTIONS},
                    "share": r.multiply_adds.total() / total if total else None,
                    "precisions": dict(r.precisions),
                    "why": [{"execution": w, "reason": why, "nodes": names} for (w, why), names in r.why.items()],
                }
                for r in self.rows
            ],
        }


def cover(graph: Graph, decisions: Sequence[Decision], shapes: Shapes) -> Coverage:
    """Of a quantized graph and an account of the nodes of the float one, or of its own where there is none. Raises what
    typing or lowering raises where the shapes do not fit."""
    placed, quantized = place_nodes(graph, shapes), {n.name for n in graph.nodes}
    products = {n.name: multiply_adds(placed.graph, n) for n in placed.run.values()}
    rows: dict[str, OpCoverage] = {}
    decided = set()
    for d in decisions or _of_itself(graph):
        name, op = d["node"], d["op"]
        way, reason = _way(placed, d, name in quantized)
        decided.add(name)
        rows.setdefault(op, OpCoverage(op)).add(way, reason, name, products.get(name, 0), d["precision"])
    others = {name: node for name, node in placed.run.items() if name not in decided}
    for name, node in others.items():
        if name in placed.host or products[name]:
            row = rows.setdefault(node.operator, OpCoverage(node.operator))
            row.add("host" if name in placed.host else "float", placed.host.get(name, ADDED), name, products[name], "")
    ordered = sorted(rows.values(), key=lambda r: (-r.multiply_adds.total(), -r.nodes.total(), r.op))
    return Coverage(tuple(ordered), shapes, len(others), placed.assumed)


def _of_itself(graph: Graph) -> Iterator[Decision]:
    """What the types of a quantized graph say of its nodes, but for conversions."""
    for node in graph.nodes:
        types = [graph.types[v] for v in (*node.inputs, *node.outputs) if v]
        if node.definition.typing not in CONVERTS:
            wide, quantized = any(t.is_int16 for t in types), any(t.is_quantized for t in types)
            precision = precision_of(node, graph.types) or ("int16" if wide else "int8" if quantized else "float")
            reason = "the bundle does not say why" if precision == "float" else ""
            yield {"node": node.name, "op": node.operator, "precision": precision, "reason": reason}


def shown_executions(coverage: Coverage) -> list[Execution]:
    """The ways that a table has columns for: the first three, and others that there are."""
    nodes = coverage.nodes()
    return [w for w in EXECUTIONS if nodes[w] or w not in ("none", "unknown")]


def percent(part: int, total: int) -> str:
    """A part in percent, "-" of nothing; what is not nothing is not shown as none, nor what is not all as all."""
    if not total:
        return "-"
    shown = f"{part / total:.1%}"
    return "< 0.1%" if part and shown == "0.0%" else "> 99.9%" if part < total and shown == "100.0%" else shown


def _way(placed: Placement, d: Decision, is_there: bool) -> tuple[Execution, str]:
    """Where a node of the float graph is computed, and why it is not int8. is_there: whether the quantized graph has a
    node of its name; that of a table has another, and stands for several."""
    name = d["node"]
    if name in placed.host:
        return "host", placed.host[name]
    if name in placed.unknown:
        return "unknown", "it comes after a shape that depends on data"
    if is_there and name not in placed.run:
        return "none", ""
    return ("float", d["reason"]) if d["precision"] == "float" else ("int8", "")
