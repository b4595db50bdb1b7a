"""qglow profile: gather calibration ranges."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from ..files import check_writable
from ..pipeline import profile
from ..words import counted
from .options import add_skip_bad, whole_number

EXAMPLES = """examples:
  qglow profile model.onnx --data images/
  qglow profile model.onnx --data images/ --samples 100 -o model.profile.json
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("model", metavar="MODEL.onnx")
    parser.add_argument("--data", required=True, help="folder (see README), or one .npz file")
    parser.add_argument("-o", "--output", metavar="NAME.profile.json", help="default: the model's name beside you")
    parser.add_argument("--samples", type=whole_number, metavar="N", help="use at most so many samples, evenly spread")
    parser.add_argument(
        "--batch-size",
        type=whole_number,
        metavar="N",
        default=1,
        help="samples at a time, where the batch dimension is free",
    )
    add_skip_bad(parser)
    parser.add_argument(
        "--engine", choices=("qglow", "onnxruntime"), default="qglow", help="what evaluates the float model"
    )


def run(options: argparse.Namespace) -> int:
    path = check_writable(options.output or f"{Path(options.model).stem}.profile.json", options.model)
    result = profile(
        options.model,
        options.data,
        options.samples,
        not options.quiet,
        batch_size=options.batch_size,
        engine=options.engine,
        skip_bad=options.skip_bad,
    )
    result.save(path)
    for warning in result.warnings:
        print(f"warning: {warning}", file=sys.stderr)
    if not options.quiet:
        print(f"{path}: {counted(len(result.tensors), 'tensor')} over {counted(result.samples, 'sample')}")
    return 0
