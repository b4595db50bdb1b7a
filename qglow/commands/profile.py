"""qglow profile: gather calibration ranges."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from ..errors import DataError
from ..files import check_writable, write_atomically
from ..pipeline import float_graph, profile
from ..profiling.dataset import has_only_pictures
from ..profiling.saved_state import SUFFIX
from ..profiling.template import template
from ..words import counted
from .options import add_dask, add_skip_bad, whole_number

EXAMPLES = """examples:
  qglow profile model.onnx --data images/
  qglow profile model.onnx --data images/ --samples 100 -o model.profile.json
  qglow profile model.onnx --data images/ --dask tcp://10.0.0.1:8786

A long run that was interrupted goes on where it stopped when the same command
is given again.
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("model", metavar="MODEL.onnx")
    parser.add_argument("--data", help="folder or file of samples (see README)")
    parser.add_argument("-o", "--output", metavar="NAME.profile.json", help="default: the model's name, here")
    parser.add_argument("--samples", type=whole_number, metavar="N", help="use at most so many samples, evenly spread")
    parser.add_argument(
        "--batch-size",
        type=whole_number,
        metavar="N",
        default=1,
        help="samples at a time, where the batch dimension is free",
    )
    parser.add_argument(
        "--write-dataset",
        action="store_true",
        help="write a dataset.toml for the model's inputs to DATA, and no profile",
    )
    parser.add_argument(
        "--no-resume", action="store_true", help="begin with the first sample, whatever an interrupted run has left"
    )
    add_skip_bad(parser)
    add_dask(parser)
    parser.add_argument(
        "--engine", choices=("qglow", "onnxruntime"), default="qglow", help="what evaluates the float model"
    )


def run(options: argparse.Namespace) -> int:
    toml = Path(options.data or ".") / "dataset.toml"
    if options.write_dataset:
        return _write_dataset(options, toml)
    if not options.data or (toml.parent.is_dir() and not toml.exists() and has_only_pictures(toml.parent)):
        print(template(float_graph(options.model)), end="")
        if options.data:
            raise DataError(
                f"{options.data}: images need a dataset.toml that says how a picture becomes a tensor: above is a "
                "guess, which --write-dataset writes there"
            )
        raise DataError(
            "the following arguments are required: --data, a folder of samples; above is what its dataset.toml may be"
        )
    path = check_writable(options.output or f"{Path(options.model).stem}.profile.json", options.model)
    partial = path.with_name(path.name + SUFFIX) if path.is_file() or not path.exists() else None
    partial = partial if options.dask is None else None  # NOTE: a cluster's parts are not kept
    if options.no_resume and partial is not None:
        partial.unlink(missing_ok=True)
    result = profile(
        options.model,
        options.data,
        options.samples,
        not options.quiet,
        batch_size=options.batch_size,
        engine=options.engine,
        skip_bad=options.skip_bad,
        partial=partial,
        dask=options.dask,
    )
    result.save(path)
    for warning in result.warnings:
        print(f"warning: {warning}", file=sys.stderr)
    if not options.quiet:
        held = f", {len(result.held_back)} of them held back to judge int8 by" if result.held_back else ""
        print(f"{path}: {counted(len(result.tensors), 'tensor')} over {counted(result.samples, 'sample')}{held}")
    return 0


def _write_dataset(options: argparse.Namespace, toml: Path) -> int:
    """Write the template beside the samples. Raises DataError where there is no folder, or a file already."""
    if not options.data or not toml.parent.is_dir():
        raise DataError("--write-dataset needs --data with the folder of the samples")
    if toml.exists():
        raise DataError(f"{toml}: there is one already; remove it first")
    write_atomically(toml, template(float_graph(options.model)).encode())
    print(f"{toml}: look at it, above all at lines with ?, then profile again without --write-dataset")
    return 0
