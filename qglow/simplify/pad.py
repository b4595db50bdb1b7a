"""A zero Pad of spatial axes before a Conv becomes the convolution's own padding."""

from __future__ import annotations

import numpy as np

from ..graph import Array
from ..graph.pattern import Match, constant, op, value
from ..graph.rewrite import Replacement, Rewrite, Rewrites
from ..reference.float_shape import pad_widths


def _is_zero(c: Array) -> bool:
    return not np.any(c != 0)


def _padded(m: Match) -> Replacement:
    widths = _spatial_widths(m)
    if widths is None:
        return None
    conv, n = m.root, len(widths)
    old = conv.attr("pads") or (0,) * (2 * n)
    pads = [old[k] + widths[k][0] for k in range(n)] + [old[n + k] + widths[k][1] for k in range(n)]
    return conv.with_(inputs=(m["x"], *conv.inputs[1:])).with_attributes(pads=tuple(pads), auto_pad=None)


def _spatial_widths(m: Match) -> list[tuple[int, int]] | None:
    """(before, after) of each spatial axis; None where another axis is padded, or something is cut off."""
    rank = m.rank("x")
    if rank is None:
        return None
    try:
        widths = pad_widths(rank, [None, *(m.graph.constants.get(m[k]) for k in ("pads", "zero", "axes"))])
    except ValueError:  # whoever computes its shape says what is wrong with it
        return None
    if any(w != (0, 0) for w in widths[:2]) or any(min(w) < 0 for w in widths):
        return None
    return widths[2:]


_PAD = op("Pad", value("x"), constant("pads"), constant("zero", _is_zero, optional=True),
    constant("axes", optional=True),
          attributes={"mode": "constant"})  # fmt: skip
_CONV = op("Conv", _PAD, attributes={"auto_pad": lambda v: v in ("NOTSET", "VALID")})

fold_pads = Rewrites("fold_pads", Rewrite("pad", _CONV, _padded))
