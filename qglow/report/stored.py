"""What an integer value of a quantized graph stands for: its scale and zero point, times the factors of its channels
where it has any, and what it lost when it was centred (centring.py)."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from ..graph import Array, Graph
from ..graph.masks import masked_values
from ..quantization.masks import PLAINLY
from ..reference.arithmetic import dequantize, quantize


def float_name(name: str) -> str:
    """The name of the float value for which a value of a quantized graph stands: where both exist there, the int8 one
    ends in `.q`."""
    return name.removesuffix(".q")


def as_real(graph: Graph, name: str, value: Array) -> Array:
    """The real numbers of the float model for which the value stands."""
    t, factors, offset = (
        graph.types[name],
        graph.constants.get(f"{name}.factors"),
        graph.constants.get(f"{name}.offset"),
    )
    if t.is_quantized:
        value = dequantize(value, t) if factors is None else dequantize(value, t) * factors
    return value if offset is None else value + offset


def as_stored(graph: Graph, name: str, real: Array) -> Array:
    """The integers that stand for real numbers in the value's type, with its factors; float for a float value."""
    t, factors, offset = (
        graph.types[name],
        graph.constants.get(f"{name}.factors"),
        graph.constants.get(f"{name}.offset"),
    )
    real = real if offset is None else real - offset
    if not t.is_quantized:
        return real
    return quantize(real if factors is None else (real / factors).astype(np.float32), t)


def saturated(graph: Graph, real: Mapping[str, Array]) -> dict[str, Array]:
    """Float values by name, cut to the ends of the ranges that a model came with: there that is what the model means,
    as where a zero point takes the place of a Relu, and no noise. graph: the quantized one. Where it computes with
    the float value too, or has it in two ranges, the value stays as it is."""
    found, computed_with = dict(real), {i for n in graph.nodes if n.op != "Quantize" for i in n.inputs}
    for name, t in graph.types.items():
        source = float_name(name)
        other = f"{source}.q" if name == source else source
        twice = other in graph.types and (graph.types[other].is_quantized or other in computed_with)
        if twice or t.quant is None or t.quant.axis is not None or name in graph.constants:
            continue
        if source in real and real[source].dtype.kind == "f":
            low, high = t.real_limits()
            found[source] = np.clip(real[source], np.float32(low), np.float32(high))
    return found


def with_masks_cut(graph: Graph, real: Mapping[str, Array]) -> dict[str, Array]:
    """Float values by name, with what is plainly masked in them cut as int8 cuts it: to the end of the range of the
    value's type.

    Minus infinity, or the lowest float, in a mask or in scores is neither signal nor noise. graph: the quantized one.
    """
    found = dict(real)
    for name in masked_values(graph):
        t, source = graph.types[name], float_name(name)
        if source not in real or t.quant is None or t.quant.axis is not None or f"{name}.factors" in graph.constants:
            continue
        low, high = t.real_limits()
        far = PLAINLY * (high - low)
        value = np.where(real[source] < low - far, np.float32(low), real[source])
        found[source] = np.where(value > high + far, np.float32(high), value)
    return found
