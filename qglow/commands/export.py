"""qglow export: a bundle as standard ONNX, for any other runtime."""

from __future__ import annotations

import argparse
from pathlib import Path

from ..files import check_writable, write_atomically
from ..onnx_import.export_qdq import export_qdq
from ..onnx_import.export_qoperator import export_qoperator
from ..runtime import load

EXAMPLES = """examples:
  qglow export model.qglow -o model.qdq.onnx
  qglow export model.qglow --format qoperator
"""
FORMATS = {"qdq": export_qdq, "qoperator": export_qoperator}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("bundle", metavar="BUNDLE")
    parser.add_argument("-o", "--output", metavar="model.qdq.onnx", help="default: the bundle's name, here")
    parser.add_argument(
        "--format",
        choices=sorted(FORMATS),
        default="qdq",
        help="QuantizeLinear and DequantizeLinear around float operators, or operators on integers (default: qdq)",
    )


def run(options: argparse.Namespace) -> int:
    path = check_writable(options.output or f"{Path(options.bundle).stem}.{options.format}.onnx", options.bundle)
    model = FORMATS[options.format](load(options.bundle).graph)
    write_atomically(path, model.SerializeToString())
    if not options.quiet:
        print(f"{path}: {path.stat().st_size / 1024:.0f} KiB")
    return 0
