"""The most memory that profiling ever has, over few samples and over many: it should not depend on how many.

    python -m bench.memory
    python -m bench.memory --model squeezenet1.1_imagenet --counts 20,200 --peer

A fresh process each. --peer adds onnxruntime's calibrators on the same samples, which keep what they have seen.
"""

from __future__ import annotations

import sys

import onnx

from qglow.errors import in_one_line
from tests import shared_models

from . import options
from .children import run

SAMPLES = """
import sys
import numpy as np
name, shape, count = sys.argv[2], tuple(map(int, sys.argv[3].split(","))), int(sys.argv[4])
samples = ({name: np.random.default_rng(k).normal(0, 50, shape).astype(np.float32)} for k in range(count))
"""
QGLOW = """
import qglow
profile = qglow.profile(sys.argv[1], samples)
found = {"samples": profile.samples}
"""
ONNXRUNTIME = """
import os, tempfile
from onnxruntime.quantization import CalibrationDataReader, CalibrationMethod
from onnxruntime.quantization.calibrate import create_calibrator
class Reader(CalibrationDataReader):
    def get_next(self): return next(samples, None)
with tempfile.TemporaryDirectory() as folder:
    calibrator = create_calibrator(sys.argv[1], None, os.path.join(folder, "a.onnx"), CalibrationMethod.METHOD)
    calibrator.collect_data(Reader())
    calibrator.compute_data()
"""


def main() -> int:
    parser = options.parser(__doc__)
    parser.add_argument(
        "--model", type=options.real_models, default="squeezenet1.1_imagenet", help="with one input of known shape"
    )
    parser.add_argument("--counts", type=options.numbers, default="20,200", help="numbers of samples, by comma")
    parser.add_argument(
        "--peer", action="store_true", help="also onnxruntime's MinMax, Entropy and Percentile calibrators"
    )
    given = parser.parse_args()
    model = given.model[0]
    path = shared_models.path(model)
    value = onnx.load(path, load_external_data=False).graph.input[0]
    shape = ",".join(str(d.dim_value or 1) for d in value.type.tensor_type.shape.dim)
    codes = {"qglow": QGLOW}
    if given.peer:
        codes |= {f"onnxruntime {m}": ONNXRUNTIME.replace("METHOD", m) for m in ("MinMax", "Entropy", "Percentile")}
    counts = given.counts
    print(f"{model}: peak MiB of a process over so many samples")
    print(f"{'':24s}" + "".join(f"{c:>10d}" for c in counts))
    for name, code in codes.items():
        peaks = []
        for count in counts:
            try:
                peaks.append(f"{run(SAMPLES + code, str(path), value.name, shape, str(count)).peak_mib:10.0f}")
            except Exception as error:
                peaks.append(f"{in_one_line(error, 40):>10s}")
        print(f"{name:24s}" + "".join(peaks), flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
