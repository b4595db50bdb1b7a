"""Types of a graph's values from the shapes of its inputs: graph/infer.py with what the ops mean."""

from __future__ import annotations

from collections.abc import Mapping

from ..fallback import fallback_ops
from ..graph import Array, Graph, Node, TensorType, float_type
from ..graph.infer import Meaning, Typed
from ..graph.infer import Shapes as InputShapes
from ..graph.infer import retype as _retype
from ..graph.infer import retype_known as _retype_known
from .evaluate import evaluate_node
from .shape_table import SHAPES


def retype(
    graph: Graph, shapes: InputShapes, decided: Mapping[str, bool] | None = None, *, partly: bool = False
) -> Graph:
    """The graph with every type static for these input shapes (see graph.infer.retype)."""
    return _retype(graph, shapes, MEANING, decided, partly=partly)


def retype_known(graph: Graph, shapes: InputShapes, decided: Mapping[str, bool]) -> Typed:
    """The graph with static types for what does not depend on data (see graph.infer.retype_known)."""
    return _retype_known(graph, shapes, MEANING, decided)


def _types_of_fallback(
    node: Node, types: list[TensorType | None], constants: list[Array | None]
) -> list[TensorType | None]:
    return fallback_ops().infer(node, types, constants)


def _evaluate(node: Node, inputs: list[Array | None]) -> list[Array]:
    return evaluate_node(Graph("", (), (), (), _Floats(), {}), node, inputs, fast=True)


def _exact(types: Mapping[str, TensorType], node: Node, inputs: list[Array | None]) -> list[Array]:
    return evaluate_node(Graph("", (), (), (), types, {}), node, inputs)


class _Floats(dict):  # type: ignore[type-arg]
    """Every value a plain float: evaluation on zeros takes the float meaning of a quantized node too."""

    def __missing__(self, key: str) -> object:
        return float_type()


MEANING = Meaning(_evaluate, _exact, SHAPES, _types_of_fallback)
