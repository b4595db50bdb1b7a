"""Layer normalization that was exported as its parts: (x - mean(x)) / sqrt(mean((x - mean(x))^2) + epsilon) * gamma + beta."""

from __future__ import annotations

import numpy as np

from ..graph import Array, Graph, Node


class _Reader:
    """What made a value, and what alone reads one."""

    def __init__(self, graph: Graph) -> None:
        self.graph, self.producers, self.consumers = graph, graph.producers(), graph.consumers()

    def made(self, value: str, op: str) -> Node | None:
        node = self.producers.get(value)
        return node if node is not None and node.op == op else None

    def only_reader(self, value: str, op: str) -> Node | None:
        readers = self.consumers.get(value, [])
        return readers[0] if len(readers) == 1 and readers[0].op == op and value not in self.graph.outputs else None

    def constant(self, node: Node, value: str) -> Array | None:
        """The constant that a binary node takes beside a value."""
        other = node.inputs[1] if node.inputs[0] == value else node.inputs[0]
        return self.graph.constants.get(other)

    def is_last_axis_mean(self, node: Node) -> bool:
        rank = self.graph.types[node.inputs[0]].rank
        axes = self.graph.constants.get(node.input(1))
        last = rank is not None and axes is not None and axes.size == 1 and int(axes.reshape(-1)[0]) % rank == rank - 1
        return bool(last and node.attr("keepdims"))


def fuse_layer_norm(graph: Graph) -> Graph:
    reader = _Reader(graph)
    replaced: dict[str, Node] = {}
    constants, types = dict(graph.constants), dict(graph.types)
    for node in graph.nodes:
        if node.op == "Div" and (match := _match(reader, node)) is not None:
            x, epsilon = match
            width = graph.types[x].shape[-1]  # type: ignore[index]
            last, gamma, beta = _affine(reader, node, int(width))
            names = []
            for hint, array in (("gamma", gamma), ("beta", beta)):
                name = f"{last.outputs[0]}.{hint}"
                constants[name] = array.astype(np.float32)
                types[name] = types[x].__class__(types[x].kind, (int(width),))
                names.append(name)
            attributes = {"axis": -1, "epsilon": epsilon}
            replaced[last.name] = Node("LayerNormalization", (x, *names), last.outputs, attributes, last.name)
    return graph.with_(nodes=tuple(replaced.get(n.name, n) for n in graph.nodes), constants=constants, types=types)


def _match(r: _Reader, div: Node) -> tuple[str, float] | None:
    """(x, epsilon) of a division of the centred value by its standard deviation."""
    sub, root = r.made(div.inputs[0], "Sub"), r.made(div.inputs[1], "Sqrt")
    add = r.made(root.inputs[0], "Add") if root is not None else None
    if sub is None or add is None:
        return None
    mean = r.made(sub.inputs[1], "ReduceMean")
    variance = next((n for v in add.inputs if (n := r.made(v, "ReduceMean")) is not None), None)
    if mean is None or variance is None or mean.inputs[0] != sub.inputs[0]:
        return None
    epsilon, width = r.constant(add, variance.outputs[0]), (r.graph.types[sub.inputs[0]].shape or ("",))[-1]
    if (
        epsilon is None
        or epsilon.size != 1
        or not isinstance(width, int)
        or not (r.is_last_axis_mean(mean) and r.is_last_axis_mean(variance))
    ):
        return None
    if not _is_square(r, variance.inputs[0], sub):
        return None
    return sub.inputs[0], float(epsilon.reshape(-1)[0])


def _is_square(r: _Reader, value: str, sub: Node) -> bool:
    """Whether a value is the square of the centred one, which may have been computed twice."""
    power, product = r.made(value, "Pow"), r.made(value, "Mul")
    base = power.inputs[0] if power is not None else product.inputs[0] if product is not None and len(set(product.inputs)) == 1 else ""
    if power is not None:
        exponent = r.graph.constants.get(power.inputs[1])
        if exponent is None or exponent.size != 1 or float(exponent.reshape(-1)[0]) != 2.0:
            return False
    twin = r.made(base, "Sub")
    return twin is not None and (twin is sub or twin.inputs == sub.inputs)


def _affine(r: _Reader, div: Node, width: int) -> tuple[Node, Array, Array]:
    """The node that writes the result, gamma and beta; ones and zeros where nothing follows."""
    last, gamma, beta = div, np.ones(width), np.zeros(width)
    mul = r.only_reader(last.outputs[0], "Mul")
    if mul is not None and (c := _vector(r.constant(mul, last.outputs[0]), width)) is not None:
        last, gamma = mul, c
    add = r.only_reader(last.outputs[0], "Add")
    if add is not None and (c := _vector(r.constant(add, last.outputs[0]), width)) is not None:
        last, beta = add, c
    return last, gamma, beta


def _vector(c: Array | None, width: int) -> Array | None:
    """A constant as [width], or None where it varies along anything but the last axis."""
    if c is None or c.size not in (1, width) or (c.size == width and width > 1 and c.shape[-1] != width):
        return None
    return np.broadcast_to(c.reshape(-1), (width,))
