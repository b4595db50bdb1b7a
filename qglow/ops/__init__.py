"""Every op, declared once. Nothing else of the package is imported here: functions are referred to by name."""

from .definition import FROM_DATA, Meaning, OpDef, Operand, Output
from .registry import OPS, default, extended, has, having, numbers, quantized_form, refusal
from .traits import Trait

__all__ = [
    "FROM_DATA", "OPS", "Meaning", "OpDef", "Operand", "Output", "Trait", "default", "extended", "has", "having",
    "numbers", "quantized_form", "refusal",
]  # fmt: skip
