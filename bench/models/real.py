"""The real models that lie beside the repository, with real inputs; absent ones are not listed."""

from __future__ import annotations

from typing import Any

import onnx

from tests import shared_models


def available() -> list[str]:
    return [name for name in shared_models.ALL if (shared_models.FOLDER / "models" / f"{name}.onnx").is_file()]


def load(name: str, count: int) -> tuple[onnx.ModelProto, list[dict[str, Any]]]:
    """The model with the first sample's shapes written into its inputs, so that no runtime needs to guess, and samples of these."""
    feeds = shared_models.feeds(name, count)
    feeds = [f for f in feeds if all(a.shape == feeds[0][n].shape for n, a in f.items())]
    model = onnx.load(shared_models.path(name))
    for value in model.graph.input:
        if value.name in feeds[0]:
            shape = value.type.tensor_type.shape
            del shape.dim[:]
            for d in feeds[0][value.name].shape:
                shape.dim.add().dim_value = d
    return model, feeds
