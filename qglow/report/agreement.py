"""How well an int8 graph agrees with the float model: output by output and value by value, streamed over samples.

The float side comes from an oracle (qglow/oracle/), which shares no code with the kernels that compute the int8 side.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar

from ..graph import Array, Graph
from ..graph.blocks import precision_of
from ..oracle import Oracle
from ..profiling.dataset import Dataset, Sample
from ..progress import track
from ..reference import evaluate
from ..runtime.session import InferenceSession
from ..words import counted
from .comparison import Comparison, Error, comparison_of
from .stored import as_real, float_name
from .verdict import complaints

Powers = Mapping[str, float]
C = TypeVar("C", bound=Comparison)


@dataclass(slots=True)
class Agreement:
    """Comparisons by output name, and errors by float value name for every value that the int8 graph has. oracle: who
    gave the float. names: of the samples. how: which samples these were, see judging.py."""

    outputs: dict[str, Comparison] = field(default_factory=dict)
    layers: dict[str, Error] = field(default_factory=dict)
    samples: int = 0
    oracle: str = ""
    names: list[str] = field(default_factory=list)
    how: str = ""

    def merge(self, other: Agreement) -> None:
        """Add what the next sample showed, of which `other` knows alone."""
        self.samples += other.samples
        self.names += other.names
        merge_each(self.outputs, other.outputs)
        merge_each(self.layers, other.layers)

    def is_broken(self, floor_db: float) -> bool:
        return bool(complaints(self.outputs, floor_db))

    def complaint(self, floor_db: float, layers: Sequence[str]) -> str:
        """What is wrong with the outputs, and the layers to blame for it."""
        found = complaints(self.outputs, floor_db)
        name, said = max(found.items(), key=lambda item: self.outputs[item[0]].noise_share)
        more = f", and {counted(len(found) - 1, 'more output')}" if len(found) > 1 else ""
        return (
            f"int8 does not agree with float: output {name!r} has {said} on {counted(self.samples, 'sample')} that "
            f"{'was' if self.samples == 1 else 'were'} compared{more}; "
            f"most noise by themselves add {', '.join(layers) or 'no layers'}: try --exclude with these"
        )

    def to_dict(self) -> dict[str, Any]:
        return {
            "samples": self.samples,
            **({"judged_on": self.how} if self.how else {}),
            "float": self.oracle,
            "outputs": {n: e.to_dict() for n, e in self.outputs.items()},
        }


def merge_each(found: dict[str, C], others: Mapping[str, C]) -> None:
    """Add comparisons by name, of the next sample, to those of earlier ones."""
    for name, other in others.items():
        if name in found:
            found[name].merge(other)
        else:
            found[name] = other


def measure(
    oracle: Oracle, quantized: Graph, data: Dataset, powers: Powers | None = None, into: Agreement | None = None,
    quiet: bool = True,
) -> Agreement:  # fmt: skip
    """Run float on the oracle and int8 in a session on every sample, and compare the outputs. powers: mean power of an
    element over the data, by output. into: what is added to."""
    result, session = Agreement() if into is None else into, InferenceSession(quantized)
    for sample in track(data, "comparing with float", data.total, quiet):
        real = oracle.outputs(sample.feeds)
        made = dict(zip(quantized.outputs, session.run(None, sample.feeds), strict=True))
        compare_outputs(result, real, quantized, made, sample.name, powers)
    result.oracle = oracle.name
    return result


def agreement_with(quantized: Graph, data: Sequence[Sample], real: Sequence[Mapping[str, Any]]) -> Agreement:
    """int8 in a session on every sample beside the float outputs `real` of each."""
    found, session = Agreement(), InferenceSession(quantized)
    for sample, floats in zip(data, real, strict=True):
        outputs = session.run(None, sample.feeds)
        compare_outputs(found, floats, quantized, dict(zip(quantized.outputs, outputs, strict=True)))
    return found


def evaluate_all(graph: Graph, feeds: Mapping[str, Array]) -> dict[str, Array]:
    """Every value of a graph by name, from the reference; float products in whatever order is fast."""
    values: dict[str, Array] = {}
    evaluate(graph, feeds, keep=values.__setitem__, fast=True)
    return values


def compare_outputs(
    result: Agreement, real: Mapping[str, Any], quantized: Graph, made: Mapping[str, Any], sample: str = "",
    powers: Powers | None = None,
) -> None:  # fmt: skip
    """Add one sample: every output counts, whatever its dtype."""
    result.samples += 1
    result.names.append(sample)
    for name in quantized.outputs:
        got = as_real(quantized, name, made[name])
        found = result.outputs.get(name)
        if found is None:
            found = result.outputs[name] = comparison_of(real[name])
            if isinstance(found, Error) and powers is not None:
                found.mean_power = powers.get(name, 0.0)
        found.add(real[name], got)


def compare_layers(result: Agreement, real: Mapping[str, Array], quantized: Graph, values: Mapping[str, Array]) -> None:
    """Add one sample of float values by name, and of the quantized graph's, to the layers: the quantized values that
    stand for floats, and what products with block-wise weights make."""
    by_blocks = {n.outputs[0] for n in quantized.nodes if precision_of(n, quantized.types)}
    for name, value in values.items():
        source = float_name(name)
        if (
            source not in real
            or name in quantized.inputs
            or not (quantized.types[name].is_quantized or name in by_blocks)
        ):
            continue
        if real[source].dtype.kind == "f" and real[source].shape == value.shape:
            result.layers.setdefault(source, Error()).add(real[source], as_real(quantized, name, value))
