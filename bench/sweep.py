"""Products of many shapes, one at a time: speed, the part of the measured peak, and OpenVINO's time on the same
product.

    python -m bench.sweep gemm
    python -m bench.sweep conv --threads 2 --json conv.json

Both runtimes are timed inside, the product alone: qglow's instructions in the executor, OpenVINO's nodes by its own
counters (whole microseconds). u8 activations, s8 weights per channel, u8 results. `of roof` is against the lower of the
peak and what reading the operands from memory allows; a small product reads from caches and may be above it.
"""

from __future__ import annotations

import json
import sys
import tempfile
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import onnx

import qglow
from qglow.runtime.machine_limits import MachineLimits, machine_roof
from qglow.runtime.step_profile import time_steps

from . import options
from .single import Conv, Gemm, Operator

MOST_OPS = 9e9
ENDS = ("quantize", "dequantize")
OV_PRODUCTS = ("FullyConnected", "MatMul", "Convolution", "GroupConvolution")


def gemms() -> list[Gemm]:
    """M from 1 to 4096, N and K from 16 to 4096, those that take no more than some milliseconds."""
    sides = [
        (16, 16),
        (64, 64),
        (256, 256),
        (1024, 256),
        (256, 1024),
        (1024, 1024),
        (4096, 1024),
        (1024, 4096),
        (4096, 4096),
    ]
    shapes = [Gemm(m, n, k) for n, k in sides for m in (1, 4, 16, 64, 256, 1024, 4096)]
    odd = [Gemm(197, 192, 192), Gemm(128, 1536, 384), Gemm(7, 1000, 513), Gemm(100, 10, 784)]
    return [g for g in (*shapes, *odd) if g.ops <= MOST_OPS]


def convs() -> list[Conv]:
    """Layers of well-known networks: stems, 1x1, 3x3, strided, grouped, depthwise, and few channels."""
    resnet = [
        Conv(224, 3, 64, 7, 2), Conv(56, 64, 64, 3), Conv(56, 64, 256), Conv(28, 128, 128, 3), Conv(14, 256, 256, 3),
        Conv(7, 512, 512, 3),
        Conv(56, 256, 512, 1, 2), Conv(14, 1024, 256), Conv(7, 2048, 512), Conv(28, 256, 256, 3, 2),
    ]  # fmt: skip
    mobile = [
        Conv(224, 3, 32, 3, 2), Conv(112, 32, 32, 3, 1, 32), Conv(112, 16, 96), Conv(112, 96, 96, 3, 2, 96),
        Conv(56, 24, 144),
        Conv(56, 144, 144, 3, 1, 144), Conv(28, 240, 240, 5, 1, 240), Conv(14, 576, 576, 3, 1, 576), Conv(14, 96, 576),
        Conv(7, 960, 960, 3, 1, 960), Conv(7, 320, 1280), Conv(1, 96, 24),
    ]  # fmt: skip
    other = [
        Conv(32, 16, 16, 3), Conv(56, 128, 128, 3, 1, 32), Conv(224, 64, 32, 3), Conv(160, 8, 8, 3), Conv(52, 116, 116),
        Conv(320, 3, 16, 3, 2),
    ]  # fmt: skip
    return [*resnet, *mobile, *other]


def measure(operator: Operator, threads: int, folder: Path) -> dict[str, Any]:
    """Seconds of both runtimes; OpenVINO's is None where it is not installed or does not run it as one int8 product."""
    model = operator.model(quantized=False)
    shape = [d.dim_value for d in model.graph.input[0].type.tensor_type.shape.dim]
    feeds = {"x": np.random.default_rng(0).normal(0, 1, shape).astype(np.float32)}
    recorded = qglow.profile(model, [feeds], engine="onnxruntime")
    config = qglow.QuantConfig(calibration="minmax", float_outputs=False)
    session = qglow.InferenceSession(qglow.quantize(model, recorded, config), threads)
    steps = [s for s in time_steps(session, feeds) if s.kind not in ENDS]
    kinds = "+".join(s.kind for s in steps)
    return {
        "seconds": sum(s.seconds for s in steps),
        "kinds": kinds,
        "openvino": openvino_seconds(operator, feeds, threads, folder),
    }


def openvino_seconds(operator: Operator, feeds: dict[str, np.ndarray], threads: int, folder: Path) -> float | None:
    try:
        import openvino
    except ImportError:
        return None
    path = folder / "single.onnx"
    onnx.save(operator.model(quantized=True), str(path))
    settings = {
        "INFERENCE_NUM_THREADS": threads,
        "PERFORMANCE_HINT": "LATENCY",
        "PERF_COUNT": "YES",
        "INFERENCE_PRECISION_HINT": "f32",
    }
    request = openvino.Core().compile_model(str(path), "CPU", settings).create_infer_request()
    best = float("inf")
    for _ in range(min(200, max(10, int(1e10 / operator.ops)))):
        request.infer(feeds, share_inputs=True, share_outputs=True)
        nodes = [n for n in request.profiling_info if n.node_type in OV_PRODUCTS]
        if len(nodes) != 1 or "I8" not in nodes[0].exec_type:
            return None
        best = min(best, nodes[0].real_time.total_seconds())
    return best or 1e-6


COLUMNS = (
    ("shape", -24),
    ("MOP", 9),
    ("us", 10),
    ("GOP/s", 8),
    ("of peak", 8),
    ("of roof", 8),
    ("GB/s", 7),
    ("OpenVINO", 9),
    ("ratio", 7),
)
CLEAR = 5e-6
"""Seconds: below it OpenVINO's counters, in whole microseconds, say too little for a mean."""


def show(operator: Operator, row: dict[str, Any], roof: MachineLimits) -> None:
    seconds, peer = row["seconds"], row["openvino"]
    speed = operator.ops / seconds
    limit = min(roof.peak, operator.ops / operator.moved * roof.memory)
    text = f"{operator!s:24s} {operator.ops / 1e6:9.2f} {seconds * 1e6:10.1f} {speed / 1e9:8.1f}"
    text += f" {100 * speed / roof.peak:7.1f}% {100 * speed / limit:7.1f}% {operator.moved / seconds / 1e9:7.1f}"
    text += f" {peer * 1e6:9.0f} {seconds / peer:7.2f}" if peer else f" {'-':>9s} {'-':>7s}"
    print(f"{text}  {row['kinds']}", flush=True)


def main() -> int:
    parser = options.parser(__doc__)
    parser.add_argument("what", choices=("gemm", "conv"))
    parser.add_argument("--threads", type=int, default=1)
    options.add_json(parser)
    given = parser.parse_args()
    roof = machine_roof(given.threads)
    speeds = f"peak {roof.peak / 1e9:.0f} GOP/s, memory {roof.memory / 1e9:.0f} GB/s, cache {roof.cache / 1e9:.0f} GB/s"
    print(f"{speeds}, {roof.threads} thread(s)")
    print(" ".join(f"{name:<{-width}s}" if width < 0 else f"{name:>{width}s}" for name, width in COLUMNS), " kinds")
    operators: Iterable[Operator] = gemms() if given.what == "gemm" else convs()
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        for operator in operators:
            row = measure(operator, given.threads, Path(folder))
            show(operator, row, roof)
            rows.append({"shape": str(operator), "ops": operator.ops, "moved": operator.moved, **row})
    ratios = [r["seconds"] / r["openvino"] for r in rows if (r["openvino"] or 0) >= CLEAR]
    if ratios:
        mean = np.exp(np.mean(np.log(ratios)))
        print(
            f"geometric mean of qglow's time over OpenVINO's: {mean:.2f} on {len(ratios)} shapes of "
            f"{CLEAR * 1e6:.0f} us or more"
        )
    if given.json:
        given.json.write_text(json.dumps({"peak": roof.peak, "memory": roof.memory, "rows": rows}, indent=1))
    return 0


if __name__ == "__main__":
    sys.exit(main())
