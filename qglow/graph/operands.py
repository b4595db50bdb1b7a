"""How many inputs each op has: at least so many, which must be there, and at most so many, of which the rest may be left out."""

from __future__ import annotations

from collections.abc import Mapping

from .graph import Node

Count = tuple[int, int | None]  # most: None for any number, all of which must be there
_ONE = (
    "Relu", "LeakyRelu", "Sigmoid", "Tanh", "HardSigmoid", "HardSwish", "Swish", "Gelu", "Erf", "Elu", "Selu", "Celu", "Mish", "Softplus",
    "Softsign", "ThresholdedRelu", "Shrink", "Exp", "Log", "Sqrt", "Reciprocal", "Abs", "Neg", "Floor", "Ceil", "Round", "Sign", "Identity",
    "Flatten", "Transpose", "Shape", "Size", "DepthToSpace", "SpaceToDepth", "MaxPool", "AveragePool", "GlobalAveragePool", "GlobalMaxPool",
    "GlobalLpPool", "LpPool", "LRN", "LpNormalization", "LogSoftmax", "Not", "IsNaN", "Cast", "ArgMax", "ArgMin", "Hardmax", "NonZero",
    "Quantize", "Dequantize",
)  # fmt: skip
_TWO = (
    "Add", "Sub", "Mul", "Div", "Equal", "Greater", "GreaterOrEqual", "Less", "LessOrEqual", "And", "Or", "Xor", "Pow", "PRelu",
    "Mod", "Gather", "GatherElements", "Expand", "Tile", "Reshape", "Lookup", "TopK", "Unsqueeze", "CumSum",
)  # fmt: skip
_REDUCTIONS = tuple(f"Reduce{f}" for f in ("L1", "L2", "LogSum", "LogSumExp", "Max", "Mean", "Min", "Prod", "Sum", "SumSquare"))
COUNTS: Mapping[str, Count] = {
    **dict.fromkeys(_ONE, (1, 1)), **dict.fromkeys(_TWO, (2, 2)), **dict.fromkeys(_REDUCTIONS, (1, 2)),
    **dict.fromkeys(("Conv", "ConvTranspose", "Gemm", "MatMul", "LayerNormalization"), (2, 3)),
    "LSTM": (3, 8), "GRU": (3, 6), "RNN": (3, 6),
    **dict.fromkeys(("Where", "InstanceNormalization", "Select", "Range", "OneHot", "ScatterElements"), (3, 3)),
    "BatchNormalization": (5, 5), "Clip": (1, 3), "Slice": (3, 5), "Pad": (2, 4), "Resize": (1, 4), "GridSample": (2, 2),
    **dict.fromkeys(("Split", "Squeeze", "Softmax", "Trilu"), (1, 2)), **dict.fromkeys(("Concat", "Max", "Min", "Sum", "Mean"), (1, None)),
}  # fmt: skip


def operand_faults(node: Node) -> list[str]:
    """What is wrong with the number of a node's inputs, of an op that is declared here."""
    count = COUNTS.get(node.op)
    if count is None:
        return []
    least, most = count
    given = list(node.inputs)
    while given and not given[-1]:
        given.pop()
    if len(given) < least or (most is not None and len(given) > most):
        said = str(least) if least == most else f"at least {least}" if most is None else f"{least} to {most}"
        return [f"expected {said} inputs, got {len(given)}"]
    missing = [k for k, name in enumerate(given[: least if most is not None else None]) if not name]
    return [f"expected input {missing[0]}, got none"] if missing else []
