"""onnxruntime's fused attention as products, a softmax and masks that are added.

A mask that hides a key adds `mask_filter_value` to its scores, as onnxruntime does on the CPU; what lies in the future
of a query adds the least float.
"""

from __future__ import annotations

import numpy as np

from .body import Body
from .products import scaled_product


def attention(b: Body) -> None:
    """(input [B, S, D], weights [D, q + k + v], bias, mask, past [2, B, N, P, H], attention bias) -> y, present."""
    if b.input(6):
        raise ValueError("a length of the past")
    projected = b.plus(b.op("MatMul", b.input(0), b.input(1)), b.input(2))
    _self_attention(b, projected, b.size(b.input(1), 1), b.input(3), b.input(4), b.input(5))


def quantized_attention(b: Body) -> None:
    """(input, weights, bias, input scale, weight scale, mask, input zero, weight zero, past) -> y, present."""
    x, w, bias, x_scale, w_scale, mask, x_zero, w_zero, past = (b.input(k) for k in range(9))
    projected = scaled_product(b, x, x_zero, x_scale, w, w_zero, w_scale, bias)
    _self_attention(b, projected, b.size(w, 1), mask, past, "")


def _self_attention(b: Body, projected: str, width: str, mask: str, past: str, bias: str) -> None:
    """Of queries, keys and values side by side, of this width in all."""
    _refuse(b, past_present_share_buffer="a shared buffer", do_rotary="rotary positions")
    sizes = b.attribute("qkv_hidden_sizes", None)
    third = b.op("Div", width, b.ints(3))
    parts = b.split(projected, *([b.ints(s) for s in sizes] if sizes else [third] * 3))
    q, k, v = (_by_head(b, t, b.attribute("num_heads", 0)) for t in parts)
    if past:
        k, v = (b.op("Concat", _half(b, past, n), t, axis=2) for n, t in enumerate((k, v)))
    if b.is_asked(1):
        b.gives(1, b.op("Concat", *(b.unsqueezed(t, 0, 4) for t in (k, v)), axis=0))
    _attended(b, q, k, v, mask, bias)


def multi_head_attention(b: Body) -> None:
    """(query [B, S, D], key, value [B, L, D] or [B, N, L, H], bias, key mask, attention bias, past key and value) -> y,
    present key and value."""
    query, key, value, bias, mask, added, past_key, past_value = (b.input(k) for k in range(8))
    if b.input(8) or b.input(9):
        raise ValueError("a length of the past, or an indirection of beams,")
    if not key or not value:
        raise ValueError("packed queries, keys and values")
    if b.is_asked(3):
        raise ValueError("the scores as an output")
    parts, by_head = [query, key, value], [False, b.rank(key) == 4, b.rank(value) == 4]
    if bias:
        third = b.op("Div", b.op("Shape", bias), b.ints(3))
        pieces = b.split(bias, *(third if h else b.size(p, -1) for p, h in zip(parts, by_head, strict=True)))
        parts = [p if h else b.op("Add", p, t) for p, h, t in zip(parts, by_head, pieces, strict=True)]
    heads = b.attribute("num_heads", 0)
    q, k, v = (p if h else _by_head(b, p, heads) for p, h in zip(parts, by_head, strict=True))
    if past_key:
        k, v = b.op("Concat", past_key, k, axis=2), b.op("Concat", past_value, v, axis=2)
    b.gives(1, k)
    b.gives(2, v)
    _attended(b, q, k, v, mask, added)


def _refuse(b: Body, **forms: str) -> None:
    for name, words in forms.items():
        if b.attribute(name, 0):
            raise ValueError(words)


def _by_head(b: Body, x: str, heads: int) -> str:
    """[B, S, N H] as [B, N, S, H]"""
    return b.op("Transpose", b.reshape(x, 0, 0, heads, -1), perm=[0, 2, 1, 3])


def _joined_heads(b: Body, x: str) -> str:
    turned = b.op("Transpose", x, perm=[0, 2, 1, 3])
    return b.reshape(turned, b.size(turned, 0), b.size(turned, 1), b.op("Mul", b.size(turned, 2), b.size(turned, 3)))


def _half(b: Body, past: str, index: int) -> str:
    return b.op("Gather", past, b.constant(index, np.int64), axis=0)


def _attended(b: Body, q: str, k: str, v: str, mask: str, bias: str) -> None:
    """softmax(q k / sqrt(H) + masks) v as output 0, [B, S, N H]. q, k, v: [B, N, S or T, H]."""
    scale = b.attribute("scale", 0.0)
    keys = b.op("Transpose", k, perm=[0, 1, 3, 2])
    scores = b.op("MatMul", q, keys)
    if scale:
        scores = b.scaled(scores, scale)
    else:
        root = b.op("Sqrt", b.floats(b.size(q, 3)))
        scores = b.op("Div", scores, root)
    hidden = _hidden(b, mask, b.size(k, 2)) if mask else ""
    if b.attribute("unidirectional", 0):
        future = _future(b, b.size(q, 2), b.size(k, 2))
        hidden = b.op("Add", hidden, future) if hidden else future
    scores = b.plus(scores, hidden, bias)
    b.gives(0, _joined_heads(b, b.op("MatMul", b.op("Softmax", scores, axis=-1), v)))


def _hidden(b: Body, mask: str, keys: str) -> str:
    """What is added to the scores: mask_filter_value where the mask is 0. mask: [B, T], [B, S, T], or [B] lengths."""
    rank = b.rank(mask)
    if rank == 1:
        batch = b.op("Shape", mask)
        positions = b.reshape(b.count(keys), 1, 1, 1, -1)
        seen = b.op("Less", positions, b.reshape(b.op("Cast", mask, to=7), batch, 1, 1, 1))
        return b.op("Where", seen, b.constant(0), b.constant(b.attribute("mask_filter_value", -10000.0)))
    if rank == 2:
        shown = b.reshape(mask, b.size(mask, 0), 1, 1, b.size(mask, 1))
    elif rank == 3:
        shown = b.reshape(mask, b.size(mask, 0), 1, b.size(mask, 1), b.size(mask, 2))
    else:
        raise ValueError("a mask of four axes")
    seen = b.op("Cast", shown, to=9)
    return b.op("Where", seen, b.constant(0), b.constant(b.attribute("mask_filter_value", -10000.0)))


def _future(b: Body, queries: str, keys: str) -> str:
    """[S, T]: the least float where a key comes after the query, the last of which is the last key."""
    offset = b.op("Sub", keys, queries)
    at = b.op("Add", b.reshape(b.count(queries), -1, 1), offset)
    return b.op(
        "Where", b.op("Less", at, b.reshape(b.count(keys), 1, -1)), b.constant(np.finfo(b.real).min), b.constant(0)
    )
