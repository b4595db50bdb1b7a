"""qglow: an int8 compiler for neural networks on CPUs.

    profile = qglow.profile(model, data)
    bundle = qglow.quantize(model, profile)
    session = qglow.InferenceSession(bundle)
    report = qglow.compare(model, bundle, data)

Names are loaded when they are first used: inference imports neither onnx nor numba. A program written for onnxruntime
runs a bundle with `import qglow as ort`: SessionOptions, OrtValue and what else it needs are here by the same names.
"""

from __future__ import annotations

import gc
from importlib import import_module
from typing import TYPE_CHECKING, Any

from . import fallback
from .errors import (
    AccuracyError,
    BundleError,
    ConfigError,
    DataError,
    DisagreementError,
    InputError,
    KernelError,
    LimitError,
    ModelError,
    OutputError,
    ProfileError,
    QGlowError,
    VerifyError,
)

__version__ = "0.1.0"
_ONNXRUNTIME = (
    "ExecutionMode", "GraphOptimizationLevel", "IOBinding", "OrtValue", "RunOptions", "SessionOptions",
    "get_available_providers", "get_device",
)  # fmt: skip
_HOMES = {
    "AccuracyReport": "report.compare", "Bundle": "runtime.bundle", "Graph": "graph",
    "InferenceSession": "runtime.session", "Profile": "profiling.profile", "QuantConfig": "quantization.config",
    "compare": "pipeline", "limited": "limits", "load": "runtime.bundle", "profile": "pipeline",
    "quantize": "pipeline", **dict.fromkeys(_ONNXRUNTIME, "runtime.onnxruntime_api"),
}  # fmt: skip
__all__ = [
    "AccuracyError", "AccuracyReport", "Bundle", "BundleError", "ConfigError", "DataError", "DisagreementError",
    "ExecutionMode", "Graph", "GraphOptimizationLevel", "IOBinding", "InferenceSession", "InputError", "KernelError",
    "LimitError", "ModelError", "OrtValue", "OutputError", "Profile", "ProfileError", "QGlowError", "QuantConfig",
    "RunOptions", "SessionOptions", "VerifyError", "compare", "get_available_providers", "get_device", "limited",
    "load", "metrics", "profile", "quantize",
]  # fmt: skip

if TYPE_CHECKING:
    from . import metrics
    from .graph import Graph
    from .limits import limited
    from .pipeline import compare, profile, quantize
    from .profiling import Profile
    from .quantization import QuantConfig
    from .report.compare import AccuracyReport
    from .runtime import Bundle, InferenceSession, load
    from .runtime.onnxruntime_api import (
        ExecutionMode,
        GraphOptimizationLevel,
        IOBinding,
        OrtValue,
        RunOptions,
        SessionOptions,
        get_available_providers,
        get_device,
    )


def _fallback_ops() -> fallback.FallbackOps:
    # NOTE: it imports onnx, for which models of our own ops do not wait
    from .onnx_import.fallback_ops import FALLBACK_OPS

    return FALLBACK_OPS


fallback.hand_in(_fallback_ops)


def __getattr__(name: str) -> Any:
    """NOTE: nothing that an import makes is garbage: collections of cycles in the middle of it take a tenth of its
    time, and one of all that it made as much again, unless it counts as old."""
    if name == "metrics":
        return import_module(f"{__name__}.{name}")
    if name not in _HOMES:
        raise AttributeError(f"module 'qglow' has no attribute {name!r}")
    collects = gc.isenabled()
    gc.disable()
    try:
        return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
    finally:
        if collects:
            if gc.get_freeze_count() == 0:  # else the program keeps objects of its own frozen
                gc.freeze()
                gc.unfreeze()
            gc.enable()


def __dir__() -> list[str]:
    return [*__all__, "__version__"]
