"""What samples that run side by side show of the values of a graph, as an engine hands them over."""

from __future__ import annotations

import numpy as np

from ..errors import DataError
from ..graph import Array, Graph
from ..graph.masks import endless
from ..graph.select_op import conditions, truth
from .derived import Pair, put_together, rectified
from .observers import Observer, joined, recurrent_inputs
from .recording import Recording


class Seen:
    """What samples that run side by side, a lane each, have shown. Lane 0 holds the whole; the others are merged into
    it, exactly."""

    def __init__(self, graph: Graph, names: list[str], lanes: int) -> None:
        self._lanes: list[dict[str, Observer]] = [{n: Observer() for n in names} for _ in range(lanes)]
        self._choices = {name: [0, 0] for name in conditions(graph)}
        self._ends, self._endless = {*graph.inputs, *graph.outputs}, endless(graph)
        self._rows = recurrent_inputs(graph)
        self._parts, self._relu = put_together(graph, names), rectified(graph, names)
        self._pairs = self._paired()
        self._known: list[set[str]] = [set() for _ in range(lanes)]  # what was seen with the tensor before it
        self._first: dict[str, str] = {}  # the tensor of a sample that was not finite before all others, while it runs
        self.recording = Recording()  # what is known of single samples

    def keep(self, lane: int, label: str, name: str, array: Array) -> None:
        observers, known = self._lanes[lane], self._known[lane]
        if name in known or name in self._parts:
            known.discard(name)
        elif name in observers and array.dtype.kind == "f":
            o, pair = observers[name], self._pairs[lane].get(name)
            infinite, nans = o.lowest + o.highest, o.nans
            if pair is None:
                o.observe(array.reshape(-1, array.shape[-1]) if name in self._rows and array.ndim == 3 else array)
            elif pair.observe(array):
                known.add(self._relu[name])
            if o.lowest + o.highest > infinite or o.nans > nans:
                self._check(label, name, o.nans > nans)
        self._choose(name, array)

    def look_at(self, lane: int, label: str, name: str, array: Array) -> None:
        """A value of a sample that calibration does not see: it may hold infinities and NaN no more than others."""
        del lane
        if array.dtype.kind == "f" and not np.isfinite(array).all():
            self._check(label, name, bool(np.isnan(array).any()))
        self._choose(name, array)

    def _choose(self, name: str, array: Array) -> None:
        if name in self._choices and array.size == 1:
            self._choices[name][int(truth(array))] += 1

    def _check(self, label: str, name: str, is_nan: bool) -> None:
        """A tensor of a sample holds infinity or NaN. Raises DataError where that is an input, or reaches an output,
        and the model has no infinity of its own there.
        """
        first = self._first.setdefault(label, name)
        if name in self._ends and (is_nan or name not in self._endless):
            made = "" if first == name else f", which begins in tensor {first!r}"
            raise DataError(
                f"sample {label}: tensor {name!r} holds NaN or infinity{made}; remove the sample or mend the model"
            )

    def begin(self) -> None:
        """Before other samples."""
        self._first.clear()
        for known in self._known:
            known.clear()

    def merged(self) -> Recording:
        """What all lanes have shown so far."""
        for pairs in self._pairs:
            for pair in pairs.values():
                pair.flush()
        merged = self._lanes[0]
        for lane in self._lanes[1:]:
            for name, o in lane.items():
                if not o.is_empty:
                    merged[name], lane[name] = merged[name].merge(o), Observer()
        self._pairs, found = self._paired(), dict(merged)
        for name, parts in self._parts.items():
            found[name] = joined([found[p] for p in parts])
        choices = {name: (falses, trues) for name, (falses, trues) in self._choices.items()}
        return Recording(found, choices, self.recording.digests, self.recording.bad)

    def _paired(self) -> list[dict[str, Pair]]:
        """By lane, the observers of each tensor that is recorded with its Relu."""
        return [{n: Pair(lane[n], lane[relu]) for n, relu in self._relu.items()} for lane in self._lanes]
