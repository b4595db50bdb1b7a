"""Block-wise weights rounded to the nearest and learned (`--effort best`), on samples that took no part, beside
onnxruntime's MatMulNBitsQuantizer.

    python -m bench.rounding [MODEL ...]

Every product whose rows are whole blocks gets block-wise weights, and all else stays float. onnxruntime's quantizer
wants the package onnx_ir; without it its columns are empty.
"""

from __future__ import annotations

import contextlib
import io
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime

import qglow
from qglow.ops.traits import MATRIX_PRODUCT
from qglow.pipeline import ReadModel

from .accuracy import made, subjects
from .accuracy.agreement import powers, summary
from .options import parser

MODELS = ("stories260K_llama", "vittrack_opencv", "transformer", "mlp")
SIZE = 32


def products(path: Path) -> list[str]:
    """Nodes whose weights can be in blocks of SIZE."""
    graph, found = ReadModel(str(path)).graph, []
    for node in graph.nodes:
        w = graph.constants.get(node.inputs[1]) if node.has(MATRIX_PRODUCT) else None
        turned = node.op == "Gemm" and bool(node.attr("transB"))
        if w is not None and w.ndim == 2 and w.shape[1 if turned else 0] % SIZE == 0:
            found.append(node.name)
    return found


def by_onnxruntime(subject: subjects.Subject, symmetric: bool) -> Callable[..., Any] | None:
    try:
        from onnxruntime.quantization import matmul_nbits_quantizer as m
    except ImportError:
        return None
    m.logger.setLevel("WARNING")
    config = m.DefaultWeightOnlyQuantConfig(block_size=SIZE, is_symmetric=symmetric, accuracy_level=4)
    with contextlib.redirect_stdout(io.StringIO()):
        quantizer = m.MatMulNBitsQuantizer(onnx.load(subject.path), algo_config=config)
        quantizer.process()
    proto = quantizer.model.model.SerializeToString()
    return onnxruntime.InferenceSession(proto, providers=["CPUExecutionProvider"]).run


def row(subject: subjects.Subject, call: Callable[..., Any] | None) -> str:
    if call is None:
        return "-"
    real = onnxruntime.InferenceSession(str(subject.path), providers=["CPUExecutionProvider"])
    answers = [call(None, dict(s)) for s in subject.tests]
    pairs = [powers(real.run(None, dict(s)), a) for s, a in zip(subject.tests, answers, strict=True)]
    text = f"{summary(np.array([s for s, _ in pairs]), np.array([n for _, n in pairs]), None).mean:.1f}"
    if subject.score is not None:
        text += f" ({np.mean([subject.score(k, a) for k, a in enumerate(answers)]):.2f})"
    return text


def main(arguments: list[str]) -> int:
    p = parser(__doc__)
    p.add_argument("models", nargs="*", default=list(MODELS))
    chosen = p.parse_args(arguments).models
    onnxruntime.set_default_logger_severity(4)
    print("| model | weights | products | onnxruntime | its zero points | nearest | learned | seconds |")
    with tempfile.TemporaryDirectory() as folder:
        for name in chosen:
            subject = subjects.load(name, "made" if name in made.MODELS else "shared", None, Path(folder))
            names = products(subject.path)
            for weights in ("int4_block", "int8_block"):
                config = {"weights": weights, "block_size": SIZE, "block_nodes": names, "min_agreement_sqnr_db": -99.0}
                nearest = qglow.quantize(subject.path, None, config, check=False)
                start = time.perf_counter()
                best = qglow.quantize(subject.path, None, {**config, "effort": "best"}, check=subject.calibration)
                seconds = time.perf_counter() - start
                peers = [by_onnxruntime(subject, s) if weights == "int4_block" else None for s in (True, False)]
                calls = [*peers, *(qglow.InferenceSession(b, 1).run for b in (nearest, best))]
                cells = [row(subject, c) for c in calls]
                print(f"| {name} | {weights} | {len(names)} | {' | '.join(cells)} | {seconds:.1f} |", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
