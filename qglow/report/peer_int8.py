"""onnxruntime's own int8 of the same model, made by its quantize_static on the same data: what qglow is held
against."""

from __future__ import annotations

import contextlib
import io
import logging
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

from ..graph import Graph
from ..onnx_import.export_float import export_float
from ..profiling.dataset import Dataset
from .peers import onnxruntime_int8, onnxruntime_session

MOST_SAMPLES = 16


def quantize_static_int8(model: str | Path, graph: Callable[[], Graph], data: Dataset) -> bytes:
    """The QDQ model, ranges from at most MOST_SAMPLES of the data. graph: makes the model's float graph, of which an
    export is tried where onnxruntime cannot quantize the model itself. Raises whatever onnxruntime raises where it
    cannot quantize it."""
    few = data.spread(MOST_SAMPLES)
    with tempfile.TemporaryDirectory() as folder, _silence():
        first: Exception | None = None
        for exported in (False, True):
            try:
                source = _exported(graph(), Path(folder)) if exported else Path(model)
                made = onnxruntime_int8(source, Path(folder) / "int8.onnx", [s.feeds for s in few])
                onnxruntime_session(made, 1)
                return made.read_bytes()
            except Exception as error:
                first = first or error
        assert first is not None
        raise first


def _exported(graph: Graph, folder: Path) -> Path:
    """The simplified float graph in a new opset: per-channel weights and shape inference fail on some old models."""
    path = folder / "exported.onnx"
    path.write_bytes(export_float(graph, list(graph.outputs)).SerializeToString())
    return path


@contextlib.contextmanager
def _silence() -> Iterator[None]:
    """Its advice on the root logger and on the standard output is no part of a report."""
    before = logging.root.manager.disable
    logging.disable(logging.ERROR)
    try:
        with contextlib.redirect_stdout(io.StringIO()):
            yield
    finally:
        logging.disable(before)
