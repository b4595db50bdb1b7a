"""Fold, fuse, remove: float graph to float graph with the same meaning. PASSES is the whole of it, in order."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from ..graph import Graph
from ..graph.dead import remove_dead
from ..graph.rewrite import Rewrites
from ..reference import retype
from ..reference.refine import refine
from .affine import fold_affine
from .batch_norm import split_batch_norm
from .constants import fold_constants
from .denormals import flush_denormal_weights
from .fold_select import decide_branches
from .gemm_sum import split_gemm_sum
from .identity import remove_identities
from .layer_norm import fuse_layer_norm
from .leaky_relu import fuse_leaky_relu
from .matmul_bias import fuse_matmul_bias
from .output_names import name_outputs
from .pad import fold_pads
from .scale import sink_scales
from .softmax_axis import turn_softmax
from .square import square_powers
from .variadic import chain_variadic

PASSES: tuple[Callable[[Graph], Graph], ...] = (
    decide_branches,
    fold_constants,
    refine,
    remove_identities,
    name_outputs,
    chain_variadic,
    square_powers,
    fold_pads,
    split_gemm_sum,
    fold_affine,
    split_batch_norm,
    fuse_matmul_bias,
    fuse_leaky_relu,
    fuse_layer_norm,
    turn_softmax,
    sink_scales,
    flush_denormal_weights,
    remove_dead,
)


def simplify(
    graph: Graph, watch: Callable[[Graph, Graph, str], None] | None = None, log: Callable[[str], None] | None = None
) -> Graph:
    """The simplified graph. Surviving values keep their names; outputs keep theirs always.

    watch: called after each pass with the graph before, the graph after, and the pass's name. log: told which rewrites
    of a pass fired, and how often.
    """
    if all(graph.types[i].is_static for i in graph.inputs):
        graph = retype(graph, {i: graph.types[i].static_shape for i in graph.inputs}, partly=True)
    for simplification in PASSES:
        name = simplification.__name__
        told = partial(_told, log, name) if log is not None else None
        before, graph = (
            graph,
            simplification(graph, told) if isinstance(simplification, Rewrites) else simplification(graph),
        )
        if watch is not None:
            watch(before, graph, name)
    return graph


def _told(log: Callable[[str], None], pass_name: str, rewrite: str, count: int) -> None:
    log(f"{pass_name}: {rewrite} x {count}")
