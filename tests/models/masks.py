"""Attention whose mask comes in another way: an input of floats, infinities that cancel, sums of masks, axes that are
not the last."""

from __future__ import annotations

import numpy as np

from .builder import FLOAT, INT64, LOWEST, Case, Feeds, Net
from .encoders import HEADS, SIZE, WIDTH


def heads(n: Net, x: str) -> tuple[str, str, str]:
    q, k, v = (n.split_heads(n.linear(x, WIDTH, WIDTH), HEADS, SIZE) for _ in range(3))
    return q, n.op("Transpose", k, perm=[0, 1, 3, 2]), v


def finished(n: Net, scores: str, v: str, x: str) -> None:
    mixed = n.merge_heads(n.op("MatMul", n.op("Softmax", scores, axis=-1), v), WIDTH)
    n.output(n.op("Add", x, n.linear(mixed, WIDTH, WIDTH)), "y", ["batch", "sequence", WIDTH])


def scored(n: Net, x: str) -> tuple[str, str]:
    q, k, v = heads(n, x)
    return n.op("Mul", n.op("MatMul", q, k), n.constant(SIZE**-0.5)), v


def float_input(lowest: float, masked_in_calibration: bool) -> Case:
    """The caller gives what is added to the scores."""
    n = Net(101, 17)
    x, mask = n.input("x", ["batch", "sequence", WIDTH]), n.input("mask", ["batch", 1, "sequence", "sequence"])
    scores, v = scored(n, x)
    finished(n, n.op("Add", scores, mask), v, x)

    def feeds(batch: int, length: int, masked: bool = True) -> Feeds:
        causal = (
            np.triu(np.full((length, length), lowest, np.float32), 1)
            if masked
            else np.zeros((length, length), np.float32)
        )
        return {"x": n.noise(batch, length, WIDTH), "mask": np.broadcast_to(causal, (batch, 1, length, length)).copy()}

    return Case(n.model(), [feeds(1, 6, masked_in_calibration) for _ in range(6)], [feeds(2, 6, masked_in_calibration)])


def unseen(spelling: str) -> Case:
    """Nothing is masked in calibration: the mask must work all the same."""
    n = Net(103, 17)
    x, mask = n.input("x", ["batch", "sequence", WIDTH]), n.input("mask", ["batch", "sequence"], INT64)
    scores, v = scored(n, x)
    wide = n.op("Cast", n.unsqueeze(mask, 1, 2), to=FLOAT)
    if spelling == "product":
        scores = n.op("Add", scores, n.op("Mul", n.op("Sub", n.constant(1.0), wide), n.constant(-10000.0)))
    elif spelling == "minus":
        scores = n.op("Sub", scores, n.op("Mul", n.op("Sub", n.constant(1.0), wide), n.constant(1e6)))
    elif spelling == "where":
        scores = n.op(
            "Where", n.op("Equal", n.unsqueeze(mask, 1, 2), n.constant(0, np.int64)), n.constant(LOWEST), scores
        )
    else:
        scores = n.op("Add", scores, n.op("Log", wide))
    finished(n, scores, v, x)

    def feeds(batch: int, length: int, masked: int) -> Feeds:
        known = (np.arange(length) < length - masked).astype(np.int64)
        return {"x": n.noise(batch, length, WIDTH), "mask": np.broadcast_to(known, (batch, length)).copy()}

    return Case(n.model(), [feeds(1, 6, 0) for _ in range(6)], [feeds(2, 6, 3), feeds(2, 4, 1), feeds(1, 6, 0)])


def two_masks() -> Case:
    """OPT: a causal and a padding mask added, bounded by the lowest number from below."""
    n = Net(105, 13)
    x, mask = n.input("x", ["batch", "sequence", WIDTH]), n.input("mask", ["batch", "sequence"], INT64)
    scores, v = scored(n, x)
    length = n.dimension(x, 1)
    causal = n.slice(
        n.slice(n.initializer(np.triu(np.full((1, 1, 16, 16), LOWEST, np.float32), 1)), 0, length, 2), 0, length, 3
    )
    wide = n.op("Cast", n.unsqueeze(mask, 1, 2), to=FLOAT)
    padding = n.op("Mul", n.op("Sub", n.constant(1.0), wide), n.constant(LOWEST))
    both = n.op("Max", n.op("Add", causal, padding), n.constant(LOWEST))
    scores = n.op("Max", n.op("Add", scores, both), n.constant(LOWEST))
    flat = n.op("Softmax", n.reshape(scores, -1, length, length), axis=-1)
    shape = [n.dimension(x, 0), n.constant([HEADS], np.int64), length, length]
    weights = n.op("Reshape", flat, n.op("Concat", *shape, axis=0))
    n.output(
        n.linear(n.merge_heads(n.op("MatMul", weights, v), WIDTH), WIDTH, WIDTH), "y", ["batch", "sequence", WIDTH]
    )

    def feeds(batch: int, length: int, masked: int) -> Feeds:
        known = (np.arange(length) < length - masked).astype(np.int64)
        return {"x": n.noise(batch, length, WIDTH), "mask": np.broadcast_to(known, (batch, length)).copy()}

    return Case(n.model(), [feeds(1, 6, k % 2) for k in range(8)], [feeds(2, 6, 2), feeds(3, 5, 0)])


def masked_output() -> Case:
    """Scores that the model gives masked: its output holds minus infinity."""
    n = Net(107, 17)
    x, mask = n.input("x", ["batch", WIDTH]), n.input("mask", ["batch", 8], INT64)
    h = n.gemm(n.op("Relu", n.gemm(x, WIDTH, WIDTH)), WIDTH, 8)
    n.output(n.op("Where", n.op("Equal", mask, n.constant(0, np.int64)), n.constant(-np.inf), h), "y", ["batch", 8])
    feeds = [{"x": n.noise(b, WIDTH), "mask": n.rng.integers(0, 2, (b, 8))} for b in (9, 9, 9, 5, 12)]
    return Case(n.model(), feeds[:3], feeds[3:])


def removed_nan() -> Case:
    """0 / 0 where a row is empty, which a Where takes out again, before a product."""
    n = Net(109, 13)
    x = n.op("Relu", n.gemm(n.input("x", ["batch", WIDTH]), WIDTH, WIDTH))
    x = n.op(
        "Mul", x, n.op("Cast", n.op("Greater", n.op("ReduceMax", x, axes=[1], keepdims=1), n.constant(1.5)), to=FLOAT)
    )
    share = n.op("Div", x, n.op("ReduceSum", x, n.constant([1], np.int64), keepdims=1))
    share = n.op("Where", n.op("IsNaN", share), n.constant(0.0), share)
    n.output(n.gemm(share, WIDTH, 8), "y", ["batch", 8])
    feeds = [{"x": n.noise(b, WIDTH) * np.linspace(0.1, 2, b, dtype=np.float32)[:, None]} for b in (8, 8, 8, 3, 9)]
    return Case(n.model(), feeds[:3], feeds[3:])


def other_axis() -> Case:
    """Scores transposed, a softmax over the rows, and the mask with its own dimensions first."""
    n = Net(111, 13)
    x = n.input("x", ["batch", 6, WIDTH])
    q, k, v = heads(n, x)
    mask = n.initializer(np.triu(np.full((6, 6), -1e9, np.float32), 1).T.copy())
    scores = n.op("Transpose", n.op("Mul", n.op("MatMul", q, k), n.constant(SIZE**-0.5)), perm=[0, 1, 3, 2])
    weights = n.op("Softmax", n.op("Add", mask, scores), axis=2)
    mixed = n.op("MatMul", n.op("Transpose", weights, perm=[0, 1, 3, 2]), v)
    n.output(n.op("Add", x, n.linear(n.merge_heads(mixed, WIDTH), WIDTH, WIDTH)), "y", ["batch", 6, WIDTH])
    return Case(
        n.model(), [{"x": n.noise(1, 6, WIDTH)} for _ in range(6)], [{"x": n.noise(b, 6, WIDTH)} for b in (2, 3)]
    )


CASES = {
    "mask_input_infinity": lambda: float_input(-np.inf, True),
    "mask_input_lowest": lambda: float_input(LOWEST, True),
    "mask_input_zero": lambda: float_input(-np.inf, False),
    **{f"unseen_{s}": lambda s=s: unseen(s) for s in ("product", "minus", "where", "log")},
    "two_masks": two_masks,
    "masked_output": masked_output,
    "removed_nan": removed_nan,
    "other_axis": other_axis,
}
