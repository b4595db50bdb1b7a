"""The real models that lie beside the repository, with real inputs; absent ones are not listed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import onnx

from tests import shared_models


def available() -> list[str]:
    return [name for name in shared_models.ALL if is_here(name)]


def is_here(name: str) -> bool:
    return (shared_models.FOLDER / "models" / f"{name}.onnx").is_file()


def load(name: str, count: int) -> tuple[onnx.ModelProto, list[dict[str, Any]]]:
    """The model with the first sample's shapes written into its inputs, so that no runtime needs to guess, and samples
    of these.

    Weights that are also inputs, as old exporters wrote them, are inputs no more: peers would not fold them.
    """
    feeds = shared_models.feeds(name, count)
    feeds = [f for f in feeds if all(a.shape == feeds[0][n].shape for n, a in f.items())]
    model = onnx.load(shared_models.path(name))
    versions = {o.domain: o for o in model.opset_import}  # NOTE: one of them names a domain twice
    del model.opset_import[:]
    model.opset_import.extend(versions.values())
    weights = {w.name for w in model.graph.initializer}
    inputs = [i for i in model.graph.input if i.name not in weights]
    del model.graph.input[:]
    model.graph.input.extend(inputs)
    model.ir_version = max(model.ir_version, 4)  # NOTE: before 4, every weight had to be an input
    for value in model.graph.input:
        if value.name in feeds[0]:
            shape = value.type.tensor_type.shape
            del shape.dim[:]
            for d in feeds[0][value.name].shape:
                shape.dim.add().dim_value = d
    return model, feeds


LITERT = {
    "mobilenetv2": "mbv2_ptq",
    "mlperftiny_cifar10_resnet8": "pretrainedResnet_quant",
    "mlperftiny_vww_mobilenet025": "vww_96_int8",
}


def litert_file(name: str) -> Path:
    """The .tflite file of the same network, with its own int8 weights. Raises LookupError where there is none."""
    found = shared_models.FOLDER / "models" / "litert" / f"{LITERT.get(name)}.tflite"
    if not found.is_file():
        raise LookupError(f"no .tflite file of {name}")
    return found
