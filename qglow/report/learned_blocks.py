"""Rounding of block-wise weights learned from samples, where it surely gains (quantization/learned_rounding.py).

1. The float model is run on samples, by the kernels, and keeps for each product with block-wise weights the sums of
   products of what its weights are multiplied by.
2. By cross-validation: a fold of the samples judges what the others have learned. It is kept where the worst output
   gains over all of them, and so does the mean sample, surely (gain.py). What is kept has learned from all of them.
3. Products are learned one after the other; when a budget is used up, the rest stay as they are.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from functools import reduce
from typing import Any, NamedTuple

import numpy as np

from ..graph import Array, Graph, Node
from ..graph.blocks import OP
from ..graph.types import DType
from ..oracle import Oracle
from ..profiling.dataset import Sample, spread_indices
from ..progress import track
from ..quantization import QuantState
from ..quantization.block_weights import LIMITS, weight_rows
from ..quantization.learned_rounding import Gram, Rounded, gram, learn_rounding
from ..reference.blockwise import packed_nibbles, stored_integers
from ..runtime import InferenceSession
from .agreement import Agreement, Powers, compare_outputs
from .gain import Gain, powers

FEWEST, MOST = 2, 64  # samples
FOLDS, MANY = 4, 32  # of more samples than MANY a half is enough to learn from
ROWS = 1 << 13  # of a product's input that are seen of all samples
MEMORY = 1 << 30  # bytes of sums that are kept at once
HOW = "all samples, by cross-validation of how weights are rounded"
Constants = dict[str, Array]


class Learned(NamedTuple):
    """What learned to round, the account of it, and int8 beside float, each sample on what the others have taught."""

    result: QuantState
    account: dict[str, Any]
    agreement: Agreement


class LearnedBlocks:
    """Rounds the block-wise weights of quantized forms of one float graph by some samples. powers: mean power of an
    element over the data, by output."""

    def __init__(
        self, graph: Graph, data: Sequence[Sample], powers: Powers | None = None, budget: float | None = None,
        quiet: bool = True,
    ) -> None:  # fmt: skip
        self.graph, self.powers, self.quiet = graph, powers, quiet
        samples = [data[k] for k in spread_indices(len(data), MOST)] if data else []
        count = 2 if len(samples) > MANY else min(FOLDS, len(samples))
        self.folds = [samples[k::count] for k in range(count)]
        self.end = None if budget is None else time.monotonic() + budget

    def where_they_gain(self, result: QuantState, oracle: Oracle) -> Learned | None:
        """With learned weights, where that gains."""
        products = self._products(result.graph)
        if not products or len(self.folds) < FEWEST:
            return None
        made: list[Constants] = [{} for _ in (*self.folds, "all")]
        count = 0
        for node, sums in track(self._sums(products), "learning to round", len(products), self.quiet):
            if self.end is not None and time.monotonic() > self.end:
                break
            for constants, seen in zip(made, _without_each(sums), strict=True):
                constants |= self._learned(result.graph, node, seen)
            count += 1
        *others, learned = (_with(result, constants) for constants in made)
        before, after = (self._compared(graphs, oracle) for graphs in ([result] * len(others), others))
        gain = Gain(powers(before), powers(after))
        if not gain.is_sure():
            return None
        account = {"samples": after.samples, "products": count, "of": len(products),
                   "before_db": round(gain.before_db, 2), "after_db": round(gain.after_db, 2)}  # fmt: skip
        return Learned(learned, account, after)

    def _compared(self, made: Sequence[QuantState], oracle: Oracle) -> Agreement:
        """Each fold on a graph of its own."""
        found = Agreement()
        for state, fold in zip(made, self.folds, strict=True):
            session = InferenceSession(state.graph)
            for sample in fold:
                outputs = dict(zip(state.graph.outputs, session.run(None, sample.feeds), strict=True))
                compare_outputs(found, oracle.outputs(sample.feeds), state.graph, outputs, sample.name, self.powers)
        found.how, found.oracle = HOW, oracle.name
        return found

    def _products(self, quantized: Graph) -> list[Node]:
        """The nodes of the float graph whose weights were rounded in blocks."""
        rounded = {n.name for n in quantized.nodes if n.op == OP}
        return [n for n in self.graph.nodes if n.name in rounded and n.op != OP]

    def _sums(self, products: Sequence[Node]) -> Iterator[tuple[Node, list[Gram]]]:
        """Each product, and the sums of its rows over each fold."""
        columns = {n.inputs[0]: weight_rows(self.graph, n).shape[1] for n in products}
        readers = {v: [n for n in products if n.inputs[0] == v] for v in columns}
        part: list[str] = []
        for v in columns:
            if part and sum(8 * len(self.folds) * columns[p] ** 2 for p in (*part, v)) > MEMORY:
                yield from self._of_values(part, readers)
                part = []
            part.append(v)
        yield from self._of_values(part, readers)

    def _of_values(
        self, values: Sequence[str], readers: Mapping[str, Sequence[Node]]
    ) -> Iterator[tuple[Node, list[Gram]]]:
        session = InferenceSession(self.graph.with_(outputs=tuple(values)))
        found = [self._fold(session, fold) for fold in self.folds]
        for v, *sums in zip(values, *found, strict=True):
            for node in readers[v]:
                yield node, sums

    def _fold(self, session: InferenceSession, samples: Sequence[Sample]) -> list[Gram]:
        """Of each output of a session: the sums over its rows."""
        rows: list[list[Array]] = [[] for _ in session.graph.outputs]
        most = max(1, ROWS // sum(map(len, self.folds)))
        for sample in samples:
            for kept, x in zip(rows, session.run(None, sample.feeds), strict=True):
                flat = x.reshape(-1, x.shape[-1])
                kept.append(flat[spread_indices(len(flat), most)])
        return [gram(np.concatenate(kept)) for kept in rows]

    def _learned(self, quantized: Graph, node: Node, seen: Gram) -> Constants:
        """The constants of a product's weights and scales."""
        made = next(n for n in quantized.nodes if n.op == OP and n.name == node.name)
        w, scales = made.inputs[1:3]
        t = quantized.types[w]
        bits = 4 if t.dtype is DType.U4 else 8
        middle = 1 << (bits - 1)
        steps = stored_integers(quantized.constants[w], t).astype(np.int64) - middle
        first = Rounded(steps, quantized.constants[scales])
        learned = learn_rounding(weight_rows(self.graph, node), first, seen, LIMITS[bits])
        q = (learned.steps + middle).astype(np.uint8)
        return {w: packed_nibbles(q) if bits == 4 else q, scales: learned.scales}


def _without_each(sums: Sequence[Gram]) -> Iterator[Gram]:
    """The sums of all folds but one, for each; then of all."""
    for left_out in (*range(len(sums)), None):
        yield reduce(Gram.plus, [s for k, s in enumerate(sums) if k != left_out])


def _with(result: QuantState, constants: Constants) -> QuantState:
    return replace(result, graph=result.graph.with_(constants={**result.graph.constants, **constants}))
