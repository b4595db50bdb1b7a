"""qglow diff: the first layer that goes wrong, cut out as a small repro."""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np

from ..files import check_folder, make_folder, write_atomically
from ..graph import Graph, Node, TensorType
from ..graph.text import print_graph
from ..kernels import library
from ..npz import npz_writer
from ..pipeline import first_wrong_layer
from ..profiling.dataset import open_dataset
from ..report.stored import float_name
from ..runtime import InferenceSession, load
from ..words import counted
from .options import finite, model_first, whole_number

EXAMPLES = """examples:
  qglow diff model.onnx model.qglow --data images/
  qglow diff model.onnx model.qglow --data images/ --floor-db 25 -o repro/
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("model", metavar="MODEL.onnx")
    parser.add_argument("bundle", metavar="BUNDLE")
    parser.add_argument("--data", required=True)
    parser.add_argument("--samples", type=whole_number, metavar="N", help="use at most so many samples, evenly spread")
    parser.add_argument(
        "-o", "--output", metavar="FOLDER", help="cut the layer out there: its graph as text, its arrays as npz"
    )
    parser.add_argument(
        "--floor-db", type=finite, default=20.0, help="a layer below this signal-to-noise ratio is wrong"
    )


def run(options: argparse.Namespace) -> int:
    options.model, options.bundle = model_first([options.model, options.bundle])
    bundle = load(options.bundle).with_float_io()
    if options.output:
        check_folder(options.output)
    library.ensure()  # NOTE: before the progress bar, for it may show one of its own
    bad, samples = first_wrong_layer(
        options.model, bundle, options.data, options.floor_db, samples=options.samples, quiet=options.quiet
    )
    if bad is None:
        print(f"no layer is below {options.floor_db:g} dB over {counted(samples, 'sample')}")
        return 0
    node, error = bad.node, bad.error
    own = "" if bad.own is None else f", {bad.own.sqnr_db:.1f} dB alone on its true inputs"
    print(
        f"first below {options.floor_db:g} dB: {bad.value} ({node.operator}), {error.sqnr_db:.1f} dB, cosine "
        f"{error.cosine:.5f}{own}"
    )
    for what, values in (("reads", node.inputs), ("gives", node.outputs)):
        for value in (v for v in values if v and v not in bundle.graph.constants):
            found = bad.errors.get(float_name(value))
            print(
                f"  {what} {value}: {_shown(bundle.graph.types[value])}"
                + (f", {found.sqnr_db:.1f} dB" if found else "")
            )
    if options.output:
        _cut_out(bundle.graph, node, options.data, Path(options.output))
    return 0


def _shown(t: TensorType) -> str:
    """A type with the range of real numbers that its integers stand for, which says more than scale and zero point."""
    shape = ", ".join(map(str, t.shape or ()))
    if t.quant is None or t.quant.axis is not None:
        return f"{t.dtype.value}[{shape}]"
    low, high = t.real_limits()
    return f"{t.dtype.value}[{shape}] for {low:.4g} to {high:.4g}"


def _cut_out(graph: Graph, node: Node, data: str, folder: Path) -> None:
    """The node alone as a graph, and its inputs, constants and outputs for the first sample."""
    inputs = tuple(dict.fromkeys(i for i in node.inputs if i and i not in graph.constants))
    names = {v for v in (*node.inputs, *node.outputs) if v}
    constants = {k: v for k, v in graph.constants.items() if k in names}
    alone = Graph(node.name, inputs, node.outputs, (node,), {k: graph.types[k] for k in names}, constants)
    values = InferenceSession(graph).run_all(next(iter(open_dataset(data, graph).spread(1))).feeds)
    make_folder(folder)
    with npz_writer(folder / "layer.npz") as file:
        for n in sorted(names):
            file.add(n, values[n] if n in values else np.asarray(constants[n]))
    write_atomically(folder / "layer.txt", print_graph(alone).encode())
    print(f"cut out as {folder / 'layer.txt'} and {folder / 'layer.npz'}")
