"""Products with heads that several others share, as exporters write them: the second operand is repeated by Expand, and
the repeated heads are counted as heads of their own. Here heads that share are rows of one product instead: nothing is
repeated, and each shared matrix is packed once. The bits are the same: each element is the same sum in the same order.
"""

from __future__ import annotations

import numpy as np

from ..graph import DType, Node
from ..graph.epilogue import is_fused
from ..graph.pattern import Match, constant, op, value
from ..graph.rewrite import Replacement, Rewrite


def _grouped(m: Match) -> Replacement:
    """a [N, H, S, K] by heads of x [N, G, 1, T, D], each for H / G of a."""
    types, root = m.graph.types, m.root
    shapes = [types[v].static_shape for v in (root.inputs[0], m["x"], m.node("expand").outputs[0], *root.outputs)]
    a, x, repeated, y = shapes
    turn = m.named.get("turn")
    if is_fused(root) or len(root.inputs) != 2 or len(x) != 5 or len(a) != 4 or x[2] != 1 or 0 in (*a, *y):
        return None
    if turn is not None and tuple(turn.attr("perm") or ()) != (0, 1, 3, 2):
        return None
    n, groups, _, t, d = x
    times = repeated[2]
    if repeated != (n, groups, times, t, d) or times == 1 or a[:2] != (n, groups * times):
        return None
    if types[m.node("heads").outputs[0]].static_shape != (n, groups * times, t, d):
        return None
    return _nodes(m, (n, groups, times))


def _nodes(m: Match, outer: tuple[int, int, int]) -> tuple[Node, ...]:
    """outer: N, the matrices that are shared, and how many rows each has of heads."""
    types, root = m.graph.types, m.root
    a, y, b = root.inputs[0], root.outputs[0], m["x"]
    first = m.add_value(f"{y}.heads", types[a]._replace(shape=(*outer, *types[a].static_shape[2:])))
    product = m.add_value(f"{y}.shared", types[y]._replace(shape=(*outer, *types[y].static_shape[2:])))
    nodes = [Node("Reshape", (a, _sizes(m, first)), (first,), {}, f"{root.name}.heads")]
    if "turn" in m.named:
        n, g, one, t, d = types[b].static_shape
        turned = m.add_value(f"{y}.turned", types[b]._replace(shape=(n, g, one, d, t)))
        nodes.append(Node("Transpose", (b,), (turned,), {"perm": (0, 1, 2, 4, 3)}, f"{root.name}.turned"))
        b = turned
    nodes.append(root.with_(inputs=(first, b), outputs=(product,)))
    back = m.add_constant(f"{y}.shape", np.array([*types[y].static_shape[:-1], -1], np.int64))
    return (*nodes, Node("Reshape", (product, back), (y,), {}, f"{root.name}.apart"))


def _sizes(m: Match, name: str) -> str:
    """A constant: the shape of a value that was added."""
    return m.add_constant(f"{name}.shape", np.array([*m.types[name].static_shape[:-1], -1], np.int64))


def _scaled_before(m: Match) -> Replacement:
    """What is repeated is multiplied first, element for element as it would be behind."""
    types, root, y = m.graph.types, m.root, m.root.outputs[0]
    x, inner = m["x"], [m.node(name) for name in ("expand", "heads", "turn")]
    if types[x].dtype is not DType.F32 or not m.keeps_shape("x", "c") or types[y] != types[inner[-1].outputs[0]]:
        return None
    value = m.add_value(f"{y}.first", types[x])
    nodes = [root.with_(inputs=(x, m["c"]), outputs=(value,))]
    for node in inner[:-1]:
        out = m.add_value(f"{y}.{node.op}", types[node.outputs[0]])
        nodes.append(node.with_(inputs=(value, *node.inputs[1:]), outputs=(out,), name=f"{root.name}.{node.op}"))
        value = out
    return (*nodes, inner[-1].with_(inputs=(value,), outputs=(y,), name=f"{root.name}.{inner[-1].op}"))


_HEADS = op("Reshape", op("Expand", value("x"), name="expand", shared=True), name="heads", shared=True)
_TURNED = op("Transpose", _HEADS, name="turn", shared=True)
REWRITES = (
    Rewrite("scaled heads", op("Mul", _TURNED, constant("c", lambda data: data.size == 1)), _scaled_before),
    Rewrite("shared heads", op("MatMul", value("a"), _HEADS, commutes=False), _grouped),
    Rewrite("shared heads, turned", op("MatMul", value("a"), _TURNED, commutes=False), _grouped),
)
