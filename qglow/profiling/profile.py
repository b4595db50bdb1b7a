"""The profile: what calibration recorded of every float tensor of a graph, and the file it is kept in."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from ..arguments import path_of, shown
from ..errors import ProfileError, one_line
from ..files import write_atomically
from ..float_mode import in_usual_mode
from ..graph import Graph, Node
from ..graph.digest import digest
from ..graph.select_op import conditions
from ..notebook import card
from ..reading import read_text
from ..words import counted
from .observers import BINS, Observer, recurrent_inputs
from .samples import KeptSample, enough_of

FORMAT = 1


def graph_hash(graph: Graph) -> str:
    """Hash of structure and weights; names and the batch size do not count."""
    number = {name: f"in{k}" for k, name in enumerate(graph.inputs)}
    number |= {name: digest(array) for name, array in graph.constants.items()}
    h = hashlib.sha256()
    for k, node in enumerate(graph.nodes):
        number |= {o: f"v{k}.{j}" for j, o in enumerate(node.outputs) if o}
        h.update(f"{node.op} {[number.get(i, '') for i in node.inputs]} {_attributes(node)};".encode())
    h.update(str([number.get(o) for o in graph.outputs]).encode())
    return h.hexdigest()[:32]


def _attributes(node: Node) -> list[tuple[str, str]]:
    skip = ("proto",) if node.op == "Onnx" else ()
    return [(k, repr(node.attributes[k])) for k in sorted(node.attributes) if k not in skip]


class Profile:
    """Recorded statistics by tensor name, in the order in which the graph makes them, and a few samples to check int8
    on.

    samples: how many came. data: hash of them. kept: some of them, packed, of which those that are held back took no
    part in the statistics (samples.py). choices: how often each condition of a
    branch was false, and true, by its name.
    """

    def __init__(
        self, graph: str, tensors: Mapping[str, Observer], samples: int, data: str, warnings: tuple[str, ...] = (),
        kept: tuple[KeptSample, ...] = (), choices: Mapping[str, tuple[int, int]] | None = None,
    ) -> None:  # fmt: skip
        self.graph, self.tensors, self.samples, self.data = graph, dict(tensors), samples, data
        self.warnings, self.kept, self.choices = warnings, kept, dict(choices or {})

    @property
    def held_back(self) -> tuple[KeptSample, ...]:
        """The samples that calibration did not see."""
        return tuple(s for s in self.kept if s.held_back)

    def __repr__(self) -> str:
        warned = f", {counted(len(self.warnings), 'warning')}" if self.warnings else ""
        return f"Profile({counted(len(self.tensors), 'tensor')} over {counted(self.samples, 'sample')}{warned})"

    def _repr_html_(self) -> str:
        rows = [(n, f"{o.min:g} to {o.max:g}" if o.count else "never seen") for n, o in self.tensors.items()]
        more = [("and more", f"{len(rows) - 20} tensors")] if len(rows) > 20 else []
        return card(repr(self), [*(("warning", w) for w in self.warnings), *rows[:20], *more])

    def save(self, path: str | Path) -> None:
        """Write the JSON file; the same statistics give the same bytes."""
        write_atomically(path, self.to_json().encode())

    @in_usual_mode
    def to_json(self) -> str:
        head = {"tool": "qglow", "format": FORMAT, "graph": self.graph, "data": self.data, "samples": self.samples}
        lines = [f'  "{k}": {json.dumps(v)}' for k, v in head.items()]
        lines.append(f'  "warnings": {json.dumps(list(self.warnings))}')
        if self.choices:
            lines.append(f'  "choices": {json.dumps(self.choices)}')
        rows = [f"    {json.dumps(name)}: {json.dumps(_record(o))}" for name, o in self.tensors.items()]
        kept = [f"    {json.dumps(s.to_dict())}" for s in self.kept]
        tail = ',\n  "kept_samples": [\n' + ",\n".join(kept) + "\n  ]" if kept else ""
        return "{\n" + ",\n".join(lines) + ',\n  "tensors": {\n' + ",\n".join(rows) + "\n  }" + tail + "\n}\n"

    @staticmethod
    @in_usual_mode
    def load(path: str | Path) -> Profile:
        """Read a file. Raises ProfileError where it is missing, truncated, or of another format."""
        path = path_of(path, "the profile", ProfileError, "the path of a .profile.json file")
        try:
            raw = json.loads(
                read_text(path, ProfileError, "no such profile; make one with `qglow profile MODEL.onnx --data DATA`")
            )
            if raw.get("tool") != "qglow" or raw.get("format") != FORMAT:
                got = one_line(f"{raw.get('tool')} {raw.get('format')}", 80)
                raise ProfileError(f"{path}: expected a qglow profile of format {FORMAT}, got {got}; profile again")
            tensors = {name: _observer(r) for name, r in raw["tensors"].items()}
            # NOTE: profiles from before have none
            kept = enough_of(KeptSample.of(s) for s in raw.get("kept_samples", ()))
            choices = {str(name): _counts(c) for name, c in raw.get("choices", {}).items()}
            return Profile(
                str(raw["graph"]),
                tensors,
                int(raw["samples"]),
                str(raw["data"]),
                tuple(raw.get("warnings", ())),
                kept,
                choices,
            )
        except (ValueError, KeyError, TypeError, AttributeError, OverflowError, RecursionError) as error:
            raise ProfileError(
                f"{path}: not a readable profile ({type(error).__name__}: {str(error)[:80]}); profile again"
            ) from error

    @in_usual_mode
    def merge(self, other: Profile) -> Profile:
        """The profile of both sample sets; raises ProfileError where they were recorded on different graphs."""
        if not isinstance(other, Profile):
            raise ProfileError(f"expected another Profile to merge with, got {shown(other)}")
        if self.graph != other.graph or len(self.tensors) != len(other.tensors):
            raise ProfileError("the two profiles were recorded on different models and cannot be merged")
        merged = {n: a.merge(b) for (n, a), b in zip(self.tensors.items(), other.tensors.values(), strict=True)}
        data = hashlib.sha256("".join(sorted((self.data, other.data))).encode()).hexdigest()[:32]
        warnings = tuple(dict.fromkeys((*self.warnings, *other.warnings)))
        kept = enough_of((*self.kept, *other.kept))
        pairs = zip(self.choices.items(), other.choices.values(), strict=False)
        choices = {n: (a[0] + b[0], a[1] + b[1]) for (n, a), b in pairs}
        return Profile(self.graph, merged, self.samples + other.samples, data, warnings, kept, choices)

    def matched(self, graph: Graph) -> dict[str, Observer]:
        """Statistics by the names of `graph`, matched by place, so that renamed tensors keep theirs.

        Raises ProfileError, with the names that differ, where the profile is of another graph.
        """
        names = profiled_values(graph)
        if self.graph == graph_hash(graph) and len(names) == len(self.tensors):
            found = dict(zip(names, self.tensors.values(), strict=True))
            rows = recurrent_inputs(graph)
            for name, o in found.items():
                if o.channel_min is None or (shape := graph.types[name].shape) is None:
                    continue
                # NOTE: profiles from before have the batch as channels of what an LSTM reads
                sizes = [shape[1], *shape[-1:]] if name in rows and len(shape) == 3 else [*shape[1:2]]
                if not sizes or (all(isinstance(d, int) for d in sizes) and len(o.channel_min) not in sizes):
                    raise ProfileError(
                        f"the profile has {len(o.channel_min)} channels for {name!r} of shape {list(shape)}; profile "
                        "again"
                    )
            return found
        missing = [n for n in names if n not in self.tensors]
        extra = [n for n in self.tensors if n not in set(names)]
        names_differ = f"not in the profile: {missing[:5]}; only in the profile: {extra[:5]}"
        differ = names_differ if missing or extra else "same names, other weights or ops"
        raise ProfileError(f"the profile was recorded on another model ({differ}); profile this model again")

    def choices_of(self, graph: Graph) -> dict[str, tuple[int, int]]:
        """`choices` by the names of `graph`, matched by place."""
        names = conditions(graph)
        return dict(zip(names, self.choices.values(), strict=True)) if len(names) == len(self.choices) else {}


def profiled_values(graph: Graph) -> list[str]:
    """Names of the float values that a profile records: inputs, then outputs of nodes, in order."""
    names = [*graph.inputs, *(o for n in graph.nodes for o in n.outputs if o)]
    return [n for n in names if graph.types[n].dtype.is_float]


def _counts(raw: Any) -> tuple[int, int]:
    falses, trues = (int(v) for v in raw)
    if falses < 0 or trues < 0:
        raise ValueError("a condition that was seen less than never")
    return falses, trues


def _record(o: Observer) -> dict[str, Any]:
    used = np.flatnonzero(o.histogram)
    first, last = (int(used[0]), int(used[-1]) + 1) if used.size else (0, 0)
    # NOTE: + 0.0 makes 0.0 of -0.0, as the order of samples decides which of them is the least
    record: dict[str, Any] = {"count": o.count, "min": o.min + 0.0 if o.count else 0.0,
        "max": o.max + 0.0 if o.count else 0.0, "reach": o.reach,
                              "first_bin": first, "histogram": o.histogram[first:last].tolist()}  # fmt: skip
    record |= {name: count for name, count in (("lowest", o.lowest), ("highest", o.highest), ("nans", o.nans)) if count}
    if o.channels_vary:
        record["channels_vary"] = True
    if o.channel_min is not None and o.channel_max is not None:
        record["channel_min"], record["channel_max"] = (o.channel_min + 0.0).tolist(), (o.channel_max + 0.0).tolist()
        if o.channel_sum is not None and o.channel_sum.shape == o.channel_min.shape:
            record["channel_count"], record["channel_sum"] = o.channel_count, o.channel_sum.tolist()
    return record


def _observer(record: dict[str, Any]) -> Observer:
    o = Observer()
    o.count, o.reach = int(record["count"]), float(record["reach"])
    o.lowest, o.highest, o.nans = (int(record.get(k, 0)) for k in ("lowest", "highest", "nans"))
    if min(o.lowest, o.highest, o.nans) < 0:
        raise ValueError("infinities or NaN that were seen less than never")
    if o.count:
        o.min, o.max = float(record["min"]), float(record["max"])
    counts = np.array(record["histogram"], np.int64)
    first = int(record["first_bin"])
    if (
        first < 0
        or first + counts.size > BINS
        or (counts < 0).any()
        or int(counts.sum()) != o.count
        or not o.min <= o.max
        and o.count
    ):
        raise ValueError("a histogram does not add up")
    o.histogram[first : first + counts.size] = counts
    o.channels_vary = record.get("channels_vary", False) is True
    if "channel_min" in record and not o.channels_vary:
        low, high = (np.array(record[k], np.float32) for k in ("channel_min", "channel_max"))
        if (
            low.ndim != 1
            or low.shape != high.shape
            or not low.size
            or not (np.isfinite(low) & np.isfinite(high) & (low <= high)).all()
        ):
            raise ValueError("the ranges of channels do not fit")
        o.channel_min, o.channel_max = low, high
        if "channel_sum" in record:
            o.channel_sum, o.channel_count = (
                np.array([int(v) for v in record["channel_sum"]], object),
                int(record["channel_count"]),
            )
            # NOTE: in units of the least float32
            beyond = any(abs(v) > o.channel_count << 300 for v in o.channel_sum.tolist())
            if o.channel_sum.shape != o.channel_min.shape or o.channel_count < 1 or beyond:
                raise ValueError("the sums of channels do not fit")
    return o
