"""A per-channel affine function after a product is folded into it: (w x + b) * a + c = (a w) x + (a b + c).

1. Conv, ConvTranspose or Gemm, then BatchNormalization.
2. Conv or ConvTranspose, then Mul or Add of a constant that is a scalar or has one entry a channel.
"""

from __future__ import annotations

import numpy as np

from ..graph import Array, Node
from ..graph.pattern import Match, constant, op, value
from ..graph.rewrite import Replacement, Rewrite, Rewrites
from ..graph.type_rules import is_bias
from ..ops.traits import CONVOLUTION
from .batch_norm import BATCH_NORM, factor_and_offset
from .identity import has_neutral
from .scale import holds


def _is_plain_float(m: Match) -> bool:
    product = m.node("product")
    if product.op == "Gemm" and (product.attr("alpha") != 1.0 or product.attr("beta") != 1.0):
        return False
    if m["b"] and not is_bias(m.constant("b"), _channels(m)):
        return False
    return m.constant("w").dtype == np.float32


_OPERANDS = (value("x"), constant("w"), constant("b", optional=True))
_CONVOLUTION = op(CONVOLUTION, *_OPERANDS, name="product", where=_is_plain_float)
_GEMM = op("Gemm", *_OPERANDS, name="product", where=_is_plain_float)


def _channels(m: Match) -> int:
    product, w = m.node("product"), m.constant("w").shape
    if product.op == "Conv":
        return int(w[0])
    if product.op == "ConvTranspose":
        return int(w[1]) * int(product.attr("group"))
    return int(w[0] if product.attr("transB") else w[1])


def _after_norm(m: Match) -> Replacement:
    return _folded(m, *factor_and_offset(m))


def _after_constant(m: Match) -> Replacement:
    """An Add, Sub, Mul or Div."""
    rank, c, channels = m.rank("x"), m.constant("c").astype(np.float64), _channels(m)
    if rank is None or c.ndim > rank:
        return None
    shape = (1,) * (rank - c.ndim) + c.shape
    if any(d != 1 for k, d in enumerate(shape) if k != 1) or shape[1] not in (1, channels):
        return None
    c, ones, zeros = np.broadcast_to(c.ravel(), (channels,)), np.ones(channels), np.zeros(channels)
    if m.root.op == "Div":
        return _folded(m, 1 / c, zeros) if np.all(c != 0) else None
    if m.root.op == "Mul":
        return _folded(m, c, zeros)
    return _folded(m, ones, c if m.root.op == "Add" else -c)


def _folded(m: Match, a: Array, c: Array) -> Replacement:
    """The product with its weights scaled, writing what the affine node wrote; None where float32 does not hold
    them."""
    product, w = m.node("product"), m.constant("w").astype(np.float64)
    bias = m.constant("b").astype(np.float64).ravel() if m["b"] else np.zeros(1)
    with np.errstate(all="ignore"):
        scaled, bias = _scaled(product, w, a), bias * a + c
        if not holds(scaled) or np.isnan(bias).any():
            return None
        arrays = zip(("weight", "bias"), (scaled.astype(np.float32), bias.astype(np.float32)), strict=True)
    out = m.root.outputs[0]
    return product.with_(
        inputs=(m["x"], *(m.add_constant(f"{out}.{hint}", array) for hint, array in arrays)), outputs=(out,)
    )


def _scaled(product: Node, w: Array, a: Array) -> Array:
    """The weights times a factor for each output channel."""
    if product.op == "Conv":
        return w * a.reshape(-1, *(1,) * (w.ndim - 1))
    if product.op == "Gemm":
        return w * (a[:, None] if product.attr("transB") else a)
    groups = int(product.attr("group"))
    per_group = a.reshape(groups, 1, -1, *(1,) * (w.ndim - 2))
    return np.asarray((w.reshape(groups, -1, *w.shape[1:]) * per_group).reshape(w.shape))


_NORM, *_PARAMETERS = BATCH_NORM.operands
_AFTER = (
    Rewrite("convolution and norm", op("BatchNormalization", _CONVOLUTION, *_PARAMETERS, name="norm"), _after_norm),
    Rewrite("gemm and norm", op("BatchNormalization", _GEMM, *_PARAMETERS, name="norm"), _after_norm),
    Rewrite("convolution and constant", op(has_neutral, _CONVOLUTION, constant("c")), _after_constant),
)

fold_affine = Rewrites("fold_affine", *_AFTER)
