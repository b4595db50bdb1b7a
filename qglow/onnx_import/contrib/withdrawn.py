"""Operators of ONNX's first versions, which it has withdrawn and onnxruntime still runs, as standard ops."""

from __future__ import annotations

from .body import Body

_INT_MAX = (1 << 31) - 1


def affine(b: Body) -> None:
    """alpha x + beta"""
    x = b.scaled(b.input(0), b.attribute("alpha", 1.0))
    b.gives(0, b.op("Add", x, b.constant(b.attribute("beta", 0.0))))


def scale(b: Body) -> None:
    """x scale"""
    b.gives(0, b.op("Mul", b.input(0), b.constant(b.attribute("scale", 1.0))))


def scaled_tanh(b: Body) -> None:
    """alpha tanh(beta x)"""
    tanh = b.op("Tanh", b.scaled(b.input(0), _required(b, "beta")))
    b.gives(0, b.op("Mul", tanh, b.constant(_required(b, "alpha"))))


def parametric_softplus(b: Body) -> None:
    """alpha log(1 + exp(beta x))"""
    softplus = b.op("Softplus", b.scaled(b.input(0), _required(b, "beta")))
    b.gives(0, b.op("Mul", softplus, b.constant(_required(b, "alpha"))))


def image_scaler(b: Body) -> None:
    """x [N, C, H, W] scale + bias of each channel"""
    bias = [[[v]] for v in b.attribute("bias", [0.0])]
    b.gives(0, b.op("Add", b.scaled(b.input(0), b.attribute("scale", 1.0)), b.constant(bias)))


def crop(b: Body) -> None:
    """x [N, C, H, W] without its border (left, top, right, bottom); with `scale`, so many rows and columns from the
    left and the top."""
    left, top, right, bottom = b.attribute("border", (0, 0, 0, 0))
    if size := b.attribute("scale", ()):
        ends = top + size[0], left + size[1]
    else:
        ends = -bottom or _INT_MAX, -right or _INT_MAX
    if b.opset < 10:
        b.gives(0, b.op("Slice", b.input(0), starts=[top, left], ends=ends, axes=[2, 3]))
        return
    b.gives(0, b.op("Slice", b.input(0), b.ints(top, left), b.ints(*ends), b.ints(2, 3)))


def _required(b: Body, name: str) -> float:
    value = b.attribute(name, None)
    if value is None:
        raise ValueError(f"no {name}")
    return float(value)
