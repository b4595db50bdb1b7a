"""ONNX file to Graph. Nothing behind this door sees a protobuf."""

from .load import load

__all__ = ["load"]
