"""onnxruntime's RotaryEmbedding and GroupQueryAttention as standard ops."""

from __future__ import annotations

import numpy as np

from .body import Body


def rotary_embedding(b: Body) -> None:
    """(x [B, S, D] or [B, N, S, H], positions [1], from which they count, or [B, S], cos and sin [positions, R / 2]) ->
    y."""
    if b.attribute("is_packed_batching", 0) or b.attribute("scale", 1.0) != 1.0:
        raise ValueError("a packed batch, or a scale,")
    x, positions, cos, sin = (b.input(k) for k in range(4))
    rank, heads, part = b.rank(x), b.attribute("num_heads", 0), b.attribute("rotary_embedding_dim", 0)
    if part and rank == 3 and not heads:
        raise ValueError("a part of heads whose number is not given")
    by_head = x if rank == 4 else b.op("Transpose", _heads_of(b, x, heads, cos), perm=[0, 2, 1, 3])
    if b.rank(positions) == 1:
        positions = b.reshape(b.op("Add", b.count(b.size(by_head, 2)), positions), 1, -1)
    turned = rotated(b, by_head, positions, cos, sin, part)
    b.gives(0, turned if rank == 4 else b.op("Reshape", b.op("Transpose", turned, perm=[0, 2, 1, 3]), b.op("Shape", x)))


def _heads_of(b: Body, x: str, heads: int, cos: str) -> str:
    """[B, S, N H] as [B, S, N, H]; without a number of heads H is twice the width of the cosines."""
    return b.reshape(x, 0, 0, heads, -1) if heads else b.reshape(x, 0, 0, -1, b.op("Mul", b.size(cos, 1), b.ints(2)))


def rotated(b: Body, x: str, positions: str, cos: str, sin: str, part: int) -> str:
    """The first `part` elements (0: all) of each head of x [B, N, S, H], in pairs (u, v): (u cos - v sin, u sin + v
    cos) of the angle of its position [B or 1, S]. Pairs are neighbours where `interleaved`, else lie half of the part
    apart."""
    cos, sin = (b.unsqueezed(b.op("Gather", t, positions, axis=0), 1, 3) for t in (cos, sin))
    rest = b.part(x, part, b.size(x, 3), 3) if part else ""
    turned = b.part(x, 0, part, 3) if part else x
    interleaved = b.attribute("interleaved" if b.node.op_type == "RotaryEmbedding" else "rotary_interleaved", 0)
    if interleaved:
        pairs = b.reshape(turned, *(b.size(x, k) for k in range(3)), -1, 2)
        u, v = (b.op("Gather", pairs, b.constant(k, np.int64), axis=4) for k in (0, 1))
    else:
        half = b.size(cos, 3)
        u, v = b.split(turned, half, half)
    low = b.op("Sub", b.op("Mul", u, cos), b.op("Mul", v, sin))
    high = b.op("Add", b.op("Mul", u, sin), b.op("Mul", v, cos))
    if interleaved:
        both = b.op("Concat", b.unsqueezed(low, 4, 4), b.unsqueezed(high, 4, 4), axis=4)
        y = b.op("Reshape", both, b.op("Shape", turned))
    else:
        y = b.op("Concat", low, high, axis=3)
    return b.op("Concat", y, rest, axis=3) if rest else y


def group_query_attention(b: Body) -> None:
    """(query [B, S, N H], key, value [B, S, M H], past key and value [B, M, P, H], last positions [B], positions in
    all, cos, sin) -> y [B, S, N H], present key and value [B, M, max(P, positions), H].

    Of batch entry i positions 0 to lasts[i] exist when this has run. The S new ones are the last of these, or the first
    where there are no others; a query sees what is not after it, and with a window of w not w or more before it. N / M
    queries share a key.
    """
    refused = ("softcap", "smooth_softmax", "qk_output", "kv_cache_bit_width")
    if any(b.attribute(n, 0) for n in refused) or any(b.input(k) for k in range(9, len(b.node.input))) or b.is_asked(3):
        raise ValueError("a cap, a sink, a bias, positions or scores")
    heads, groups = b.attribute("num_heads", 0), b.attribute("kv_num_heads", 0)
    query, key, value, past_key, past_value, lasts, total, cos, sin = (b.input(k) for k in range(9))
    if not key:
        head = b.op("Div", b.size(query, 2), b.ints(heads + 2 * groups))
        query, key, value = b.split(query, *(b.op("Mul", head, b.ints(n)) for n in (heads, groups, groups)))
    q, k, v = (
        b.op("Transpose", b.reshape(t, 0, 0, n, -1), perm=[0, 2, 1, 3])
        for t, n in ((query, heads), (key, groups), (value, groups))
    )
    new, all_of_them = b.size(q, 2), b.reshape(b.op("Cast", total, to=7), 1)
    lengths = b.reshape(b.op("Add", b.op("Cast", lasts, to=7), b.ints(1)), -1, 1)
    before = b.op("Where", b.op("Equal", new, all_of_them), b.ints(0), b.op("Sub", lengths, new))  # [B, 1]
    places = b.op("Add", before, b.reshape(b.count(new), 1, -1))  # [B, S]
    if b.attribute("do_rotary", 0):
        q, k = (rotated(b, t, places, cos, sin, 0) for t in (q, k))
    if not past_key:
        past_key, past_value = (b.part(t, 0, 0, 2) for t in (k, v))
    room = b.op("ReduceMax", b.op("Concat", b.size(past_key, 2), all_of_them, axis=0))
    at = b.reshape(b.count(b.reshape(room, 1)), 1, -1)  # [1, T]
    k, v = (_kept(b, p, t, before, at, new) for p, t in ((past_key, k), (past_value, v)))
    b.gives(1, k)
    b.gives(2, v)
    # behind the last position of a shorter entry all is seen of it
    seen = b.op("Min", places, b.op("Sub", lengths, b.ints(1)))
    _grouped(b, q, k, v, seen, at, heads // groups)


def _kept(b: Body, past: str, fresh: str, before: str, at: str, new: str) -> str:
    """[B, M, T, H]: what was there before, then what is new, then zeros."""
    held = b.size(past, 2)
    along = b.op("Sub", at, before)  # [B, T]: of the new ones
    is_old, is_beyond = b.op("Less", at, before), b.op("Not", b.op("Less", along, new))
    index = b.op("Where", is_old, at, b.op("Add", along, held))
    index = b.op("Where", is_beyond, b.ints(0), index)
    both = b.op("Concat", past, fresh, axis=2)
    shape = b.op(
        "Concat",
        b.size(both, 0),
        b.size(both, 1),
        b.op("Shape", b.op("Reshape", at, b.ints(-1))),
        b.size(both, 3),
        axis=0,
    )
    wide = b.op("Expand", b.unsqueezed(b.unsqueezed(index, 1, 2), 3, 3), shape)
    taken = b.op("GatherElements", both, wide, axis=2)
    return b.op("Where", b.unsqueezed(b.unsqueezed(is_beyond, 1, 2), 3, 3), b.constant(0), taken)


def _grouped(b: Body, q: str, k: str, v: str, places: str, at: str, shared: int) -> None:
    """softmax(q k / sqrt(H) + mask) v of queries [B, N, S, H], of which `shared` read the same keys and values [B, M,
    T, H]."""
    shape = b.op("Shape", q)
    q = b.reshape(q, b.size(q, 0), b.size(k, 1), shared, b.size(q, 2), b.size(q, 3))
    keys = b.unsqueezed(b.op("Transpose", k, perm=[0, 1, 3, 2]), 2, 4)
    scale = b.attribute("scale", 0.0)
    factor = b.constant(scale) if scale else b.op("Reciprocal", b.op("Sqrt", b.floats(b.size(v, 3))))
    scores = b.op("Mul", b.op("MatMul", q, keys), factor)
    at, places = b.unsqueezed(at, 1, 2), b.unsqueezed(places, 2, 2)  # [1, 1, T], [B, S, 1]
    hidden = b.op("Less", places, at)
    window = b.attribute("local_window_size", -1)
    if window > 0:
        hidden = b.op("Or", hidden, b.op("Less", at, b.op("Sub", places, b.ints(window - 1))))
    hidden = b.unsqueezed(b.unsqueezed(hidden, 1, 3), 1, 4)
    scores = b.op("Where", hidden, b.constant(np.finfo(b.real).min), scores)
    y = b.op("Reshape", b.op("MatMul", b.op("Softmax", scores, axis=-1), b.unsqueezed(v, 2, 4)), shape)
    turned = b.op("Transpose", y, perm=[0, 2, 1, 3])
    b.gives(0, b.reshape(turned, b.size(turned, 0), b.size(turned, 1), -1))
