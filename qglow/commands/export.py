"""qglow export: a bundle as standard ONNX QDQ, for any other runtime."""

from __future__ import annotations

import argparse
from pathlib import Path

from ..files import check_writable
from ..onnx_import.export_qdq import save_qdq
from ..runtime import load

EXAMPLES = """examples:
  qglow export model.qglow -o model.qdq.onnx
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("bundle", metavar="BUNDLE")
    parser.add_argument("-o", "--output", metavar="model.qdq.onnx", help="default: the bundle's name beside you")


def run(options: argparse.Namespace) -> int:
    path = check_writable(options.output or f"{Path(options.bundle).stem}.qdq.onnx", options.bundle)
    save_qdq(load(options.bundle).graph, path)
    if not options.quiet:
        print(f"{path}: {path.stat().st_size / 1024:.0f} KiB")
    return 0
