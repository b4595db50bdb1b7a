"""Which channels of which values must share a factor (channel_equalization.py): classes of (value, channel).

1. Relu, LeakyRelu, PRelu, pools, sums and ops that move data pass a factor on, as f(x / d) = f(x) / d: values so joined
   share it.
2. A product gives its output channels factors of their own, and takes in those of its input channels, where its weights
   are constant; an LSTM takes in those of its features.
3. A function of one tensor takes factors in and gives factors out in its table, one row a channel.
4. A value that a float node makes for products alone is multiplied with the inverse factors before it is rounded, where
   that is worth it.
5. An op that knows no factors has d = 1, and so has a value that a float node reads, but for small ones: a float
   product undoes them.
6. An int16 value has d = 1, and so has what a table of int16 reads or makes: one table serves all channels.
7. A clamp's limits are one number for all channels: where it cuts within the range, other than at 0, its value has d =
   1.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from ..graph import Array, DType, Node, TensorType
from ..graph.classes import Classes
from ..graph.type_rules import channel_axis
from ..ops.traits import (
    ACCUMULATES,
    ARITHMETIC,
    BY_CHANNEL,
    HOMOGENEOUS,
    JOINTLY_HOMOGENEOUS,
    NEVER_QUANTIZED_OUTPUT,
    PRODUCT,
    VIEW,
)
from ..reference import FLOAT
from ..reference.arithmetic import quantize
from .pointwise import Function
from .state import QuantState

SMALL = 2**16  # elements: a float product by the factors of fewer costs nothing


class Channels:
    """Channels by number, from 0 to count: which share a factor, and which are blocked: have none."""

    def __init__(self) -> None:
        self.count = 0
        self.blocked: set[int] = set()
        self._classes = Classes[int]()

    def fresh(self, count: int) -> Array:
        """New numbers: int64 [count]."""
        self.count += count
        return np.arange(self.count - count, self.count)

    def join(self, a: Array, b: Array) -> None:
        """The channels a[k] and b[k] share a factor."""
        for i, j in zip(a.tolist(), b.tolist(), strict=True):
            self._classes.join(i, j)

    def block(self, a: Array) -> None:
        self.blocked.update(a.tolist())

    def roots(self) -> Array:
        """int64 [count]: the number that stands for each channel's class."""
        return np.array([self._classes.find(k) for k in range(self.count)], np.int64)


class ChannelGroups:
    """Numbers the channels of every quantized value. ids[v] broadcasts to v's shape; a dimension is 1 where all along
    it agree.

    uneven: values that a float node makes, with their channels, that factors are worth a multiplication.
    """

    def __init__(self, state: QuantState, channels: Channels, uneven: Mapping[str, tuple[int, int]]) -> None:
        self.state, self.graph, self.uses, self.quants = state, state.graph, state.uses, state.quants
        self.channels, self.uneven = channels, uneven
        self.ids: dict[str, Array] = {}

    def run(self) -> dict[str, Array]:
        for v in self.graph.inputs:
            if v in self.uneven:
                self.ids[v] = self.axis(v, *self.uneven[v])
            else:
                self.none(v)
        for node in self.graph.nodes:
            outputs = [self.uses.target(o) for o in node.outputs]
            if not self.state.is_int8(node):
                for v in node.inputs:
                    if v not in self.uneven:  # which the float node reads as it was made
                        self.none_but_small(v)
                for v in outputs:
                    if v in self.uneven and v in self.quants:
                        self.ids[v] = self.axis(v, *self.uneven[v])
                    else:
                        self.none(v)
            elif node.outputs[0] in self.state.functions:
                if outputs[0] in self.quants and outputs[0] not in self.ids:
                    self.function(self.state.functions[node.outputs[0]])
            elif node.has(ACCUMULATES) and outputs[0] not in self.uses.stored:
                self.direct(node)
                self.none(outputs[0])
            elif node.has(NEVER_QUANTIZED_OUTPUT):
                if node.op != "LSTM" or not self.takes_features(node.inputs[0]):
                    self.none(node.inputs[0])
            elif any(o in self.quants for o in outputs):
                done = [self.rule(node, k) for k in range(len(outputs))]
                for v, numbers in zip(outputs, done, strict=True):
                    if v in self.quants:
                        if numbers is not None:
                            self.ids[v] = numbers
                        if numbers is None or self.is_cut(v):
                            self.none(v)
                if any(numbers is None for numbers in done):
                    for v in node.inputs:
                        self.none(v)
        for v in (*self.graph.outputs, *(v for v, (dtype, _) in self.quants.items() if dtype is DType.I16)):
            self.none(v)
        return self.ids

    def is_cut(self, v: str) -> bool:
        """Rule 7: whether a clamp that the producer of a value absorbed has a bound within its range, other than 0."""
        if v not in self.uses.clamped:
            return False
        dtype, quant = self.quants[v]
        t = TensorType(dtype, None, quant)
        bounds = [np.float32(b) for b in self.state.functions[v].clamp_bounds(self.graph)]
        return any(
            b != 0 and int(quantize(np.array([b]), t)[0]) != end for b, end in zip(bounds, t.limits(), strict=True)
        )

    def none(self, v: str) -> None:
        """No factors on this value."""
        if v in self.ids:
            self.channels.block(np.unique(self.ids[v]))
        elif v in self.quants:
            self.ids[v] = self.channels.fresh(1).reshape((1,) * (self.graph.types[v].rank or 1))
            self.channels.block(self.ids[v].ravel())

    def none_but_small(self, v: str) -> None:
        """Rule 5: a float node reads the value. Of a small one the converter takes the factors off again."""
        t = self.graph.types.get(v)
        if t is None or not t.is_static or np.prod(t.static_shape) > SMALL:
            self.none(v)

    def axis(self, v: str, axis: int, size: int) -> Array:
        """Fresh numbers along one axis."""
        shape = [1] * (self.graph.types[v].rank or 1)
        shape[axis] = size
        return self.channels.fresh(size).reshape(shape)

    def function(self, f: Function) -> None:
        """Rule 3, or 1 where the function is homogeneous."""
        v, x = f.output, self.ids.get(f.root)
        shape = self.graph.types[v].shape
        wide = any(k in self.quants and self.quants[k][0] is DType.I16 for k in (f.root, v))
        if wide or x is None or shape is None or len(shape) < 3 or not isinstance(shape[1], int):
            self.none(f.root)
            self.none(v)
        elif all(n.has(HOMOGENEOUS) for n in f.nodes):
            self.ids[v] = x
        elif f.axis not in (None, 1) or any(d != 1 for k, d in enumerate(x.shape) if k != 1):
            self.none(f.root)
            self.none(v)
        else:
            self.ids[v] = self.axis(v, 1, shape[1])

    def direct(self, node: Node) -> None:
        """A product with a float output takes factors in; an average does not."""
        if not node.has(PRODUCT) or not self.takes(node):
            for v in node.inputs:
                self.none(v)

    def takes_features(self, v: str) -> bool:
        """Whether the factors of what an LSTM reads vary along its features alone."""
        x = self.ids.get(v)
        return x is not None and all(d == 1 for d in x.shape[:-1])

    def takes(self, node: Node) -> bool:
        """Whether a product has constant weights, in whose input channels the factors vary (rule 2)."""
        if node.inputs[1] not in self.graph.constants or (node.op == "ConvTranspose" and node.attr("group") != 1):
            return False
        x = self.ids.get(node.inputs[0])
        along = 1 if node.op != "MatMul" else (x.ndim - 1 if x is not None else 0)
        return x is not None and all(d == 1 for k, d in enumerate(x.shape) if k != along)

    def rule(self, node: Node, k: int) -> Array | None:
        """The numbers of output k, or None where it has no factors."""
        v = self.uses.target(node.outputs[k])
        x = self.ids.get(node.inputs[0])
        if node.has(PRODUCT):
            return self.product(node, v)
        if x is None:
            return None
        spatial = all(d == 1 for d in x.shape[2:])
        if node.has(HOMOGENEOUS):
            return x
        if node.has(BY_CHANNEL):
            return x if spatial and x.shape[0] == 1 and self.keeps_channels(node) else None
        if node.op == "Pad":
            return self.padded(node, x)
        if node.op == "ReduceMean":
            return self.reduced(node, x)
        if node.has(ARITHMETIC):
            return self.binary(node, v)
        return self.rearranged(node, k) if node.has(VIEW) and node.op != "Expand" else None

    def keeps_channels(self, node: Node) -> bool:
        """Whether a node's output surely has as many channels as its input: a Resize may change them."""
        before, after = (self.graph.types[v].shape for v in (node.inputs[0], node.outputs[0]))
        return before is not None and after is not None and len(before) == len(after) and before[1:2] == after[1:2]

    def product(self, node: Node, v: str) -> Array | None:
        if not self.takes(node):
            self.none(node.inputs[0])
            if node.inputs[1] not in self.graph.constants or (node.op == "ConvTranspose" and node.attr("group") != 1):
                return None
        w = self.graph.constants[node.inputs[1]]
        rank = self.graph.types[v].rank
        out = channel_axis(node, w.ndim)
        return (
            None if rank is None or out is None else self.axis(v, rank - 1 if node.op == "MatMul" else 1, w.shape[out])
        )

    def reduced(self, node: Node, x: Array) -> Array | None:
        axes = [int(a) % x.ndim for a in self.graph.constants[node.inputs[1]]] if node.input(1) else list(range(x.ndim))
        if any(x.shape[a] != 1 for a in axes):
            return None
        return x if node.attr("keepdims") else x.reshape([d for a, d in enumerate(x.shape) if a not in axes])

    def padded(self, node: Node, x: Array) -> Array | None:
        """New channels, which hold zeros, get numbers of their own."""
        pads = self.graph.constants.get(node.inputs[1])
        if pads is None or len(node.inputs) > 3 or pads.size != 2 * x.ndim or node.attr("mode") != "constant":
            return None
        shape = self.graph.types[node.inputs[0]].shape
        widths = [(0, 0)] * x.ndim
        for k, pair in enumerate(zip(pads[: x.ndim].tolist(), pads[x.ndim :].tolist(), strict=True)):
            if any(pair) and (x.shape[k] != 1 or k < 2):
                if shape is None or shape[k] != x.shape[k] or k != 1 or min(pair) < 0 or x.size != x.shape[k]:
                    return None
                widths[k] = pair
        padded = np.pad(x, widths, constant_values=-1)
        new = padded == -1
        padded[new] = self.channels.fresh(int(new.sum()))
        return padded

    def binary(self, node: Node, v: str) -> Array | None:
        """A sum, or a largest, joins its terms. A product of two tensors passes on the factors of the larger."""
        a, b = (self.ids.get(i) for i in node.inputs)
        if a is None or b is None:
            return None
        if not node.has(JOINTLY_HOMOGENEOUS):
            sizes = [sum(d == 1 for d in self.graph.types[i].shape or ()) for i in node.inputs]
            keep, other = (0, 1) if sizes[0] <= sizes[1] else (1, 0)
            self.none(node.inputs[other])
            return (a, b)[keep] if (a, b)[keep].ndim == self.graph.types[v].rank else None
        a, b = np.broadcast_arrays(a, b)
        self.channels.join(a.ravel(), b.ravel())
        return np.array(a)

    def rearranged(self, node: Node, k: int) -> Array | None:
        """Move the numbers as the op moves elements, over the whole shape where it is known."""
        if node.op == "Transpose":
            x = self.ids[node.inputs[0]]  # NOTE: of a value whose rank is not known it has another
            perm = node.attr("perm") or range(self.graph.types[node.inputs[0]].rank or 0)[::-1]
            return x.transpose(perm) if x.ndim == len(perm) else None
        if node.op == "Concat":
            return self.concatenated(node)
        inputs: list[Array | None] = []
        for j, v in enumerate(node.inputs):
            shape = self.graph.types[v].shape if v else None
            if v in self.graph.constants or not v:
                inputs.append(self.graph.constants.get(v))
                continue
            rest = [d for d in shape[1:] if isinstance(d, int)] if shape else []
            if j > 0 or not shape or len(rest) != len(shape) - 1:
                return None
            batch = shape[0] if isinstance(shape[0], int) else self.ids[v].shape[0]
            inputs.append(np.broadcast_to(self.ids[v], (batch, *rest)))
        try:
            return _compressed(FLOAT[node.op](node, inputs)[k])
        except (ValueError, IndexError):  # NOTE: a batch size that is fixed inside of the graph
            return None

    def concatenated(self, node: Node) -> Array | None:
        parts = []
        for v in node.inputs:
            a, shape = self.ids.get(v), self.graph.types[v].shape
            axis = int(node.attr("axis")) % (len(shape) if shape else 1)
            size = shape[axis] if shape else None
            if a is None or not isinstance(size, int):
                return None
            parts.append(np.repeat(a, size, axis) if a.shape[axis] == 1 else a)
        common = np.broadcast_shapes(*(tuple(d if k != axis else 1 for k, d in enumerate(p.shape)) for p in parts))
        return np.concatenate(
            [np.broadcast_to(p, (*common[:axis], p.shape[axis], *common[axis + 1 :])) for p in parts], axis
        )


def _compressed(a: Array) -> Array:
    """The array with every dimension taken to 1 along which nothing varies."""
    for k in range(a.ndim):
        first = a.take([0], k) if a.shape[k] else a
        a = first if a.shape[k] and (a == first).all() else a
    return np.ascontiguousarray(a)
