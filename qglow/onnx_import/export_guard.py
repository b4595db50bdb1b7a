"""Which dequantized values must not look like those of an int8 layer: onnxruntime takes the layer behind for one.

Where a float Conv, ConvTranspose or Gemm reads a DequantizeLinear of one scale, onnxruntime's optimizer, from the level
BASIC on, rounds its weights to int8 by one scale for all, and its bias with them (WeightBiasQuantization); it makes a
Gemm of a MatMul and an Add, and puts DequantizeLinear behind what only moves elements. It leaves a DequantizeLinear
alone that has a scale for each index of an axis. Scales that are all equal give the same reals in the same time.
"""

from __future__ import annotations

from ..graph import Graph, TensorType
from ..ops.traits import KEEPS_QUANTIZATION, PRODUCT


def read_by_float_products(graph: Graph) -> frozenset[str]:
    """Names of the floats that a product of floats reads, directly or through operators that only move elements."""
    found: set[str] = set()
    for node in reversed(graph.nodes):
        if any(graph.types[o].is_quantized for o in node.outputs if o):
            continue
        if node.has(PRODUCT) or node.has(KEEPS_QUANTIZATION) and found.intersection(node.outputs):
            found.update(i for i in node.inputs if i and not graph.types[i].is_quantized)
    return frozenset(found)


def guarding_axis(t: TensorType) -> int | None:
    """The first axis that is known to have more than one element, None where there is none."""
    sizes = enumerate(t.shape or ())
    return next((axis for axis, size in sizes if isinstance(size, int) and size > 1), None)
