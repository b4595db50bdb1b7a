"""BERT's encoder: Devlin et al. (2018), 6 layers of width 384 with 12 heads, on embedded tokens; norms follow the
residuals."""

from __future__ import annotations

import onnx

from .builder import Builder
from .transformer import attention, feed_forward

LAYERS, WIDTH, HEADS = 6, 384, 12


def bert(tokens: int) -> onnx.ModelProto:
    b = Builder()
    x = b.layer_norm("input", WIDTH)
    for _ in range(LAYERS):
        x = b.layer_norm(b.add("Add", x, attention(b, x, tokens, WIDTH, HEADS)), WIDTH)
        x = b.layer_norm(b.add("Add", x, feed_forward(b, x, WIDTH)), WIDTH)
    return b.finish(f"bert_{tokens}", [1, tokens, WIDTH], x, [1, tokens, WIDTH])
