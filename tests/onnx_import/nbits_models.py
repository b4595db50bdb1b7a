"""Models of one product with block-wise weights, as exporters write them."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

Array = np.ndarray[Any, Any]


def nibbles_of(q: Array) -> Array:
    q = np.pad(q, ((0, 0), (0, q.shape[1] % 2)))
    return np.asarray(q[:, ::2] | q[:, 1::2] << 4)


def n_bits(
    n: int = 48, k: int = 100, size: int = 32, bits: int = 4, zeros: str = "packed", level: int = 0, bias: bool = False,
    g_idx: str = "",
    dtype: type = np.float32, lead: tuple[int, ...] = (), seed: int = 0,
) -> onnx.ModelProto:  # fmt: skip
    """A MatMulNBits of [*lead, M, k]. zeros: packed, whole or half (floats), or none. g_idx: plain or mixed."""
    rng, blocks = np.random.default_rng(seed), -(-k // size)
    q = rng.integers(0, 1 << bits, (n, blocks * size)).astype(np.uint8)
    z = rng.integers(0, 1 << bits, (n, blocks)).astype(np.uint8)
    arrays: dict[str, Array] = {"B": (nibbles_of(q) if bits == 4 else q).reshape(n, blocks, -1)}
    arrays["S"] = rng.normal(0, 0.05, (n, blocks)).astype(dtype)
    if zeros:
        arrays["Z"] = (
            (nibbles_of(z) if bits == 4 else z) if zeros == "packed" else (z + 0.5 * (zeros == "half")).astype(dtype)
        )
    if g_idx:
        order = np.sort(rng.integers(0, blocks, k)) if g_idx == "mixed" else np.arange(k) // size
        arrays["G"] = order.astype(np.int32)
    if bias:
        arrays["b"] = rng.normal(0, 1, n).astype(dtype)
    names = ["x", *(a if a in arrays else "" for a in "BSZGb")]
    while not names[-1]:
        names.pop()
    attributes = {"K": k, "N": n, "bits": bits, "block_size": size, "accuracy_level": level}
    return model([helper.make_node("MatMulNBits", names, ["y"], name="mm", domain="com.microsoft", **attributes)],
        arrays,
                 (*lead, "M", k), (*lead, "M", n), dtype)  # fmt: skip


def model(
    nodes: list[onnx.NodeProto], arrays: dict[str, Any], x: Any, y: Any, dtype: type = np.float32
) -> onnx.ModelProto:
    """arrays: initializers; a TensorProto stands for itself."""
    kind = TensorProto.FLOAT if dtype is np.float32 else TensorProto.FLOAT16
    initializers = [
        a if isinstance(a, TensorProto) else numpy_helper.from_array(np.asarray(a), n) for n, a in arrays.items()
    ]
    ends = [helper.make_tensor_value_info(name, kind, shape) for name, shape in (("x", x), ("y", y))]
    graph = helper.make_graph(nodes, "blocks", ends[:1], ends[1:], initializers)
    imports = [helper.make_opsetid("", 21), helper.make_opsetid("com.microsoft", 1)]
    return helper.make_model(graph, opset_imports=imports, ir_version=10)
