"""The roundings of a quantized graph, each by itself: of one value, or of the weights of one product."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np

from ..graph import Array, DType, Graph, TensorType
from ..graph.blocks import precision_of
from ..graph.type_rules import gemm_form
from ..ops.traits import ACCUMULATES, MATRIX_PRODUCT, PRODUCT
from ..quantization import QuantConfig
from ..quantization.pointwise import find_functions
from ..quantization.weights import output_axis, quantize_weights
from ..reference.arithmetic import dequantize
from ..reference.blockwise import widened
from ..reference.evaluate import evaluate_node
from .comparison import Error
from .stored import as_real, as_stored, float_name

MOST = 1e20  # noise over signal that stands for NaN and infinities


@dataclass(frozen=True, slots=True)
class Rounding:
    """stored: the quantized graph's name of the value; weights: of the product `nodes[0]`, rounded; one of both."""

    what: str
    nodes: tuple[str, ...]
    value: str
    stored: str = ""
    weights: Array | None = None

    def own_share(self, graph: Graph, quantized: Graph, real: Mapping[str, Array]) -> float:
        """Noise over signal of the value, or of the weights, itself."""
        if self.weights is not None:
            node = next(n for n in graph.nodes if n.name == self.nodes[0])
            before, after = graph.constants[node.inputs[1]], self.weights
        elif self.value in real:
            before = real[self.value]
            after = np.asarray(as_real(quantized, self.stored, as_stored(quantized, self.stored, before)))
        else:
            return 0.0
        if before.shape != after.shape:
            return 0.0
        found = Error()
        found.add(before, after)
        return min(found.noise_share, MOST)

    def changed(self, graph: Graph, quantized: Graph, real: Mapping[str, Array]) -> dict[str, Array]:
        """The values of the float graph that are others with this rounding alone, by name. real: all of its values
        without."""
        changed: dict[str, Array] = {}
        if self.weights is None:
            if self.value not in real:
                return {}
            changed[self.value] = np.asarray(
                as_real(quantized, self.stored, as_stored(quantized, self.stored, real[self.value]))
            )
        for node in graph.nodes:
            weights = self.weights if self.weights is not None and node.name == self.nodes[0] else None
            if weights is None and not any(i in changed for i in node.inputs):
                continue
            if any(o and o not in real for o in node.outputs):  # of a branch that was not taken
                continue
            inputs = [None if not i else changed[
                i] if i in changed else graph.constants[i] if i in graph.constants else real.get(i)
                      for i in node.inputs]  # fmt: skip
            if weights is not None:
                inputs[1] = weights
            results = zip(node.outputs, evaluate_node(graph, node, inputs, fast=True), strict=False)
            changed |= {o: a for o, a in results if o and (o not in changed or o != self.value)}
        return changed


def roundings_of(graph: Graph, quantized: Graph, config: QuantConfig) -> Iterator[Rounding]:
    consumers, producers, functions = graph.consumers(), graph.producers(), find_functions(graph, {})
    values = {n: n for n in (*graph.inputs, *(o for node in graph.nodes for o in node.outputs)) if n}
    for name, t in quantized.types.items():
        value = values.get(float_name(name))
        if (
            t.is_quantized
            and value is not None
            and name not in quantized.constants
            and (readers := consumers.get(value))
        ):
            # NOTE: products and averages give float where it is wanted; what else is int8 does not
            maker = producers.get(value)
            makers = (
                functions[value].nodes
                if value in functions
                else ()
                if maker is None or maker.has(ACCUMULATES)
                else (maker,)
            )
            nodes = tuple(dict.fromkeys(n.name for n in (*readers, *makers)))
            yield Rounding(f"rounding of {value!r}", nodes, value, stored=name)
    yield from _block_roundings(graph, quantized)
    for node in graph.nodes:
        if node.has(PRODUCT) and f"{node.outputs[0]}.w" in quantized.constants:
            w = graph.constants[node.inputs[1]]
            q, quant, _ = quantize_weights(w, output_axis(node), None, 1.0, config)
            rounded = dequantize(q, TensorType(DType.I8, tuple(q.shape), quant))
            yield Rounding(f"weights of {node.outputs[0]!r}", (node.name,), "", weights=rounded)


def _block_roundings(graph: Graph, quantized: Graph) -> Iterator[Rounding]:
    """Of block-wise weights, as the float products would have them. The rounding of activations is small beside it."""
    floats = {n.name: n for n in graph.nodes if n.has(MATRIX_PRODUCT)}
    for made in quantized.nodes:
        node = floats.get(made.name)
        if node is None or precision_of(made, quantized.types) is None or not (alpha := gemm_form(node).alpha):
            continue
        c, name = quantized.constants, made.inputs[1]
        w = widened(c[name], quantized.types[name], c[made.inputs[2]], c.get(made.input(3))) / np.float32(alpha)
        yield Rounding(
            f"weights of {node.outputs[0]!r}", (node.name,), "", weights=w if gemm_form(node).turns_b else w.T
        )


def signal_of(real: Array) -> float:
    """Power of the finite elements of a float value; of any other value the number of its elements."""
    if real.dtype.kind != "f":
        return float(real.size)
    finite = real[np.isfinite(real)].astype(np.float64).ravel()
    return float(finite @ finite)


def noise_of(real: Array, changed: Array) -> float:
    """Power of the difference, of any other value the number of elements that differ; MOST where NaN, infinities or
    shapes differ."""
    if real.shape != changed.shape:
        return MOST
    if real.dtype.kind != "f":
        return float(np.count_nonzero(real != changed))
    found = Error()
    found.add(real, changed)
    return MOST if found.not_finite else min(found.noise, MOST)
