"""What int8 cost against float, per output and per layer, with accuracy where labels are known."""

from __future__ import annotations

import json
from collections.abc import Container, Mapping, Sequence
from copy import copy
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from ..arguments import path_of
from ..errors import BundleError, OutputError
from ..files import write_atomically
from ..float_mode import in_usual_mode
from ..graph import Array, Graph
from ..graph.blocks import PRECISIONS, precision_of
from ..notebook import card
from ..ops.traits import ONNX_QUANTIZATION
from ..oracle import Oracle
from ..profiling.ahead import ahead
from ..profiling.dataset import Dataset, Sample, spread_indices
from ..progress import track
from ..quantization.config import QuantConfig
from ..runtime import Bundle, InferenceSession
from ..runtime.manifest import Manifest
from ..threads import side_by_side
from ..words import counted
from .advice import advice, verdict
from .agreement import Agreement, compare_layers, compare_outputs
from .comparison import Error
from .coverage import Coverage, cover
from .distribution import Distribution, add_distributions
from .figures import GraphNode, LayerReport, OutputReport, Provenance, Report, SampleReport, Size
from .float_values import float_values
from .found import Found
from .headline import facts
from .isolated_layer_error import add_isolated_errors
from .judging import powers_in
from .layer_values import LayerValues
from .network import with_times
from .peer_comparison import PeerComparison
from .provenance import now
from .scores import MetricReport, Scores
from .stored import float_name, saturated, with_masks_cut
from .top1 import Top1Agreement, check_label
from .verdict import complaints
from .worst_samples import WorstSamples

LAYER_SAMPLES = 16
READ_AHEAD = 8  # samples


@dataclass(slots=True, repr=False)
class AccuracyReport:
    """What was measured; `figures` is all that it says, and `to_dict` the same in plain values. layers: in execution
    order."""

    agreement: Agreement
    votes: dict[str, Top1Agreement]
    layers: list[LayerReport]
    manifest: Manifest
    beside: PeerComparison = field(default_factory=PeerComparison)
    layer_samples: int = 0
    coverage: Coverage | None = None
    worst_samples: list[SampleReport] = field(default_factory=list)
    network: list[GraphNode] = field(default_factory=list)
    provenance: Provenance | None = None
    by_step: dict[str, list[float]] = field(default_factory=dict)
    metrics: list[MetricReport] = field(default_factory=list)

    @in_usual_mode
    def __repr__(self) -> str:
        said = ", ".join(f"{fact.what.lower()} {fact.value}" for fact in facts(self.figures())[:2])
        over = counted(self.agreement.samples, "sample")
        return f"AccuracyReport({self.manifest.get('name', '')!r} over {over}: {said})"

    @in_usual_mode
    def _repr_html_(self) -> str:
        rows = [(f.what, "; ".join((f.value, *f.details))) for f in facts(self.figures())]
        return card(f"AccuracyReport {self.manifest.get('name', '')}", rows)

    @in_usual_mode
    def figures(self) -> Report:
        decisions = self.manifest.get("decisions", [])
        return Report(
            name=self.manifest.get("name", ""),
            samples=self.agreement.samples,
            float=self.agreement.oracle,
            complaints=complaints(self.agreement.outputs, QuantConfig().min_agreement_sqnr_db),
            outputs={n: OutputReport.of(e, self.votes[n]) for n, e in self.agreement.outputs.items()},
            layers=with_times(self.layers, self.network, self.beside.steps),
            layer_samples=self.layer_samples,
            nodes={p: sum(d["precision"] == p for d in decisions) for p in PRECISIONS},
            kept_float=[d for d in decisions if d["precision"] == "float"],
            proposed_exclude=self.to_blame(),
            size=Size(self.manifest.get("float_bytes"), self.manifest.get("int8_bytes")),
            latency_ms=self.beside.latency,
            noise_beside=self.beside.noise,
            machine=self.beside.roof,
            steps=self.beside.steps,
            notes=self.beside.notes,
            coverage=self.coverage,
            worst_samples=self.worst_samples,
            network=self.network,
            target=self.manifest.get("target"),
            provenance=self.provenance,
            by_step=self.by_step,
            metrics=self.metrics,
            wider=self.manifest.get("wider"),
        )

    def to_dict(self) -> dict[str, Any]:
        figures = self.figures()
        judged, (what, how) = verdict(figures), advice(figures)
        said = {"verdict": {"grade": judged.grade, "said": judged.said}, "advice": {"what": what, "how": how}}
        return figures.to_dict() | said

    @in_usual_mode
    def to_blame(self, count: int = 3) -> list[str]:
        """The layers that add most noise by themselves: the ones to keep float first."""
        rows = [(r.own_sqnr_db, r.name) for r in self.layers if r.own_sqnr_db is not None and r.op != "Quantize"]
        return [name for _, name in sorted(rows, key=lambda r: r[0])[:count]]

    @in_usual_mode
    def save(self, path: str | Path) -> None:
        """Write the report: .json as to_dict(), anything else as one self-contained HTML page."""
        path = path_of(path, "the file to write", OutputError)
        save_page([self], path) if path.suffix != ".json" else write_atomically(path, self.to_json().encode())

    def to_json(self) -> str:
        return json.dumps(self.to_dict(), indent=1)

    @in_usual_mode
    def summary(self) -> str:
        """Tables for a terminal."""
        from .terminal import tables  # NOTE: a report that is not shown needs no tables

        return tables(self.figures())


def save_page(reports: Sequence[AccuracyReport], path: str | Path) -> None:
    """Write one self-contained HTML page of a report, or of several ones of bundles of one model, side by side."""
    from .html import page  # NOTE: a report that is not written needs no template engine

    figures = (r.figures() for r in reports)
    dated = [f._replace(provenance=f.provenance._replace(created=now())) if f.provenance else f for f in figures]
    write_atomically(path, page(*dated).encode())


@dataclass(slots=True)
class Compared:
    """A bundle, the session that runs it, and what was found of it so far, in `found`.

    graph: the float one. types: of the data's inputs. scores: keeps all outputs, where metrics want them. names: of the
    float values that layers are compared with. int8 layers come from the session's backend too (layer_values.py).
    """

    bundle: Bundle
    session: InferenceSession
    graph: Graph
    types: Mapping[str, object]
    names: frozenset[str] = field(init=False)
    found: Found = field(init=False)
    stored: LayerValues = field(init=False)
    powers: Mapping[str, float] = field(init=False)

    def __post_init__(self) -> None:
        quantized = self.bundle.graph
        self.names = frozenset(float_name(v) for n in quantized.nodes for v in (*n.inputs, *n.outputs) if v)
        self.found = self._nothing()
        self.stored, self.powers = LayerValues(quantized, self.session.backend), powers_in(self.bundle.manifest)

    def _nothing(self) -> Found:
        votes = {o: Top1Agreement() for o in self.graph.outputs}
        return Found(WorstSamples(self.bundle.graph, self.types), votes)

    def apart(self, draws: bool) -> Compared:
        """The same bundle, of which nothing was found yet. draws: whether samples get their pictures at once."""
        other = copy(self)
        other.found = self._nothing()
        other.found.farthest.draws = draws
        other.found.scores = Scores({}, ()) if self.found.scores is not None else None
        return other

    def run(self, sample: Sample) -> dict[str, Array]:
        """The outputs by name."""
        self.found.shapes = self.found.shapes or {n: np.shape(a) for n, a in sample.feeds.items()}
        return dict(zip(self.session.graph.outputs, self.session.run(None, sample.feeds), strict=True))

    def add(
        self, sample: Sample, wanted: Mapping[str, Any], made: dict[str, Array], real: Mapping[str, Array] | None
    ) -> None:
        """Compare one sample's outputs. wanted: of float. real: float values by name, where layers count."""
        if real is not None:
            self._look_inside(sample, wanted, made, {n: a for n, a in real.items() if n in self.names})
        compare_outputs(self.found.agreement, wanted, self.bundle.graph, made, sample.name, self.powers)
        self.found.farthest.add(sample, wanted, made)
        check_label(sample, made)
        _vote(self.found.votes, sample, wanted, made)
        if self.found.scores is not None:
            self.found.scores.add(wanted, made)

    def _look_inside(
        self, sample: Sample, wanted: Mapping[str, Any], made: Mapping[str, Any], real: dict[str, Array]
    ) -> None:
        quantized, came_quantized = self.bundle.graph, any(n.has(ONNX_QUANTIZATION) for n in self.graph.nodes)
        real = saturated(quantized, real) if came_quantized else real
        compare_outputs(self.found.inside, wanted, quantized, made)
        layers = with_masks_cut(quantized, real)
        compare_layers(self.found.inside, layers, quantized, {**self.stored.of(sample.feeds), **made})
        add_isolated_errors(self.found.own, self.stored, real)
        add_distributions(self.found.spread, quantized, layers, sample.name)

    def report(self, oracle: str) -> AccuracyReport:
        found = self.found
        found.agreement.layers, found.agreement.oracle = found.inside.layers, oracle
        return AccuracyReport(
            found.agreement, found.votes, _layers(self.bundle, found.inside, found.own, found.spread),
            self.bundle.manifest, layer_samples=found.inside.samples, coverage=_coverage(self.bundle, found.shapes),
            worst_samples=found.farthest.figures())  # fmt: skip


@dataclass(slots=True)
class Comparing:
    """Several bundles beside one oracle. graph: the float one. looked_at: positions of the samples whose layers are
    compared too."""

    several: Sequence[Compared]
    graph: Graph
    oracle: Oracle
    looked_at: Container[int]
    names: frozenset[str] = field(init=False)

    def __post_init__(self) -> None:
        self.names = frozenset[str]().union(*(c.names for c in self.several))

    def show(self, sample: Sample, draws: bool = True) -> list[Found]:
        """What one sample shows of each bundle. The oracle runs once for all of them. Threads may call this at once."""
        apart = [one.apart(draws) for one in self.several]
        made = [one.run(sample) for one in apart]
        wanted = self.oracle.outputs(sample.feeds)
        is_looked_at = sample.position in self.looked_at
        real = float_values(self.oracle, self.graph, sample.feeds, self.names) if is_looked_at else None
        for one, outputs in zip(apart, made, strict=True):
            one.add(sample, wanted, outputs, real)
        return [one.found for one in apart]


def positions_of_layers(data: Dataset, layer_samples: int) -> Container[int]:
    """Of the samples whose layers are compared: evenly spread, or the first where it is not known how many come."""
    return frozenset(range(layer_samples) if data.total is None else spread_indices(data.total, layer_samples))


def compare_samples(
    several: Sequence[Compared], graph: Graph, oracle: Oracle, data: Dataset, layer_samples: int, quiet: bool = True
) -> list[AccuracyReport]:
    """Compare the outputs of each bundle with the oracle's, and on some samples every layer, in constant memory; one
    report a bundle. Samples are read once for all of them, and several are compared at once; what they show is added in
    their order, to the same numbers. graph: the float one."""
    comparing = Comparing(several, graph, oracle, positions_of_layers(data, layer_samples))
    samples = (
        ahead(data, READ_AHEAD) if data.can_be_cut else data
    )  # NOTE: an iterable of others is read in their thread
    shown = side_by_side(lambda sample: comparing.show(sample, draws=False), samples)
    for sample, found in track(shown, "comparing", data.total, quiet):
        for one, of_sample in zip(several, found, strict=True):
            one.found.merge(of_sample, sample)
    return [one.report(oracle.name) for one in several]


def _coverage(bundle: Bundle, shapes: dict[str, tuple[int, ...]]) -> Coverage | None:
    """For the shapes of the first sample; None where there is none, or where it cannot be planned, and ran all the
    same."""
    try:
        return cover(bundle.graph, bundle.manifest.get("decisions", []), shapes) if shapes else None
    except Exception:  # NOTE: a branch that the samples do not take fails on these in whatever op meets them first
        return None


def _vote(
    votes: Mapping[str, Top1Agreement], sample: Sample, wanted: Mapping[str, Any], made: Mapping[str, Any]
) -> None:
    for name, array in made.items():
        if isinstance(array, np.ndarray) and isinstance(wanted[name], np.ndarray):
            votes[name].add(wanted[name], array, sample.label)


def check_same(graph: Graph, quantized: Graph) -> None:
    """Raises BundleError where a bundle's graph has other inputs or outputs than the float one."""
    for what, ours, theirs in (
        ("inputs", quantized.inputs, graph.inputs),
        ("outputs", quantized.outputs, graph.outputs),
    ):
        if ours != theirs:
            raise BundleError(
                f"the bundle was made from another model: its {what} are {list(ours)}, the model's are {list(theirs)}"
            )


def _layers(
    bundle: Bundle, agreement: Agreement, own: dict[str, Error], spread: dict[str, Distribution]
) -> list[LayerReport]:
    decided = {d["node"]: d["precision"] for d in bundle.manifest.get("decisions", [])}
    rows = []
    for node in bundle.graph.nodes:
        for o in filter(None, node.outputs):
            name, t = float_name(o), bundle.graph.types[o]
            error = agreement.layers.get(name) or agreement.outputs.get(name)
            if isinstance(error, Error):
                stored = "int16" if t.is_int16 else "int8" if t.is_quantized else "float"
                # NOTE: a product of integers may give floats
                made = "int8" if stored == "float" and decided.get(node.name) == "int8" else stored
                precision, e = precision_of(node, bundle.graph.types) or made, error.to_dict()
                own_db = own[name].to_dict()["sqnr_db"] if name in own else None
                within = spread[name].figures() if t.is_quantized and name in spread else None
                rows.append(LayerReport(name, node.operator, precision, e["sqnr_db"], e["cosine"], own_db, within))
    return rows
