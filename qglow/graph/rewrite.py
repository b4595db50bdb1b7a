"""Rewrites, and the driver that applies a list of them until none fires.

1. The first pass looks at every node, in order, and tries the rewrites in the order of the list; what a rewrite writes
   is looked at again at once, and what reads that comes later. Only a value that one node alone reads now may make an
   earlier node fit: passes over the nodes near to such values follow, until there are none. Matching looks no further
   than a pattern is deep: a pass takes time linear in the graph.
2. A replacement writes what its match's root wrote. It stands where the root stood, or, with `at`, where that captured
   node did: then the rewrite fires only if all that the replacement reads is there by then.
3. Inner nodes of a match that nothing reads any more are removed, and nothing else is.
4. Rewrites that undo each other never end: after 16 replacements for each node of the graph VerifyError names them.

With QGLOW_VERIFY at 2 or more the graph is verified after each list that changed it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence

from ..errors import VerifyError
from ..record import NamedTuple
from .graph import Graph, Node
from .pattern import Match, Op

Replacement = Node | tuple[Node, ...] | str | None
Fired = Callable[[str, int], None]
# orders nodes as tuples compare; what stands in a node's place has its place as the beginning
Position = tuple[int, ...]
PER_NODE = 16


class Rewrite(NamedTuple):
    """build: the nodes in place of a match, the last of which writes what the root wrote; or the name of the value that
    the root's is; or None, where the match does not fit after all. at: the captured node whose place the replacement
    takes, by default the root."""

    name: str
    pattern: Op
    build: Callable[[Match], Replacement]
    at: str = ""


class Rewrites:
    """A pass: a list of rewrites with a name. first: lists that are applied before it, one after another."""

    def __init__(self, name: str, *rewrites: Rewrite, first: tuple[tuple[Rewrite, ...], ...] = ()) -> None:
        self.__name__, self.stages = name, (*first, rewrites)
        names = [r.name for stage in self.stages for r in stage]
        if len(set(names)) != len(names):
            raise ValueError(f"rewrites {name}: two have one name")

    def __call__(self, graph: Graph, fired: Fired | None = None) -> Graph:
        for stage in self.stages:
            graph = apply(graph, stage, fired)
        return graph


def apply(graph: Graph, rewrites: Sequence[Rewrite], fired: Fired | None = None) -> Graph:
    """The graph after all rewrites; the same object where none fires. fired: told the name of each that fired, and how
    often.

    Raises VerifyError where the rewrites do not end, or, as QGLOW_VERIFY says, where the result is no valid graph.
    """
    by_op = {op: [r for r in rewrites if r.pattern.takes(op)] for op in {n.op for n in graph.nodes}}
    if not any(by_op.values()):
        return graph
    editor = _Editor(graph, rewrites, by_op)
    editor.run()
    if not editor.fired:
        return graph
    result = _verified(editor.result())
    for rewrite in rewrites if fired is not None else ():
        if editor.fired[rewrite.name]:
            fired(rewrite.name, editor.fired[rewrite.name])  # type: ignore[misc]
    return result


def _verified(graph: Graph) -> Graph:
    from .verify import verify, verify_level  # NOTE: where a bundle runs, most lists change nothing

    return verify(graph, fused=True) if verify_level() >= 2 else graph


class _Editor:
    """A graph while it is rewritten: who writes each value, how many operands read it, and the order of the nodes."""

    def __init__(self, graph: Graph, rewrites: Sequence[Rewrite], by_op: dict[str, list[Rewrite]]) -> None:
        self.graph, self.rewrites, self.by_op = graph, rewrites, by_op
        self.types, self.constants, self.outputs = dict(graph.types), dict(graph.constants), frozenset(graph.outputs)
        self.nodes: dict[int, Node] = {id(n): n for n in graph.nodes}
        self.places: dict[int, Position] = {id(n): (k,) for k, n in enumerate(graph.nodes)}
        self.producers = graph.producers()
        self.reads: dict[str, int] = {}
        self.alias: dict[str, str] = {}
        self.fired: Counter[str] = Counter()
        self.changed: set[str] = set()  # values that one operand alone reads now
        self.depth = max(r.pattern.depth for r in rewrites)
        self.count, self.limit = 0, PER_NODE * (len(graph.nodes) + PER_NODE)
        for n in graph.nodes:
            for i in n.inputs:
                self.reads[i] = self.reads.get(i, 0) + 1

    def producer(self, value: str) -> Node | None:
        return self.producers.get(value)

    def is_read_once(self, value: str) -> bool:
        return self.reads.get(value) == 1 and value not in self.outputs

    def run(self) -> None:
        for node in self.graph.nodes:
            self.visit(node)
        while self.changed:
            nearby = self.nearby()
            self.changed = set()
            for node in nearby:
                self.visit(node)

    def nearby(self) -> list[Node]:
        """The nodes, in order, that a pattern may look from to a value that changed."""
        distance = dict.fromkeys(self.changed, 0)
        found = []
        for node in self.in_order():
            near = min([distance[i] for i in node.inputs if i in distance], default=self.depth)
            if near < self.depth:
                found.append(node)
                for o in node.outputs:
                    distance[o] = min(near + 1, distance.get(o, self.depth))
        return found

    def in_order(self) -> list[Node]:
        return sorted(self.nodes.values(), key=lambda n: self.places[id(n)]) if self.count else list(self.graph.nodes)

    def visit(self, node: Node) -> None:
        pending = [node]
        while pending:
            node = pending.pop()
            if id(node) not in self.nodes:
                continue
            if self.alias and not self.alias.keys().isdisjoint(node.inputs):
                node = self.renamed(node)
            candidates = self.by_op.get(node.op)
            if candidates is None:
                candidates = self.by_op[node.op] = [r for r in self.rewrites if r.pattern.takes(node.op)]
            for rewrite in candidates:
                made = self.fire(rewrite, node)
                if made is not None:
                    pending += reversed(made)
                    break

    def renamed(self, node: Node) -> Node:
        """The node with the names of values whose place others took; readers come behind what they read, so none is
        missed."""
        new = node.with_(inputs=tuple(map(self.resolved, node.inputs)))
        del self.nodes[id(node)]
        self.nodes[id(new)], self.places[id(new)] = new, self.places.pop(id(node))
        self.producers.update(dict.fromkeys(filter(None, new.outputs), new))
        return new

    def resolved(self, value: str) -> str:
        while value in self.alias:
            value = self.alias[value]
        return value

    def fire(self, rewrite: Rewrite, root: Node) -> tuple[Node, ...] | None:
        """What stands in place of the node now; None where the rewrite does not fit."""
        match = rewrite.pattern.match_node(root, Match(self, root))
        made = rewrite.build(match) if match is not None else None
        if match is None or made is None:
            return None
        if isinstance(made, str) and root.outputs[0] in self.outputs:
            if root.op == "Identity":
                return None
            made = Node("Identity", (made,), root.outputs, {}, root.name)
        if isinstance(made, str):
            self.replace_value(root, made)
            new: tuple[Node, ...] = ()
        else:
            new = (made,) if isinstance(made, Node) else made
            at = match.named[rewrite.at] if rewrite.at else root
            if not self.fits(rewrite, root, new, self.places[id(at)]):
                return None
            self.insert(new, self.places[id(at)])
        self.types.update(match.types)
        self.constants.update(match.constants)
        self.remove(root, keep=new[-1] if new else None)
        for node in match.nodes[1:]:
            if id(node) in self.nodes and not any(self.reads.get(o) or o in self.outputs for o in node.outputs):
                self.remove(node)
        self.changed.difference_update(i for node in new for i in node.inputs)
        self.counted(rewrite)
        return new

    def counted(self, rewrite: Rewrite) -> None:
        self.fired[rewrite.name] += 1
        self.count += 1
        if self.count > self.limit:
            said = ", ".join(f"{name} fired {count} times" for name, count in self.fired.most_common(4))
            raise VerifyError(
                f"graph {self.graph.name!r}: rewrites do not end: of {len(self.graph.nodes)} nodes {said}"
            )

    def fits(self, rewrite: Rewrite, root: Node, new: tuple[Node, ...], place: Position) -> bool:
        """Whether all that new nodes read is there at a place. Raises VerifyError where they do not write what the root
        wrote."""
        if not new or new[-1].outputs[0] != root.outputs[0]:
            got = new[-1].outputs[0] if new else "nothing"
            raise VerifyError(
                f"rewrite {rewrite.name}: expected nodes that write {root.outputs[0]!r} at last, got {got!r}"
            )
        inside: set[str] = set()
        for node in new:
            for i in node.inputs:
                producer = None if i in inside else self.producers.get(i)
                if producer is not None and self.places[id(producer)] >= place:
                    if not rewrite.at:
                        raise VerifyError(
                            f"rewrite {rewrite.name}: expected inputs that are written before {root.name!r}, got {i!r}"
                        )
                    return False
            inside.update(node.outputs)
        return True

    def insert(self, new: tuple[Node, ...], place: Position) -> None:
        for k, node in enumerate(new):
            self.nodes[id(node)], self.places[id(node)] = node, place if len(new) == 1 else (*place, k)
            self.producers.update(dict.fromkeys(filter(None, node.outputs), node))
            for i in node.inputs:
                self.reads[i] = self.reads.get(i, 0) + 1

    def replace_value(self, root: Node, value: str) -> None:
        """Readers of what the root writes shall read another value."""
        old = root.outputs[0]
        self.alias[old] = value
        self.reads[value] = self.reads.get(value, 0) + self.reads.pop(old, 0)

    def remove(self, node: Node, keep: Node | None = None) -> None:
        """keep: the node that writes the same values now."""
        del self.nodes[id(node)], self.places[id(node)]
        for i in node.inputs:
            self.reads[i] -= 1
        self.changed.update(i for i in node.inputs if self.reads[i] == 1)
        for o in filter(None, node.outputs if keep is None else ()):
            del self.producers[o]
            self.types.pop(o, None)

    def result(self) -> Graph:
        return self.graph.with_(nodes=tuple(self.in_order()), types=self.types, constants=self.constants)
