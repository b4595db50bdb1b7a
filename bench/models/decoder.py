"""A Llama-like decoder with a growing cache, as exporters write it: RMSNorm, rotary positions, heads of keys and values
shared by groups of queries, SwiGLU. Products have block-wise weights (MatMulNBits); all weights are random."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import onnx
from onnx import TensorProto, helper

from .builder import Builder

FLOAT, INT64 = TensorProto.FLOAT, TensorProto.INT64
BLOCK = 32


class Size(NamedTuple):
    """width: of the residual stream; inner: of the feed-forward part; keys: heads of keys and values."""

    layers: int
    width: int
    inner: int
    heads: int
    keys: int
    words: int

    @property
    def head(self) -> int:
        return self.width // self.heads

    @property
    def parameters(self) -> int:
        attention = 2 * self.width * (self.width + self.keys * self.head)
        return self.layers * (attention + 3 * self.width * self.inner) + 2 * self.words * self.width

    def weight_bytes(self, bits: int) -> int:
        """Bytes of weights that a token reads: all but the embedding, with a scale of two bytes a block."""
        products = self.parameters - self.words * self.width
        return products * bits // 8 + products // BLOCK * 2


SIZES = {
    "small": Size(2, 256, 704, 4, 2, 1000),
    "125M": Size(12, 768, 2048, 12, 4, 32000),
    "250M": Size(16, 1024, 2816, 16, 4, 32000),
}


def decoder(size: Size, bits: int) -> onnx.ModelProto:
    """Inputs: input_ids [1, S], attention_mask [1, P + S], position_ids [1, S], past.K.key, past.K.value [1, keys, P,
    head]; outputs: logits [1, S, words], present.K.key, present.K.value [1, keys, P + S, head].

    Weights have 4 or 8 bits, and `accuracy_level` 4: rows are quantized to int8 as they come.
    """
    return _Decoder(size, bits).model()


class _Decoder(Builder):
    def __init__(self, size: Size, bits: int) -> None:
        super().__init__()
        self.size, self.bits = size, bits
        self.inputs: list[onnx.ValueInfoProto] = []
        self.outputs: list[onnx.ValueInfoProto] = []

    def model(self) -> onnx.ModelProto:
        s = self.size
        for name, shape in (("input_ids", ("S",)), ("attention_mask", ("T",)), ("position_ids", ("S",))):
            self.inputs.append(helper.make_tensor_value_info(name, INT64, [1, *shape]))
        cos, sin = self._angles()
        mask = self._mask()
        x = self.add("Gather", self._noise(s.words, s.width, 1.0), "input_ids")
        for k in range(s.layers):
            x = self.add("Add", x, self._attention(k, self._norm(x), cos, sin, mask))
            x = self.add("Add", x, self._feed_forward(self._norm(x)))
        logits = self.product(self._norm(x), s.width, s.words)
        self._output(logits, "logits", [1, "S", s.words])
        graph = helper.make_graph(self.nodes, "decoder", self.inputs, self.outputs, self.weights)
        opsets = [helper.make_opsetid("", 17), helper.make_opsetid("com.microsoft", 1)]
        return helper.make_model(graph, opset_imports=opsets, ir_version=9)

    def product(self, x: str, inputs: int, outputs: int) -> str:
        """MatMulNBits of random weights, whose products have about the variance of x."""
        blocks, size = inputs // BLOCK, BLOCK * self.bits // 8
        q = self._weight(self.rng.integers(0, 256, (outputs, blocks, size), np.uint8))
        deviation = (1 << self.bits) / 12**0.5
        scale = self.rng.uniform(0.5, 1.5, outputs * blocks).astype(np.float32) / np.float32(deviation * inputs**0.5)
        scale = scale.astype(np.float16).astype(np.float32)  # as of a model that was trained in float16
        return self.add(
            "MatMulNBits", x, q, self._weight(scale), domain="com.microsoft", K=inputs, N=outputs, bits=self.bits,
            block_size=BLOCK, accuracy_level=4,
        )  # fmt: skip

    def _noise(self, rows: int, columns: int, scale: float) -> str:
        return self._weight(self.rng.standard_normal((rows, columns), np.float32) * np.float32(scale))

    def _output(self, value: str, name: str, shape: list[int | str]) -> None:
        self.nodes.append(helper.make_node("Identity", [value], [name], name))
        self.outputs.append(helper.make_tensor_value_info(name, FLOAT, shape))

    def _norm(self, x: str) -> str:
        mean = self.add("ReduceMean", self.add("Pow", x, self.constant(2.0)), axes=[-1], keepdims=1)
        root = self.add("Sqrt", self.add("Add", mean, self.constant(1e-5)))
        return self.add("Mul", self.constant(np.ones(self.size.width)), self.add("Div", x, root))

    def _angles(self) -> tuple[str, str]:
        """Cosines and sines [1, 1, S, head] of the positions."""
        half = 10000.0 ** (-np.arange(0, self.size.head, 2) / self.size.head)
        positions = self.add("Unsqueeze", self.add("Cast", "position_ids", to=FLOAT), self.integers(1, 3))
        angles = self.add("Mul", positions, self.constant(np.concatenate([half, half])))
        return self.add("Cos", angles), self.add("Sin", angles)

    def _mask(self) -> str:
        """[1, 1, S, T]: lowest where a position comes later, or is masked."""
        total = self.add("Gather", self.add("Shape", "attention_mask"), self.constant_index(1), axis=0)
        steps = self.add("Range", self.constant_index(0), total, self.constant_index(1))
        later = self.add("Greater", steps, self.add("Unsqueeze", "position_ids", self.integers(1, 3)))
        absent = self.add("Equal", "attention_mask", self.constant_index(0))
        never = self.add("Or", later, self.add("Unsqueeze", absent, self.integers(1, 2)))
        return self.add("Where", never, self.constant(np.finfo(np.float32).min), self.constant(0.0))

    def _heads(self, x: str, count: int) -> str:
        split = self.add("Reshape", x, self.integers(1, -1, count, self.size.head))
        return self.add("Transpose", split, perm=(0, 2, 1, 3))

    def _rotary(self, x: str, cos: str, sin: str) -> str:
        half, axis = self.size.head // 2, self.integers(3)
        low = self.add("Slice", x, self.integers(0), self.integers(half), axis)
        high = self.add("Slice", x, self.integers(half), self.integers(2 * half), axis)
        turned = self.add("Concat", self.add("Neg", high), low, axis=-1)
        return self.add("Add", self.add("Mul", x, cos), self.add("Mul", turned, sin))

    def _cached(self, k: int, name: str, new: str) -> str:
        """Keys or values with those of before, for all heads of queries: [1, heads, T, head]."""
        s = self.size
        past, shape = f"past.{k}.{name}", [1, s.keys, "P", s.head]
        self.inputs.append(helper.make_tensor_value_info(past, FLOAT, shape))
        present = self.add("Concat", past, new, axis=2)
        self._output(present, f"present.{k}.{name}", [1, s.keys, "T", s.head])
        times = s.heads // s.keys
        length = self.add("Slice", self.add("Shape", present), self.integers(2), self.integers(3))
        shape_of_all = self.add("Concat", self.integers(1, s.keys, times), length, self.integers(s.head), axis=0)
        repeated = self.add("Expand", self.add("Unsqueeze", present, self.integers(2)), shape_of_all)
        return self.add("Reshape", repeated, self.integers(1, s.heads, -1, s.head))

    def _attention(self, k: int, x: str, cos: str, sin: str, mask: str) -> str:
        s = self.size
        q = self._rotary(self._heads(self.product(x, s.width, s.width), s.heads), cos, sin)
        key = self._rotary(self._heads(self.product(x, s.width, s.keys * s.head), s.keys), cos, sin)
        value = self._heads(self.product(x, s.width, s.keys * s.head), s.keys)
        keys, values = self._cached(k, "key", key), self._cached(k, "value", value)
        scores = self.add("MatMul", q, self.add("Transpose", keys, perm=(0, 1, 3, 2)))
        scores = self.add("Add", self.add("Mul", scores, self.constant(s.head**-0.5)), mask)
        mixed = self.add("MatMul", self.add("Softmax", scores, axis=-1), values)
        joined = self.add("Reshape", self.add("Transpose", mixed, perm=(0, 2, 1, 3)), self.integers(1, -1, s.width))
        return self.product(joined, s.width, s.width)

    def _feed_forward(self, x: str) -> str:
        s = self.size
        gate = self.swish(self.product(x, s.width, s.inner))
        return self.product(self.add("Mul", gate, self.product(x, s.width, s.inner)), s.inner, s.width)


def feeds(size: Size, past: int, new: int, seed: int = 0) -> dict[str, np.ndarray]:
    """Inputs for `new` tokens behind a cache of `past`."""
    rng = np.random.default_rng(seed)
    shape = (1, size.keys, past, size.head)
    cache = {
        f"past.{k}.{name}": rng.standard_normal(shape, np.float32)
        for k in range(size.layers)
        for name in ("key", "value")
    }
    return {
        "input_ids": rng.integers(0, size.words, (1, new)),
        "attention_mask": np.ones((1, past + new), np.int64),
        "position_ids": np.arange(past, past + new)[None],
        **cache,
    }
