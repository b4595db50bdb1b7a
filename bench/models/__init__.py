"""The networks that are measured: well-known shapes with random weights, and the real models that lie beside the
repository."""

from __future__ import annotations

from collections.abc import Callable

import onnx

from tests import shared_models

from .bert import bert
from .densenet import densenet
from .efficientnet import efficientnet_b0
from .mlp import mlp
from .mobilenet_v2 import mobilenet_v2
from .resnet import resnet18, resnet50
from .vit import vit_tiny

NETWORKS: dict[str, Callable[[], onnx.ModelProto]] = {
    "resnet50": resnet50,
    "resnet18": resnet18,
    "mobilenetv2": mobilenet_v2,
    "efficientnet": efficientnet_b0,
    "densenet": densenet,
    "bert16": lambda: bert(16),
    "bert128": lambda: bert(128),
    "bert512": lambda: bert(512),
    "vit_tiny": vit_tiny,
    "mlp": mlp,
}
CONVOLUTIONAL = ("resnet50", "resnet18", "mobilenetv2", "efficientnet", "densenet", *shared_models.CONV_MODELS)
"""Names of networks that are mostly convolutions; the others are transformers, recurrent, or linear."""
