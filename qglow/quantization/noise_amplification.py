"""Functions that 8 bits cannot carry: where the rounding of its input becomes most of the output, a table would be
noise.

A logarithm of a power spectrum needs relative precision, which equal steps do not have. The noise is foreseen from
histograms alone:

(21) noise = sum over the bins of count (f(x + h) - f(x - h))^2 / 12 within the range of x, count (f(x) - f(end))^2
beyond; h is half a step, or half a bin where that is wider; f is cut to what was seen of its output.

Where the output's variance is less than LIMIT_DB above it, the function stays float, and so does what is between it and
the products and averages that feed only it: those then give float from their accumulators. So does a function of which
a LOST part of the channels has nothing left in its input, less than two steps, and something in its output: a root of
the power of a weak band.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from ..graph import DType, Graph, Quant, TensorType
from ..ops.traits import ACCUMULATES
from ..profiling.observers import BINS, Observer
from .float_islands import propagate_float
from .pointwise import Function
from .remembered import digest, digest_of, remembered
from .state import QuantState, by_gain

LIMIT_DB = 12.0
LOST = 0.25


@by_gain
def keep_sensitive_functions_float(state: QuantState) -> QuantState:
    """Functions below LIMIT_DB, and what only they read, but for nodes that the user includes."""
    graph, quants, reasons = state.graph, state.quants, dict[str, str]()
    for value, f in state.functions.items():
        if (
            (value in state.uses.quantized or value in state.uses.real)
            and value not in state.uses.clamped
            and f.root in quants
        ):
            db = signal_to_noise(graph, f, state.observed, *quants[f.root])
            lost = lost_channels(f, state.observed, quants[f.root][1])
            if db < LIMIT_DB or lost > LOST:
                part = (
                    f"{db:.1f} dB of its output" if db < LIMIT_DB else f"nothing of {100 * lost:.0f} % of its channels"
                )
                reason = f"the rounding of its input to 8 bits would leave {part}"
                reasons |= dict.fromkeys((n.name for n in f.nodes), reason)
    consumers = graph.consumers()
    for node in reversed(graph.nodes):
        if (
            state.is_int8(node)
            and node.name not in reasons
            and not node.has(ACCUMULATES)
            and not set(node.outputs) & set(graph.outputs)
        ):
            readers = {r.name for o in node.outputs for r in consumers.get(o, [])}
            if readers and readers <= set(reasons):
                reasons[node.name] = "only a function that needs more than 8 bits reads it"
    reasons = {n.name: reasons[n.name] for n in graph.nodes if n.name in reasons and not state.config.included(n)}
    return propagate_float(state.kept_float(reasons)) if reasons else state


def signal_to_noise(graph: Graph, f: Function, observed: Mapping[str, Observer], dtype: DType, quant: Quant) -> float:
    """Variance of the output over (21), in dB; dtype, quant: of the root."""
    x, y = observed[f.root], observed.get(f.output)
    if y is None or not y.count or not x.count:
        return 200.0
    key = ("signal to noise", f.digest(graph), digest_of(x), digest_of(y), digest(dtype.value, quant))
    return remembered(key, lambda: _signal_to_noise(graph, f, x, y, dtype, quant))


def _signal_to_noise(graph: Graph, f: Function, x: Observer, y: Observer, dtype: DType, quant: Quant) -> float:
    used = np.flatnonzero(x.histogram)
    centres, counts = x.centres[used], x.histogram[used].astype(np.float64)
    first, last = TensorType(dtype, None, quant).real_limits()
    step = max(quant.scale[0], 2 * x.reach / BINS)  # NOTE: nothing is known of how values lie within a bin
    points = [np.clip(centres + d * step / 2, x.min, x.max) for d in (-1, 1)] + [centres, np.clip(centres, first, last)]
    below, above, exact, end = (
        np.clip(np.nan_to_num(f.table(graph, p), nan=0.0, posinf=1e30, neginf=-1e30), y.min, y.max) for p in points
    )
    squared = np.where((centres < first) | (centres > last), (exact - end) ** 2, (above - below) ** 2 / 12)
    noise = float((squared * counts).sum()) / (1 if squared.ndim == 1 else len(squared))
    values, weights = y.centres, y.histogram.astype(np.float64)
    mean = float((weights * values).sum() / y.count)
    variance = float((weights * (values - mean) ** 2).sum())
    return 10 * float(np.log10(max(variance, 1e-30) / noise)) if noise > 0 and variance > 0 else 200.0


def lost_channels(f: Function, observed: Mapping[str, Observer], quant: Quant) -> float:
    """The part of the channels that span less than 2 steps of the root, and more than 2 of the 255 that span the
    output."""
    spans = []
    for o in (observed[f.root], observed.get(f.output)):
        if o is None or o.channel_min is None or o.channel_max is None:
            return 0.0
        spans.append(o.channel_max.astype(np.float64) - o.channel_min)
    x, y = spans
    if x.shape != y.shape:
        return 0.0
    return float(np.mean((x < 2 * quant.scale[0]) & (y > 2 * (observed[f.output].max - observed[f.output].min) / 255)))
