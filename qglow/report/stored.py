"""What an integer value of a quantized graph stands for: its scale and zero point, times the factors of its channels where it has any."""

from __future__ import annotations

import numpy as np

from ..graph import Array, Graph
from ..reference.arithmetic import dequantize, quantize


def float_name(name: str) -> str:
    """The name of the float value for which a value of a quantized graph stands: where both exist there, the int8 one ends in `.q`."""
    return name.removesuffix(".q")


def as_real(graph: Graph, name: str, value: Array) -> Array:
    """The real numbers for which the stored value stands; a float value is returned as it is."""
    t = graph.types[name]
    if not t.is_quantized:
        return value
    factors = graph.constants.get(f"{name}.factors")
    return dequantize(value, t) if factors is None else dequantize(value, t) * factors


def as_stored(graph: Graph, name: str, real: Array) -> Array:
    """The integers that stand for real numbers in the value's type, with its factors; float for a float value."""
    t = graph.types[name]
    if not t.is_quantized:
        return real
    factors = graph.constants.get(f"{name}.factors")
    return quantize(real if factors is None else (real / factors).astype(np.float32), t)
