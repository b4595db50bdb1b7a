"""Opsets as `Onnx` nodes keep them: `domain=version`."""

from __future__ import annotations


def domain_of(text: str) -> tuple[str, int]:
    """(domain, version) of one `opset` of an `Onnx` node."""
    domain, version = text.rsplit("=", 1)
    return domain, int(version)
