"""A float graph in which every rounding of its quantized form can be switched on by itself, run by the kernels.

Each value that is rounded is followed by Quantize, Dequantize and a Where with an input of its own; a product whose
weights are rounded has a second one beside it, of what rounding changes in them, whose result a Where adds or not. One
program so serves all groups of roundings that are tried (noise_sources.py).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import numpy as np

from ..graph import Array, DType, Graph, Node, TensorType
from ..runtime import InferenceSession
from .roundings import Rounding

SWITCH = TensorType(DType.BOOL, ())


class SwitchedGraph:
    """Runs the float graph on some inputs with any of the roundings."""

    def __init__(self, graph: Graph, quantized: Graph, roundings: Sequence[Rounding]) -> None:
        builder = _Builder(graph, quantized)
        self.switches = builder.build(roundings)
        self.session = InferenceSession(builder.graph())

    def outputs(self, feeds: Mapping[str, Array], on: Iterable[Rounding]) -> list[Array]:
        """Outputs of the graph, in their order, with the roundings `on`."""
        wanted = {id(r) for r in on}
        switches = {name: np.array(key in wanted) for key, name in self.switches.items()}
        return list(self.session.run(None, {**feeds, **switches}))


class _Builder:
    def __init__(self, graph: Graph, quantized: Graph) -> None:
        self.source, self.quantized = graph, quantized
        self.types, self.constants = dict(graph.types), dict(graph.constants)
        self.nodes: list[Node] = []
        self.renamed: dict[str, str] = {}

    def graph(self) -> Graph:
        used = {i for n in self.nodes for i in n.inputs} | {*self.source.outputs}
        constants = {k: a for k, a in self.constants.items() if k in used}
        made = {o for n in self.nodes for o in n.outputs}
        types = {k: t for k, t in self.types.items() if k in constants or k in made or k in self.inputs}
        return Graph(self.source.name, self.inputs, self.source.outputs, tuple(self.nodes), types, constants)

    def build(self, roundings: Sequence[Rounding]) -> dict[int, str]:
        """The name of the input that switches each rounding on, by its id."""
        values = {r.value: r for r in roundings if r.weights is None}
        weights = {r.nodes[0]: r for r in roundings if r.weights is not None}
        switches = {id(r): f"switch.{k}" for k, r in enumerate(roundings)}
        self.types |= dict.fromkeys(switches.values(), SWITCH)
        self.inputs = (*self.source.inputs, *switches.values())
        for name in (i for i in self.source.inputs if i in values):
            self.renamed[name] = f"{name}.chosen"
            self._round(name, f"{name}.chosen", values[name], switches[id(values[name])])
        for node in self.source.nodes:
            weighed = weights.get(node.name)
            # NOTE: the last stage of a value has its name
            exact = {o: f"{o}.exact" for k, o in enumerate(node.outputs) if o in values or (weighed and k == 0)}
            self.types |= {new: self.types[o] for o, new in exact.items()}
            read = tuple(self.renamed.get(i, i) for i in node.inputs)
            made = node.with_(inputs=read, outputs=tuple(exact.get(o, o) for o in node.outputs))
            self.nodes.append(made)
            if weighed is not None:
                first = node.outputs[0]
                last = f"{first}.weighed" if first in values else first
                self._add(made, weighed, switches[id(weighed)], last)
                exact[first] = last
            for o in (o for o in node.outputs if o in values):
                self._round(exact[o], o, values[o], switches[id(values[o])])
        return switches

    def _make(self, op: str, inputs: tuple[str, ...], name: str, t: TensorType) -> str:
        self.types[name] = t
        self.nodes.append(Node(op, inputs, (name,), {}, f"{name}:{op}"))
        return name

    def _round(self, source: str, target: str, rounding: Rounding, switch: str) -> None:
        """`target` is `source`, rounded where the switch is on."""
        plain, stored = self.types[source], self.quantized.types[rounding.stored]
        read, factors = source, self.quantized.constants.get(f"{rounding.stored}.factors")
        if factors is not None:
            read = self._make("Div", (read, self._constant(f"{target}.units", factors)), f"{target}.scaled", plain)
        read = self._make("Quantize", (read,), f"{target}.stored", TensorType(stored.dtype, plain.shape, stored.quant))
        read = self._make("Dequantize", (read,), f"{target}.rounded", plain)
        if factors is not None:
            read = self._make("Mul", (read, self._constant(f"{target}.factors", factors)), f"{target}.restored", plain)
        self._make("Where", (switch, read, source), target, plain)

    def _add(self, node: Node, rounding: Rounding, switch: str, target: str) -> None:
        """`target` is what a product makes, and where the switch is on, what rounding its weights adds to it."""
        assert rounding.weights is not None
        exact, t = node.outputs[0], self.types[node.outputs[0]]
        error = self._constant(f"{exact}.weights.error", rounding.weights - self.constants[node.inputs[1]])
        made = f"{exact}.error"
        self.types[made] = t
        self.nodes.append(node.with_(inputs=(node.inputs[0], error), outputs=(made,), name=f"{node.name}:error"))
        total = self._make("Add", (exact, made), f"{exact}.with_error", t)
        self._make("Where", (switch, total, exact), target, t)

    def _constant(self, name: str, array: Array) -> str:
        data = np.asarray(array, np.float32)
        self.constants[name], self.types[name] = data, TensorType(DType.F32, data.shape)
        return name
