"""NNCF's post-training quantization, run by OpenVINO: a program for an interpreter that has both.

    PYTHON nncf_peer.py MODEL.onnx SAMPLES.npz ANSWERS.npz [transformer]

SAMPLES: `c/NUMBER/NAME` calibrate, `t/NUMBER/NAME` are answered. ANSWERS: `NUMBER/OUTPUT`, and `seconds` of quantizing.
"""

from __future__ import annotations

import sys
import time
from typing import Any

import numpy as np


def samples(file: Any, kind: str) -> list[dict[str, np.ndarray]]:
    found: dict[int, dict[str, np.ndarray]] = {}
    for key in file.files:
        k, number, name = key.split("/", 2)
        if k == kind:
            found.setdefault(int(number), {})[name] = file[key]
    return [found[k] for k in sorted(found)]


def main(model: str, source: str, target: str, kind: str = "") -> None:
    import nncf
    import openvino

    nncf.set_log_level("ERROR")
    with np.load(source) as file:
        calibration, tests = samples(file, "c"), samples(file, "t")
    start = time.perf_counter()
    made = nncf.quantize(
        openvino.Core().read_model(model), nncf.Dataset(calibration), subset_size=len(calibration),
        model_type=nncf.ModelType.TRANSFORMER if kind else None,
    )  # fmt: skip
    seconds = time.perf_counter() - start
    settings = {"INFERENCE_NUM_THREADS": 1, "PERFORMANCE_HINT": "LATENCY", "INFERENCE_PRECISION_HINT": "f32"}
    compiled = openvino.Core().compile_model(made, "CPU", settings)
    answers: dict[str, Any] = {"seconds": seconds}
    for k, sample in enumerate(tests):
        found = compiled({p: sample[next(n for n in sample if n in p.get_names())] for p in compiled.inputs})
        answers |= {f"{k}/{i}": np.asarray(found[o]) for i, o in enumerate(compiled.outputs)}
    np.savez(target, **answers)


if __name__ == "__main__":
    main(*sys.argv[1:])
