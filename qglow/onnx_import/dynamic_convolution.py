"""A ConvInteger by constant weights of what DynamicQuantizeLinear makes of x, as a Conv between quantized values.

x = s (q - z) has its scale s and zero point z from its range when it runs, as ONNX says:

1. s = (high - low) / 255 and z = rint(-low / s), high and low the largest and the least of x and 0.
2. q = rint(x / s) + z, of x with the zeros of its border. It is quantized with scale 1 and zero point 0.
3. sum (q - z) w = sum q w - z sum w, w the weights' integers less their zero points: a Conv without pads, whose sums
   are exact, less z times a constant.
4. A depthwise Conv takes less time than what is around it: it is one of the floats q - z and w, whose sums are exact
   too, and pads with zeros.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx

from ..graph import Array, DType, GraphBuilder, Node, Shape, TensorType
from ..record import NamedTuple
from .own_meanings import attributes_of

TINY = 2.0**-126  # added to a scale that is not 0, it changes nothing; zeros are 0 by any scale
LARGEST_INTEGER = 2**24  # float32 holds every integer below
ROUNDING = 1.5 * 2**23  # what is added to it has no fraction left: rint, as addition


@dataclass(frozen=True, slots=True)
class Found:
    """y = (integer product of x and w, and a bias of its integers) times the scale of x times w_scale.

    x: the float value. bias: the name of floats that are whole numbers, or "". divided: a bias that is divided by both
    scales when it runs, and cut to a whole number.
    """

    product: Node
    x: str
    w: Array
    zero: Array
    scale: Array
    bias: str = ""
    divided: Array | None = None


class Range(NamedTuple):
    """Scale and zero point of a value as floats, and what is added to x / s to round it and to add z."""

    scale: str
    zero: str
    offset: str


class DynamicConvolutions:
    """Appends convolutions to a graph that is built. What several of them read is quantized once."""

    def __init__(self, b: GraphBuilder) -> None:
        self.b = b
        self.ranges: dict[str, Range] = {}
        self.integers: dict[tuple[str, tuple[int, ...]], str] = {}
        self.floats: dict[str, str] = {}

    def product(self, found: Found, node: Node) -> Node | None:
        """What ends the product that `node` ended; None where it is no convolution, or of another form."""
        b, w, y = self.b, found.w, node.outputs[0]
        if found.product.operator != "ConvInteger" or any(a.size not in (1, len(w)) for a in (found.zero, found.scale)):
            return None
        given = {
            k: tuple(v) if isinstance(v, list) else v.decode() if isinstance(v, bytes) else v
            for k, v in attributes_of(onnx.NodeProto.FromString(found.product.attributes["proto"])).items()
        }
        pads, shape = tuple(given.pop("pads", (0,) * (2 * w.ndim - 4))), b.types[found.x].shape
        if given.pop("auto_pad", "NOTSET") not in ("NOTSET", "VALID") or shape is None or len(shape) != w.ndim:
            return None
        if found.x not in self.ranges:
            self.ranges[found.x] = self.range_of(found.x)
        t, scale = TensorType(DType.F32, b.types[y].shape), self.ranges[found.x].scale
        integers = (w.astype(np.int64) - np.reshape(found.zero, (-1, *(1,) * (w.ndim - 1)))).astype(np.float32)
        if w.shape[1] == 1 and abs(integers).reshape(len(w), -1).sum(1).max(initial=0) * 255 < LARGEST_INTEGER:
            operands = self.centred(found.x), b.add_constant(f"{y}.w", integers)
            total = b.add("Conv", operands, t, f"{y}.total", pads=pads, **given)
        else:
            total = self.by_integers(found, y, pads, given, integers)
        factor = found.scale.astype(np.float32).reshape(-1, *(1,) * (w.ndim - 2))
        by_channel = TensorType(DType.F32, (1, *factor.shape))
        both = b.add("Mul", (scale, b.add_constant(f"{y}.scales", factor)), by_channel, f"{y}.scale")
        if (bias := self.bias(found, y, both)) is not None:
            total = b.add("Add", (total, bias), t, f"{y}.biased")
        return node.with_(inputs=(total, both))

    def bias(self, found: Found, y: str, both: str) -> str | None:
        """What is added to the sums of integers, as floats. both: the product of the scales."""
        b = self.b
        if found.divided is None:
            return found.bias or None
        real = found.divided.astype(np.float32).reshape(1, -1, *(1,) * (found.w.ndim - 2))
        t = TensorType(DType.F32, real.shape)
        steps = b.add("Div", (b.add_constant(f"{y}.bias", real), both), t, f"{y}.bias.steps")
        return b.add("Floor", (steps,), t, f"{y}.bias.whole")

    def by_integers(self, found: Found, y: str, pads: tuple[int, ...], given: dict[str, Any], integers: Array) -> str:
        """Rule 3. integers: the weights' integers less their zero points."""
        b, w = self.b, found.w
        t, shape = TensorType(DType.F32, b.types[y].shape), b.types[found.x].shape or ()
        zeros = np.broadcast_to(np.ravel(found.zero), len(w)).astype(w.dtype)
        names = (b.add_constant(f"{y}.{hint}", a) for hint, a in
                 (("w", w), ("w.scale", np.ones(len(w), np.float32)), ("w.zero", zeros)))  # fmt: skip
        weights = b.add("DequantizeLinear", names, TensorType(DType.F32, tuple(w.shape)), f"{y}.w.real", axis=0)
        one = self.number(y, 1.0)
        padded = TensorType(DType.F32, _padded(found.x, shape, pads))
        x = b.add("DequantizeLinear", (self.quantized(found.x, pads), one, self.zero(y)), padded, f"{y}.x")
        total = b.add("Conv", (x, weights), t, f"{y}.products", **given)
        sums = integers.astype(np.float64).sum(tuple(range(1, w.ndim))).astype(np.float32)
        sums = sums.reshape(-1, *(1,) * (w.ndim - 2))
        by_channel = TensorType(DType.F32, (1, *sums.shape))
        operands = self.ranges[found.x].zero, b.add_constant(f"{y}.sums", sums)
        return b.add("Sub", (total, b.add("Mul", operands, by_channel, f"{y}.shift")), t, f"{y}.total")

    def zero(self, y: str) -> str:
        return self.b.add_constant(f"{y}.zero", np.zeros((), np.uint8))

    def moved(self, x: str, real: str, t: TensorType) -> str:
        """rint(x / s) + z, of x as it is or with a border."""
        b, by_range = self.b, self.ranges[x]
        steps = b.add("Div", (real, by_range.scale), t, f"{x}.steps")
        integers = b.add("Add", (steps, self.number(x, ROUNDING)), t, f"{x}.rounded")
        return b.add("Add", (integers, by_range.offset), t, f"{x}.moved")

    def quantized(self, x: str, pads: tuple[int, ...]) -> str:
        """Rule 2, uint8."""
        if (x, pads) not in self.integers:
            b, real = self.b, x
            t = TensorType(DType.F32, _padded(x, b.types[x].shape or (), pads))
            if any(pads):
                n = len(pads) // 2
                both = np.array([0, 0, *pads[:n], 0, 0, *pads[n:]], np.int64)
                real = b.add("Pad", (x, b.add_constant(f"{x}.pads", both)), t, f"{x}.padded")
            inputs = (self.moved(x, real, t), self.number(x, 1.0), self.zero(x))
            self.integers[x, pads] = b.add("QuantizeLinear", inputs, TensorType(DType.U8, t.shape), f"{x}.integers")
        return self.integers[x, pads]

    def centred(self, x: str) -> str:
        """q - z, float."""
        if x not in self.floats:
            b, t = self.b, self.b.types[x]
            q = b.add("Clip", (self.moved(x, x, t), self.number(x, 0.0), self.number(x, 255.0)), t, f"{x}.clipped")
            self.floats[x] = b.add("Sub", (q, self.ranges[x].zero), t, f"{x}.centred")
        return self.floats[x]

    def range_of(self, x: str) -> Range:
        """Rule 1. Tensors of one element, of x's rank."""
        b = self.b
        shape = b.types[x].shape or ()
        one = TensorType(DType.F32, (1,) * len(shape))
        of_channels = TensorType(DType.F32, (*shape[:2], *(1,) * (len(shape) - 2)))

        def add(op: str, *inputs: str | float, **attributes: int) -> str:
            names = [i if isinstance(i, str) else self.number(x, i) for i in inputs]
            return b.add(op, names, one, f"{x}.{op.lower()}", **attributes)

        negative = b.add("Neg", (x,), b.types[x], f"{x}.negative")
        # NOTE: a pool reads channels-last images as they lie
        largest = (b.add("GlobalMaxPool", (v,), of_channels, f"{x}.globalmaxpool") for v in (negative, x))
        below, high = (add("Relu", add("ReduceMax", v, keepdims=1)) for v in largest)
        scale = add("Add", add("Div", add("Add", high, below), 255.0), TINY)
        zero = add("Sub", add("Add", add("Div", below, scale), ROUNDING), ROUNDING)
        return Range(scale, zero, add("Sub", zero, ROUNDING))

    def number(self, x: str, value: float) -> str:
        return self.b.add_constant(f"{x}.number", np.array(value, np.float32))


def _padded(x: str, shape: Shape, pads: tuple[int, ...]) -> Shape:
    """The shape of x with borders; a size that is not known has a name of its own."""
    n = len(pads) // 2
    return (*shape[:2], *(d if a + e == 0 else d + a + e if isinstance(d, int) else f"{x}.{k}.padded"
                          for k, (d, a, e) in enumerate(zip(shape[2:], pads[:n], pads[n:], strict=True))))  # fmt: skip
