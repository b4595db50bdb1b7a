"""Block-wise 4-bit and 8-bit weights for matrix products of float models, where the configuration asks for them.

1. Without `block_nodes`, each MatMul and Gemm with constant weights that has at least LARGE of them, and whose rows are
   whole blocks; else the nodes that these patterns name, each of which must be able to have such weights.
   int8_dynamic: at least SMALL of them, and rows of any length.
2. What is excluded stays as it is. What has block-wise weights already keeps its integers, and its activations become
   int8 too.
3. A block's scale is that of its element of the largest magnitude, which becomes the lowest integer, times the factor
   with the least squared error (48). int8_dynamic: one such scale for all blocks of a row.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from ..errors import ConfigError
from ..graph import Array, DType, Graph, GraphBuilder, Node, TensorType
from ..graph.blocks import MOST, OP, run_of
from ..graph.type_rules import gemm_form
from ..graph.types import Quant
from ..ops.traits import MATRIX_PRODUCT
from ..reference.blockwise import packed_nibbles
from ..reference.float_product import scaled
from ..words import counted
from .config import DYNAMIC, QuantConfig
from .state import QuantState

LARGE = 1 << 16  # weights of a product from which reading them takes most of its time
SMALL = 1 << 8  # weights of a product below which float is as fast
FACTORS = (1.0, 0.95, 0.9, 0.85, 0.8, 0.75, 0.7)
LIMITS = {4: (-8, 7), 8: (-127, 127)}  # of the integers around the middle, by their bits
ROWS = 256  # rows of weights that are quantized at once


def nodes_for_blocks(graph: Graph, config: QuantConfig) -> list[str]:
    """Names of the nodes that get block-wise weights, or whose activations become int8 beside those that they have.
    Raises ConfigError for a node that the user names and that cannot have them."""
    found, least = [], SMALL if config.weights == DYNAMIC else LARGE
    for node in graph.nodes if config.block_bits else ():
        if config.excluded(node) is not None:
            continue
        named = config.in_blocks(node)
        obstacle = _obstacle(graph, node, config) if named or not config.block_nodes else ""
        if named and obstacle is not None and node.op != OP:
            raise ConfigError(
                f"block_nodes: node {node.name!r} ({node.operator}) cannot have block-wise weights: {obstacle}"
            )
        if node.op == OP or (obstacle is None and (named or graph.constants[node.inputs[1]].size >= least)):
            found.append(node.name)
    return found


def quantize_in_blocks(state: QuantState) -> QuantState:
    """Block-wise weights in the float nodes that get them. Raises ConfigError for a node that the user names and whose
    integers stay."""
    graph, config = state.graph, state.config
    chosen = set(nodes_for_blocks(graph, config))
    for node in filter(state.is_int8, graph.nodes):
        if node.name in chosen and config.in_blocks(node):
            raise ConfigError(
                f"block_nodes: node {node.name!r} ({node.operator}) cannot have block-wise weights: the model "
                "quantized it"
            )
    b, chosen = GraphBuilder(graph), chosen - state.int8
    for node in graph.nodes:
        made = node if node.name not in chosen else node.with_attributes(compute="int8") if node.op == OP else None
        b.append(made or _converted(b, graph, node, config))
    return replace(state, graph=b.build(graph.name, graph.inputs, graph.outputs)) if chosen else state


def _obstacle(graph: Graph, node: Node, config: QuantConfig) -> str | None:
    """Why a node cannot have block-wise weights, or None."""
    if not node.has(MATRIX_PRODUCT):
        return "it is no MatMul and no Gemm"
    w = graph.constants.get(node.inputs[1])
    if w is None or w.ndim != 2 or w.dtype != np.float32 or not w.size or not np.isfinite(w).all():
        return "its weights are no constant matrix of finite float32"
    if (
        graph.types[node.inputs[0]].dtype is not DType.F32
        or graph.types[node.inputs[0]].is_quantized
        or gemm_form(node).turns_a
    ):
        return "its rows are not those of a float32 tensor"
    n, k = w.shape if gemm_form(node).turns_b else w.shape[::-1]
    size, divides = (run_of(k), True) if config.weights == DYNAMIC else (config.block_size, k % config.block_size == 0)
    if not divides or k // size > MOST:
        return f"its rows have {counted(k, 'element')}, which are no {MOST} whole blocks of {size}, or fewer"
    if node.input(2):
        bias = graph.constants.get(node.inputs[2])
        if bias is None or bias.dtype != np.float32 or (bias.size != 1 and bias.shape not in ((n,), (1, n))):
            return "its bias is no constant vector of float32"
    return None


def _converted(b: GraphBuilder, graph: Graph, node: Node, config: QuantConfig) -> Node:
    rows = weight_rows(graph, node)
    size = config.block_size
    if config.weights == DYNAMIC:
        size = run_of(rows.shape[1])
        q, scale = quantize_blocks(rows, rows.shape[1], config.block_bits)
        scales = np.repeat(scale, -(-rows.shape[1] // size), 1)
    else:
        q, scales = quantize_blocks(rows, size, config.block_bits)
    hint, dtype = node.outputs[0], DType.U4 if config.block_bits == 4 else DType.U8
    t = TensorType(dtype, (rows.shape[0], rows.shape[1]), Quant.blockwise(1, size))
    names = [
        b.add_constant(f"{hint}.blocks", packed_nibbles(q) if dtype is DType.U4 else q, t),
        b.add_constant(f"{hint}.scales", scales),
    ]
    if node.input(2):
        bias = scaled(graph.constants[node.inputs[2]], gemm_form(node).beta).reshape(-1)
        names += ["", b.add_constant(f"{hint}.bias", np.ascontiguousarray(np.broadcast_to(bias, (len(rows),))))]
    return Node(OP, (node.inputs[0], *names), node.outputs, {"compute": "int8"}, node.name)


def weight_rows(graph: Graph, node: Node) -> Array:
    """The weights of a matrix product as rows float32 [N, K] of output channels."""
    w, form = graph.constants[node.inputs[1]], gemm_form(node)
    return scaled(w if form.turns_b else w.T, form.alpha)


def quantize_blocks(w: Array, size: int, bits: int) -> tuple[Array, Array]:
    """(48) Weights float32 [N, K] as (integers uint8 [N, K] around 2^(bits - 1), scales float32 [N, K / size])."""
    n, k = w.shape
    q, scales = np.empty((n, k), np.uint8), np.empty((n, k // size), np.float32)
    for first in range(0, n, ROWS):
        part = w[first : first + ROWS].reshape(-1, k // size, size)
        made, scales[first : first + ROWS] = _quantized(part, bits)
        q[first : first + ROWS] = made.reshape(-1, k)
    return q, scales


def _quantized(w: Array, bits: int) -> tuple[Array, Array]:
    """w [rows, blocks, size] -> (integers of that shape, scales [rows, blocks])."""
    middle = 1 << (bits - 1)
    lowest, top = LIMITS[bits]
    place = np.abs(w).argmax(2)[..., None]
    widest = (np.take_along_axis(w, place, 2) / np.float32(lowest)).astype(np.float32)
    best = np.full(widest.shape, np.inf)
    scales, q = widest.copy(), np.zeros(w.shape, np.int16)
    for factor in FACTORS:
        scale = (widest * np.float32(factor)).astype(np.float32)
        with np.errstate(all="ignore"):
            steps = np.where(scale == 0, np.float32(0), np.clip(np.rint(w / scale), lowest, top))
        error = ((steps * scale - w).astype(np.float64) ** 2).sum(2, keepdims=True)
        better = error < best
        best, scales = np.where(better, error, best), np.where(better, scale, scales)
        q = np.where(better, steps, q).astype(np.int16)
    return (q + middle).astype(np.uint8), scales[..., 0]
