"""Types of every value once the input shapes are known, with shape computations folded into constants.

Data movement and shape arithmetic get their types by evaluating the op on zeros (a broadcast view of one element, so that a
tensor costs nothing to stand in for); products, pools and element-wise ops have rules, because they would cost time.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np

from ..errors import InputError, ModelError
from .graph import Array, Graph, Node
from .types import Kind, TensorType

Evaluate = Callable[[Node, list[Array | None]], list[Array]]
_FOLD_LIMIT = 4096


def retype(graph: Graph, input_shapes: Mapping[str, tuple[int, ...]], evaluate: Evaluate, shape_rules: Mapping[str, ShapeRule]) -> Graph:
    """The graph for concrete input shapes: every type static, integer shape computations turned into constants.

    `evaluate` is the float meaning of a node; it is called on zeros. Raises ModelError where a shape depends on data.
    """
    types = dict(graph.types)
    constants = dict(graph.constants)
    for name in graph.inputs:
        types[name] = _with_shape(name, types[name], input_shapes[name])
    nodes: list[Node] = []
    for node in graph.nodes:
        known = all(not i or i in constants for i in node.inputs)
        small = sum(constants[i].size for i in node.inputs if i and i in constants) <= _FOLD_LIMIT
        quantized = any(v and graph.types[v].is_quantized for v in (*node.inputs, *node.outputs))
        whole = all(graph.types[o].kind is not Kind.F32 for o in node.outputs if o)
        if node.op == "Shape" or (known and small and not quantized and whole):
            for o, a in zip(node.outputs, evaluate(node, [_stand_in(i, types, constants) for i in node.inputs]), strict=False):
                constants[o], types[o] = a, TensorType(Kind.of(a.dtype), tuple(a.shape))
            continue
        for o, t in zip(node.outputs, _infer(node, types, constants, evaluate, shape_rules), strict=False):
            if o:
                old = graph.types[o]
                types[o] = TensorType(old.kind if old.is_quantized or t.kind is Kind.STRING else t.kind, t.shape, old.quant)
        nodes.append(node)
    used = {v for n in nodes for v in n.inputs} | set(graph.outputs)
    return Graph(graph.name, graph.inputs, graph.outputs, tuple(nodes), types, {k: v for k, v in constants.items() if k in used})


ShapeRule = Callable[[Node, list[tuple[int, ...] | None], list[Array | None]], list[tuple[int, ...]]]


def _with_shape(name: str, t: TensorType, shape: tuple[int, ...]) -> TensorType:
    if t.shape is not None and (
        len(t.shape) != len(shape) or any(isinstance(d, int) and d != s for d, s in zip(t.shape, shape, strict=True))
    ):
        raise InputError(f"input {name!r}: expected shape {list(t.shape)}, got {list(shape)}")
    return TensorType(t.kind, tuple(shape), t.quant)


def _stand_in(name: str, types: Mapping[str, TensorType], constants: Mapping[str, Array]) -> Array | None:
    if not name:
        return None
    if name in constants:
        return constants[name]
    t = types[name]
    dtype = np.dtype(np.float32) if t.is_quantized or t.kind is Kind.STRING else t.kind.dtype
    return np.broadcast_to(np.zeros((), dtype), t.static_shape)


def _infer(
    node: Node, types: Mapping[str, TensorType], constants: Mapping[str, Array], evaluate: Evaluate, rules: Mapping[str, ShapeRule]
) -> list[TensorType]:
    rule = rules.get(node.op)
    if rule is None:
        arrays = evaluate(node, [_stand_in(i, types, constants) for i in node.inputs])
        return [TensorType(Kind.of(a.dtype), tuple(a.shape)) for a in arrays]
    try:
        shapes = rule(
            node,
            [types[i].static_shape if i else None for i in node.inputs],
            [constants.get(i) if i else None for i in node.inputs],
        )
    except Exception as error:
        given = [types[i].shape if i else None for i in node.inputs]
        raise ModelError(f"node {node.name!r} ({node.op}): shapes {given} do not fit: {error}") from error
    return [TensorType(types[o].kind, s) for o, s in zip(node.outputs, shapes, strict=False)]
