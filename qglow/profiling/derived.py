"""Which tensors need no pass of their own, as what they hold is known from those that they are made of."""

from __future__ import annotations

import numpy as np

from ..graph import Array, Graph
from .observers import BINS, Observer, recurrent_inputs, rows_of
from .passes import add_counts, arranged, discard_counts, observe


class Pair:
    """A tensor and its Relu, recorded in one pass. `flush` before either is read."""

    def __init__(self, tensor: Observer, relu: Observer) -> None:
        self.tensor, self.relu = tensor, relu
        self._counts = np.zeros(BINS, np.int64)  # in the tensor's bins below 0, in its Relu's from 0 on

    def observe(self, x: Array) -> bool:
        """Add a float array and its Relu. Where it has no elements, or some that are not finite, the Relu is not added:
        False."""
        if x.size == 0:
            return False
        x = arranged(x)
        low, high, total, above = observe(rows_of(x), self.tensor.reach or 1.0, self.relu.reach or 1.0)
        if not np.isfinite(total).all():
            discard_counts()
            self.flush()  # NOTE: either may grow by itself now
            self.tensor.observe_finite(x)
            return False
        least, largest = float(low.min()), float(high.max())
        magnitude, upper = max(abs(least), abs(largest)), max(largest, 0.0)
        if not (self.tensor.holds(magnitude) and self.relu.holds(upper)):
            discard_counts()
            self.flush()
            self.tensor.grow(magnitude)
            self.relu.grow(upper)
            observe(rows_of(x), self.tensor.reach, self.relu.reach)
        add_counts(self._counts)
        self.tensor.add(x, (least, largest), (low, high, total))
        self.relu.add(x, (max(least, 0.0), upper), (np.maximum(low, 0), np.maximum(high, 0), above))
        return True

    def flush(self) -> None:
        """Add what was counted to both histograms: from 0 on, one bin of the tensor's is a power of two of its
        Relu's."""
        counts, half = self._counts, BINS // 2
        if not counts.any():
            return
        self._counts = np.zeros(BINS, np.int64)
        self.relu.histogram[half:] += counts[half:]
        self.relu.histogram[half] += counts[:half].sum()
        self.tensor.histogram[:half] += counts[:half]
        together = min(int(self.tensor.reach / self.relu.reach), half)
        self.tensor.histogram[half : half + half // together] += counts[half:].reshape(-1, together).sum(1)


def rectified(graph: Graph, names: list[str]) -> dict[str, str]:
    """A tensor of `names` -> its Relu, one of those that are in `names` too: both are seen in one pass."""
    known = _plain(graph, names)
    pairs = [(n.inputs[0], n.outputs[0]) for n in graph.nodes if n.op == "Relu"]
    return {x: y for x, y in pairs if x in known and y in known}


def put_together(graph: Graph, names: list[str]) -> dict[str, list[str]]:
    """A tensor of `names` -> those of `names`, channel behind channel, that it is made of, in the order of the graph:
    what is recorded of it follows from them. Its channels and theirs are known, and it is no output of the model, which
    is looked at itself."""
    known, found = _plain(graph, names), dict[str, list[str]]()
    for node in graph.nodes:
        if (
            node.op != "Concat"
            or node.outputs[0] in graph.outputs
            or not known.issuperset({*node.inputs, *node.outputs})
        ):
            continue
        shapes = [graph.types[i].shape for i in node.inputs]
        ranks = {len(s) for s in shapes if s is not None}
        if None in shapes or len(ranks) != 1 or min(ranks) < 2 or int(node.attr("axis")) not in (1, 1 - min(ranks)):
            continue
        if all(isinstance(s[1], int) and s[1] > 0 for s in shapes if s is not None):
            found[node.outputs[0]] = list(node.inputs)
    return found


def _plain(graph: Graph, names: list[str]) -> set[str]:
    """Those whose channels are their second dimension, and which are no constants."""
    return set(names) - recurrent_inputs(graph) - set(graph.constants)
