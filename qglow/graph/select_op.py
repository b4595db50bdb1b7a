"""Select: `y = Select(condition, then, else)`, of which the side that is not taken is never computed; and walks that
hold to it.

An ONNX If becomes its branches' nodes and one Select an output. The nodes of a branch stand in the graph as all others
do; what keeps them from being computed, and from failing on shapes that are not theirs, is that nothing but the Select
needs them.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence

from .graph import Array, Graph, Node

SELECT = "Select"


def has_branches(graph: Graph) -> bool:
    return any(n.op == SELECT for n in graph.nodes)


def side(node: Node, condition: bool) -> str:
    """The value that a Select takes."""
    return node.inputs[1 if condition else 2]


def truth(condition: Array) -> bool:
    """What a condition says: a tensor of one element. Raises ValueError for any other."""
    if condition.size != 1:
        raise ValueError(f"a condition of shape {list(condition.shape)}, not one element")
    return bool(condition.reshape(-1)[0])


def conditions(graph: Graph) -> list[str]:
    """Values that decide a Select, each once, in order."""
    return list(dict.fromkeys(n.inputs[0] for n in graph.nodes if n.op == SELECT))


def walk(
    wanted: Iterable[str],
    producers: Mapping[str, Node],
    visit: Callable[[Node], object],
    sides: Callable[[Node], Sequence[str]],
    known: Iterable[str] = (),
) -> None:
    """Visit each node that `wanted` needs once, after what it needs itself. Of a Select that is its condition, and then
    sides(node).

    known: values that need no node.
    """
    done, stack = {"", *known}, list(reversed(list(wanted)))
    while stack:
        value = stack[-1]
        node = producers.get(value)
        if value in done or node is None:
            stack.pop()
            continue
        needed = node.inputs[:1] if node.op == SELECT else node.inputs
        missing = [i for i in needed if i not in done and i in producers]
        if not missing and node.op == SELECT:
            missing = [i for i in sides(node) if i not in done and i in producers]
        if missing:
            stack.extend(reversed(missing))
            continue
        visit(node)
        done.update(node.outputs)


class Uses:
    """How often values will still be read; what only a side that was not taken would have read is let go as well."""

    def __init__(self, graph: Graph) -> None:
        self.left = Counter(i for n in graph.nodes for i in n.inputs if i)
        self.left.update(graph.outputs)
        self.producers = graph.producers()
        self.visited: set[str] = set()

    def after(self, node: Node) -> list[str]:
        """Values that nothing reads any more, now that the node is computed."""
        self.visited.update(node.outputs)
        gone = [o for o in node.outputs if o and not self.left[o]]
        pending = [i for i in node.inputs if i]
        while pending:
            value = pending.pop()
            self.left[value] -= 1
            if self.left[value]:
                continue
            maker = self.producers.get(value)
            if maker is None or value in self.visited:
                gone.append(value)
            elif not any(self.left[o] for o in maker.outputs if o):
                self.visited.update(maker.outputs)
                pending += [i for i in maker.inputs if i]
        return gone


def needs(steps: Sequence[tuple[Sequence[str], Sequence[str], bool]]) -> tuple[list[int], dict[str, int]]:
    """What each step, and each value, surely needs: bits of the steps before it and its own.

    steps: inputs, outputs and whether it is a Select, in order. Of both sides of a Select only what they share is
    surely needed.
    """
    of_value: dict[str, int] = {}
    of_step: list[int] = []
    for k, (inputs, outputs, is_select) in enumerate(steps):
        mine = 1 << k
        if is_select:
            condition, then, other = (of_value.get(i, 0) for i in inputs)
            mine |= condition | (then & other)
        else:
            for i in inputs:
                mine |= of_value.get(i, 0)
        of_step.append(mine)
        of_value |= dict.fromkeys(filter(None, outputs), mine)
    return of_step, of_value


def certain(graph: Graph) -> set[str]:
    """Values that are computed for every input: the graph's inputs, and what its outputs need whatever branches are
    taken."""
    _, of_value = needs([(n.inputs, n.outputs, n.op == SELECT) for n in graph.nodes])
    wanted = 0
    for o in graph.outputs:
        wanted |= of_value.get(o, 0)
    return set(graph.inputs) | {o for k, n in enumerate(graph.nodes) if wanted >> k & 1 for o in n.outputs if o}
