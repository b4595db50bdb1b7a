"""Samples for whatever a mutated ONNX file declares as its inputs."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx

from .engines import MOST_INPUT, TooLarge


def samples_of(path: Path, count: int = 2) -> list[dict[str, np.ndarray]]:
    """Noise, small whole numbers or strings by input; one sample of a wrong name where the file cannot be read."""
    rng = np.random.default_rng(0)
    try:
        model = onnx.load_from_string(path.read_bytes())
        stored = {t.name for t in model.graph.initializer}
        inputs = [i for i in model.graph.input if i.name not in stored]
    except Exception:
        return [{"x": np.zeros((1, 1), np.float32)}] * count
    return [{i.name: one(i, rng) for i in inputs} for _ in range(count)]


def one(value: onnx.ValueInfoProto, rng: np.random.Generator) -> np.ndarray:
    t = value.type.tensor_type
    shape = [max(0, d.dim_value) if d.HasField("dim_value") else 2 for d in t.shape.dim]
    if np.prod(shape, dtype=float) > MOST_INPUT:
        raise TooLarge
    if t.elem_type == onnx.TensorProto.STRING:
        return np.full(shape, "a", object)
    try:
        dtype = onnx.helper.tensor_dtype_to_np_dtype(t.elem_type)
    except (KeyError, ValueError, TypeError):
        dtype = np.dtype(np.float32)
    return (rng.normal(0, 1, shape) if dtype.kind == "f" else rng.integers(0, 3, shape)).astype(dtype)
