"""qglow demo: profile, quantize, run and report on the small model that the repository carries."""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

from ..errors import DataError
from ..pipeline import profile, quantize
from ..report.beside import measure_beside
from ..report.compare import compare

EXAMPLES = """examples:
  qglow demo
  qglow demo --output out/
"""
FOLDER = Path(__file__).resolve().parents[2] / "calibration_data" / "digits"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--folder", default=str(FOLDER), help="model.onnx beside its data (default: the checkout's digits)")
    parser.add_argument("--output", help="keep profile, bundle and report there")


def run(options: argparse.Namespace) -> int:
    folder = Path(options.folder)
    model = folder / "model.onnx"
    if not model.is_file():
        raise DataError(f"{model}: not found; the demo runs from a checkout, or give --folder")
    with tempfile.TemporaryDirectory() as temporary:
        out = Path(options.output or temporary)
        out.mkdir(parents=True, exist_ok=True)
        recorded = profile(model, folder, samples=64, progress=not options.quiet)
        recorded.save(out / "digits.profile.json")
        print(f"profiled {len(recorded.tensors)} tensors over {recorded.samples} samples")
        bundle = quantize(model, recorded, check=folder)
        bundle.save(out / "digits.qglow")
        print(f"quantized: {bundle.manifest['float_bytes']} bytes of float weights became {bundle.manifest['int8_bytes']}")
        report = compare(model, bundle, folder, quiet=options.quiet)
        report.beside = measure_beside(out / "digits.qglow", model, folder, threads=1)
        report.save(out / "report.html")
        print(report.summary(), end="")
    return 0
