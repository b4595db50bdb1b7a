"""What quantization decides of a model before there is a profile of it: every float value has a stand-in range.

Which ops have an int8 form, what the user excludes, and what stands alone between float nodes does not depend on data.
What does is left out, so that a profile may keep more nodes float: functions that 8 bits cannot carry, values that are
not finite, branches that are not taken.
"""

from __future__ import annotations

from dataclasses import replace

from ..graph import Graph
from ..ops.traits import ONNX_QUANTIZATION
from ..profiling.observers import BINS, Observer
from ..profiling.profile import profiled_values
from .config import DYNAMIC, QuantConfig
from .passes import BEFORE_PROFILE, run_passes
from .prequantized import is_dynamic
from .state import QuantState


def decide_before_profile(graph: Graph, imported: Graph, config: QuantConfig) -> QuantState:
    """The state after the passes: its graph has the right ops and precisions, and scales that mean nothing. A model
    that came quantized has its own."""
    if needs_no_profile(imported) or config.weights == DYNAMIC:
        return run_passes(QuantState(graph, imported, {}, config, calibrated=False))
    observed = dict.fromkeys(profiled_values(graph), _stand_in())
    # NOTE: one range for all values needs no search
    return run_passes(
        QuantState(graph, imported, observed, replace(config, calibration="minmax")), passes=BEFORE_PROFILE
    )


def needs_no_profile(imported: Graph) -> bool:
    """Whether a model needs no profile: it came quantized, or asks for ranges when it runs."""
    return is_dynamic(imported) or any(n.has(ONNX_QUANTIZATION) for n in imported.nodes)


def _stand_in() -> Observer:
    """Of values from -1 to 1, each as often as any other."""
    o = Observer()
    o.count, o.min, o.max, o.reach = BINS, -1.0, 1.0, 1.0
    o.histogram[:] = 1
    return o
