"""Shapes that follow from the shapes before them while dimensions still have names: what is not known, for no cost.

Only values of unknown rank get a shape, and only where every input that has a say is known. A dimension that follows from nothing is "?".
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from ..graph import Array, Dim, DType, Graph, Node, Shape, TensorType
from ..graph.dtypes import kind_made
from ..graph.infer import either
from ..ops.traits import BROADCAST
from .lookup import Meanings, named
from .recurrent_float import directions

Known = Callable[[str], Array | None]
Rule = Callable[[Node, list[Shape], Known], list[Shape | None]]


def refine(graph: Graph) -> Graph:
    """The graph with a shape for every value whose rank follows from its inputs."""
    types = dict(graph.types)
    for node in graph.nodes:
        if node.op == "Select":
            if types[node.outputs[0]].shape is None:
                types[node.outputs[0]] = either([types[v] for v in node.inputs[1:]])
            continue
        rule = SYMBOLIC.get(node.op)
        if rule is None or all(types[o].shape is not None for o in node.outputs if o):
            continue
        shapes = [types[i].shape if i else () for i in node.inputs]
        asked = shapes if node.has(BROADCAST) or node.definition.operands[-1].variadic else shapes[:2]
        needed = [s for s in asked if s is not None]
        if len(needed) < len(asked):
            continue
        try:
            found = rule(node, needed, lambda v: graph.constants.get(v) if v else None)
        except (IndexError, KeyError, ValueError):  # NOTE: of a side that is never taken
            continue
        for o, shape in zip(node.outputs, found, strict=False):
            if o and shape is not None and types[o].shape is None:
                types[o] = TensorType(_kind(node, o, types), shape, types[o].quant)
    return graph.with_(types=types)


def _kind(node: Node, output: str, types: Mapping[str, TensorType]) -> DType:
    """The kind of an output whose inputs are known. What stood there without a shape may be a guess."""
    if types[output].is_quantized:
        return types[output].kind
    return kind_made(node, node.outputs.index(output), [types.get(i) for i in node.inputs]) or types[output].kind


def _ints(array: Array | None) -> list[int]:
    if array is None:
        raise ValueError("not a constant")
    return [int(v) for v in array.reshape(-1)]


def same(node: Node, s: list[Shape], known: Known) -> list[Shape | None]:
    return [s[0]]


def broadcast(node: Node, s: list[Shape], known: Known) -> list[Shape | None]:
    rank = max(map(len, s))
    padded = [(1,) * (rank - len(t)) + t for t in s]
    return [tuple(_dim([t[k] for t in padded]) for k in range(rank))]


def _dim(dims: list[Dim]) -> Dim:
    wide = [d for d in dict.fromkeys(dims) if d != 1]
    sizes = [d for d in wide if isinstance(d, int)]
    return 1 if not wide else sizes[0] if sizes else wide[0] if len(wide) == 1 else "?"


def unsqueeze(node: Node, s: list[Shape], known: Known) -> list[Shape | None]:
    axes = _ints(known(node.input(1)))
    rank = len(s[0]) + len(axes)
    places, rest = {a % rank for a in axes}, iter(s[0])
    return [tuple(1 if k in places else next(rest) for k in range(rank))]


def squeeze(node: Node, s: list[Shape], known: Known) -> list[Shape | None]:
    gone = {a % len(s[0]) for a in _ints(known(node.input(1)))}
    return [tuple(d for k, d in enumerate(s[0]) if k not in gone)]


def transpose(node: Node, s: list[Shape], known: Known) -> list[Shape | None]:
    return [tuple(s[0][p] for p in node.attr("perm") or reversed(range(len(s[0]))))]


def concat(node: Node, s: list[Shape], known: Known) -> list[Shape | None]:
    axis = int(node.attr("axis")) % len(s[0])
    joined = [t[axis] for t in s]
    whole = [d for d in joined if isinstance(d, int)]
    return [tuple((sum(whole) if len(whole) == len(s) else "?") if k == axis else d for k, d in enumerate(s[0]))]


def gather(node: Node, s: list[Shape], known: Known) -> list[Shape | None]:
    axis = int(node.attr("axis")) % len(s[0])
    return [(*s[0][:axis], *s[1], *s[0][axis + 1 :])]


def cut(node: Node, s: list[Shape], known: Known) -> list[Shape | None]:
    """Slice: the axes that it cuts lose their names."""
    axes = known(node.input(3))
    cut = {a % len(s[0]) for a in _ints(axes)} if axes is not None else set(range(len(s[0])))
    return [tuple("?" if k in cut else d for k, d in enumerate(s[0]))]


def padded(node: Node, s: list[Shape], known: Known) -> list[Shape | None]:
    return [("?",) * len(s[0])]


def reshape(node: Node, s: list[Shape], known: Known) -> list[Shape | None]:
    wanted = known(node.input(1))
    if wanted is None:
        return [("?",) * s[1][0] if s[1] and isinstance(s[1][0], int) else None]
    keeps = not node.attr("allowzero")
    return [tuple("?" if d < 0 else s[0][k] if d == 0 and keeps else d for k, d in enumerate(_ints(wanted)))]


def split(node: Node, s: list[Shape], known: Known) -> list[Shape | None]:
    axis, sizes = int(node.attr("axis")) % len(s[0]), known(node.input(1))
    parts: list[Dim] = ["?"] * len(node.outputs) if sizes is None else [*_ints(sizes)]
    return [tuple(p if k == axis else d for k, d in enumerate(s[0])) for p in parts]


def expand(node: Node, s: list[Shape], known: Known) -> list[Shape | None]:
    wanted = known(node.input(1))
    if wanted is not None:
        return broadcast(node, [s[0], tuple(_ints(wanted))], known)
    size = s[1][0] if s[1] else None
    return [("?",) * max(len(s[0]), size) if isinstance(size, int) else None]


def filled(node: Node, s: list[Shape], known: Known) -> list[Shape | None]:
    """ConstantOfShape."""
    wanted = known(node.inputs[0])
    if wanted is not None:
        return [tuple(_ints(wanted))]
    return [("?",) * s[0][0] if s[0] and isinstance(s[0][0], int) else None]


def one_axis(node: Node, s: list[Shape], known: Known) -> list[Shape | None]:
    """ArgMax and ArgMin."""
    axis, keeps = int(node.attr("axis")) % len(s[0]), node.attr("keepdims")
    return [tuple(1 if k == axis else d for k, d in enumerate(s[0]) if k != axis or keeps)]


def range_(node: Node, s: list[Shape], known: Known) -> list[Shape | None]:
    return [("?",)]


def scalar(node: Node, s: list[Shape], known: Known) -> list[Shape | None]:
    return [()]


def flatten(node: Node, s: list[Shape], known: Known) -> list[Shape | None]:
    return [("?", "?")]


def shape(node: Node, s: list[Shape], known: Known) -> list[Shape | None]:
    return [(len(s[0][node.attr("start") : node.attr("end")]),)]


def window(node: Node, s: list[Shape], known: Known) -> list[Shape | None]:
    channels = s[1][0] if node.op == "Conv" else s[0][1]
    if node.op == "ConvTranspose":
        channels = s[1][1] * int(node.attr("group")) if isinstance(s[1][1], int) else "?"
    return [(s[0][0], channels, *("?",) * (len(s[0]) - 2))]


def global_pool(node: Node, s: list[Shape], known: Known) -> list[Shape | None]:
    return [(*s[0][:2], *(1,) * (len(s[0]) - 2))]


def gemm(node: Node, s: list[Shape], known: Known) -> list[Shape | None]:
    return [(s[0][1 if node.attr("transA") else 0], s[1][0 if node.attr("transB") else 1])]


def matmul(node: Node, s: list[Shape], known: Known) -> list[Shape | None]:
    if min(map(len, s)) < 2:
        return [None]
    outer = broadcast(node, [t[:-2] for t in s], known)[0]
    assert outer is not None
    return [(*outer, s[0][-2], s[1][-1])]


def blockwise(node: Node, s: list[Shape], known: Known) -> list[Shape | None]:
    return [(*s[0][:-1], s[1][0])]


def reduce(node: Node, s: list[Shape], known: Known) -> list[Shape | None]:
    given = known(node.input(1))
    if node.input(1) and given is None:
        return [None]
    if given is not None and given.size:
        axes = {a % len(s[0]) for a in _ints(given)}
    else:
        axes = set() if node.attr("noop_with_empty_axes") else set(range(len(s[0])))
    if node.attr("keepdims"):
        return [tuple(1 if k in axes else d for k, d in enumerate(s[0]))]
    return [tuple(d for k, d in enumerate(s[0]) if k not in axes)]


def recurrent(node: Node, s: list[Shape], known: Known) -> list[Shape | None]:
    state = (len(directions(node)), s[0][1], int(node.attr("hidden_size")))
    shapes: list[Shape | None] = [(s[0][0], *state), state, state]
    return shapes[: len(node.outputs)]


def gather_elements(node: Node, s: list[Shape], known: Known) -> list[Shape | None]:
    return [s[1]]


SYMBOLIC: Meanings[Rule] = Meanings("symbolic", lambda row, field: named(row.symbolic))  # ops whose output shapes follow
