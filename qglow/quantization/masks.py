"""Ranges of masked scores: those of the scores, and MASKED below. What is masked is cut to the lower end, and
exp(-MASKED) is nothing."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import numpy as np

from ..graph import Graph, Node
from ..graph.masks import for_softmax, is_mask, maskings
from ..profiling.observers import Observer
from .ranges import Range

MASKED = 16.0  # exp(-16) of a row's largest is nothing in 8 bits
# times the range of the scores: values below are a mask, where nothing but what was seen of them says so
PLAINLY = 16.0


@dataclass(slots=True)
class Masked:
    """scores: ranges of values that hold masked scores; masks: those of masks, cut to what takes the largest score to
    the lower end."""

    scores: dict[str, Range] = field(default_factory=dict)
    masks: dict[str, Range] = field(default_factory=dict)


def masked_ranges(graph: Graph, observed: Mapping[str, Observer], range_of: Callable[[str], Range]) -> Masked:
    """Ranges of all values that a mask has to do with. range_of: that of any other value that was seen."""
    found, producers, values = Masked(), graph.producers(), for_softmax(graph)
    masking = {m.output: m for m in maskings(graph)}
    lows: dict[str, list[float]] = {}
    for node in graph.nodes:
        v = node.outputs[0] if node.outputs else ""
        if v in masking:
            for scores, mask, sign in masking[v].pairs:
                seen = observed.get(scores)
                if scores in graph.constants or seen is None or not seen.count or is_mask(graph, scores, producers):
                    continue
                low, high = found.scores.get(scores, range_of(scores))
                if (top := _top(graph, observed, mask, sign, high - low, producers)) is None:
                    continue
                low = low if scores in found.scores else low - MASKED
                found.scores[v] = low, high + top
                if sign:  # NOTE: a Where is computed in float
                    lows.setdefault(mask, []).append(low - high)
                    found.masks[mask] = _cut(min(lows[mask]), top, sign)
                break
        elif v in values and node.inputs and node.inputs[0] in found.scores:
            found.scores[v] = found.scores[node.inputs[0]]
    read = {
        m for m in found.masks if len(lows[m]) < len([n for n in graph.nodes if m in n.inputs]) or m in graph.outputs
    }
    found.masks = {m: r for m, r in found.masks.items() if m not in read}
    return found


def _cut(low: float, top: float, sign: int) -> Range:
    return (-top, -low) if sign < 0 else (low, top)


def _top(
    graph: Graph, observed: Mapping[str, Observer], mask: str, sign: int, span: float, producers: Mapping[str, Node]
) -> float | None:
    """The largest that a mask adds to what it does not mask; None where the value is none."""
    c = graph.constants.get(mask)
    if c is not None:
        return _top_of_constant(c, sign or 1, span, bool(sign))
    o = observed.get(mask)
    if o is None or o.nans or o.is_empty:
        return 0.0 if is_mask(graph, mask, producers) else None
    low, high = (o.min, o.max) if sign >= 0 else (-o.max, -o.min)
    infinite, wrong = (o.lowest, o.highest) if sign >= 0 else (o.highest, o.lowest)
    if wrong or (o.count and high > span):
        return None
    if infinite or (o.count and low < -PLAINLY * span) or is_mask(graph, mask, producers):
        return max(0.0, high) if o.count and sign else 0.0
    return None


def _top_of_constant(c: np.ndarray, sign: int, span: float, added: bool) -> float | None:  # type: ignore[type-arg]
    """A constant is a mask where no row is masked whole, and some elements are by more than the span of the scores and
    MASKED."""
    real = sign * c.astype(np.float64)
    if not c.size or np.isnan(real).any() or real.max() > span:
        return None
    if not added:
        return 0.0 if real.max() <= -MASKED - span else None
    rows = real.reshape(-1, real.shape[-1]) if real.ndim else real.reshape(1, 1)
    if rows.shape[1] > 1 and rows.max(1).min() >= -span and real.min() <= -MASKED - span:
        return max(0.0, float(real.max()))
    return None
