"""LSTM with int8 weights, in its plain form: gates i, o, f, c; sigmoid and tanh; no peepholes, lengths or bounds."""

from __future__ import annotations

import numpy as np

from ..graph import Array, Node, TensorType
from .arithmetic import F32, clamped, minus_zero_point, product_scale
from .float_conv import given, optional
from .float_math import sigmoid, tanh
from .integer_product import Types, _typed
from .recurrent_float import activations
from .recurrent_layer import DEFAULTS, directions

STATE_SCALE, STATE_ZERO = F32(1) / F32(127), 128


def form_obstacle(node: Node) -> str | None:
    """Why a float LSTM, by its attributes and optional inputs, has no int8 form; None where it has one."""
    if node.input(4):
        return "it has sequence lengths"
    if node.input(7):
        return "it has peepholes"
    if node.attr("clip") or node.attr("input_forget"):
        return f"it has the attribute {'clip' if node.attr('clip') else 'input_forget'}"
    usual = all(tuple(a.name for a in side) == DEFAULTS["LSTM"] for side in activations(node))
    return None if usual else "its activations are not Sigmoid, Tanh, Tanh"


def cell(gates: Array, c: Array) -> tuple[Array, Array]:
    """(h, c) from gates [B, 4H] and the state before: c' = s(f) c + s(i) tanh(g), h = s(o) tanh(c')."""
    i, o, f, g = np.split(gates, 4, -1)
    c = sigmoid(f) * c + sigmoid(i) * tanh(g)
    return sigmoid(o) * tanh(c), c


def state_bytes(h: Array) -> Array:
    """(19) C(rint(h / s_h) + 128), s_h = f32(1 / 127): the state that a step multiplies."""
    return clamped(np.rint(h / STATE_SCALE) + F32(STATE_ZERO), 0, 255).astype(np.int32)


def integer_lstm(node: Node, inputs: list[Array | None], types: Types, outputs: list[TensorType]) -> list[Array]:
    """(19), (20) gates = (f32(sum (q_x - z) w) m_w + f32(sum (q_h - 128) r) m_r) + b, m_w = f32(s_x s_w), m_r = f32(s_h
    s_r).

    w [D 4H, I] and r [D 4H, H] are int8, per row; b float32 [D 4H]; outputs are float32.
    """
    x, w, r, b = (
        minus_zero_point(given(inputs, 0), _typed(types, 0), np.int64),
        given(inputs, 1),
        given(inputs, 2),
        given(inputs, 3),
    )
    sides, hidden = directions(node), r.shape[1]
    steps, batch = x.shape[:2]
    m_w = product_scale(_typed(types, 0), _typed(types, 1)).reshape(-1)
    r_quant = _typed(types, 2).quant
    assert r_quant is not None
    m_r = (STATE_SCALE * np.array(r_quant.scale, F32)).astype(F32)
    acc = np.matmul(x.astype(np.float64), w.T.astype(np.float64)).astype(np.int64)
    from_x = acc.astype(F32) * np.broadcast_to(m_w, (w.shape[0],))
    y = np.zeros((steps, len(sides), batch, hidden), F32)
    last_h, last_c = [], []
    h0, c0 = optional(inputs, 4), optional(inputs, 5)
    for d, backwards in enumerate(sides):
        rows = slice(d * 4 * hidden, (d + 1) * 4 * hidden)
        h, c = (np.zeros((batch, hidden), F32) if s is None else s[d] for s in (h0, c0))
        for t in reversed(range(steps)) if backwards else range(steps):
            sums = (state_bytes(h) - STATE_ZERO) @ r[rows].T.astype(np.int32)
            from_h = sums.astype(F32) * np.broadcast_to(m_r, (r.shape[0],))[rows]
            h, c = cell((from_x[t][:, rows] + from_h) + b[rows], c)
            y[t, d] = h
        last_h.append(h)
        last_c.append(c)
    return [y, np.stack(last_h), np.stack(last_c)]
