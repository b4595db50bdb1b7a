"""qglow demo: profile, quantize, run and report on the small model that the repository carries."""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

from ..errors import DataError
from ..files import make_folder
from ..kernels import library
from ..pipeline import compare, measure_peers, profile, quantize
from ..words import counted

EXAMPLES = """examples:
  qglow demo
  qglow demo --output out/
"""
PLACES = ("demo_data/digits", "../calibration_data/digits")  # in an installed package, in a checkout


def data_folder() -> Path:
    """The demo model beside its data. Raises DataError where neither a wheel nor a checkout brought it."""
    package = Path(__file__).resolve().parents[1]
    for place in PLACES:
        if (package / place / "model.onnx").is_file():
            return (package / place).resolve()
    raise DataError(
        f"{package}: the demo model is not there; install qglow from a wheel or a checkout, or give --folder"
    )


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--folder", help="model.onnx beside its data (default: the digits that come with qglow)")
    parser.add_argument("--output", help="keep profile, bundle and report there")


def run(options: argparse.Namespace) -> int:
    folder = Path(options.folder) if options.folder else data_folder()
    model = folder / "model.onnx"
    with tempfile.TemporaryDirectory() as temporary:
        out, name = Path(options.output or temporary), folder.resolve().name
        make_folder(out)
        recorded = profile(model, folder, samples=64, progress=not options.quiet)
        recorded.save(out / f"{name}.profile.json")
        print(f"profiled {counted(len(recorded.tensors), 'tensor')} over {counted(recorded.samples, 'sample')}")
        bundle = quantize(model, recorded, check=folder)
        bundle.save(out / f"{name}.qglow")
        before, after = bundle.manifest["float_bytes"], bundle.manifest["int8_bytes"]
        print(f"quantized: {counted(before, 'byte')} of float weights became {after}")
        library.ensure()  # NOTE: before the progress bar, for it may show one of its own
        report = compare(model, bundle, folder, quiet=options.quiet)
        report.beside = measure_peers(out / f"{name}.qglow", model, folder, threads=1)
        report.save(out / "report.html")
        print(report.summary(), end="")
        if options.output:
            print(f"kept in {out}: {name}.profile.json, {name}.qglow, report.html")
    return 0
