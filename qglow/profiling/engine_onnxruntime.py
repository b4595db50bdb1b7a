"""The profiling engine on onnxruntime: the float graph with every float value as an output, one batch at a time."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import onnxruntime as ort

from ..errors import ModelError, in_one_line
from ..graph import Array, Graph
from ..graph.select_op import certain, conditions, has_branches
from ..onnx_import.export_float import export_float
from .dataset import Feeds


def runner(graph: Graph, names: list[str]) -> Callable[[Feeds, Callable[[str, Array], None]], None]:
    """A function that runs one batch and hands every named value to an observer; but for those within branches, which
    it cannot see."""
    sure = certain(graph) if has_branches(graph) else {*names}
    made = [n for n in dict.fromkeys((*names, *conditions(graph))) if n not in graph.inputs and n in sure]
    options = ort.SessionOptions()
    options.log_severity_level = 3
    # NOTE: fusions would change what is observed
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
    try:
        model = export_float(graph, made).SerializeToString()
        session = ort.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    except Exception as error:
        raise ModelError(f"onnxruntime cannot run this model ({in_one_line(error)}); use --engine qglow") from error

    def run(feeds: Feeds, keep: Callable[[str, Array], None]) -> None:
        for name in graph.inputs:
            keep(name, feeds[name])
        for name, array in zip(made, session.run(made, feeds), strict=True):
            keep(name, np.asarray(array))

    return run
