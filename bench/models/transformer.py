"""The encoder block that BERT and the vision transformer share: attention and a feed-forward part, each with a
residual."""

from __future__ import annotations

from .builder import Builder


def attention(b: Builder, x: str, tokens: int, width: int, heads: int) -> str:
    """Multi-head attention as exporters write it: reshapes, transposes and two batched products."""
    d = width // heads

    def heads_of(order: tuple[int, ...]) -> str:
        return b.add(
            "Transpose", b.add("Reshape", b.linear(x, width, width), b.integers(1, tokens, heads, d)), perm=order
        )

    q, k, v = heads_of((0, 2, 1, 3)), heads_of((0, 2, 3, 1)), heads_of((0, 2, 1, 3))
    a = b.add("Softmax", b.add("Div", b.add("MatMul", q, k), b.constant(d**0.5)), axis=-1)
    c = b.add("Transpose", b.add("MatMul", a, v), perm=(0, 2, 1, 3))
    return b.linear(b.add("Reshape", c, b.integers(1, tokens, width)), width, width)


def feed_forward(b: Builder, x: str, width: int) -> str:
    return b.linear(b.gelu(b.linear(x, width, 4 * width)), 4 * width, width)
