"""What inputs each op has: how many (at least so many, which must be there, and at most so many, of which the rest may be left out), and
of how many dimensions those are that say how or come along: weights, biases, scales, axes, sizes."""

from __future__ import annotations

from collections.abc import Mapping

from .graph import Node
from .types import TensorType

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
    "BlockwiseMatMul": (3, 5), "LSTM": (3, 8), "GRU": (3, 6), "RNN": (3, 6),
    **dict.fromkeys(("Where", "InstanceNormalization", "Select", "Range", "OneHot", "ScatterElements"), (3, 3)),
    "BatchNormalization": (5, 5), "Clip": (1, 3), "Slice": (3, 5), "Pad": (2, 4), "Resize": (1, 4), "GridSample": (2, 2),
    **dict.fromkeys(("Split", "Squeeze", "Softmax", "Trilu"), (1, 2)), **dict.fromkeys(("Concat", "Max", "Min", "Sum", "Mean"), (1, None)),
}  # fmt: skip
_NUMBER, _LIST, _ANY = (0, 1), (1, 1), 64  # NOTE: where a number is asked for, a list of one is one too; an LSTM of bytes has a state at 4
RANKS: Mapping[str, Mapping[int, tuple[int, int]]] = {  # by op and operand: at least and at most so many dimensions
    **dict.fromkeys(("Conv", "ConvTranspose"), {1: (3, _ANY), 2: _LIST}), "Gemm": {1: (2, 2), 2: (0, 2)},
    "BlockwiseMatMul": {0: (1, _ANY), 1: (2, 2), 2: (2, 2), 3: (2, 2), 4: _LIST},
    **dict.fromkeys(("LSTM", "GRU", "RNN"), {1: (2, 3), 2: (2, 3), 3: (1, 2), 4: (1, 3), 5: (3, 3), 6: (3, 3), 7: (2, 2)}),
    "BatchNormalization": dict.fromkeys(range(1, 5), _LIST), "InstanceNormalization": dict.fromkeys((1, 2), _LIST),
    **dict.fromkeys(_REDUCTIONS, {1: _NUMBER}), "Clip": dict.fromkeys((1, 2), _NUMBER), "Slice": dict.fromkeys(range(1, 5), _NUMBER),
    "Pad": dict.fromkeys((1, 2, 3), _NUMBER), "Resize": dict.fromkeys((1, 2, 3), _LIST), "Range": dict.fromkeys((0, 1, 2), _NUMBER),
    **dict.fromkeys(("Reshape", "Expand", "Tile", "Split", "Squeeze", "Unsqueeze", "TopK", "CumSum", "Trilu"), {1: _NUMBER}),
    "OneHot": {1: _NUMBER, 2: _LIST}, "Lookup": {1: (1, 2)},
}  # fmt: skip


def rank_faults(node: Node, types: Mapping[str, TensorType]) -> list[str]:
    """What is wrong with the number of dimensions of a node's operands, of those that have a known one."""
    faults = []
    for k, (least, most) in RANKS.get(node.op, {}).items():
        t = types.get(node.input(k))
        if t is not None and t.rank is not None and not least <= t.rank <= most:
            said = str(least) if least == most else f"{least} or more" if most == _ANY else f"{least} to {most}"
            faults.append(f"expected operand {k}, {node.input(k)!r}, of {said} dimensions, got {t.rank}")
    return faults


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
