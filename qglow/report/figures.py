"""The figures of a report, typed: what the page, the terminal and `to_dict` show."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

from ..graph.blocks import Precision
from ..record import NamedTuple
from ..runtime.machine_limits import MachineLimits
from ..runtime.manifest import Decision
from ..runtime.step_profile import StepTime
from .comparison import Comparison, ratio_db
from .coverage import Coverage
from .latency import Times
from .scores import MetricReport
from .top1 import Top1Agreement


class OutputReport(NamedTuple):
    """One output beside float. A float one has sqnr_db to not_finite, any other equal and elements; top1 figures mean
    something where is_choice or labels were known, right_fp32 and right_int8 with labels alone. other_shape,
    not_finite: None where there are none. labelled: samples with a known class; lost_low, lost_high: points of accuracy
    lost that these are compatible with. low_db, high_db: what the ratio of other samples like these would be within;
    worst_sample_db: of the sample that is farthest from float."""

    sqnr_db: float | None = None
    cosine: float | None = None
    max_abs_error: float | None = None
    not_finite: int | None = None
    equal: float | None = None
    elements: int | None = None
    other_shape: int | None = None
    top1_agreement: float | None = None
    is_choice: bool | None = None
    top1_fp32: float | None = None
    top1_int8: float | None = None
    labelled: int | None = None
    lost_low: float | None = None
    lost_high: float | None = None
    low_db: float | None = None
    high_db: float | None = None
    worst_sample_db: float | None = None

    @staticmethod
    def of(found: Comparison, votes: Top1Agreement) -> OutputReport:
        return OutputReport(**found.to_dict(), **votes.to_dict())  # type: ignore[arg-type]

    def to_dict(self) -> dict[str, Any]:
        return {k: v for k, v in self._asdict().items() if v is not None}

    @property
    def ratio_db(self) -> float:
        """Signal to noise in dB; for integers of the elements that differ."""
        return ratio_db(self.to_dict())

    def shows(self, key: str) -> bool:
        """Whether a figure is there and says something: top-1 does so for scores of classes only."""
        return getattr(self, key) is not None and (
            key != "top1_agreement" or bool(self.is_choice) or self.top1_int8 is not None
        )


class Spread(NamedTuple):
    """How float values lie in the range of their int8 type. min, max: of the values. int8_low, int8_high: of the type.
    clipped: share of values beyond it. histogram: counts over equal bins from the lower of both ends to the upper."""

    min: float
    max: float
    int8_low: float
    int8_high: float
    clipped: float
    histogram: list[int]


class LayerReport(NamedTuple):
    """One value of the quantized graph beside float. own_sqnr_db: the layer alone, on its true inputs; None where it
    has no int8 part. microseconds: of the steps that make it, where they were timed."""

    name: str
    op: str
    precision: str
    sqnr_db: float
    cosine: float
    own_sqnr_db: float | None = None
    spread: Spread | None = None
    microseconds: float | None = None

    def to_dict(self) -> dict[str, Any]:
        """The fields in one level."""
        own = self._asdict()
        del own["spread"]
        return own | (self.spread._asdict() if self.spread is not None else {})


class SampleReport(NamedTuple):
    """One sample on which int8 is far from float. sqnr_db: of `output`, the worst one; for integers of the elements
    that differ. label, float_choice, int8_choice: classes, None where there are none. picture: the input as a data URI,
    empty where it is no picture."""

    name: str
    sqnr_db: float
    output: str
    label: int | None = None
    float_choice: int | None = None
    int8_choice: int | None = None
    picture: str = ""

    @property
    def changed(self) -> bool:
        """Whether int8 chooses another class than float."""
        return self.float_choice != self.int8_choice


class GraphNode(NamedTuple):
    """A node of the quantized graph, as the picture of the network has it. inputs: indices of the nodes that it
    reads. layer: the name of the layer that tells of its noise."""

    name: str
    op: str
    precision: str
    layer: str
    inputs: tuple[int, ...]


class SourceFile(NamedTuple):
    """A file that a report is about, by its name without folders. bytes, sha256: of what is in it."""

    name: str
    bytes: int
    sha256: str


class Provenance(NamedTuple):
    """What a report was made from, and with. profile: where the ranges come from, as the bundle says. config: what
    quantization was asked for that differs from the defaults. created: date and time, where they are known."""

    qglow: str
    cpu: str
    isa: str
    model: SourceFile | None = None
    bundle: SourceFile | None = None
    data: str = ""
    backend: str = ""
    profile: Mapping[str, Any] = {}
    config: Mapping[str, Any] = {}
    created: str = ""

    def to_dict(self) -> dict[str, Any]:
        files = {k: f._asdict() if f else None for k, f in (("model", self.model), ("bundle", self.bundle))}
        return self._asdict() | files


class Size(NamedTuple):
    """Bytes of the constants before and after; None where a bundle does not say."""

    float_bytes: int | None = None
    int8_bytes: int | None = None


class Report(NamedTuple):
    """All that a report says. complaints: what is wrong with outputs, by name. layers: in execution order, over
    `layer_samples` of the samples. nodes: how many have each precision. latency_ms, noise_beside, machine, steps:
    beside peers, empty where nothing was timed. coverage: by op, for the shapes of the first sample. worst_samples:
    those on which int8 is farthest from float, the farthest first. network: the quantized graph's nodes in execution
    order. target: the account of an accuracy target, where the bundle was made by one. by_step: of a model with
    states, signal to noise in dB of each step by output (by_step.py). wider: the account of wider formats, where int8
    alone was poor."""

    name: str
    samples: int
    float: str
    complaints: Mapping[str, str]
    outputs: Mapping[str, OutputReport]
    layers: Sequence[LayerReport]
    layer_samples: int = 0
    nodes: Mapping[Precision, int] = {}
    kept_float: Sequence[Decision] = ()
    proposed_exclude: Sequence[str] = ()
    size: Size = Size()
    latency_ms: Times = {}
    noise_beside: Times = {}
    machine: MachineLimits | None = None
    steps: Sequence[StepTime] = ()
    notes: Sequence[str] = ()
    coverage: Coverage | None = None
    worst_samples: Sequence[SampleReport] = ()
    network: Sequence[GraphNode] = ()
    target: Mapping[str, Any] | None = None
    provenance: Provenance | None = None
    by_step: Mapping[str, Sequence[Any]] = {}
    metrics: Sequence[MetricReport] = ()
    wider: Mapping[str, Any] | None = None

    def to_dict(self) -> dict[str, Any]:
        """Plain values, as JSON has them."""
        return self._asdict() | {
            "outputs": {n: o.to_dict() for n, o in self.outputs.items()},
            "layers": [r.to_dict() for r in self.layers],
            "size": self.size._asdict(),
            "machine": asdict(self.machine) if self.machine else None,
            "steps": [asdict(s) for s in self.steps],
            "coverage": self.coverage.to_dict() if self.coverage else None,
            "worst_samples": [s._asdict() for s in self.worst_samples],
            "network": [n._asdict() for n in self.network],
            "provenance": self.provenance.to_dict() if self.provenance else None,
            "metrics": [m._asdict() for m in self.metrics],
        }
