"""Short names for what many declarations share."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from .attributes import Attribute, integer, integers, word
from .definition import ANY_RANK, Meaning, Operand, Output
from .fused import EPILOGUE, epilogue

NUMBER, LIST, MATRIX = (0, 1), (1, 1), (2, 2)  # NOTE: where a number is asked for, a list of one is one too
X, Y = Operand("x", "T"), Operand("y", "T")
IN = Operand("x")  # of a dtype that the output does not have
INDICES, TRUTHS = (Output("y", "i64"),), (Output("y", "bool"),)
LIMITS: Mapping[str, Attribute] = {"qmin": integer(), "qmax": integer()}  # of quantized outputs alone
FUSED: Mapping[str, Attribute] = {EPILOGUE: epilogue()}  # within code generation alone
OUR_OWN = {**LIMITS, **FUSED}  # attributes that ONNX's operators have not
STRIDES: Mapping[str, Attribute] = {
    "auto_pad": word("NOTSET", "SAME_UPPER", "SAME_LOWER", "VALID", default="NOTSET"),
    "dilations": integers(1), "kernel_shape": integers(1), "strides": integers(1),
}  # fmt: skip
WINDOWED: Mapping[str, Attribute] = {**STRIDES, "pads": integers(0)}  # a border, which takes nothing away


def optional(name: str, dtype: str = "", rank: tuple[int, int] = ANY_RANK) -> Operand:
    return Operand(name, dtype, rank, optional=True)


def weight(name: str, dtype: str, rank: tuple[int, int] = ANY_RANK) -> Operand:
    return Operand(name, dtype, rank, weight=True)


def node(function: str) -> Meaning:
    """A function of a node and its inputs."""
    return Meaning(function)


def elements(function: str | Callable[..., Any]) -> Meaning:
    """A function of the inputs, and then of the attributes' values."""
    return Meaning(function, "elements")
