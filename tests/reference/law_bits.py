"""Print a checksum of what the reference makes of each of many nodes: run under different CPUs, or what numpy takes for
them."""

from __future__ import annotations

import json
import sys
import zlib
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import onnx

sys.path.insert(0, str(Path(__file__).parent.parent))
from sweep import pointwise, products, recurrent, reductions, shaping, windowing  # noqa: E402
from sweep.case import Case, Fixed, case, ints, normal, scalar  # noqa: E402
from sweep.judge import model_of, models_of  # noqa: E402

from qglow.graph import Graph  # noqa: E402
from qglow.onnx_import import load  # noqa: E402
from qglow.reference import evaluate_node  # noqa: E402

FAMILIES = [f for m in (pointwise, reductions, products, windowing, shaping, recurrent) for f in m.FAMILIES]
UNARY = (
    "Sin", "Cos", "Tan", "Sinh", "Cosh", "Tanh", "Asinh", "Atan", "Exp", "Erf", "Elu", "Selu", "Celu", "Mish",
    "Softplus", "Softsign",
    "Sigmoid", "Gelu", "HardSigmoid", "HardSwish", "Softmax", "LogSoftmax",
)  # fmt: skip
POSITIVE = ("Log", "Sqrt", "Acosh", "Reciprocal")
REDUCE = (
    "ReduceSum",
    "ReduceMean",
    "ReduceL1",
    "ReduceL2",
    "ReduceSumSquare",
    "ReduceLogSumExp",
    "ReduceProd",
    "ReduceMax",
    "ReduceMin",
)


def large() -> Iterator[Case]:
    """Inputs of many vector registers, whose sums are rounded at each step."""
    for dtype in (np.float32, np.float64, np.float16):
        x = normal(3, 1003, scale=4, dtype=dtype)
        for op in UNARY:
            yield case(op, x, opset=22)
        for op in POSITIVE:
            yield case(op, np.abs(x) + dtype(1), opset=22)
        yield case("Pow", np.abs(x) + dtype(0.1), normal(3, 1003, seed=1, dtype=dtype), opset=15)
        yield case("Pow", np.abs(x) + dtype(0.1), scalar(0.7, dtype), opset=15)
        for op in REDUCE:
            for axes in ((0,), (1,), (0, 1)):
                yield case(op, 1 + x / dtype(100), ints(*axes), opset=18)
        yield case("CumSum", x, ints(1), opset=14)
        yield case("MatMul", normal(9, 301, dtype=dtype), normal(301, 47, dtype=dtype), opset=13)
    image = normal(1, 8, 33, 35)
    yield case("Conv", image, Fixed(normal(16, 8, 3, 3)), opset=11)
    yield case("ConvTranspose", image, Fixed(normal(8, 5, 3, 3)), opset=11, dilations=[2, 2], strides=[3, 2])
    for op in ("GlobalAveragePool", "GlobalMaxPool"):
        yield case(op, image, opset=22)
    yield case("InstanceNormalization", image, Fixed(normal(8)), Fixed(normal(8, seed=1)), opset=6 + 1)
    yield case("LayerNormalization", image, Fixed(normal(33, 35)), opset=17, axis=2)
    yield case("Gemm", normal(30, 101), normal(101, 50), normal(50), opset=13, alpha=0.3, beta=0.7)


def bits(a: np.ndarray) -> int:
    """A checksum of the bytes, with one form of what is not a number."""
    a = np.ascontiguousarray(a)
    if a.dtype.kind == "f":
        a = np.where(a != a, a.dtype.type(np.nan), a)
    return zlib.crc32(a.tobytes()) if a.dtype.kind not in "OU" else zlib.crc32(repr(a.tolist()).encode())


def graphs(cases: list[Case]) -> Iterator[Graph]:
    """Graphs of many nodes each, and the values that they are given as constants; what cannot be loaded is left out."""
    model, feeds = model_of(cases)
    try:
        inferred = onnx.shape_inference.infer_shapes(model)
        kept = [o for o in inferred.graph.output if o.type.tensor_type.elem_type]
        del inferred.graph.output[:]
        inferred.graph.output.extend(kept)
        graph = load(inferred)
    except Exception:  # noqa: BLE001  (what cannot be loaded is another test's matter)
        if len(cases) > 1:
            yield from graphs(cases[: len(cases) // 2])
            yield from graphs(cases[len(cases) // 2 :])
        return
    yield graph.with_(constants={**graph.constants, **feeds})


def main() -> None:
    found: dict[str, list[int]] = {}
    cases = {c.name: c for family in (*FAMILIES, large) for c in family()}.values()
    for number, group in enumerate(models_of(cases)):
        for part, graph in enumerate(graphs(group)):
            values = dict(graph.constants)
            for node in graph.nodes:
                inputs = [values.get(i) for i in node.inputs]
                if node.op == "Onnx" or any(i and v is None for i, v in zip(node.inputs, inputs, strict=True)):
                    continue
                name = f"{number}.{part} {node.name} {node.outputs[0]}"
                try:
                    made = evaluate_node(graph, node, inputs)
                except Exception as error:  # noqa: BLE001
                    found[name] = [zlib.crc32(type(error).__name__.encode())]
                    continue
                values |= dict(zip(node.outputs, made, strict=False))
                found[name] = [bits(y) for y in made]
    print(json.dumps(found))


if __name__ == "__main__":
    main()
