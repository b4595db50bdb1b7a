"""What is known of the sweep's cases before they run: shapes without evaluating an op, and which of them kernels
compute."""

from __future__ import annotations

from collections import Counter
from functools import cache

import numpy as np
from sweep.case import Case
from sweep.expected_failures import rows_of
from sweep.judge import model_of, oracle, with_types
from sweep.test_sweep import GROUPS

from qglow.graph import Graph, TensorType
from qglow.instructions.lower import lower
from qglow.instructions.program import HostCall
from qglow.onnx_import.onnx_fallback import HELD
from qglow.pipeline import float_graph
from qglow.reference import retype
from qglow.reference.refine import refine

# ops whose shape is found by evaluating them on stand-ins, in some of their forms or in all
EVALUATED = {
    "Flatten", "Softmax", "LogSoftmax", "TopK", "Conv", "ConvTranspose", "MatMul", "Onnx", "MaxPool", "AveragePool",
    "Resize", "Reshape",
    "Squeeze", "Slice", "Split", "Tile", "Pad", "DepthToSpace", "SpaceToDepth", "QuantizeLinear", "DequantizeLinear",
    "OneHot", "LRN",
    "GroupNormalization", "LSTM", "GRU", "RNN", "GridSample",
    "LpPool", "GlobalLpPool", "LpNormalization", "MaxRoiPool", "RoiAlign", "MaxUnpool", "Hardmax", "ScatterElements",
}  # fmt: skip
# of the cases of an op with a kernel, how many run on the host at most: other dtypes, ranks and forms
ON_HOST = {
    "Sigmoid": 3, "Abs": 7, "Sqrt": 2, "Neg": 5, "Relu": 4, "Tanh": 2, "Exp": 2, "Reciprocal": 1, "Log": 1, "Gelu": 2,
    "HardSwish": 1,
    "Pow": 13, "Add": 11, "Sub": 11, "Mul": 11, "Div": 12, "Min": 14, "Max": 14, "Clip": 16, "Softmax": 14,
    "ReduceMean": 22,
    "ReduceSum": 22, "ReduceMax": 24, "Conv": 13, "ConvTranspose": 6, "MatMul": 14, "Gemm": 154,
    "LayerNormalization": 12,
    "GlobalMaxPool": 4, "GlobalAveragePool": 4, "AveragePool": 25, "MaxPool": 8, "Resize": 170, "Gather": 28,
    "Reshape": 1, "Concat": 1,
    "Slice": 19, "Pad": 55, "BatchNormalization": 4, "LeakyRelu": 0, "HardSigmoid": 0, "Identity": 0, "Erf": 0,
    "Swish": 0, "PRelu": 0,
    "Flatten": 0, "Transpose": 0, "Squeeze": 0, "Unsqueeze": 0, "Expand": 0, "Split": 0, "LSTM": 31,
}  # fmt: skip
BY_DATA = dict.fromkeys(
    ("Reshape", "Slice", "Expand", "Tile", "Pad", "TopK", "Trilu", "Gather", "Resize", "OneHot", "MaxUnpool"), 1
)
ALL_BY_DATA = ("Range", "ConstantOfShape", "NonZero", "Compress", "Unique", "NonMaxSuppression")


def is_known(c: Case) -> bool:
    """Whether the case's shape follows from those of its inputs."""
    later = [i for i in c.inputs[BY_DATA.get(c.op, len(c.inputs)) :] if isinstance(i, np.ndarray)]
    # NOTE: an op of HELD has no rule of shapes
    return c.op not in (*ALL_BY_DATA, *HELD) and not later and not rows_of(c.name)


@cache
def graphs() -> list[Graph]:
    """The float graphs of all cases whose shapes are known, by opset and family, with the types of their values."""
    found = []
    for cases in GROUPS.values():
        kept = [c for c in cases if is_known(c)]
        if kept:
            model, feeds = model_of(kept)
            graph = float_graph(with_types(model, oracle(model, feeds)))
            found.append(retype(graph, {name: a.shape for name, a in feeds.items()}))
    return found


def test_shapes_follow_from_shapes() -> None:
    unknown: set[str] = set()
    for graph in graphs():
        given = {*graph.inputs, *graph.constants}
        bare = {v: t if v in given else TensorType(t.dtype, None, t.quant) for v, t in graph.types.items()}
        types = refine(graph.with_(types=bare)).types
        for node in graph.nodes:
            for o in filter(None, node.outputs):
                if types[o].shape is None or not types[o].is_static:
                    unknown.add(node.op)
                else:
                    assert types[o].shape == graph.types[o].shape, f"{node.op}: {types[o]} for {graph.types[o]}"
    assert unknown <= EVALUATED


def test_kernels_compute_what_they_can() -> None:
    host: Counter[str] = Counter()
    for graph in graphs():
        host.update(s.node.op for s in lower(graph, "avx2").steps if isinstance(s, HostCall))
    more = {op: (host[op], most) for op, most in ON_HOST.items() if host[op] > most}
    assert not more, f"cases on the host, and how many there may be: {more}"
