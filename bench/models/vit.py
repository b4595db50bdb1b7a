"""ViT-tiny: Touvron et al., DeiT (2021): 12 layers of width 192 with 3 heads on 196 patches of 16 x 16 and a class
token."""

from __future__ import annotations

import onnx

from .builder import Builder
from .transformer import attention, feed_forward

LAYERS, WIDTH, HEADS, PATCHES = 12, 192, 3, 196


def vit_tiny() -> onnx.ModelProto:
    b = Builder()
    w = b.constant(b.rng.normal(0, 768**-0.5, (WIDTH, 3, 16, 16)))
    x = b.add("Conv", "input", w, b.constant(b.rng.normal(0, 0.02, WIDTH)), kernel_shape=[16, 16], strides=[16, 16])
    x = b.add("Transpose", b.add("Reshape", x, b.integers(1, WIDTH, PATCHES)), perm=(0, 2, 1))
    x = b.add("Concat", b.constant(b.rng.normal(0, 1, (1, 1, WIDTH))), x, axis=1)
    tokens = PATCHES + 1
    x = b.add("Add", x, b.constant(b.rng.normal(0, 0.1, (1, tokens, WIDTH))))
    for _ in range(LAYERS):
        x = b.add("Add", x, attention(b, b.layer_norm(x, WIDTH), tokens, WIDTH, HEADS))
        x = b.add("Add", x, feed_forward(b, b.layer_norm(x, WIDTH), WIDTH))
    x = b.add("Gather", b.layer_norm(x, WIDTH), b.constant_index(0), axis=1)
    return b.finish("vit_tiny", [1, 3, 224, 224], b.gemm(x, WIDTH, 1000), [1, 1000])
