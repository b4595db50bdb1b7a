"""Sequences: recurrent taggers, convolutions over waves and texts, mixers, and the shapes that their exporters
compute."""

from __future__ import annotations

import numpy as np

from .builder import FLOAT, INT64, Case, Feeds, Net
from .encoders import HEADS, SIZE, WIDTH, WORDS


def tagger(cell: str, opset: int) -> Case:
    """Embedding, a recurrent layer of both directions with states of zeros made from the batch size, a product."""
    n, hidden, gates = Net(81, opset), 12, {"LSTM": 4, "GRU": 3, "RNN": 1}[cell]
    ids = n.input("ids", ["batch", "sequence"], INT64)
    x = n.op("Transpose", n.op("Gather", n.weight(WORDS, WIDTH, scale=1.0), ids), perm=[1, 0, 2])
    w, r = (n.initializer(n.rng.normal(0, 0.25, (2, gates * hidden, k))) for k in (WIDTH, hidden))
    bias = n.initializer(n.rng.normal(0, 0.1, (2, 2 * gates * hidden)))
    shape = n.op("Concat", n.constant([2], np.int64), n.dimension(x, 1), n.constant([hidden], np.int64), axis=0)
    zeros = n.op("Expand", n.constant(0.0), shape)
    states = [zeros, zeros] if cell == "LSTM" else [zeros]
    more = {"linear_before_reset": 1} if cell == "GRU" else {}
    y, *_ = n.ops(cell, x, w, r, bias, "", *states, count=2, hidden_size=hidden, direction="bidirectional", **more)
    y = n.op("Transpose", y, perm=[2, 0, 1, 3])
    y = n.reshape(y, 0, 0, -1)
    n.output(n.linear(y, 2 * hidden, 9), "tags", ["batch", "sequence", 9])
    feeds = [{"ids": n.rng.integers(0, WORDS, (b, s))} for b, s in (*[(1, 8)] * 6, (2, 8), (3, 5), (1, 1))]
    return Case(n.model(), feeds[:6], feeds[6:])


def waves(n: Net, *shapes: tuple[int, int]) -> list[Feeds]:
    return [{"wave": n.noise(*shape)} for shape in shapes]


def wave_net() -> Case:
    """wav2vec: 1-D convolutions with stride over an unsqueezed wave, GroupNorm spelled by InstanceNormalization, Gelu,
    an encoder layer."""
    n = Net(83, 14)
    x = n.unsqueeze(n.input("wave", ["batch", "samples"]), 1)
    for k, (inputs, kernel, stride) in enumerate(((1, 10, 5), (16, 3, 2), (16, 2, 2))):
        w = n.initializer(n.rng.normal(0, (inputs * kernel) ** -0.5, (16, inputs, kernel)))
        x = n.op("Conv", x, w, kernel_shape=[kernel], strides=[stride], pads=[0, 0], group=1, dilations=[1])
        if not k:
            shape = n.op("Shape", x)
            flat = n.reshape(x, 0, 16, -1)
            ones, zeros = n.initializer(np.ones(16)), n.initializer(np.zeros(16))
            x = n.op("Reshape", n.op("InstanceNormalization", flat, ones, zeros, epsilon=1e-5), shape)
            x = n.op("Add", n.op("Mul", x, n.initializer(n.rng.normal(1, 0.1, (16, 1)))), n.weight(16, 1, scale=0.1))
        x = n.gelu(x)
    x = n.linear(n.layer_norm(n.op("Transpose", x, perm=[0, 2, 1]), 16), 16, WIDTH)
    q, k, v = (n.split_heads(n.linear(x, WIDTH, WIDTH), HEADS, SIZE) for _ in range(3))
    x = n.layer_norm(n.op("Add", x, n.linear(n.merge_heads(n.attend(q, k, v, SIZE), WIDTH), WIDTH, WIDTH)), WIDTH)
    n.output(n.linear(x, WIDTH, WORDS), "logits", ["batch", "frames", WORDS])
    return Case(n.model(), waves(n, *[(1, 400)] * 6), waves(n, (2, 400), (1, 650)))


def dilated() -> Case:
    """Temporal convolutions: causal padding by Pad and Slice, dilations, gates of tanh and sigmoid, skips."""
    n = Net(85, 13)
    x = n.input("wave", ["batch", 8, "samples"])
    skips = []
    for dilation in (1, 2, 4):
        pads = n.constant([0, 0, 2 * dilation, 0, 0, 0], np.int64)
        padded = n.op("Pad", x, pads, n.constant(0.0), mode="constant")
        a, b = (
            n.op("Conv", padded, n.initializer(n.rng.normal(0, 0.2, (8, 8, 3))), kernel_shape=[3], dilations=[dilation])
            for _ in "ab"
        )
        h = n.op("Mul", n.op("Tanh", a), n.op("Sigmoid", b))
        skips.append(n.op("Conv", h, n.initializer(n.rng.normal(0, 0.35, (8, 8, 1))), kernel_shape=[1]))
        x = n.op("Add", x, skips[-1])
    total = n.op("Relu", n.op("Add", n.op("Add", skips[0], skips[1]), skips[2]))
    n.output(n.op("Conv", total, n.initializer(n.rng.normal(0, 0.35, (4, 8, 1)))), "y", ["batch", 4, "samples"])
    return Case(
        n.model(),
        [{"wave": n.noise(1, 8, 40)} for _ in range(6)],
        [{"wave": n.noise(b, 8, s)} for b, s in ((2, 40), (1, 33))],
    )


def text_cnn() -> Case:
    """Embeddings as a picture of one channel, kernels of several heights, maxima over time, squeezed and joined."""
    n = Net(87, 11)
    ids = n.input("ids", ["batch", 12], INT64)
    x = n.unsqueeze(n.op("Gather", n.weight(WORDS, 16, scale=1.0), ids), 1)
    parts = []
    for rows in (2, 3, 4):
        h = n.op("Relu", n.op("Conv", x, n.initializer(n.rng.normal(0, 0.2, (8, 1, rows, 16))), n.weight(8, scale=0.1)))
        h = n.op("MaxPool", n.squeeze(h, 3), kernel_shape=[13 - rows], strides=[13 - rows])
        parts.append(n.squeeze(h, 2))
    n.output(n.gemm(n.op("Concat", *parts, axis=1), 24, 5), "y", ["batch", 5])
    feeds = [{"ids": n.rng.integers(0, WORDS, (b, 12))} for b in (1, 1, 1, 1, 1, 1, 2, 5)]
    return Case(n.model(), feeds[:6], feeds[6:])


def mixer() -> Case:
    """Products over tokens by Transpose, products over channels; a mean over tokens without its dimension."""
    n = Net(89, 16)
    x = n.input("x", ["batch", 6, WIDTH])
    for _ in range(2):
        h = n.op("Transpose", n.layer_norm(x, WIDTH), perm=[0, 2, 1])
        h = n.linear(n.gelu(n.linear(h, 6, 12), "tanh"), 12, 6)
        x = n.op("Add", x, n.op("Transpose", h, perm=[0, 2, 1]))
        x = n.op("Add", x, n.linear(n.gelu(n.linear(n.layer_norm(x, WIDTH), WIDTH, 2 * WIDTH)), 2 * WIDTH, WIDTH))
    n.output(n.gemm(n.mean(x, [1], keepdims=0), WIDTH, 10), "y", ["batch", 10])
    return Case(
        n.model(), [{"x": n.noise(1, 6, WIDTH)} for _ in range(6)], [{"x": n.noise(b, 6, WIDTH)} for b in (2, 7)]
    )


def pooled_sentence() -> Case:
    """Sentence embeddings: a mean over the words that a mask leaves, a length of at least 1e-9, a norm, and a score of
    pairs."""
    n = Net(91, 14)
    ids, mask = (n.input(name, ["batch", "sequence"], INT64) for name in ("ids", "mask"))
    x = n.linear(n.op("Gather", n.weight(WORDS, WIDTH, scale=1.0), ids), WIDTH, WIDTH)
    wide = n.op("Cast", n.op("Expand", n.unsqueeze(mask, 2), n.op("Shape", x)), to=FLOAT)
    total = n.op("ReduceSum", n.op("Mul", x, wide), n.constant([1], np.int64), keepdims=0)
    count = n.op("Clip", n.op("ReduceSum", wide, n.constant([1], np.int64), keepdims=0), n.constant(1e-9))
    e = n.op("Div", total, count)
    length = n.op("ReduceL2", e, axes=[1], keepdims=1)
    e = n.op("Div", e, n.op("Expand", n.op("Clip", length, n.constant(1e-12)), n.op("Shape", e)))
    n.output(n.op("MatMul", e, n.op("Transpose", e, perm=[1, 0])), "pairs", ["batch", "batch"])

    def feeds(batch: int, length: int) -> Feeds:
        known = (np.arange(length) < length - np.arange(batch)[:, None] % 2).astype(np.int64)
        return {"ids": n.rng.integers(0, WORDS, (batch, length)), "mask": known}

    return Case(n.model(), [feeds(2, 7) for _ in range(6)], [feeds(4, 7), feeds(3, 5), feeds(1, 7)])


def relative_shift() -> Case:
    """Transformer-XL's scores by distance: Pad, Reshape and Slice to shift rows against each other."""
    n = Net(93, 17)
    x = n.input("x", ["batch", "sequence", WIDTH])
    q, k, v = (n.split_heads(n.linear(x, WIDTH, WIDTH), HEADS, SIZE) for _ in range(3))
    batch, length = n.dimension(x, 0), n.dimension(x, 1)
    table = n.slice(n.weight(HEADS, 32, SIZE, scale=0.5), 0, length, 1)
    by_distance = n.op("MatMul", q, n.op("Transpose", table, perm=[0, 2, 1]))
    padded = n.op("Pad", by_distance, n.constant([0, 0, 0, 1, 0, 0, 0, 0], np.int64), n.constant(0.0), mode="constant")
    more = n.op("Add", length, n.constant([1], np.int64))
    shifted = n.slice(n.reshape(padded, batch, HEADS, more, length), 1, np.iinfo(np.int64).max, 2)
    scores = n.op("Add", n.op("MatMul", q, n.op("Transpose", k, perm=[0, 1, 3, 2])), shifted)
    mixed = n.op("MatMul", n.op("Softmax", n.op("Mul", scores, n.constant(SIZE**-0.5)), axis=-1), v)
    n.output(n.linear(n.merge_heads(mixed, WIDTH), WIDTH, WIDTH), "y", ["batch", "sequence", WIDTH])
    return Case(
        n.model(),
        [{"x": n.noise(1, 7, WIDTH)} for _ in range(8)],
        [{"x": n.noise(b, s, WIDTH)} for b, s in ((2, 7), (3, 4))],
    )


CASES = {
    "tagger_lstm": lambda: tagger("LSTM", 14),
    "tagger_gru": lambda: tagger("GRU", 14),
    "tagger_rnn": lambda: tagger("RNN", 11),
    "wave_net": wave_net,
    "dilated": dilated,
    "text_cnn": text_cnn,
    "mixer": mixer,
    "pooled_sentence": pooled_sentence,
    "relative_shift": relative_shift,
}
