"""The passes of quantization in order, and the one driver that runs them. Each is a function from a state to the next
(state.py)."""

from __future__ import annotations

import time
from collections.abc import Callable

from ..graph.verify import verify, verify_level
from .bias import measure_means
from .block_weights import quantize_in_blocks
from .channel_equalization import equalize_channels
from .choose_ranges import choose_ranges
from .convert import convert
from .eligible import apply_user_choices, find_eligible_nodes, keep_isolated_nodes_float
from .float_islands import keep_last_functions_float, keep_scores_float, propagate_float
from .guard_branches import guard_branches
from .noise_amplification import keep_sensitive_functions_float
from .prequantized import read_model_parameters
from .round_io import round_io
from .state import Pass, QuantState
from .views import keep_views_float

PASSES: tuple[Pass, ...] = (
    read_model_parameters,
    apply_user_choices,
    find_eligible_nodes,
    keep_isolated_nodes_float,
    keep_views_float,
    propagate_float,
    keep_scores_float,
    keep_last_functions_float,
    choose_ranges,
    keep_sensitive_functions_float,
    choose_ranges,
    equalize_channels,
    measure_means,
    quantize_in_blocks,
    convert,
    guard_branches,
    round_io,
)
# what a profile would decide by how values are spread is left out
BEFORE_PROFILE: tuple[Pass, ...] = tuple(
    p
    for p in PASSES
    if p not in (keep_sensitive_functions_float, equalize_channels, measure_means, guard_branches, round_io)
)
Watch = Callable[[QuantState, QuantState, str, float], None]


def run_passes(state: QuantState, watch: Watch | None = None, passes: tuple[Pass, ...] | None = None) -> QuantState:
    """The state after all passes, or those given. watch: called after each with the states before and after it, its
    name, and its seconds.

    QGLOW_VERIFY: from level 1 a state that contradicts itself is an error, and so is a graph that a pass has broken.
    """
    level = verify_level()
    for apply in PASSES if passes is None else passes:
        start, before = time.perf_counter(), state
        state = apply(state)
        seconds, name = time.perf_counter() - start, apply.__name__
        if level >= 1 and state is not before:
            state.check(name)
        if level >= 1 and state.graph is not before.graph:
            verify(state.graph)
        if watch is not None:
            watch(before, state, name, seconds)
    return state
