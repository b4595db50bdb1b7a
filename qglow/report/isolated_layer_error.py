"""A layer's own error: the int8 layer on its true inputs, quantized, so that no error arrives from the layers before
it."""

from __future__ import annotations

from collections.abc import Mapping

from ..graph import Array, Graph, Node
from ..profiling.dataset import Dataset
from .agreement import evaluate_all
from .comparison import Error
from .effort import seconds_of
from .layer_values import LayerValues
from .stored import as_real, as_stored, float_name, with_masks_cut


def add_isolated_errors(own: dict[str, Error], layers: LayerValues, real: Mapping[str, Array]) -> None:
    """Add one sample to the errors by float value name. layers: of the quantized graph; real: every value of the float
    one."""
    graph, stored = layers.graph, dict[str, Array]()
    wanted = with_masks_cut(graph, real)
    # NOTE: of a branch that was not taken a node may not fit
    nodes = [n for n in graph.nodes if any(float_name(o) in real for o in n.outputs)]
    inputs = {n.name: found for n in nodes if (found := _true_inputs(graph, n, real, stored)) is not None}
    for name, value in layers.alone(inputs).items():
        source = float_name(name)
        if source in real and real[source].dtype.kind == "f" and real[source].shape == value.shape:
            own.setdefault(source, Error()).add(wanted[source], as_real(graph, name, value))


def _true_inputs(
    graph: Graph, node: Node, real: Mapping[str, Array], stored: dict[str, Array]
) -> list[Array | None] | None:
    """The node's inputs made of the float values; None where one has no float value, or where nothing of the node is
    int8. stored: those that were made already."""
    if not any(v and graph.types[v].is_quantized for v in (*node.inputs, *node.outputs)):
        return None
    inputs: list[Array | None] = []
    for name in node.inputs:
        if not name or name in graph.constants:
            inputs.append(graph.constants.get(name))
            continue
        source = float_name(name)
        if source not in real:
            return None
        if name not in stored:
            stored[name] = as_stored(graph, name, real[source])
        inputs.append(stored[name])
    return inputs


def worst_layers(graph: Graph, quantized: Graph, data: Dataset, seconds: float, count: int = 3) -> list[str]:
    """The layers that add most noise by themselves, over the first sample and those that fit in so many estimated
    seconds."""
    own: dict[str, Error] = {}
    spent, layers = 0.0, LayerValues(quantized)
    for sample in data:
        if spent > seconds:
            break
        real = evaluate_all(graph, sample.feeds)
        add_isolated_errors(own, layers, real)
        spent += 2 * seconds_of(graph, real, real)
    return worst(own, {float_name(o) for n in quantized.nodes if n.op == "Quantize" for o in n.outputs}, count)


def worst(own: Mapping[str, Error], left_out: set[str], count: int) -> list[str]:
    """Names with the lowest signal-to-noise ratio of their own, those without a signal left out."""
    names = [n for n, e in own.items() if n not in left_out and e.signal > 0]
    return sorted(names, key=lambda n: own[n].sqnr_db)[:count]
