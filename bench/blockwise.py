"""One matrix product with block-wise weights beside onnxruntime's MatMulNBits (accuracy_level=4) and beside its float
path here.

    python -m bench.blockwise                                   2048 x 2048, 1 and 128 rows, blocks of 32, 64 and 128, 4
    and 8 bits python -m bench.blockwise --rows 1,16 --sizes 32 --threads 2 --points --json blocks.json

All run in one process on the same input and take turns of some milliseconds, of which the first call, which finds
another's data in the caches, is not counted. A ratio is qglow's median over the other's: below 1 qglow is faster. float
is the product with the same weights as float32 (`compute` "float32"). --points: a zero point for each block.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

import qglow
from qglow.graph import DType, Graph, Node, Quant, TensorType
from qglow.onnx_import.export_qdq import export_qdq
from qglow.reference.blockwise import packed_nibbles

from . import options

WARM, MOST = 5, 4000  # calls before any is timed, and calls of each at most
TURN = 3e-3  # seconds
Run = Callable[[], Any]


def product(width: int, size: int, bits: int, points: bool, compute: str) -> Graph:
    """x [M, width] by weights [width, width]."""
    rng, blocks = np.random.default_rng(0), width // size
    q = rng.integers(0, 1 << bits, (width, width)).astype(np.uint8)
    constants = {
        "w": packed_nibbles(q) if bits == 4 else q,
        "s": rng.normal(0, 0.02, (width, blocks)).astype(np.float32),
    }
    names = ("x", "w", "s")
    if points:
        constants["z"] = rng.integers(0, 1 << bits, (width, blocks)).astype(np.uint8)
        names = (*names, "z")
    rows = TensorType(DType.F32, ("M", width))
    types = {n: TensorType(DType.of(a.dtype), a.shape) for n, a in constants.items()} | {"x": rows, "y": rows}
    types["w"] = TensorType(DType.U4 if bits == 4 else DType.U8, (width, width), Quant.blockwise(1, size))
    return Graph(
        "product",
        ("x",),
        ("y",),
        (Node("BlockwiseMatMul", names, ("y",), {"compute": compute}, "mm"),),
        types,
        constants,
    )


def matmul(graph: Graph) -> onnx.ModelProto:
    """The float product of the same shape."""
    width = graph.types["w"].static_shape[0]
    w = np.random.default_rng(0).normal(0, 0.02, (width, width)).astype(np.float32)
    ends = [helper.make_tensor_value_info(n, TensorProto.FLOAT, ["M", width]) for n in "xy"]
    node = helper.make_node("MatMul", ["x", "w"], ["y"])
    made = helper.make_graph([node], "float", ends[:1], ends[1:], [numpy_helper.from_array(w, "w")])
    return helper.make_model(made, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


def onnxruntime_run(model: onnx.ModelProto, x: Any, threads: int) -> Run:
    import onnxruntime as ort

    chosen = ort.SessionOptions()
    chosen.intra_op_num_threads = threads
    session = ort.InferenceSession(model.SerializeToString(), chosen, providers=["CPUExecutionProvider"])
    return lambda: session.run(None, {"x": x})


def runs_of(rows: int, size: int, bits: int, o: argparse.Namespace) -> dict[str, Run]:
    """What is timed, by name; each was called already."""
    x = np.random.default_rng(1).normal(0, 1, (rows, o.width)).astype(np.float32)
    graphs = {c: product(o.width, size, bits, o.points, c) for c in ("int8", "float32")}
    sessions = {c: qglow.InferenceSession(g, threads=o.threads) for c, g in graphs.items()}
    found: dict[str, Run] = {
        "qglow": lambda: sessions["int8"].run(None, {"x": x}),
        "float": lambda: sessions["float32"].run(None, {"x": x}),
        "ort": onnxruntime_run(export_qdq(graphs["int8"]), x, o.threads),
        "ort float": onnxruntime_run(matmul(graphs["int8"]), x, o.threads),
    }
    for run in found.values():
        for _ in range(WARM):
            run()
    return found


def timed(runs: dict[str, Run], seconds: float) -> dict[str, Any]:
    """Microseconds of each call: the least, the median, and the 99th percentile."""
    spent: dict[str, list[float]] = {name: [] for name in runs}
    end = time.perf_counter() + seconds
    while time.perf_counter() < end and len(spent["qglow"]) < MOST:
        for name, run in runs.items():
            run()
            until = time.perf_counter() + TURN
            while (start := time.perf_counter()) < until:
                run()
                spent[name].append(1e6 * (time.perf_counter() - start))
    return {
        n: {"min": min(t), "median": float(np.median(t)), "p99": float(np.percentile(t, 99))} for n, t in spent.items()
    }


def main() -> int:
    p = options.parser(__doc__)
    for name, default in (("rows", "1,128"), ("sizes", "32,64,128"), ("bits", "4,8")):
        p.add_argument(
            f"--{name}",
            type=lambda text: [int(v) for v in text.split(",")],
            default=default,
            help="default %(default)s",
        )
    p.add_argument("--width", type=int, default=2048, help="rows and columns of the weights (default %(default)s)")
    p.add_argument("--threads", type=int, default=1, help="default %(default)s")
    p.add_argument("--seconds", type=float, default=2.0, help="for each line (default %(default)s)")
    p.add_argument("--points", action="store_true", help="a zero point for each block")
    options.add_json(p)
    o = p.parse_args()
    print(
        "| rows | bits | block | qglow us: min, median, p99 | ort us: min, median, p99 | over ort | over float | "
        "over ort float |"
    )
    print("| ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: |")
    lines = []
    for rows, bits, size in ((r, b, s) for r in o.rows for b in o.bits for s in o.sizes):
        found = timed(runs_of(rows, size, bits, o), o.seconds)
        over = {n: found["qglow"]["median"] / found[n]["median"] for n in ("ort", "float", "ort float")}
        lines.append({"rows": rows, "bits": bits, "block": size, "us": found, "over": over})
        cells = [", ".join(f"{v:.0f}" for v in found[n].values()) for n in ("qglow", "ort")]
        print(
            f"| {rows} | {bits} | {size} | {' | '.join(cells)} | {' | '.join(f'{v:.2f}' for v in over.values())} |",
            flush=True,
        )
    if o.json:
        o.json.write_text(json.dumps(lines, indent=1))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
