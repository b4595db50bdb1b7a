"""onnxruntime's LSTM with 8-bit weights, as `quantize_dynamic` makes it: a Scan of standard ops.

1. The inputs of all steps are quantized by one range, as DynamicQuantizeLinear does, and the states of all entries by
   one range in each step: s = (high - low) / 255, z = rint(-low / s) and q = rint(x / s) + z within 0 and 255, high and
   low the largest and the least of x and 0.
2. Products are those of the floats q - z and w less its zero point: sums of whole numbers, exact below 2^24. So every
   op has a float kernel.
"""

from __future__ import annotations

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from ...reference.recurrent_layer import DEFAULTS
from .body import Body

TINY = 2.0**-126


def dynamic_quantize_lstm(b: Body) -> None:
    """(x, w, r, bias, lengths, h, c, peepholes, w scale, w zero, r scale, r zero) -> y, last h, last c; w and r are [D,
    I, 4 H] and [D, H, 4 H], gates in the order i, o, f, c, their scales and zero points [D] or [D, 4 H]."""
    sides, backwards = _directions(b)
    if b.opset < 11:
        raise ValueError(f"a model of opset {b.opset}")
    x, ends = _quantized_once(b, b.input(0)), []
    for d in range(sides):
        ends.append(_direction(b, x, d, backwards[d]))
    for k in range(3):
        parts = [b.unsqueezed(end[k], 1 if k == 0 else 0, 3 if k == 0 else 2) for end in ends]
        b.gives(k, parts[0] if sides == 1 else b.op("Concat", *parts, axis=1 if k == 0 else 0))


def _directions(b: Body) -> tuple[int, list[int]]:
    """How many, and whether each reads backwards. Raises ValueError for a form without a meaning here."""
    direction = b.attribute("direction", "forward")
    sides = 2 if direction == "bidirectional" else 1
    names = [a.decode().lower() for a in b.attribute("activations", [])]
    if names and names != [n.lower() for n in DEFAULTS["LSTM"]] * sides:
        raise ValueError(f"an activation of {', '.join(names)}")
    others = ["input_forget"] if b.attribute("input_forget", 0) else []
    others += [n for n, k in (("sequence_lens", 4), ("P", 7)) if b.input(k)]
    if others:
        raise ValueError(others[0])
    return sides, [0, 1] if sides == 2 else [int(direction == "reverse")]


def _quantized_once(b: Body, x: str) -> tuple[str, str]:
    """As `_quantized`, by the operator itself: the model is one that asks for ranges when it runs."""
    made = [f"{b.prefix}{len(b.nodes)}.{part}" for part in ("q", "scale", "zero")]
    b.nodes.append(helper.make_node("DynamicQuantizeLinear", [x], made, name=made[0]))
    return b.op("Sub", *(b.op("Cast", made[k], to=TensorProto.FLOAT) for k in (0, 2))), made[1]


def _quantized(b: Body, x: str) -> tuple[str, str]:
    """q - z as floats, and the scale, a tensor of one element and x's rank."""
    high, below = (b.op("Relu", b.op("ReduceMax", v, keepdims=1)) for v in (x, b.op("Neg", x)))
    # NOTE: added to a scale that is not 0, the constant changes nothing; zeros are 0 by any scale
    scale = b.op("Add", b.op("Div", b.op("Add", high, below), b.constant(255.0)), b.constant(TINY))
    zero = b.op("Round", b.op("Div", below, scale))
    steps = b.op("Add", b.op("Round", b.op("Div", x, scale)), zero)
    return b.op("Sub", b.op("Clip", steps, b.constant(0.0), b.constant(255.0)), zero), scale


def _weights(b: Body, places: tuple[int, ...], index: str) -> tuple[str, str]:
    """Weights of a direction less their zero point, as floats, and their scale. places: of the inputs weights, scale
    and zero point."""
    w, scale, zero = (b.op("Gather", b.input(k), index, axis=0) for k in places)
    real = [b.op("Cast", v, to=TensorProto.FLOAT) for v in (w, zero)]
    return b.op("Sub", *real), scale


def _product(b: Body, x: tuple[str, str], w: tuple[str, str]) -> str:
    return b.op("Mul", b.op("MatMul", x[0], w[0]), b.op("Mul", x[1], w[1]))


def _direction(b: Body, x: tuple[str, str], d: int, backwards: int) -> list[str]:
    """All states of a direction [T, B, H], and the last ones [B, H]."""
    hidden = int(b.attribute("hidden_size", 0))
    index = b.constant(d, np.int64)
    w, r = _weights(b, (1, 8, 9), index), _weights(b, (2, 10, 11), index)
    gates = _product(b, x, w)
    if b.input(3):
        both = b.op("Gather", b.input(3), index, axis=0)
        gates = b.plus(gates, b.op("Add", b.part(both, 0, 4 * hidden, 0), b.part(both, 4 * hidden, 8 * hidden, 0)))
    zeros = b.op(
        "ConstantOfShape", b.op("Concat", b.size(b.input(0), 1), b.ints(hidden), axis=0),
        value=numpy_helper.from_array(np.zeros(1, np.float32)),
    )  # fmt: skip
    states = [b.op("Gather", b.input(k), index, axis=0) if b.input(k) else zeros for k in (5, 6)]
    names = [f"{b.prefix}{d}.{part}" for part in ("h", "c", "y")]
    b.nodes.append(
        helper.make_node(
            "Scan", [*states, gates], names, name=names[2], body=_step(b, d, hidden, r), num_scan_inputs=1,
            scan_input_directions=[backwards], scan_output_directions=[backwards],
        )
    )  # fmt: skip
    return [names[2], *names[:2]]


def _clipped(b: Body, gates: str) -> str:
    """Gates within the limit of the node, where it has one."""
    limit = float(b.attribute("clip", 0.0))
    if not limit:
        return gates
    if b.opset < 11:
        return b.op("Clip", gates, min=-limit, max=limit)
    return b.op("Clip", gates, b.constant(-limit), b.constant(limit))


def _step(outer: Body, d: int, hidden: int, r: tuple[str, str]) -> onnx.GraphProto:
    """The graph of a step: (h, c, the inputs' part of the gates) -> h, c, h."""
    b = Body(outer.node, outer.opset, outer.types, f"{outer.prefix}{d}.step.")
    h, c, gx = (f"{b.prefix}{n}" for n in ("h", "c", "gx"))
    gates = _clipped(b, b.op("Add", gx, _product(b, _quantized(b, h), r)))
    i, o, f, g = (b.part(gates, k * hidden, (k + 1) * hidden, -1) for k in range(4))
    kept, new = b.op("Mul", b.op("Sigmoid", f), c), b.op("Mul", b.op("Sigmoid", i), b.op("Tanh", g))
    cell = b.op("Add", kept, new)
    state = b.op("Mul", b.op("Sigmoid", o), b.op("Tanh", cell))
    results = [state, cell, b.op("Identity", state)]
    given, made = (
        [helper.make_tensor_value_info(n, TensorProto.FLOAT, None) for n in names] for names in ((h, c, gx), results)
    )
    return helper.make_graph(b.nodes, "step", given, made)
