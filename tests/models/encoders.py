"""Transformer encoders over tokens: BERT as torch's two exporters and TensorFlow's write it, with every spelling of a
mask."""

from __future__ import annotations

import numpy as np

from .builder import BOOL, FLOAT, INT64, LOWEST, Case, Feeds, Net

WIDTH, HEADS, SIZE, WORDS = 32, 4, 8, 12


def embedded(n: Net, ids: str) -> str:
    """Words, positions by a slice of a constant of all, token types of zeros expanded; LayerNorm."""
    length = n.dimension(ids, 1)
    words = n.op("Gather", n.weight(WORDS, WIDTH, scale=1.0), ids)
    position_ids = n.slice(n.initializer(np.arange(64)[None], np.int64), 0, length, 1)
    positions = n.op("Gather", n.weight(64, WIDTH, scale=0.3), position_ids)
    kinds = n.slice(n.initializer(np.zeros((1, 64)), np.int64), 0, length, 1)
    kinds = n.op("Expand", kinds, n.op("Shape", ids))
    total = n.op("Add", n.op("Add", words, n.op("Gather", n.weight(2, WIDTH, scale=0.3), kinds)), positions)
    return n.layer_norm(total, WIDTH, epsilon=1e-12)


def block(n: Net, x: str, mask: str | None, gelu: str = "erf", batch: int | str = 0) -> str:
    """Self-attention and a feed-forward part, each added and normalized behind."""
    q, k, v = (n.split_heads(n.linear(x, WIDTH, WIDTH), HEADS, SIZE, batch) for _ in range(3))
    attended = n.merge_heads(n.attend(q, k, v, SIZE, mask), WIDTH, batch)
    x = n.layer_norm(n.op("Add", n.linear(attended, WIDTH, WIDTH), x), WIDTH)
    h = n.gelu(n.linear(x, WIDTH, 2 * WIDTH), gelu)
    return n.layer_norm(n.op("Add", n.linear(h, 2 * WIDTH, WIDTH), x), WIDTH)


def additive(n: Net, mask: str, lowest: float) -> str:
    """(1 - mask) * lowest, of [B, 1, 1, S]; -infinity makes NaN where nothing is masked, so exporters write a finite
    one here."""
    wide = n.op("Cast", n.unsqueeze(mask, 1, 2), to=FLOAT)
    return n.op("Mul", n.op("Sub", n.constant(1.0), wide), n.constant(lowest))


def where(n: Net, mask: str, lowest: float, ids: str) -> str:
    """Where(mask, 0, lowest) expanded to [B, 1, S, S], as torch's sdpa mask is written."""
    batch, length = n.dimension(ids, 0), n.dimension(ids, 1)
    shape = n.op("Concat", batch, n.constant([1], np.int64), length, length, axis=0)
    wide = n.op("Cast", n.op("Expand", n.unsqueeze(mask, 1, 2), shape), to=BOOL)
    return n.op("Where", wide, n.constant(0.0), n.constant(lowest))


def filled(n: Net, mask: str, lowest: float) -> str:
    """masked_fill: 1 - mask, cast to bool, Where on itself."""
    inverted = n.op("Sub", n.constant(1.0), n.op("Cast", n.unsqueeze(mask, 1, 2), to=FLOAT))
    return n.op("Where", n.op("Cast", inverted, to=BOOL), n.constant(lowest), inverted)


def tokens(rng: np.random.Generator, batch: int, length: int, padded: bool = True) -> Feeds:
    ids, mask = rng.integers(0, WORDS, (batch, length)), np.ones((batch, length), np.int64)
    if padded and length > 4:
        for row in range(batch):
            mask[row, length - 1 - row % 3 :] = 0
    return {"input_ids": ids.astype(np.int64), "attention_mask": mask}


def bert(
    spelling: str, lowest: float, *, opset: int = 17, gelu: str = "erf", blocks: int = 2, batch: int | str = 0
) -> Case:
    n = Net(1, opset)
    ids, mask = (n.input(name, ["batch", "sequence"], INT64) for name in ("input_ids", "attention_mask"))
    known = additive(n, mask, lowest) if spelling == "additive" else filled(n, mask,
        lowest) if spelling == "filled" else where(
        n, mask, lowest, ids)  # fmt: skip
    x = embedded(n, ids)
    for _ in range(blocks):
        x = block(n, x, known, gelu, n.dimension(x, 0) if batch == "shape" else batch)
    n.output(x, "last_hidden_state", ["batch", "sequence", WIDTH])
    first = n.op("Gather", x, n.constant(0, np.int64), axis=1)
    n.output(n.op("Tanh", n.gemm(first, WIDTH, WIDTH)), "pooler_output", ["batch", WIDTH])
    rng = np.random.default_rng(2)
    seen = [tokens(rng, 1, length) for length in (9, 9, 9, 9, 5, 1, 1, 1)]
    return Case(n.model(), seen, [tokens(rng, 2, 9), tokens(rng, 3, 6), tokens(rng, 1, 1), tokens(rng, 2, 13)])


def pre_normalized(opset: int) -> Case:
    """One fused projection split in three, the mask a constant, no bias on scores: as x-transformers and timm write
    it."""
    n = Net(3, opset)
    x = n.input("x", ["batch", "sequence", WIDTH])
    for _ in range(2):
        h = n.linear(n.layer_norm(x, WIDTH), WIDTH, 3 * WIDTH)
        if opset < 13:
            q, k, v = n.ops("Split", h, count=3, axis=2, split=[WIDTH] * 3)
        else:
            q, k, v = n.ops("Split", h, n.ints(WIDTH, WIDTH, WIDTH), count=3, axis=-1)
        q, k, v = (n.split_heads(a, HEADS, SIZE) for a in (q, k, v))
        x = n.op("Add", x, n.linear(n.merge_heads(n.attend(q, k, v, SIZE), WIDTH), WIDTH, WIDTH))
        h = n.gelu(n.linear(n.layer_norm(x, WIDTH), WIDTH, 2 * WIDTH), "op" if opset >= 20 else "tanh")
        x = n.op("Add", x, n.linear(h, 2 * WIDTH, WIDTH))
    n.output(n.layer_norm(x, WIDTH), "y", ["batch", "sequence", WIDTH])
    others = [{"x": n.noise(*shape, WIDTH)} for shape in ((2, 7), (3, 5), (1, 1))]
    return Case(n.model(), [{"x": n.noise(1, 7, WIDTH)} for _ in range(12)], others)


def einsum_attention() -> Case:
    n = Net(5, 13)
    x = n.input("x", ["batch", "sequence", WIDTH])
    q, k, v = (n.reshape(n.linear(x, WIDTH, WIDTH), 0, -1, HEADS, SIZE) for _ in range(3))
    scores = n.op("Mul", n.op("Einsum", q, k, equation="bqhd,bkhd->bhqk"), n.constant(SIZE**-0.5))
    mixed = n.op("Einsum", n.op("Softmax", scores, axis=3), v, equation="bhqk,bkhd->bqhd")
    n.output(n.linear(n.reshape(mixed, 0, -1, WIDTH), WIDTH, WIDTH), "y", ["batch", "sequence", WIDTH])
    return Case(
        n.model(),
        [{"x": n.noise(1, 6, WIDTH)} for _ in range(3)],
        [{"x": n.noise(2, 6, WIDTH)}, {"x": n.noise(3, 4, WIDTH)}],
    )


def tensorflow_bert() -> Case:
    """tf2onnx: rows of all words as one matrix between Reshapes, biases added behind, the mask as (1 - m) * -10000 of a
    Cast."""
    n = Net(6, 13)
    ids, mask = (n.input(name, ["unk__1", "unk__2"], INT64) for name in ("input_ids", "attention_mask"))
    x = embedded(n, ids)
    batch, length = n.dimension(ids, 0), n.dimension(ids, 1)
    wide = n.op("Cast", n.unsqueeze(mask, 1, 2), to=FLOAT)
    known = n.op("Mul", n.op("Sub", n.constant(1.0), wide), n.constant(-10000.0))
    for _ in range(2):
        flat = n.reshape(x, -1, WIDTH)
        parts = []
        for _ in range(3):
            h = n.op("Add", n.op("MatMul", flat, n.weight(WIDTH, WIDTH)), n.weight(WIDTH, scale=0.1))
            parts.append(n.op("Transpose", n.reshape(h, batch, length, HEADS, SIZE), perm=[0, 2, 1, 3]))
        mixed = n.op("Transpose", n.attend(*parts, SIZE, known), perm=[0, 2, 1, 3])
        h = n.op("MatMul", n.reshape(mixed, -1, WIDTH), n.weight(WIDTH, WIDTH))
        x = n.layer_norm(n.op("Add", n.reshape(h, batch, length, WIDTH), x), WIDTH)
    n.output(x, "last_hidden_state", ["unk__1", "unk__2", WIDTH])
    rng = np.random.default_rng(4)
    return Case(n.model(), [tokens(rng, 1, 8) for _ in range(8)], [tokens(rng, 2, 8), tokens(rng, 3, 5)])


CASES = {
    "bert_additive_1e4": lambda: bert("additive", -1e4, opset=11),
    "bert_additive_lowest": lambda: bert("additive", LOWEST, opset=14),
    "bert_where_lowest": lambda: bert("where", LOWEST),
    "bert_where_infinity": lambda: bert("where", -np.inf, batch="shape"),
    "bert_filled_lowest": lambda: bert("filled", LOWEST, opset=18, gelu="tanh"),
    "bert_filled_infinity": lambda: bert("filled", -np.inf, opset=20, gelu="op"),
    "bert_tensorflow": tensorflow_bert,
    "pre_normalized_11": lambda: pre_normalized(11),
    "pre_normalized_21": lambda: pre_normalized(21),
    "einsum_attention": einsum_attention,
}
