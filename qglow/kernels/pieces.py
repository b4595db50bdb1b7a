"""Pieces of a row that follow each other, in one call of a micro-kernel."""

from __future__ import annotations

from llvmlite import ir
from numba.core import cgutils

from .vector import I64

STEPS = {"x": "pix", "y": "y_pix", "r": "r_pix"}  # what one pixel is further, by operand


def pieces(b, given, pixels, one):
    """one(operands) for `count` pieces of so many pixels each: x, y and r move on by them, `next` by `share` bytes."""
    on = {name: b.mul(given[step], ir.Constant(I64, pixels)) for name, step in STEPS.items()} | {"next": given["share"]}
    moving = {name: cgutils.alloca_once_value(b, given[name]) for name in on}
    with cgutils.for_range(b, given["count"]):
        one(given | {name: b.load(at) for name, at in moving.items()})
        for name, at in moving.items():
            b.store(b.add(b.load(at), on[name]), at)
