"""Grow an ONNX model and train it: filters from the principal components of what they read, scores by least squares."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
import onnxruntime as ort
from onnx import TensorProto, helper, numpy_helper

Array = np.ndarray
F32 = np.float32


def onnxruntime_session(model: onnx.ModelProto) -> ort.InferenceSession:
    options = ort.SessionOptions()
    options.intra_op_num_threads, options.log_severity_level = 1, 4
    return ort.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])


class Net:
    """A model in the making, its input `image` [N, C, H, W], and the pictures that it is trained on."""

    def __init__(self, pictures: Array, opset: int, seed: int, batch: str | int = "N") -> None:
        self.pictures, self.opset, self.rng = pictures, opset, np.random.default_rng(seed)
        self.nodes: list[onnx.NodeProto] = []
        self.constants: dict[str, Array] = {}
        self.batch = batch

    def constant(self, array: Any, hint: str = "c") -> str:
        name = f"{hint}_{len(self.constants)}"
        self.constants[name] = np.asarray(array)
        return name

    def floats(self, *values: float) -> str:
        return self.constant(np.array(values if len(values) > 1 else values[0], F32))

    def ints(self, *values: int) -> str:
        return self.constant(np.array(values, np.int64))

    def op(self, op: str, *inputs: str, outputs: int = 1, **attributes: Any) -> Any:
        """Append a node; the name of its output, or of each."""
        base = f"{op}_{len(self.nodes)}"
        names = [base + (f".{k}" if k else "") for k in range(outputs)]
        self.nodes.append(helper.make_node(op, inputs, names, base, **attributes))
        return names[0] if outputs == 1 else names

    def proto(self, *outputs: str, kinds: dict[str, tuple[int, list[Any]]] | None = None) -> onnx.ModelProto:
        infos = []
        for o in outputs:
            kind, dims = (kinds or {}).get(o, (TensorProto.FLOAT, None))
            known = helper.make_tensor_value_info(o, kind, dims)
            infos.append(known if kinds else helper.make_empty_tensor_value_info(o))
        stored = [numpy_helper.from_array(a, n) for n, a in self.constants.items()]
        dims = [self.batch if kinds else "N", *self.pictures.shape[1:]]
        image = helper.make_tensor_value_info("image", TensorProto.FLOAT, dims)
        graph = helper.make_graph(self.nodes, "trained", [image], infos, stored)
        return helper.make_model(graph, opset_imports=[helper.make_opsetid("", self.opset)], ir_version=8)

    def values(self, name: str) -> Array:
        """What a value is on the pictures."""
        if name == "image":
            return self.pictures
        return np.asarray(onnxruntime_session(self.proto(name)).run([name], {"image": self.pictures})[0])

    def filters(self, rows: Array, count: int) -> Array:
        """Random mixtures of the principal components of rows [n, d], the large ones damped: float32 [count, d]."""
        rows = rows[self.rng.permutation(len(rows))[:4000]].astype(np.float64)
        power, basis = np.linalg.eigh(
            np.cov(rows.T).reshape(rows.shape[1], rows.shape[1]) + 1e-3 * np.eye(rows.shape[1])
        )
        kept = min(rows.shape[1], max(4, count))
        damped = basis[:, -kept:] / np.maximum(power[-kept:], power[-1] / 30) ** 0.35
        mixed = self.rng.normal(0, 1, (count, kept)) @ damped.T
        mixed /= np.sqrt((rows @ mixed.T).var(0).mean())
        return mixed.astype(F32)

    def conv(self, x: str, out: int, k: int = 3, stride: int = 1, group: int = 1, norm: bool = True) -> str:
        """Conv and BatchNormalization, or Conv with a bias, depthwise where group is all channels."""
        acts = self.values(x)
        pad = k // 2
        padded = np.pad(acts, [(0, 0), (0, 0), (pad, pad), (pad, pad)])
        view = np.lib.stride_tricks.sliding_window_view(padded, (k, k), (2, 3))[:, :, ::stride, ::stride]
        per, width = out // group, acts.shape[1] // group
        rows = [
            view[:, g * width : (g + 1) * width].transpose(0, 2, 3, 1, 4, 5).reshape(-1, width * k * k)
            for g in range(group)
        ]
        w = np.concatenate([self.filters(r, per) for r in rows]).reshape(out, width, k, k)
        made = np.concatenate([r @ w[g * per : (g + 1) * per].reshape(per, -1).T for g, r in enumerate(rows)], 1)
        attributes = {"kernel_shape": [k, k], "pads": [pad] * 4, "strides": [stride, stride], "group": group}
        shift = self.rng.normal(0.2, 0.3, out).astype(F32)
        mean, var = made.mean(0).astype(F32), made.var(0).astype(F32)
        if norm:
            y = self.op("Conv", x, self.constant(w, "w"), **attributes)
            gain = self.rng.uniform(0.6, 1.4, out).astype(F32)
            return str(
                self.op(
                    "BatchNormalization", y, *(self.constant(a, "bn") for a in (gain, shift, mean, var)), epsilon=1e-5
                )
            )
        scale = 1 / np.sqrt(var + F32(1e-5))
        w = w * scale.reshape(-1, 1, 1, 1)
        return str(self.op("Conv", x, self.constant(w, "w"), self.constant(shift - mean * scale, "b"), **attributes))

    def linear(self, x: str, out: int, bias: bool = True) -> str:
        """MatMul and Add of the last axis, of learned filters."""
        acts = self.values(x)
        rows = acts.reshape(-1, acts.shape[-1])
        w = self.filters(rows - rows.mean(0), out).T
        y = str(self.op("MatMul", x, self.constant(np.ascontiguousarray(w), "w")))
        return str(self.op("Add", self.constant(self.rng.normal(0, 0.1, out).astype(F32), "b"), y)) if bias else y

    def classifier(self, x: str, labels: Array, gemm: bool = True) -> str:
        """Ten scores of the features [N, F], by ridge regression."""
        acts = self.values(x).astype(np.float64)
        rows = np.concatenate([acts, np.ones((len(acts), 1))], 1)
        wanted = np.eye(10)[labels] * 4 - 1
        found = np.linalg.solve(rows.T @ rows + 0.3 * np.eye(rows.shape[1]), rows.T @ wanted).astype(F32)
        w, b = found[:-1], found[-1]
        if gemm:
            return str(
                self.op("Gemm", x, self.constant(np.ascontiguousarray(w.T), "w"), self.constant(b, "b"), transB=1)
            )
        return str(self.op("Add", self.op("MatMul", x, self.constant(w, "w")), self.constant(b, "b")))
