"""qglow inspect: any model, profile or bundle as text."""

from __future__ import annotations

import argparse
from pathlib import Path

from ..errors import DataError
from ..graph.text import print_graph

EXAMPLES = """examples:
  qglow inspect model.onnx
  qglow inspect model.profile.json
  qglow inspect model.qglow
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("file", metavar="FILE")
    parser.add_argument("--stage", choices=("graph", "quantized"), help="graph: as imported (default for models); quantized: of a bundle")


def run(options: argparse.Namespace) -> int:
    path = Path(options.file)
    if path.suffix == ".onnx":
        from ..pipeline import float_graph

        print(print_graph(float_graph(path)), end="")
    elif path.suffix == ".json":
        from ..profiling.profile import Profile

        profile = Profile.load(path)
        print(f"profile of graph {profile.graph}: {profile.samples} samples")
        for name, o in profile.tensors.items():
            print(f"{name}: {o.count} values in [{o.min:g}, {o.max:g}]")
    elif path.suffix == ".qglow":
        from ..runtime import load

        print(print_graph(load(path).graph), end="")
    else:
        raise DataError(f"{path}: expected a .onnx model, a .json profile or a .qglow bundle")
    return 0
