"""Decoders: causal masks by Trilu, by a sliced constant and by Where; caches; cross-attention; rotary positions;
grouped heads."""

from __future__ import annotations

import numpy as np

from .builder import BOOL, FLOAT, INT64, LOWEST, Case, Net
from .encoders import HEADS, SIZE, WIDTH, WORDS, additive


def causal_trilu(n: Net, ids: str, lowest: float) -> str:
    """Triu of a square of `lowest`, made by ConstantOfShape, as torch.full(...).triu(1) is written: [S, S]."""
    length = n.dimension(ids, 1)
    square = n.op("Expand", n.constant(lowest), n.op("Concat", length, length, axis=0))
    return n.op("Trilu", square, n.constant(1, np.int64), upper=1)


def causal_sliced(n: Net, ids: str, scores: str, lowest: float) -> str:
    """GPT-2: a constant lower triangle of booleans, sliced to the length, chooses between scores and `lowest`."""
    length = n.dimension(ids, 1)
    whole = n.initializer(np.tril(np.ones((1, 1, 32, 32), bool)), np.bool_)
    return n.op("Where", n.slice(n.slice(whole, 0, length, 2), 0, length, 3), scores, n.constant(lowest))


def causal_range(n: Net, ids: str, lowest: float) -> str:
    """Positions compared with each other: Range, Less, Where; [1, 1, S, S]."""
    steps = n.op("Range", n.constant(0, np.int64), n.dimension(ids, 1, False), n.constant(1, np.int64))
    later = n.op("Greater", n.unsqueeze(steps, 0), n.unsqueeze(steps, 1))
    return n.unsqueeze(n.op("Where", later, n.constant(lowest), n.constant(0.0)), 0, 1)


def feed_forward(n: Net, x: str) -> str:
    return n.linear(n.gelu(n.linear(x, WIDTH, 2 * WIDTH), "tanh"), 2 * WIDTH, WIDTH)


def gpt(mask: str, lowest: float, opset: int = 17) -> Case:
    """A fused projection by Gemm on rows, as GPT-2's Conv1D is written, tied embeddings at the end."""
    n = Net(11, opset)
    ids = n.input("input_ids", ["batch", "sequence"], INT64)
    words = n.weight(WORDS, WIDTH, scale=1.0)
    steps = n.op("Range", n.constant(0, np.int64), n.dimension(ids, 1, False), n.constant(1, np.int64))
    x = n.op("Add", n.op("Gather", words, ids), n.op("Gather", n.weight(32, WIDTH, scale=0.3), n.unsqueeze(steps, 0)))
    for _ in range(2):
        h = n.layer_norm(x, WIDTH)
        rows = n.op("Gemm", n.reshape(h, -1, WIDTH), n.weight(WIDTH, 3 * WIDTH), n.weight(3 * WIDTH, scale=0.1))
        whole = n.reshape(rows, n.dimension(h, 0), n.dimension(h, 1), 3 * WIDTH)
        q, k, v = (n.split_heads(p, HEADS, SIZE) for p in n.ops("Split", whole, n.ints(*[WIDTH] * 3), count=3, axis=2))
        scores = n.op("MatMul", q, n.op("Transpose", k, perm=[0, 1, 3, 2]))
        scores = n.op("Div", scores, n.constant(SIZE**0.5))
        if mask == "sliced":
            scores = causal_sliced(n, ids, scores, lowest)
        else:
            scores = n.op("Add", scores, (causal_trilu if mask == "trilu" else causal_range)(n, ids, lowest))
        mixed = n.merge_heads(n.op("MatMul", n.op("Softmax", scores, axis=-1), v), WIDTH)
        x = n.op("Add", n.linear(mixed, WIDTH, WIDTH), x)
        x = n.op("Add", x, feed_forward(n, n.layer_norm(x, WIDTH)))
    n.output(
        n.op("MatMul", n.layer_norm(x, WIDTH), n.op("Transpose", words, perm=[1, 0])),
        "logits",
        ["batch", "sequence", WORDS],
    )
    rng = np.random.default_rng(12)
    feeds = [
        {"input_ids": rng.integers(0, WORDS, (b, s))}
        for b, s in (*[(1, 9)] * 5, *[(1, 1)] * 3, (2, 9), (2, 4), (1, 1), (3, 12))
    ]
    return Case(n.model(), feeds[:8], feeds[8:])


def rms_norm(n: Net, x: str, spelling: str) -> str:
    """x / sqrt(mean(x^2) + eps) * gain, by Reciprocal (torch), by Div, or by Pow -0.5."""
    square = n.op("Pow", x, n.constant(2.0))
    total = n.op("Add", n.mean(square, [-1]), n.constant(1e-6))
    gain = n.initializer(n.rng.normal(1, 0.1, WIDTH))
    if spelling == "power":
        return n.op("Mul", gain, n.op("Mul", x, n.op("Pow", total, n.constant(-0.5))))
    root = n.op("Sqrt", total)
    if spelling == "div":
        return n.op("Mul", n.op("Div", x, root), gain)
    return n.op("Mul", gain, n.op("Mul", x, n.op("Reciprocal", root)))


def rotary(n: Net, x: str, cos: str, sin: str) -> str:
    half = SIZE // 2
    low, high = n.slice(x, 0, half, 3), n.slice(x, half, np.iinfo(np.int64).max, 3)
    turned = n.op("Concat", n.op("Neg", high), low, axis=-1)
    return n.op("Add", n.op("Mul", x, cos), n.op("Mul", turned, sin))


def repeated(n: Net, x: str, times: int) -> str:
    """Heads of keys and values repeated: Unsqueeze, Expand, Reshape, with sizes taken from shapes."""
    batch, length = n.dimension(x, 0), n.dimension(x, 2)
    heads = HEADS // times
    shape = n.op(
        "Concat",
        batch,
        *(n.constant([d], np.int64) for d in (heads, times)),
        length,
        n.constant([SIZE], np.int64),
        axis=0,
    )
    return n.reshape(n.op("Expand", n.unsqueeze(x, 2), shape), batch, HEADS, length, SIZE)


def llama(norm: str = "reciprocal", *, cache: bool = False, computed: bool = False) -> Case:
    """RMSNorm, rotary positions of constants (computed: by Cos and Sin in the model), two heads of keys for four,
    SwiGLU."""
    n = Net(13, 17)
    ids = n.input("input_ids", ["batch", "sequence"], INT64)
    x = n.op("Gather", n.weight(WORDS, WIDTH, scale=1.0), ids)
    past = [n.input(f"past_key_values.0.{k}", ["batch", 2, "past", SIZE]) for k in ("key", "value")] if cache else []
    length = n.dimension(ids, 1, False)
    first = n.dimension(past[0], 2, False) if cache else n.constant(0, np.int64)
    last = n.op("Add", first, length)
    steps = n.op("Range", first, last, n.constant(1, np.int64))
    frequency = 100.0 ** (-np.arange(0, SIZE, 2) / SIZE)
    if computed:
        angles = n.op("Mul", n.unsqueeze(n.op("Cast", steps, to=FLOAT), 1), n.initializer(frequency[None]))
        angles = n.op("Concat", angles, angles, axis=-1)
        cos, sin = (n.unsqueeze(n.op(f, angles), 0, 1) for f in ("Cos", "Sin"))
    else:
        table = np.concatenate([np.outer(np.arange(64), frequency)] * 2, 1)
        cos, sin = (n.unsqueeze(n.op("Gather", n.initializer(f(table)), steps), 0, 1) for f in (np.cos, np.sin))
    h = rms_norm(n, x, norm)
    q = n.split_heads(n.linear(h, WIDTH, WIDTH, bias=False), HEADS, SIZE)
    k, v = (n.split_heads(n.linear(h, WIDTH, 2 * SIZE, bias=False), 2, SIZE) for _ in range(2))
    q, k = rotary(n, q, cos, sin), rotary(n, k, cos, sin)
    if cache:
        k, v = n.op("Concat", past[0], k, axis=2), n.op("Concat", past[1], v, axis=2)
        for name, value in (("key", k), ("value", v)):
            n.output(value, f"present.0.{name}", ["batch", 2, "total", SIZE])
    columns = n.op("Range", n.constant(0, np.int64), last, n.constant(1, np.int64))
    later = n.op("Greater", n.unsqueeze(columns, 0), n.unsqueeze(steps, 1))
    mask = n.unsqueeze(n.op("Where", later, n.constant(LOWEST), n.constant(0.0)), 0, 1)
    mixed = n.merge_heads(n.attend(q, repeated(n, k, 2), repeated(n, v, 2), SIZE, mask), WIDTH)
    x = n.op("Add", x, n.linear(mixed, WIDTH, WIDTH, bias=False))
    h = rms_norm(n, x, norm)
    gate = n.linear(h, WIDTH, 2 * WIDTH, bias=False)
    h = n.op("Mul", n.op("Mul", gate, n.op("Sigmoid", gate)), n.linear(h, WIDTH, 2 * WIDTH, bias=False))
    x = n.op("Add", x, n.linear(h, 2 * WIDTH, WIDTH, bias=False))
    n.output(n.linear(rms_norm(n, x, norm), WIDTH, WORDS, bias=False), "logits", ["batch", "sequence", WORDS])
    rng = np.random.default_rng(14)

    def feeds(batch: int, length: int, before: int) -> dict[str, np.ndarray]:
        known = {p: rng.normal(0, 1, (batch, 2, before, SIZE)).astype(np.float32) for p in past}
        return {"input_ids": rng.integers(0, WORDS, (batch, length)), **known}

    seen = [feeds(1, 6, 4) for _ in range(8)]
    others = [feeds(2, 6, 4), feeds(1, 1, 9), feeds(3, 1, 5), feeds(2, 8, 0 if cache else 1)]
    return Case(n.model(), seen, others)


def cross_attention() -> Case:
    """A decoder over the states of an encoder, of another length, with a mask over them."""
    n = Net(15, 16)
    ids = n.input("decoder_input_ids", ["batch", "target"], INT64)
    states = n.input("encoder_hidden_states", ["batch", "source", WIDTH])
    mask = n.input("encoder_attention_mask", ["batch", "source"], INT64)
    x = n.op("Gather", n.weight(WORDS, WIDTH, scale=1.0), ids)
    own, other = causal_range(n, ids, -np.inf), additive(n, mask, LOWEST)
    for memory, known in ((None, own), (states, other)):
        q = n.split_heads(n.linear(x, WIDTH, WIDTH), HEADS, SIZE)
        k, v = (n.split_heads(n.linear(memory or x, WIDTH, WIDTH), HEADS, SIZE) for _ in range(2))
        mixed = n.merge_heads(n.attend(q, k, v, SIZE, known), WIDTH)
        x = n.layer_norm(n.op("Add", n.linear(mixed, WIDTH, WIDTH), x), WIDTH)
    x = n.op("Add", feed_forward(n, x), x)
    n.output(n.linear(x, WIDTH, WORDS, bias=False), "logits", ["batch", "target", WORDS])
    rng = np.random.default_rng(16)

    def feeds(batch: int, target: int, source: int) -> dict[str, np.ndarray]:
        known = np.ones((batch, source), np.int64)
        known[:, source - 2 :] = 0
        return {"decoder_input_ids": rng.integers(0, WORDS, (batch, target)), "encoder_attention_mask": known,
                "encoder_hidden_states": rng.normal(0, 1, (batch, source, WIDTH)).astype(np.float32)}  # fmt: skip

    seen = [feeds(1, *lengths) for lengths in ((5, 7),) * 9 + ((1, 7), (1, 9), (8, 4))]
    return Case(n.model(), seen, [feeds(2, 5, 7), feeds(3, 1, 9), feeds(2, 6, 8)])


def t5_bias() -> Case:
    """Relative position buckets computed from Range in integers and floats (Log, Cast, Min, Where), gathered as a bias
    on scores."""
    n = Net(17, 17)
    ids = n.input("input_ids", ["batch", "sequence"], INT64)
    x = n.op("Gather", n.weight(WORDS, WIDTH, scale=1.0), ids)
    steps = n.op("Range", n.constant(0, np.int64), n.dimension(ids, 1, False), n.constant(1, np.int64))
    distance = n.op("Sub", n.unsqueeze(steps, 0), n.unsqueeze(steps, 1))
    side = n.op(
        "Mul", n.op("Cast", n.op("Greater", distance, n.constant(0, np.int64)), to=INT64), n.constant(8, np.int64)
    )
    far = n.op("Abs", distance)
    large = n.op("Log", n.op("Div", n.op("Cast", far, to=FLOAT), n.constant(4.0)))
    large = n.op("Mul", n.op("Div", large, n.constant(float(np.log(4)))), n.constant(4.0))
    large = n.op("Min", n.op("Add", n.op("Cast", large, to=INT64), n.constant(4, np.int64)), n.constant(7, np.int64))
    bucket = n.op("Add", side, n.op("Where", n.op("Less", far, n.constant(4, np.int64)), far, large))
    bias = n.unsqueeze(n.op("Transpose", n.op("Gather", n.weight(16, HEADS, scale=1.0), bucket), perm=[2, 0, 1]), 0)
    q, k, v = (n.split_heads(n.linear(x, WIDTH, WIDTH, bias=False), HEADS, SIZE) for _ in range(3))
    scores = n.op("Add", n.op("MatMul", q, n.op("Transpose", k, perm=[0, 1, 3, 2])), bias)
    mixed = n.op("MatMul", n.op("Softmax", scores, axis=-1), v)
    n.output(
        n.op("Add", x, n.linear(n.merge_heads(mixed, WIDTH), WIDTH, WIDTH, bias=False)),
        "y",
        ["batch", "sequence", WIDTH],
    )
    rng = np.random.default_rng(18)
    feeds = [{"input_ids": rng.integers(0, WORDS, (b, s))} for b, s in ((1, 9), (1, 9), (2, 9), (3, 5), (1, 20))]
    return Case(n.model(), feeds[:2], feeds[2:])


def boolean_mask_input() -> Case:
    """A mask of booleans that the caller gives, as sdpa takes it: Where(mask, 0, -inf), and rows that are masked whole
    cleaned up."""
    n = Net(19, 18)
    x, mask = n.input("x", ["batch", "sequence", WIDTH]), n.input("mask", ["batch", "sequence"], BOOL)
    known = n.op("Where", n.unsqueeze(mask, 1, 2), n.constant(0.0), n.constant(-np.inf))
    q, k, v = (n.split_heads(n.linear(x, WIDTH, WIDTH), HEADS, SIZE) for _ in range(3))
    weights = n.op("Softmax", n.op("Add", n.op("MatMul", q, n.op("Transpose", k, perm=[0, 1, 3, 2])), known), axis=-1)
    weights = n.op("Where", n.op("IsNaN", weights), n.constant(0.0), weights)
    n.output(
        n.linear(n.merge_heads(n.op("MatMul", weights, v), WIDTH), WIDTH, WIDTH), "y", ["batch", "sequence", WIDTH]
    )

    def feeds(batch: int, length: int, masked: int) -> dict[str, np.ndarray]:
        return {
            "x": n.noise(batch, length, WIDTH),
            "mask": np.broadcast_to(np.arange(length) < length - masked, (batch, length)).copy(),
        }

    return Case(n.model(), [feeds(1, 6, k) for k in (1, 2, 0)], [feeds(2, 6, 2), feeds(2, 3, 0), feeds(1, 4, 4)])


CASES = {
    "gpt_trilu_infinity": lambda: gpt("trilu", -np.inf),
    "gpt_trilu_lowest": lambda: gpt("trilu", LOWEST, 18),
    "gpt_sliced_1e4": lambda: gpt("sliced", -1e4, 13),
    "gpt_sliced_lowest": lambda: gpt("sliced", LOWEST, 13),
    "gpt_sliced_infinity": lambda: gpt("sliced", -np.inf),
    "gpt_range_infinity": lambda: gpt("range", -np.inf, 21),
    "llama": llama,
    "llama_power": lambda: llama("power", computed=True),
    "llama_cache": lambda: llama("div", cache=True),
    "cross_attention": cross_attention,
    "t5_bias": t5_bias,
    "boolean_mask_input": boolean_mask_input,
}
