"""Time and peak memory of calibrating and quantizing, each tool in a fresh process: qglow beside quantize_static and
NNCF.

    python -m bench.quantize_time
    python -m bench.quantize_time --models mobilenetv2,squeezenet1.1_imagenet --images 100 --json quantize.json

Every tool reads the same samples one by one from the disk. quantize_static is called as its documentation shows, once
with MinMax and once with Entropy; what it keeps of each sample is its own choice. A tool that needs more memory than
`--memory` is stopped and named.
"""

from __future__ import annotations

import json
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np

from qglow.errors import in_one_line

from . import options
from .children import run
from .models import NETWORKS, real
from .prepared import Prepared, noise, prepare

START = """
import glob, resource, sys, time
import numpy as np
model, folder, out, limit = sys.argv[1:5]
resource.setrlimit(resource.RLIMIT_AS, (int(float(limit) * 2**30),) * 2)
files = sorted(glob.glob(folder + "/*.npz"))
samples = (dict(np.load(f)) for f in files)
import logging; logging.disable(logging.ERROR)
start = time.perf_counter()
"""
QGLOW = """
import qglow
profile = qglow.profile(model, folder, engine={engine!r})
middle = time.perf_counter()
config = qglow.QuantConfig(min_agreement_sqnr_db=-100.0)
qglow.quantize(model, profile, config).save(out)
found = {{"seconds": time.perf_counter() - start, "profile_s": middle - start}}
"""
STATIC = """
from qglow.report.peers import onnxruntime_int8
onnxruntime_int8(model, out, samples, method={method!r})
found = {{"seconds": time.perf_counter() - start}}
"""
NNCF = """
import nncf, openvino
nncf.set_log_level("ERROR")
data = nncf.Dataset(files, lambda f: dict(np.load(f)))
quantized = nncf.quantize(openvino.Core().read_model(model), data, subset_size=len(files))
openvino.save_model(quantized, out + ".xml")
found = {"seconds": time.perf_counter() - start}
"""
TOOLS = {
    "qglow": QGLOW.format(engine="qglow"),
    "qglow on onnxruntime": QGLOW.format(engine="onnxruntime"),
    "quantize_static MinMax": STATIC.format(method="MinMax"),
    "quantize_static Entropy": STATIC.format(method="Entropy"),
    "nncf": NNCF,
}


def samples_of(model: Prepared, count: int) -> list[dict[str, np.ndarray]]:
    """Real ones where the model has them, else noise."""
    import onnx

    return noise(onnx.load(model.path), count) if model.name in NETWORKS else real.load(model.name, count)[1]


def measure(model: Prepared, count: int, memory: float) -> dict[str, dict[str, Any]]:
    results: dict[str, dict[str, Any]] = {}
    with tempfile.TemporaryDirectory() as folder:
        for k, feeds in enumerate(samples_of(model, count)):
            np.savez(Path(folder) / f"{k:04d}.npz", **feeds)  # type: ignore[arg-type]
        for name, code in TOOLS.items():
            try:
                ran = run(START + code, str(model.path), folder, str(Path(folder) / "out"), str(memory))
                results[name] = {**ran.found, "process_s": ran.seconds, "peak_mib": ran.peak_mib}
            except Exception as error:
                results[name] = {"failed": f"{type(error).__name__}: {in_one_line(error)}"}
            show(model.name, name, results[name])
    return results


def show(model: str, tool: str, row: dict[str, Any]) -> None:
    if "failed" in row:
        print(f"{model:24s} {tool:24s} failed: {row['failed']}", flush=True)
        return
    print(f"{model:24s} {tool:24s} {row['seconds']:10.1f} {row['process_s']:10.1f} {row['peak_mib']:10.0f}", flush=True)


def main() -> int:
    parser = options.parser(__doc__)
    options.add_models(parser, "mobilenetv2")
    parser.add_argument("--images", type=int, default=100)
    parser.add_argument("--memory", type=float, default=14.0, help="GiB of address space that a tool may take")
    options.add_json(parser)
    given = parser.parse_args()
    print(f"{'model':24s} {'tool':24s} {'work s':>10s} {'process s':>10s} {'peak MiB':>10s}")
    results = {name: measure(prepare(name, given.cache), given.images, given.memory) for name in given.models}
    if given.json:
        given.json.write_text(json.dumps(results, indent=1))
    return 0


if __name__ == "__main__":
    sys.exit(main())
