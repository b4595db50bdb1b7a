"""LSTM, GRU and RNN of floats with all attributes and inputs of ONNX 22, but `layout`, which the importer turns into
Transposes.

One order of operations (docs/quantization.md, 36 to 38): the products of the inputs are chains of fused multiply-adds
that begin with the biases (28), those of the state begin with 0, then come the sums, one by one. `fast`: numpy's
product.

A batch entry is computed for its first `sequence_lens` steps, backwards from the last of these in a reverse direction;
Y is 0 beyond them, and everything of an entry of length 0, as in onnxruntime.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from ..graph import Array, Node
from ..limits import RECURRENT_STEP, check_work
from ..record import NamedTuple
from . import float_functions as functions
from .float_conv import given, optional
from .float_math import limited, tanh
from .float_product import product_of
from .recurrent_layer import DEFAULTS, GATES, PARAMETERS, activation_names, directions

Product = Callable[[Array, Array, Array | None], Array]  # x [M, K] by w [K, N], plus a bias [N]
Function = Callable[[Array], Array]


class Activation(NamedTuple):
    """A function of one number. alpha, beta: as float32 has them."""

    name: str
    alpha: float
    beta: float

    def __call__(self, x: Array) -> Array:
        a, b = x.dtype.type(self.alpha), x.dtype.type(self.beta)
        if self.name == "Affine":
            return x * a + b
        if self.name == "ScaledTanh":
            return tanh(x * b) * a
        return functions.BY_NAME[self.name](x, a, b)


def activations(node: Node) -> list[tuple[Activation, ...]]:
    """The functions of each direction. Values of activation_alpha and activation_beta go to those functions in order
    that take one. Raises Contradiction for other functions than the op has, or another number of them."""
    sides, usual = len(directions(node)), DEFAULTS[node.op]
    names = activation_names(node)
    alphas, betas = (list(node.attr(f"activation_{k}") or ()) for k in ("alpha", "beta"))
    found = []
    for name in names:
        alpha, beta = PARAMETERS[name]
        alpha = 0.0 if alpha is None else alphas.pop(0) if alphas else alpha
        beta = 0.0 if beta is None else betas.pop(0) if betas else beta
        found.append(Activation(name, float(np.float32(alpha)), float(np.float32(beta))))
    return [tuple(found[k * len(usual) : (k + 1) * len(usual)]) for k in range(sides)]


def clipped(x: Array, bound: float | None) -> Array:
    """The input of an activation, within +-bound."""
    if not bound:
        return x
    limit = x.dtype.type(bound)
    return limited(x, -limit, limit)


class Side(NamedTuple):
    """What one direction of a layer computes with. Arrays are as ONNX has them, without the axis of directions.

    r [gates H, H]; inner [H]: see `biases`; p: peepholes [3 H] of i, o, f, or None.
    """

    r: Array
    inner: Array | None
    p: Array | None
    f: tuple[Activation, ...]
    clip: float | None
    product: Product

    @property
    def hidden(self) -> int:
        return self.r.shape[-1]


Step = Callable[[Side, Node, Array, tuple[Array, ...]], tuple[Array, ...]]


def biases(bias: Array, hidden: int, apart: bool) -> tuple[Array, Array | None]:
    """What a direction's products begin with: of the inputs [gates H], and of the state in n [H] where that is
    `apart`. bias [2 gates H]: those of the inputs, then those of the state."""
    of_inputs, of_state = np.split(bias, 2)
    start = np.asarray(of_inputs + of_state)
    if not apart:
        return start, None
    start[2 * hidden :] = of_inputs[2 * hidden :]
    return start, of_state[2 * hidden :]


def apart(node: Node) -> bool:
    """Whether the state's bias of n stands within a product with r."""
    return node.op == "GRU" and bool(node.attr("linear_before_reset"))


def rnn_step(s: Side, node: Node, gx: Array, state: tuple[Array, ...]) -> tuple[Array, ...]:
    """h' = f(gx + h R)."""
    (h,), (f,) = state, s.f
    return (f(clipped(gx + s.product(h, s.r.T, None), s.clip)),)


def gru_step(s: Side, node: Node, gx: Array, state: tuple[Array, ...]) -> tuple[Array, ...]:
    """h' = (1 - z) n + z h, n = g(gx + (r h) R), or with linear_before_reset g(gx + r (h R + Rb))."""
    (h,), k, (f, g) = state, s.hidden, s.f
    z, r = np.split(f(clipped(gx[:, : 2 * k] + s.product(h, s.r[: 2 * k].T, None), s.clip)), 2, -1)
    if apart(node):
        inner = gx[:, 2 * k :] + r * s.product(h, s.r[2 * k :].T, s.inner)
    else:
        inner = gx[:, 2 * k :] + s.product(r * h, s.r[2 * k :].T, None)
    n = g(clipped(inner, s.clip))
    return ((h.dtype.type(1) - z) * n + z * h,)


def lstm_step(s: Side, node: Node, gx: Array, state: tuple[Array, ...]) -> tuple[Array, ...]:
    """c' = f c + i g, h' = o h(c'); peepholes add p_i c, p_f c and p_o c' to the gates; input_forget: f = 1 - i.

    clip bounds what the gates' functions take, not c', as in onnxruntime.
    """
    (h, c), (f, g, of_cell) = state, s.f
    i, o, forget, new = np.split(gx + s.product(h, s.r.T, None), 4, -1)
    p_i, p_o, p_f = (None,) * 3 if s.p is None else np.split(s.p, 3)
    i = f(clipped(i if p_i is None else i + p_i * c, s.clip))
    if node.attr("input_forget"):
        forget = i.dtype.type(1) - i
    else:
        forget = f(clipped(forget if p_f is None else forget + p_f * c, s.clip))
    c = forget * c + i * g(clipped(new, s.clip))
    o = f(clipped(o if p_o is None else o + p_o * c, s.clip))
    return o * of_cell(c), c


STEPS: dict[str, Step] = {"RNN": rnn_step, "GRU": gru_step, "LSTM": lstm_step}


def sequence_mask(node: Node, inputs: list[Array | None]) -> list[Array]:
    """[steps, batch]: whether an entry of a batch goes on for more than so many steps."""
    return [mask_of(given(inputs, 0), node.attr("steps"))]


def mask_of(lens: Array, steps: int) -> Array:
    assert lens.ndim == 1 and np.all((lens >= 0) & (lens <= steps)), f"sequence_lens {lens.tolist()} of {steps} steps"
    return np.asarray(lens[None, :] > np.arange(steps)[:, None])


def live_steps(inputs: list[Array | None], steps: int, batch: int) -> Array:
    """[steps, batch], from the lengths, which may be given so themselves; without any, all."""
    lens = optional(inputs, 4)
    live = np.ones((steps, batch), bool) if lens is None else lens if lens.ndim == 2 else mask_of(lens, steps)
    assert live.shape == (steps, batch), f"sequence_lens of {live.shape[1:]} entries for a batch of {batch}"
    return live


def run_side(
    step: Step, s: Side, node: Node, gx: Array, state: tuple[Array, ...], mask: Array, backwards: bool
) -> tuple[Array, list[Array]]:
    """(y [steps, batch, hidden], last states) of one direction. gx [steps, batch, gates hidden]; mask [steps,
    batch]."""
    steps = gx.shape[0]
    y = np.zeros((*gx.shape[:2], s.hidden), gx.dtype)
    final = [np.array(v) for v in state]
    for t in reversed(range(steps)) if backwards else range(steps):
        live = mask[t]
        if not live.any():
            continue
        result = step(s, node, gx[t], tuple(final))
        for k, v in enumerate(result):
            final[k] = np.where(live[:, None], v, final[k])
        y[t] = np.where(live[:, None], result[0], y.dtype.type(0))
    return y, [np.where(np.any(mask, axis=0)[:, None], v, v.dtype.type(0)) for v in final]


def layer(node: Node, inputs: list[Array | None], product: Product) -> list[Array]:
    """[Y, Y_h] or, of an LSTM, [Y, Y_h, Y_c]. Raises LimitError where its steps take more than the limit of work."""
    x, w, r = given(inputs, 0), given(inputs, 1), given(inputs, 2)
    (steps, batch), hidden, gates, sides = x.shape[:2], r.shape[-1], GATES[node.op], directions(node)
    b, p, mask = optional(inputs, 3), optional(inputs, 7), live_steps(inputs, steps, batch)
    starts = [optional(inputs, k) for k in ((5, 6) if node.op == "LSTM" else (5,))]
    bias = np.zeros((len(sides), 2 * gates * hidden), x.dtype) if b is None else b
    check_work(RECURRENT_STEP * steps * len(sides), f"node {node.name!r} ({node.operator}): a layer of {steps} steps")
    functions_of, clip = activations(node), node.attr("clip")
    ys, finals = [], []
    for d, backwards in enumerate(sides):
        begin, inner = biases(bias[d], hidden, apart(node))
        side = Side(r[d], inner, None if p is None else p[d], functions_of[d], clip, product)
        state = tuple(np.zeros((batch, hidden), x.dtype) if v is None else v[d] for v in starts)
        gx = product(x.reshape(steps * batch, -1), w[d].T, begin).reshape(steps, batch, -1)
        y, final = run_side(STEPS[node.op], side, node, gx, state, mask, backwards)
        ys.append(y)
        finals.append(final)
    return [np.stack(ys, 1), *(np.stack(states) for states in zip(*finals, strict=True))][: max(1, len(node.outputs))]


def at_once(x: Array, w: Array, bias: Array | None) -> Array:
    """numpy's product."""
    y = np.matmul(x, w)
    return y if bias is None else np.asarray(y + bias)


def run(node: Node, inputs: list[Array | None]) -> list[Array]:
    """The layer with numpy's products."""
    return layer(node, inputs, at_once)


def run_in_order(node: Node, inputs: list[Array | None]) -> list[Array]:
    """The layer with products in one order."""
    return layer(node, inputs, product_of)
