"""Ops of onnxruntime's own domains, and forms of ONNX ops that only it has, as standard ops: models that it has
optimized run."""

from .expand import with_standard_ops

__all__ = ["with_standard_ops"]
