"""Shapes that follow from the shapes before them, over the cases of the sweep: the graph's own, and as much as can be
known."""

from __future__ import annotations

import pytest
from sweep.case import Case, Fixed
from sweep.judge import model_of, models_of, oracle, with_types
from sweep.test_sweep import GROUPS

from qglow.graph import Dim, Graph, Node, TensorType
from qglow.graph.declared import sizing_operands
from qglow.onnx_import import load
from qglow.reference.refine import refine
from qglow.reference.shape_table import SHAPES

NOT_FOLLOWED = {"Reshape", "Squeeze", "Unsqueeze", "Expand", "ConstantOfShape"}  # shapes that are computed


def distinct() -> list[Case]:
    """Of each op the cases of other attributes, ranks and constants, at the newest opset; of the others one of each
    rank."""
    found: dict[object, Case] = {}
    for c in sorted((c for cases in GROUPS.values() for c in cases if c.op in SHAPES), key=lambda c: c.opset):
        arrays = [None if i is None else getattr(i, "array", i) for i in c.inputs]
        if any(a is not None and a.dtype.kind not in "fiub" for a in arrays):
            continue
        shapes = tuple(
            None if a is None else (a.shape, isinstance(i, Fixed)) for i, a in zip(c.inputs, arrays, strict=True)
        )
        found[c.op, shapes, repr(sorted(c.attributes.items()))] = c
    return list(found.values())


MODELS = {f"opset {cases[0].opset}": cases for cases in models_of(distinct())}


def forgotten(graph: Graph) -> Graph:
    """The graph with no shapes but those of its inputs and constants."""
    known = {*graph.inputs, *graph.constants}
    return graph.with_(
        types={v: t if v in known else TensorType(t.dtype, None, t.quant) for v, t in graph.types.items()}
    )


def may_be_open(graph: Graph, node: Node) -> bool:
    """Whether dimensions of a node's output need not follow: they depend on elements that are not known."""
    deciding = sizing_operands(node)
    return deciding is None or any(i and i not in graph.constants for i in map(node.input, deciding))


@pytest.mark.parametrize("opset", MODELS)
def test_shapes_follow(opset: str) -> None:
    model, feeds = model_of(MODELS[opset])
    graph = load(with_types(model, oracle(model, feeds)))
    types, compared = refine(forgotten(graph)).types, 0
    for node in graph.nodes:
        for o in node.outputs if node.op in SHAPES else ():
            real, found = graph.types[o].shape if o else None, types[o].shape if o else None
            if real is None or any(types[i].shape is None for i in node.inputs if i):
                continue
            assert found is not None or node.op in NOT_FOLLOWED, f"{node.op} {node.attributes}: no shape of {real}"
            for k, d in enumerate(found or ()):
                assert len(found or ()) == len(real), f"{node.op} {node.attributes}: {found} of {real}"
                assert d == real[k] or (d == "?" and may_be_open(graph, node)), (
                    f"{node.op} {node.attributes}: {found} of {real}"
                )
                compared += 1
    assert compared


@pytest.mark.parametrize("opset", MODELS)
def test_names_of_dimensions_follow(opset: str) -> None:
    """No input has a size: what follows is a size, a name that stands for the right one, or open; and the rank is
    there."""
    model, feeds = model_of(MODELS[opset], symbolic=True)
    want = oracle(model, feeds)
    sizes: dict[Dim, int] = {f"{name}_{k}": d for name, a in feeds.items() for k, d in enumerate(a.shape)}
    graph = load(with_types(model, want, symbolic=True))
    types, names = refine(forgotten(graph)).types, 0
    for node in (n for n in graph.nodes if n.op in SHAPES):
        for o in (o for o in node.outputs if o in want):
            found, real = types[o].shape, want[o].shape
            if found is None:
                open_index = node.op == "GatherND" and not isinstance((types[node.inputs[1]].shape or ("?",))[-1], int)
                unknown = any(types[i].shape is None for i in node.inputs if i)
                assert node.op in NOT_FOLLOWED or open_index or unknown, f"{node.op}: no rank"
                continue
            said = [sizes.get(d, real[k]) if isinstance(d, str) else d for k, d in enumerate(found)]
            assert tuple(said) == real, f"{node.op} {node.attributes}: {found} of {real}"
            names += sum(d in sizes for d in found)
    assert names
