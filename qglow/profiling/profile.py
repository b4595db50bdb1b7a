"""The profile: what calibration recorded of every float tensor of a graph, and the file it is kept in."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path

from ..arguments import path_of, shown
from ..errors import ProfileError, one_line
from ..files import write_atomically
from ..float_mode import in_usual_mode
from ..graph import Graph, Node
from ..graph.digest import digest
from ..graph.select_op import conditions
from ..notebook import card
from ..ops.traits import WEIGHTED
from ..reading import read_text
from ..words import counted
from .observer_record import observer_of, record_of
from .observers import Observer, recurrent_inputs
from .recording import counts_of
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
        more = [("and more", counted(len(rows) - 20, "tensor"))] if len(rows) > 20 else []
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
        rows = [f"    {json.dumps(name)}: {json.dumps(record_of(o))}" for name, o in self.tensors.items()]
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
            tensors = {name: observer_of(r) for name, r in raw["tensors"].items()}
            # NOTE: profiles from before have none
            kept = enough_of(KeptSample.of(s) for s in raw.get("kept_samples", ()))
            choices = {str(name): counts_of(c) for name, c in raw.get("choices", {}).items()}
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
            rows, makers = recurrent_inputs(graph), graph.producers()
            for name, o in found.items():
                if o.channel_min is None or (shape := graph.types[name].shape) is None:
                    continue
                # NOTE: profiles from before have the batch as channels of what an LSTM reads
                sizes = [shape[1], *shape[-1:]] if name in rows and len(shape) == 3 else [*shape[1:2]]
                if sizes and (not all(isinstance(d, int) for d in sizes) or len(o.channel_min) in sizes):
                    continue
                if name in makers and makers[name].has(WEIGHTED):
                    channels = counted(len(o.channel_min), "channel")
                    raise ProfileError(f"the profile has {channels} for {name!r} of shape {list(shape)}; profile again")
                # NOTE: a model may declare shapes that its values do not have, and runs; weights do not lie
                found[name] = o.without_channels()
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
