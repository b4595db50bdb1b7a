"""qglow inspect: any model, profile or bundle as text."""

from __future__ import annotations

import argparse
from pathlib import Path

from ..errors import DataError
from ..graph import Graph
from ..graph.text import print_graph

EXAMPLES = """examples:
  qglow inspect model.onnx
  qglow inspect model.profile.json
  qglow inspect model.qglow
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("file", metavar="FILE")
    stages = ("graph", "quantized", "instructions", "plan")
    parser.add_argument("--stage", choices=stages, help="of a bundle; the last two for its shapes, 1 where symbolic")


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

        print(_bundle_text(load(path).graph, options.stage), end="")
    else:
        raise DataError(f"{path}: expected a .onnx model, a .json profile or a .qglow bundle")
    return 0


def _bundle_text(graph: Graph, stage: str | None) -> str:
    """The quantized graph, or the program that it becomes for its shapes."""
    if stage not in ("instructions", "plan"):
        return print_graph(graph)
    from ..instructions.lower import lower
    from ..instructions.text import print_plan, print_program
    from ..kernels.isa import choose
    from ..reference import retype

    shapes = {i: tuple(d if isinstance(d, int) else 1 for d in graph.types[i].shape or ()) for i in graph.inputs}
    program = lower(retype(graph, shapes), choose()[0].name)
    return print_program(program) if stage == "instructions" else print_plan(program)
