"""qglow beside onnxruntime (and OpenVINO where it is installed) on the shapes of well-known networks, interleaved in one run.

    python -m bench.peers                        one thread, ResNet-50 and MobileNetV2
    python -m bench.peers --threads 2 --model my.onnx

Every runtime gets the same model, thread count and input; onnxruntime's int8 model is made by its own quantize_static (QDQ, u8 x s8,
weights per channel). What counts is the ratio of minima within the run: machines differ and are noisy.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_static
from onnxruntime.quantization.shape_inference import quant_pre_process

import qglow
from bench.shapes import NETWORKS
from qglow.report.latency import interleaved, onnxruntime_runner


class Feeds(CalibrationDataReader):
    """Hands each sample to onnxruntime's calibration once."""

    def __init__(self, samples: list[dict[str, np.ndarray]]) -> None:
        self.samples = iter(samples)

    def get_next(self) -> dict[str, np.ndarray] | None:
        return next(self.samples, None)


def onnxruntime_int8(model: Path, samples: list[dict[str, np.ndarray]]) -> Path:
    """onnxruntime's own int8 form of a model."""
    clean, out = model.with_suffix(".clean.onnx"), model.with_suffix(".qdq.onnx")
    quant_pre_process(str(model), str(clean), skip_symbolic_shape=True)
    quantize_static(str(clean), str(out), Feeds(samples), quant_format=QuantFormat.QDQ, per_channel=True,
                    activation_type=QuantType.QUInt8, weight_type=QuantType.QInt8)  # fmt: skip
    return out


def openvino_runner(model: Path, feeds: dict[str, np.ndarray], threads: int) -> Callable[[], Any] | None:
    try:
        import openvino
    except ImportError:
        return None
    settings = {"INFERENCE_NUM_THREADS": threads, "PERFORMANCE_HINT": "LATENCY", "INFERENCE_PRECISION_HINT": "f32"}
    request = openvino.Core().compile_model(str(model), "CPU", settings).create_infer_request()
    return lambda: request.infer(feeds)


def noise(model: onnx.ModelProto, count: int) -> list[dict[str, np.ndarray]]:
    """Normal noise for every input; 1 for symbolic dimensions."""
    rng = np.random.default_rng(2)
    known = {i.name for i in model.graph.initializer}
    shapes = {i.name: [d.dim_value or 1 for d in i.type.tensor_type.shape.dim] for i in model.graph.input if i.name not in known}
    return [{n: rng.normal(0, 1, s).astype(np.float32) for n, s in shapes.items()} for _ in range(count)]


def measure(model: onnx.ModelProto, threads: int, seconds: float) -> dict[str, dict[str, float]]:
    """Milliseconds of every runtime on one model."""
    samples = noise(model, 2)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.onnx"
        onnx.save(model, str(path))
        bundle = qglow.quantize(path, qglow.profile(path, samples), qglow.QuantConfig(calibration="minmax"))
        session = qglow.InferenceSession(bundle, threads)
        peer = onnxruntime_int8(path, samples)
        runs: dict[str, Callable[[], Any]] = {"qglow int8": lambda: session.run(None, samples[0])}
        runs["onnxruntime int8"] = onnxruntime_runner(peer, samples[0], threads)
        runs["onnxruntime fp32"] = onnxruntime_runner(path, samples[0], threads)
        other = openvino_runner(peer, samples[0], threads)
        if other is not None:
            runs["openvino int8"] = other
        return interleaved(runs, seconds, most=1000)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--seconds", type=float, default=5.0, help="time to measure each network for")
    parser.add_argument("--model", action="append", help="an .onnx file, or one of " + ", ".join(NETWORKS))
    parser.add_argument("--json", metavar="FILE")
    options = parser.parse_args()
    results = {}
    for name in options.model or NETWORKS:
        times = results[name] = measure(NETWORKS[name]() if name in NETWORKS else onnx.load(name), options.threads, options.seconds)
        print(f"{name}, {options.threads} thread(s)")
        for runtime, t in times.items():
            ratio = t["min"] / times["qglow int8"]["min"]
            spent = f"min {t['min']:8.3f} ms  median {t['median']:8.3f} ms"
            print(f"  {runtime:18s} {spent}  {ratio:5.2f} times qglow's  ({t['runs']:.0f} runs)")
    if options.json:
        Path(options.json).write_text(json.dumps(results, indent=1))


if __name__ == "__main__":
    main()
