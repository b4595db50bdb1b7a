"""LSTM, GRU and RNN of floats: one product for the inputs of all steps, then the instructions of a step, which are
repeated (docs/quantization.md, 36 to 38).

The states of a direction lie in buffers of their own, that each step reads and then writes; Y gets a copy of h.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from ..graph import Array, DType, Node
from ..record import NamedTuple
from ..reference.float_product import LONGEST
from ..reference.recurrent_float import Activation, activations, apart, biases
from ..reference.recurrent_layer import DEFAULTS, GATES, directions
from .coalesce_dims import padded
from .lower_float import emit_where, operand, truths
from .lower_float_product import FLOATS, NO_BOUNDS, one_chain
from .lower_recurrent import floats, put_rows, rows_place, start
from .products import UNIT, Factors, Fields, Target
from .program import CONSTANTS, Instruction, TensorView
from .select import Lowering
from .table import FLOAT_BINARY, FLOAT_UNARY

COMPOSED = ("Affine", "ScaledTanh")  # functions that are several instructions
SHORT = 64  # elements of a row, of which several are one run


class Side(NamedTuple):
    """One direction of a layer at its first step. Views are [batch, units].

    gx: the inputs' part of the gates; h, c: the states; out: where the new ones go. r: weights [gates H, H] of each
    product. y: where h goes too. plain: whether the form is that of a cell's kernel.
    """

    low: Lowering
    node: Node
    gx: TensorView
    h: TensorView
    c: TensorView | None
    out: tuple[TensorView, ...]
    r: tuple[Array, ...]
    inner: Array | None
    peepholes: Array | None
    functions: tuple[Activation, ...]
    y: TensorView
    plain: bool

    @property
    def size(self) -> tuple[int, int]:
        return self.h.shape[0], self.h.shape[1]

    def new(self, units: int) -> TensorView:
        return self.low.dense((self.size[0], units), "<f4")

    def row(self, values: Array) -> TensorView:
        """Constants [H], the same for every entry."""
        return TensorView(CONSTANTS, self.low.constant(values), self.size, (0, 4), "<f4")

    def number(self, value: float, units: int) -> TensorView:
        shape = self.size[0], units
        return TensorView(CONSTANTS, self.low.constant(np.array([value], np.float32)), shape, (0, 0), "<f4")

    def binary(self, op: str, a: TensorView, b: TensorView, y: TensorView) -> TensorView:
        moves = {f"{n}_c": int(v.strides[1] != 0) for n, v in (("a", a), ("b", b))}
        fields = {**rows_of(a=a, b=b, y=y), **moves, "op": FLOAT_BINARY.index(op)}
        self.low.emit("float_binary", {"a": a, "b": b, "y": y}, {}, fields)
        return y

    def unary(self, op: str, x: TensorView, y: TensorView, f_a: float = 0.0, f_b: float = 0.0) -> TensorView:
        fields = {**rows_of(x=x, y=y), "op": FLOAT_UNARY.index(op), "f_a": f_a, "f_b": f_b}
        self.low.emit("float_unary", {"x": x, "y": y}, {}, fields)
        return y

    def gate(self, f: Activation, x: TensorView, y: TensorView) -> TensorView:
        """y = f(x within +-clip), in place or not."""
        bound = float(np.float32(self.node.attr("clip") or 0))
        return self.apply(f, self.unary("Clip", x, y, -bound, bound) if bound else x, y)

    def apply(self, f: Activation, x: TensorView, y: TensorView) -> TensorView:
        units = x.shape[1]
        if f.name == "Affine":
            x = self.binary("Mul", x, self.number(f.alpha, units), y)
            return self.binary("Add", x, self.number(f.beta, units), y)
        if f.name == "ScaledTanh":
            x = self.binary("Mul", x, self.number(f.beta, units), y)
            return self.binary("Mul", self.unary("Tanh", x, y), self.number(f.alpha, units), y)
        return self.unary(f.name, x, y, f.alpha, f.beta)

    def times(
        self, x: TensorView, w: Array, bias: Array | None, y: TensorView, residual: TensorView | None = None
    ) -> TensorView:
        """y = the chains of x w from a bias, plus a residual."""
        target = Target(image(y), NO_BOUNDS, None if residual is None else image(residual))
        bias = np.zeros(len(w), np.float32) if bias is None else bias
        one_chain(self.low, image(x), target, w[None, :, None, None, :], bias, dict(UNIT), 4 * w.shape[1])
        return y


def rows_of(**views: TensorView) -> Fields:
    """N, H, W, C and the strides of operands [batch, units], the last of which is written: one run where all are
    dense."""
    (rows, run), *_ = (v.shape for v in views.values())
    if run < SHORT and all(v.strides == (4 * run, 4) for v in views.values()):
        rows, run = 1, rows * run
    fields: Fields = {"N": 1, "H": rows, "W": 1, "C": run}
    for name, view in views.items():
        fields |= {f"{name}_n": 0, f"{name}_h": view.strides[0], f"{name}_w": 0}
    return fields


def image(rows: TensorView) -> TensorView:
    """Rows as an image of one row of pixels."""
    (count, columns), (row, _) = rows.shape, rows.strides
    return TensorView(rows.buffer, rows.start, (1, columns, 1, count), (count * row, 4, count * row, row), rows.dtype)


def units(view: TensorView, first: int, count: int) -> TensorView:
    """Columns of rows of units."""
    return view._replace(start=view.start + 4 * first, shape=(view.shape[0], count))


def is_plain(node: Node, d: int, p: Array | None) -> bool:
    """Whether a direction is what a cell's kernel computes: the usual functions, and nothing beside."""
    if node.attr("clip") or p is not None or tuple(f.name for f in activations(node)[d]) != DEFAULTS[node.op]:
        return False
    return apart(node) or (GATES[node.op] == 4 and not node.attr("input_forget"))


def emit_cell(s: Side, kind: str, **views: TensorView) -> None:
    """One of the kernels of a whole cell."""
    batch, hidden = s.size
    fields: Fields = {"N": batch, "C": hidden, **{f"{n}_b": v.strides[0] for n, v in views.items()}}
    s.low.emit(kind, dict(views), {}, fields)


def rnn_step(s: Side) -> None:
    gates = s.times(s.h, s.r[0], None, s.new(s.size[1]), s.gx)
    s.gate(s.functions[0], gates, s.out[0])


def gru_step(s: Side) -> None:
    k, (f, g), (out,) = s.size[1], s.functions, s.out
    if s.plain:
        assert s.inner is not None, "linear_before_reset has an inner bias"
        bias = np.concatenate([np.zeros(2 * k, np.float32), s.inner])
        emit_cell(s, "float_gru_cell", gx=s.gx, gh=s.times(s.h, s.r[0], bias, s.new(3 * k)), h_in=s.h, h=out, y=s.y)
        return
    gates = s.times(s.h, s.r[0], None, s.new(2 * k), units(s.gx, 0, 2 * k))
    s.gate(f, gates, gates)
    z, r, n, gx = units(gates, 0, k), units(gates, k, k), s.new(k), units(s.gx, 2 * k, k)
    if s.inner is None:
        s.times(s.binary("Mul", r, s.h, s.new(k)), s.r[1], None, n, gx)
    else:
        s.times(s.h, s.r[1], s.inner, n)
        s.binary("Add", gx, s.binary("Mul", r, n, n), n)
    s.gate(g, n, n)
    rest = s.binary("Sub", s.number(1.0, k), z, s.new(k))
    s.binary("Add", s.binary("Mul", rest, n, rest), s.binary("Mul", z, s.h, z), out)


def lstm_step(s: Side) -> None:
    k, (f, g, of_cell) = s.size[1], s.functions
    assert s.c is not None, "an LSTM has a cell state"
    gates = s.times(s.h, s.r[0], None, s.new(4 * k), s.gx)
    if s.plain:
        emit_cell(s, "float_lstm_cell", gates=gates, c_in=s.c, c=s.out[1], h=s.out[0], y=s.y)
        return
    i, o, forget, new = (units(gates, n * k, k) for n in range(4))
    peepholes = [] if s.peepholes is None else [s.row(p) for p in np.split(s.peepholes, 3)]
    for gate, p in zip((i, forget), peepholes[::2], strict=False):
        s.binary("Add", gate, s.binary("Mul", p, s.c, s.new(k)), gate)
    if s.node.attr("input_forget"):
        s.gate(f, i, i)
        s.binary("Sub", s.number(1.0, k), i, forget)
    elif peepholes:
        s.gate(f, i, i)
        s.gate(f, forget, forget)
    else:
        s.gate(f, units(gates, 0, 3 * k), units(gates, 0, 3 * k))
    s.gate(g, new, new)
    s.binary("Mul", forget, s.c, forget)
    c = s.binary("Add", forget, s.binary("Mul", i, new, i), s.out[1])
    if peepholes:
        s.binary("Add", o, s.binary("Mul", peepholes[1], c, s.new(k)), o)
    if peepholes or s.node.attr("input_forget"):
        s.gate(f, o, o)
    s.binary("Mul", o, s.apply(of_cell, c, s.new(k)), s.out[0])


def _of_inputs(w: Array, b: Array | None, hidden: int, separate: bool) -> Factors:
    """Of the product of the inputs of all directions: weights [1, D gates H, 1, 1, I] and bias [D gates H]."""
    bias = np.zeros((len(w), w.shape[1]), np.float32)
    if b is not None:
        bias = np.stack([biases(side, hidden, separate)[0] for side in b])
    columns = w.reshape(1, -1, 1, 1, w.shape[2])
    return Factors(columns, columns, bias.reshape(-1))


def _of_state(r: Array, d: int, first: int) -> tuple[Array, ...]:
    """Weights of a direction's products of the state: of the first gates H rows, and of those behind."""
    return tuple(part for part in (r[d, :first], r[d, first:]) if len(part))


def constants_of(low: Lowering, node: Node) -> list[Array | None]:
    """w, r, b and p of a layer, None where it has none; nothing where one is no constant of float32."""
    found: list[Array | None] = []
    for name in (*(node.inputs[1:3]), node.input(3), node.input(7)):
        array = low.graph.constants.get(name) if name else None
        if name and (array is None or array.dtype != np.float32 or array.size == 0):
            return []
        found.append(array)
    return found


def obstacle(low: Lowering, node: Node) -> str:
    """Why a layer has no kernels; nothing where it has."""
    named = [n for k, n in enumerate((*node.inputs, *node.outputs)) if n and k != 4]
    if any(low.type(n).dtype is not DType.F32 or 0 in low.type(n).static_shape for n in named):
        return "it is not of float32"
    if not constants_of(low, node):
        return "its weights are no constants"
    if low.type(node.inputs[2]).static_shape[-1] > LONGEST:
        return "its state has too many units"
    unknown = [f.name for side in activations(node) for f in side if f.name not in (*FLOAT_UNARY, *COMPOSED)]
    return f"no kernel has {unknown[0]}" if unknown else ""


def lstm(low: Lowering, node: Node) -> bool:
    return layer(low, node, lstm_step)


def gru(low: Lowering, node: Node) -> bool:
    return layer(low, node, gru_step)


def rnn(low: Lowering, node: Node) -> bool:
    return layer(low, node, rnn_step)


class Layer(NamedTuple):
    """What all directions of a layer have in common.

    gx: the inputs' part of all gates, an image of one row. mask: [steps, batch] bytes, whether an entry is within its
    length; None where all are. y: all states of both directions, where they are wanted.
    """

    low: Lowering
    node: Node
    step: Callable[[Side], None]
    steps: int
    gx: TensorView
    mask: TensorView | None
    y: TensorView | None


def layer(low: Lowering, node: Node, step: Callable[[Side], None]) -> bool:
    """step: emits the instructions of a direction's first step."""
    reason = obstacle(low, node)
    places = [operand(low, n) for n in (node.inputs[0], node.input(5), node.input(6)) if n]
    mask = truths(low, node.input(4)) if node.input(4) else None
    if reason or None in places or (node.input(4) and mask is None):
        return low.refuse(reason)
    w, r, b, _ = constants_of(low, node)
    assert w is not None and r is not None, "a layer has weights"
    steps, batch, width = low.type(node.inputs[0]).static_shape
    x = low.dense_of(node.inputs[0])
    gx = floats(low, steps * batch, w.shape[0] * w.shape[1])
    rows = image(TensorView(x.buffer, x.start, (steps * batch, width), (4 * width, 4), x.dtype))
    factors = low.derived(_of_inputs, w, b, r.shape[2], apart(node))
    FLOATS.product(low, node, rows, Target(gx, NO_BOUNDS), factors, dict(UNIT))
    if mask is not None and mask.buffer == CONSTANTS:
        mask = low.copied(mask)
    y = rows_place(low, node.outputs[0])
    for d, backwards in enumerate(directions(node)):
        direction(Layer(low, node, step, steps, gx, mask, y), d, backwards)
    put_rows(low, y, node.outputs[0])
    return True


def direction(s: Layer, d: int, backwards: bool) -> None:
    """The states, a step, its repeats, and what becomes of the last states."""
    low, node, first = s.low, s.node, s.steps - 1 if backwards else 0
    batch, hidden = low.type(node.inputs[0]).static_shape[1], low.type(node.inputs[2]).static_shape[2]
    states = [state(low, node.input(k), d, batch, hidden) for k in ((5, 6) if GATES[node.op] == 4 else (5,))]
    y = of_direction(s.y.part(0, first, 1), d, 1) if s.y is not None else None
    side = side_of(s, d, first, states, y)
    begin, moving = len(low.steps), {s.gx.buffer: batch * s.gx.strides[3]}
    s.step(side)
    if s.mask is not None:
        row = s.mask.part(0, first, 1)
        live = TensorView(row.buffer, row.start, (batch, hidden), (row.strides[1], 0), row.dtype)
        moving |= {s.mask.buffer: s.mask.strides[0]}
        if y is not None:
            keep(side, live, side.out[0], side.number(0.0, hidden), y)
        for new, old in zip(side.out, states, strict=True):
            keep(side, live, new, old, old)
    elif y is not None and not side.plain:
        low.move(states[0], y)
    if y is not None and s.y is not None:
        moving |= {y.buffer: s.y.strides[0]}
    repeated(low, begin, s.steps, moving, -1 if backwards else 1)
    for name, final in zip(node.outputs[1:], states, strict=False):
        if name and s.mask is not None:
            row = s.mask.part(0, 0, 1)
            live = TensorView(row.buffer, row.start, (batch, hidden), (row.strides[1], 0), row.dtype)
            keep(side, live, final, side.number(0.0, hidden), final)
        if name:
            low.move(final, of_direction(low.place(name), d))


def side_of(s: Layer, d: int, first: int, states: list[TensorView], y: TensorView | None) -> Side:
    """A direction at its step `first`."""
    low, node = s.low, s.node
    _, r, b, p = constants_of(low, node)
    assert r is not None, "a layer has weights"
    (batch, hidden), gates, row = states[0].shape, GATES[node.op], s.gx.strides[3]
    plain = is_plain(node, d, p)
    at = s.gx.start + first * batch * row + 4 * d * gates * hidden
    inner = None
    if apart(node):
        inner = np.zeros(hidden, np.float32) if b is None else biases(b[d], hidden, True)[1]
    out = tuple(states) if s.mask is None else tuple(low.dense(v.shape, v.dtype) for v in states)
    if y is None or s.mask is not None:
        y = low.dense((batch, hidden), "<f4") if plain else states[0]
    split = 2 * hidden if gates == 3 and not plain else gates * hidden
    return Side(
        low, node, TensorView(s.gx.buffer, at, (batch, gates * hidden), (row, 4), s.gx.dtype), states[0],
        states[1] if len(states) > 1 else None, out, low.derived(_of_state, r, d, split), inner,
        None if p is None else p[d], activations(node)[d], y, plain,
    )  # fmt: skip


def keep(s: Side, live: TensorView, new: TensorView, old: TensorView, y: TensorView) -> None:
    """y = new where the mask holds, else old. Views are [batch, units]."""
    strides = [v.strides for v in (y, live, new, old)]
    loops = padded([(size, tuple(v[k] for v in strides)) for k, size in enumerate(s.size)], 4, 4)
    assert loops is not None, "two loops are four"
    emit_where(s.low, loops, live, new, old, y)


def repeated(low: Lowering, first: int, steps: int, moving: dict[int, int], sign: int) -> None:
    """Repeat the instructions of a step, from `first` on. moving: bytes from one step to the next of buffers that hold
    all."""
    moves = []
    for step in low.steps[first:]:
        assert isinstance(step, Instruction), "a step of a layer is instructions alone"
        moves.append({n: sign * moving[b] for n, (b, _) in step.operands.items() if b in moving})
    low.repeat(first, steps, moves)


def of_direction(place: TensorView, d: int, axis: int = 0) -> TensorView:
    """[batch, units] of a value [directions, batch, units], or [1, directions, batch, units] with axis 1."""
    part = place.part(axis, d, 1)
    return TensorView(place.buffer, part.start, place.shape[-2:], place.strides[-2:], place.dtype)


def state(low: Lowering, name: str, d: int, batch: int, hidden: int) -> TensorView:
    """A new [batch, units], filled from an input or with zeros."""
    made, source = low.dense((batch, hidden), "<f4"), start(low, name, d)
    if source is None:
        flat = TensorView(made.buffer, 0, (low.room(made),), (1,), "|u1")
        low.emit("fill", {"y": flat}, {}, {"C": low.room(made), "value": 0})
    else:
        low.move(source, made)
    return made
