"""qglow diff: the first layer that goes wrong."""

from __future__ import annotations

import argparse

from ..graph.text import print_type
from ..report.compare import compare
from ..runtime import load

EXAMPLES = """examples:
  qglow diff model.onnx model.qglow --data images/
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("model", metavar="MODEL.onnx")
    parser.add_argument("bundle", metavar="BUNDLE")
    parser.add_argument("--data", required=True)
    parser.add_argument("--floor-db", type=float, default=20.0, help="a layer below this signal-to-noise ratio is wrong")


def run(options: argparse.Namespace) -> int:
    bundle = load(options.bundle)
    report = compare(options.model, bundle, options.data, quiet=options.quiet)
    bad = next((r for r in report.layers if r["sqnr_db"] < options.floor_db), None)
    if bad is None:
        print(f"no layer is below {options.floor_db:g} dB over {report.agreement.samples} samples")
        return 0
    node = next(n for n in bundle.graph.nodes if bad["name"] in {o.removesuffix(".q") for o in n.outputs})
    print(f"first below {options.floor_db:g} dB: {bad['name']} ({bad['op']}), {bad['sqnr_db']:.1f} dB, cosine {bad['cosine']:.5f}")
    for value in (*node.inputs, *node.outputs):
        if value:
            error = report.agreement.layers.get(value.removesuffix(".q"))
            t = bundle.graph.types[value]
            shown = print_type(t) if t.quant is None or t.quant.axis is None else f"{t.kind.value}{list(t.shape or ())} per channel"
            print(f"  {value}: {shown}" + (f", {error.sqnr_db:.1f} dB" if error else ""))
    return 0
