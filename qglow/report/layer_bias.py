"""Bias correction by what layers make, after equation (26): roundings shift the means of activations too, most of all
behind a ReLU, which cuts noise on one side.

1. The quantized graph is run on samples, product after product, by the kernels, with the biases as they are so far.
2. The mean output of a product over a sample is its weights times the mean of what they are multiplied by, an exact
   integer. What the float mean has over it is the shift of that sample, a number a channel.
3. The mean shift is added to the bias, less what chance may have made of it: shift max(0, 1 - (e / shift)^2) with its
   standard error e over the samples (James and Stein's estimator, of one number).
4. Half of the samples learn it and the others judge it, then the other way round: no sample judges what it has taught.
   It is kept where the worst output gains over all of them, and so does the mean sample, surely (gain.py). What is
   kept is learned by all samples. NOTE: not the mean of what the halves have learned, for a layer's shift makes up for
   what is left of the shifts before it.

After Finkelstein, Almog and Grobman, Fighting Quantization Bias With Bias, 2019. Sums are of integers, and float values
those of the kernels, which have the same bits everywhere: so has the corrected graph.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import replace
from functools import cached_property
from typing import Any

import numpy as np

from ..graph import Array, DType, Graph, Node
from ..graph.select_op import certain
from ..ops.traits import CONVOLUTION, PRODUCT
from ..oracle import Oracle
from ..profiling.dataset import Sample, spread_indices
from ..progress import track
from ..quantization import QuantState
from ..quantization.product_rows import as_rows, row_sums
from ..reference.arithmetic import product_scale
from ..runtime import InferenceSession
from .agreement import agreement_with
from .gain import Gain, powers

FEWEST, MOST = 4, 16  # samples
BITS = 30  # of a float value, of the largest of its tensor
LIMIT = 1 << 30  # of a bias
Values = dict[str, Array]


class LayerBiases:
    """Corrects biases of quantized forms of one float graph by some samples, in two halves: `halves` holds their places
    among `samples`, and the second half has no part in what `by_half` makes."""

    def __init__(self, graph: Graph, data: Sequence[Sample], quiet: bool = True) -> None:
        self.graph, self.quiet = graph, quiet
        taken = [data[k] for k in spread_indices(len(data), MOST)] if data else []
        self.samples = taken if len(taken) >= FEWEST else []
        self.halves = range(0, len(self.samples), 2), range(1, len(self.samples), 2)
        self._made: list[tuple[QuantState, QuantState]] = []  # by the first half, and of what

    @cached_property
    def means(self) -> list[Values]:
        """Means of the float graph's products by the name of their output: [channels], for each sample. Those that
        only a branch computes have none: on some inputs it cannot be run."""
        always = certain(self.graph)
        made = {n.outputs[0]: n for n in self.graph.nodes if n.has(PRODUCT) and n.outputs[0] in always}
        session = InferenceSession(self.graph.with_(outputs=tuple(made)))
        found = []
        for sample in self.samples:
            values = zip(made.items(), session.run(None, sample.feeds), strict=True)
            found.append({o: _mean(n, v) for (o, n), v in values if v.size and np.isfinite(v).all()})
        return found

    def where_they_gain(self, result: QuantState, oracle: Oracle) -> tuple[QuantState, dict[str, Any] | None]:
        """Corrected, and the account of it, where that gains; else as it is, and None."""
        if not self.samples:
            return result, None
        halves = self.by_half(result), self._learned(result, self.halves[1])
        if any(made is result for made in halves):
            return result, None
        before, after = [], []
        for made, judged_by in zip(halves, self.halves[::-1], strict=True):
            judges = [self.samples[k] for k in judged_by]
            real = [oracle.outputs(s.feeds) for s in judges]
            before.append(powers(agreement_with(result.graph, judges, real)))
            after.append(powers(agreement_with(made.graph, judges, real)))
        gain = Gain(np.concatenate(before, 1), np.concatenate(after, 1))
        if not gain.is_sure():
            return result, None
        account = {"samples": len(self.samples), "before_db": gain.before_db, "after_db": gain.after_db}
        return self.corrected(result), {k: round(v, 2) for k, v in account.items()}

    def corrected(self, result: QuantState) -> QuantState:
        """`result`, with the biases of its products corrected one after the other; as it is where its parts do not run
        apart."""
        return self._learned(result, range(len(self.samples))) if self.samples else result

    def by_half(self, result: QuantState) -> QuantState:
        """Corrected by the first half of the samples: what the others may judge."""
        made = next((m for m, r in self._made if r is result), None)
        if made is None:
            made = self._learned(result, self.halves[0])
            self._made.append((made, result))
        return made

    def settled(self, made: QuantState) -> QuantState:
        """What `by_half` made, corrected by all samples."""
        return self.corrected(next(r for m, r in self._made if m is made))

    def _learned(self, result: QuantState, learned_by: Sequence[int]) -> QuantState:
        floats = {n.name: n.outputs[0] for n in self.graph.nodes if n.has(PRODUCT)}
        products = [n for n in result.graph.nodes if n.name in floats and _has_bias(result.graph, n)]
        if not products:
            return result
        means = [self.means[k] for k in learned_by]
        sweep = _Sweep(result.graph, [self.samples[k] for k in learned_by])
        try:
            for node in track(products, "correcting biases", len(products), self.quiet):
                output = floats[node.name]
                if any(output not in m for m in means):
                    continue
                factor = result.factors.get(result.uses.target(output))
                wanted = np.array([m[output] for m in means])
                sweep.correct(node, wanted if factor is None else wanted / factor.ravel())
        except Exception as error:  # NOTE: a part alone may lack what the whole has, as a branch that is not taken
            logging.getLogger("qglow").debug("biases are left as they are: %r", error)
            return result
        return replace(result, graph=result.graph.with_(constants=sweep.constants))


def _mean(node: Node, value: Array) -> Array:
    """Of a product's output, by channel. Sums of fewer than 2^23 integers below 2^BITS are exact in float64."""
    channels = 1 if node.has(CONVOLUTION) else value.ndim - 1
    largest = max(float(value.max()), -float(value.min()))
    unit = 2.0 ** (np.ceil(np.log2(largest)) - BITS) if largest > 0 else 1.0
    units = np.rint(np.multiply(value, 1 / unit, dtype=np.float64))
    exact = units if value.size < 1 << 23 else units.astype(np.int64)
    total = exact.sum(tuple(k for k in range(value.ndim) if k != channels)).astype(np.float64).reshape(-1)
    return np.asarray(total * unit / (value.size // total.size))


def _has_bias(graph: Graph, node: Node) -> bool:
    """Whether a node is an int8 product of constant weights with a bias. A transposed convolution has other means at
    its borders."""
    bias, c = node.input(2), graph.constants
    if not node.has(PRODUCT) or node.op == "ConvTranspose" or bias not in c or node.inputs[1] not in c:
        return False
    kinds = (graph.types[node.inputs[0]].is_quantized, graph.types[node.inputs[1]].dtype, graph.types[bias].dtype)
    return kinds == (True, DType.I8, DType.I32) and c[bias].ndim == 1


class _Sweep:
    """The values of a quantized graph on several samples, as far as it has been run. constants: with the biases that
    were corrected."""

    def __init__(self, graph: Graph, data: Sequence[Sample]) -> None:
        self.graph, self.constants = graph, dict(graph.constants)
        self.values: list[Values] = [dict(s.feeds) for s in data]
        self.place = {n.name: k for k, n in enumerate(graph.nodes)}
        self.last = {i: k for k, n in enumerate(graph.nodes) for i in n.inputs}
        self.last |= dict.fromkeys(graph.outputs, len(graph.nodes))
        self.next = 0

    def correct(self, node: Node, wanted: Array) -> None:
        """wanted: the means of the product's output in float, [samples, channels]."""
        self._run_to(self.place[node.name])
        x, w = node.inputs[:2]
        types = self.graph.types
        q = as_rows(node, self.constants[w].astype(np.int64))  # [groups, channels, terms]
        zero = types[x].quant.z  # type: ignore[union-attr]
        means = []
        for values in self.values:
            sums, count = row_sums(node, values[x], self.constants[w].shape, zero)
            means.append(np.matmul(q, sums[:, :, None])[..., 0].ravel() / count)
        unit = product_scale(types[x], types[w]).astype(np.float64)
        bias = self.constants[node.inputs[2]]
        if wanted.shape != (len(means), bias.size):
            return
        shift = _sure(wanted / unit - (np.array(means) + bias))
        self.constants[node.inputs[2]] = np.clip(np.rint(bias + shift), -LIMIT, LIMIT).astype(np.int32)

    def _run_to(self, end: int) -> None:
        """Run the nodes before the one at `end`."""
        nodes, self.next = self.graph.nodes[self.next : end], end
        if not nodes:
            return
        made = {o for n in nodes for o in n.outputs if o}
        read = {i for n in nodes for i in n.inputs if i}
        outputs = tuple(sorted(o for o in made if self.last.get(o, -1) >= end))
        inputs = tuple(sorted(i for i in read - made if i not in self.constants))
        constants = {i: self.constants[i] for i in read if i in self.constants}
        types = {v: self.graph.types[v] for v in (*made, *read)}
        part = Graph(self.graph.name, inputs, outputs, nodes, types, constants)
        session = InferenceSession(part)
        for values in self.values:
            found = session.run(None, {i: values[i] for i in inputs})
            values |= dict(zip(outputs, found, strict=True))
            for name in [v for v in values if self.last.get(v, -1) < end]:
                del values[name]


def _sure(shifts: Array) -> Array:
    """The mean of shifts [samples, channels], less what chance may have made of it."""
    mean = shifts.sum(0) / len(shifts)
    spread = ((shifts - mean) ** 2).sum(0) / (len(shifts) * (len(shifts) - 1))
    with np.errstate(all="ignore"):
        kept = np.where(mean != 0, np.maximum(0.0, 1 - spread / (mean * mean)), 0.0)
    return np.asarray(mean * kept)
