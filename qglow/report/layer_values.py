"""int8 values of layers, by the kernels that the bundle runs on: of the whole graph, and of each layer alone.

1. All values of a graph are its outputs in one session.
2. Layers alone are one graph too, in which no node reads what another makes.
3. Where such a session cannot be made or run, as with branches that are not taken, the reference takes its place: it
   has the same bits, but for float products.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from threading import Lock

import numpy as np

from ..graph import Array, Graph, Node
from ..reference.evaluate import evaluate_node
from ..runtime import Bundle, InferenceSession
from .agreement import evaluate_all

WHOLE = ("",)  # the key of the session of all values
ALONE = ".alone"  # ends the name of an input of a layer alone


class LayerValues:
    """Of one quantized graph, over samples; threads may ask at once. backend: what runs it; anything but native leaves
    it to the reference."""

    def __init__(self, graph: Graph, backend: str = "native") -> None:
        self.graph = graph
        self._is_native = backend == "native"
        self._sessions: dict[tuple[str, ...], InferenceSession | None] = {}
        self._guard = Lock()

    def of(self, feeds: Mapping[str, Array]) -> dict[str, Array]:
        """Every value by name."""
        made = [o for n in self.graph.nodes for o in n.outputs if o]
        found = self._run(WHOLE, self.graph.with_(outputs=tuple(made)), feeds)
        return evaluate_all(self.graph, feeds) if found is None else {**feeds, **found}

    def alone(self, inputs: Mapping[str, Sequence[Array | None]]) -> dict[str, Array]:
        """Outputs of nodes by name. inputs: stored values of every input of a node, by the node's name; None stands for
        an absent one."""
        nodes = [n for n in self.graph.nodes if n.name in inputs]
        key = tuple(n.name for n in nodes)
        feeds = {f"{i}{ALONE}": a for n in nodes for i, a in zip(n.inputs, inputs[n.name], strict=True)
                 if a is not None and i not in self.graph.constants}  # fmt: skip
        found = self._run(key, _apart(self.graph, nodes), feeds) if nodes else {}
        if found is not None:
            return found
        slow: dict[str, Array] = {}
        for node in nodes:
            made = evaluate_node(self.graph, node, list(inputs[node.name]), fast=True)
            slow |= {o: a for o, a in zip(node.outputs, made, strict=False) if o}
        return slow

    def _run(self, key: tuple[str, ...], graph: Graph, feeds: Mapping[str, Array]) -> dict[str, Array] | None:
        """Outputs of a graph by name, on a session that is kept by `key`; None where there is none."""
        if not self._is_native or self._sessions.get(key, self) is None:
            return None
        try:
            with self._guard:
                session = self._sessions.get(key) or InferenceSession(Bundle(graph))
                # NOTE: of layers alone the last one is kept: memory does not grow with the ways that branches take
                kept = {k: s for k, s in self._sessions.items() if key == WHOLE or k in (WHOLE, key)}
                self._sessions = kept | {key: session}
            found = session.run(None, {i: feeds[i] for i in graph.inputs})
        except Exception:  # NOTE: a branch that is not taken fails on these inputs in whatever op meets them first
            self._sessions[key] = None
            return None
        return {n: a for n, a in zip(graph.outputs, found, strict=True) if isinstance(a, np.ndarray)}


def _apart(graph: Graph, nodes: Sequence[Node]) -> Graph:
    """The nodes in one graph, none of which reads what another makes: their inputs are inputs of the graph."""
    types, inputs = dict(graph.types), dict[str, None]()
    apart: list[Node] = []
    for node in nodes:
        read = tuple(f"{i}{ALONE}" if i and i not in graph.constants else i for i in node.inputs)
        types |= {new: graph.types[old] for new, old in zip(read, node.inputs, strict=True) if new != old}
        inputs |= dict.fromkeys(new for new, old in zip(read, node.inputs, strict=True) if new != old)
        apart.append(node.with_(inputs=read))
    made = tuple(o for n in nodes for o in n.outputs if o)
    used = {i for n in apart for i in n.inputs} | set(made)
    constants = {k: a for k, a in graph.constants.items() if k in used}
    types = {k: t for k, t in types.items() if k in used}
    return Graph(graph.name, tuple(inputs), made, tuple(apart), types, constants)
