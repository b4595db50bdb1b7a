"""qglow report: what int8 cost against float."""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from ..errors import ConfigError
from ..files import check_writable, write_atomically
from ..kernels import library
from ..pipeline import compare_several, measure_several
from ..profiling.dataset import Dataset, open_dataset
from ..report.compare import LAYER_SAMPLES, AccuracyReport, save_page
from ..report.provenance import now
from ..runtime import load
from .options import add_backend, add_dask, add_skip_bad, model_first, number_or_none, say_left_out, whole_number

EXAMPLES = """examples:
  qglow report model.onnx model.qglow --data images/
  qglow report model.onnx model.qglow --data images/ -o report.html
  qglow report model.onnx model.qglow --data images/ --json report.json
  qglow report model.onnx model.qglow --data images/ --dask tcp://10.0.0.1:8786
  qglow report model.onnx a.qglow b.qglow --data images/ -o side_by_side.html
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("model", metavar="MODEL.onnx")
    parser.add_argument("bundles", metavar="BUNDLE", nargs="+", help="several are reported side by side")
    parser.add_argument("--data", required=True, help="folder or file of samples (see README)")
    parser.add_argument("--samples", type=whole_number, metavar="N", help="use at most so many samples, evenly spread")
    parser.add_argument(
        "--layer-samples", type=number_or_none, metavar="N", default=LAYER_SAMPLES,
        help="compare layers too on so many of these (default 16); 0: outputs alone",
    )  # fmt: skip
    parser.add_argument("-o", "--output", "--html", metavar="report.html")
    parser.add_argument("--json", metavar="report.json", help="the figures; - prints them, and nothing else")
    parser.add_argument("--no-latency", action="store_true", help="do not time the bundle beside onnxruntime")
    add_skip_bad(parser)
    add_dask(parser)
    add_backend(parser)


def run(options: argparse.Namespace) -> int:
    options.model, *options.bundles = model_first([options.model, *options.bundles])
    if options.output and options.json and Path(options.output).resolve() == Path(options.json).resolve():
        raise ConfigError(f"-o and --json both name {options.output}; give two names")
    for path in (options.output, options.json if options.json != "-" else None):
        if path:
            check_writable(path, options.model, *options.bundles)
    first = load(options.bundles[0]).with_float_io()
    if options.backend == "native":
        library.ensure()  # NOTE: before the progress bar, for it may show one of its own
    data = open_dataset(options.data, first.graph)
    data = data.without_bad(say_left_out) if options.skip_bad else data
    reports = _compared(options, data)
    # NOTE: the interpreter's time says nothing of the bundle
    if not options.no_latency and options.backend == "native":
        several = measure_several(options.bundles, options.model, data, quiet=options.quiet)
        for report, beside in zip(reports, several, strict=True):
            report.beside = beside
    if options.output:
        save_page(reports, options.output)
    if options.json == "-":
        print(_json(options.bundles, reports))
        return 0
    if options.json:
        write_atomically(options.json, _json(options.bundles, reports).encode())
    if not options.quiet:
        for bundle, report in zip(options.bundles, reports, strict=True):
            print((f"{bundle}\n" if len(reports) > 1 else "") + report.summary(), end="")
    return 0


def _compared(options: argparse.Namespace, data: Dataset) -> list[AccuracyReport]:
    counts = {"samples": options.samples, "layer_samples": options.layer_samples}
    reports = compare_several(
        options.model, options.bundles, data, **counts, quiet=options.quiet, backend=options.backend, dask=options.dask
    )
    for report in reports:
        assert report.provenance is not None
        report.provenance = report.provenance._replace(data=Path(options.data).resolve().name, created=now())
    return reports


def _json(bundles: list[str], reports: list[AccuracyReport]) -> str:
    """One report as itself; several as `reports`, by the files that were given."""
    if len(reports) == 1:
        return reports[0].to_json()
    found = [{"bundle": b, **r.to_dict()} for b, r in zip(bundles, reports, strict=True)]
    return json.dumps({"reports": found}, indent=1)
