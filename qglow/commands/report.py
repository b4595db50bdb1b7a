"""qglow report: what int8 cost against float."""

from __future__ import annotations

import argparse
from pathlib import Path

from ..errors import ConfigError
from ..files import check_writable, write_atomically
from ..kernels import library
from ..pipeline import compare, measure_peers
from ..profiling.dataset import open_dataset
from ..report.compare import LAYER_SAMPLES
from ..runtime import load
from .options import add_backend, add_skip_bad, say_left_out, whole_number

EXAMPLES = """examples:
  qglow report model.onnx model.qglow --data images/
  qglow report model.onnx model.qglow --data images/ -o report.html --json report.json
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("model", metavar="MODEL.onnx")
    parser.add_argument("bundle", metavar="BUNDLE")
    parser.add_argument("--data", required=True, help="folder (see README), or one .npz file")
    parser.add_argument("--samples", type=whole_number, metavar="N", help="use at most so many samples, evenly spread")
    parser.add_argument(
        "--layer-samples",
        type=whole_number,
        metavar="N",
        default=LAYER_SAMPLES,
        help="of these, so many tell of layers",
    )
    parser.add_argument("-o", "--output", metavar="report.html")
    parser.add_argument("--json", metavar="report.json")
    parser.add_argument("--no-latency", action="store_true", help="do not time the bundle beside onnxruntime")
    add_skip_bad(parser)
    add_backend(parser)


def run(options: argparse.Namespace) -> int:
    if options.output and options.json and Path(options.output).resolve() == Path(options.json).resolve():
        raise ConfigError(f"-o and --json both name {options.output}; give two names")
    for path in (options.output, options.json):
        if path:
            check_writable(path, options.model, options.bundle)
    bundle = load(options.bundle)
    if options.backend == "native":
        library.ensure()  # NOTE: before the progress bar, for it may show one of its own
    data = open_dataset(options.data, bundle.graph)
    data = data.without_bad(say_left_out) if options.skip_bad else data
    counts = {"samples": options.samples, "layer_samples": options.layer_samples}
    report = compare(options.model, bundle, data, **counts, quiet=options.quiet, backend=options.backend)
    # NOTE: the interpreter's time says nothing of the bundle
    if not options.no_latency and options.backend == "native":
        report.beside = measure_peers(options.bundle, options.model, data, threads=1)
    if options.output:
        report.save(options.output)
    if options.json:
        write_atomically(options.json, report.to_json().encode())
    if not options.quiet:
        print(report.summary(), end="")
    return 0
