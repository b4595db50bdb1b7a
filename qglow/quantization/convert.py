"""The quantized graph: walk the float graph once and write each node in the precision that the plan gives it."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from ..graph import Array, DType, Graph, GraphBuilder, Node, Quant, TensorType
from ..graph.blocks import Precision, precision_of
from ..ops import OPS, quantized_form
from ..ops.traits import ACCUMULATES, PRODUCT, SHAPE_ONLY, SOFTMAX
from ..reference.arithmetic import clamped, quantize
from ..reference.integer_mean import exponent_table
from .bias import output_shift
from .channel_equalization import with_channel_scales
from .int16 import touches_int16
from .pointwise import Function
from .precision_uses import data_inputs
from .state import Decision, QuantState
from .stored import factors_of, kept_integers
from .weights import output_axis, quantize_weights

MOVING = ("moves", "select")  # rules of types (graph/type_rules.py) of ops that leave integers what they are


def convert(state: QuantState) -> QuantState:
    """The quantized graph, and an account of every node of the float one."""
    converter = Converter(state)
    return replace(state, graph=converter.run(), decisions=tuple(converter.decisions))


class Converter:
    """Writes the new graph; `q` and `f` give the name under which a value exists quantized or float, converting where
    it must."""

    def __init__(self, state: QuantState) -> None:
        self.state, self.graph, self.uses, self.quants, self.config = (
            state,
            state.graph,
            state.uses,
            state.quants,
            state.config,
        )
        self.factors, self.rounded = state.factors, state.rounded
        self.b = GraphBuilder(self.graph)
        self.quantized: dict[str, str] = {}
        self.real: dict[str, str] = {i: i for i in self.graph.inputs}
        self.decisions: list[Decision] = []
        self.outputs = set(self.graph.outputs)
        self.restored: set[str] = set()
        self.widened: dict[str, str] = {}

    def run(self) -> Graph:
        for node in self.graph.nodes:
            self.node(node)
        for o in self.graph.outputs:
            if (o not in self.real and o in self.quantized) or o in self.rounded:
                self.f(o)
        graph = self.b.build(self.graph.name, self.graph.inputs, self.graph.outputs)
        return with_channel_scales(
            graph, {name: self.factors[v] for v, name in self.quantized.items() if v in self.factors}
        )

    # Names of values

    def q_type(self, value: str) -> TensorType:
        dtype, quant = self.quants[value]
        return TensorType(dtype, self.graph.types[value].shape, quant)

    def q_name(self, value: str) -> str:
        """The name of a quantized value: the float one's, unless that must stay float (an input or output of the
        graph)."""
        name = self.b.fresh(f"{value}.q") if value in self.outputs or value in self.graph.inputs else value
        self.b.types[name] = self.q_type(value)
        self.quantized[value] = name
        return name

    def q(self, value: str) -> str:
        if value not in self.quantized and value in self.graph.constants:
            t = self.q_type(value)
            # NOTE: beyond every value that t holds; a mask's least float would overflow
            reach = 2 * max(map(abs, t.limits())) * float(self.quants[value][1].s)
            inside = np.clip(self.graph.constants[value], -reach, reach)
            self.quantized[value] = self.b.add_constant(f"{value}.q", quantize(inside, t), t)
        if value not in self.quantized:
            source = self.balanced(value)
            name = f"{value}.q" if value in self.real else value
            self.quantized[value] = self.b.add("Quantize", (source,), self.q_type(value), name)
        return self.quantized[value]

    def operand(self, node: Node, value: str) -> str:
        """A quantized value as a node reads it: of 8 bits as int16 with the same scale, less its zero point, where the
        node computes so."""
        name = self.q(value)
        t = self.b.types[name]
        if node.definition.typing in MOVING or t.dtype is DType.I16 or not touches_int16(self.state, node):
            return name
        assert t.quant is not None
        if name not in self.widened:
            low, high = t.limits()
            table = self.b.add_constant(
                f"{name}.widened.table", np.arange(low - t.quant.z, high - t.quant.z + 1, dtype=np.int16)
            )
            wide = TensorType(DType.I16, t.shape, Quant.per_tensor(t.quant.scale[0], 0))
            self.widened[name] = self.b.add("Lookup", (name, table), wide, f"{name}.widened", function="Rescale")
        return self.widened[name]

    def balanced(self, value: str) -> str:
        """A value that is made in float, in the units of its channels."""
        if value not in self.factors:
            return self.real[value]
        if not self.state.calibrated:  # NOTE: a quotient of quotients by a power of two is what the model rounds
            d = self.b.add_constant(f"{value}.units", self.factors[value].astype(np.float32))
            return self.b.add("Div", (self.real[value], d), self.graph.types[value], f"{value}.balanced")
        inverse = self.b.add_constant(f"{value}.units", (1 / self.factors[value]).astype(np.float32))
        return self.b.add("Mul", (self.real[value], inverse), self.graph.types[value], f"{value}.balanced")

    def f(self, value: str) -> str:
        if value in self.graph.constants or not value:
            return value
        if value not in self.real or (value in self.rounded and value not in self.restored):
            self.restored.add(value)
            t = TensorType(DType.F32, self.graph.types[value].shape)
            steps = [("Dequantize", self.q(value), f"{value}.f32")]
            if value in self.factors:
                d = self.b.add_constant(f"{self.quantized[value]}.factors", self.factors[value].astype(np.float32))
                steps.append(("Mul", d, f"{value}.f32.restored"))
            inputs: tuple[str, ...] = ()
            for k, (op, operand, hint) in enumerate(steps):
                inputs = (*inputs, operand)
                if value in self.outputs and k == len(steps) - 1:
                    self.b.types[value] = t
                    self.b.append(Node(op, inputs, (value,), {}, self.b.fresh(f"{value}:{op}")))
                    inputs = (value,)
                else:
                    inputs = (self.b.add(op, inputs, t, hint),)
            self.real[value] = inputs[0]
        return self.real[value]

    # Nodes

    def decide(self, node: Node, precision: Precision, reason: str = "") -> None:
        self.decisions.append(Decision(node.name, node.operator, precision, reason))

    def node(self, node: Node) -> None:
        if not self.state.is_int8(node):
            precision = precision_of(node, self.graph.types)
            self.decide(node, precision or "float", "" if precision else self.state.reasons[node.name])
            exact = {
                o: self.b.fresh(f"{o}.exact") if o in self.rounded and o in self.outputs else o
                for o in filter(None, node.outputs)
            }
            self.b.types |= {name: self.graph.types[o] for o, name in exact.items()}
            # NOTE: of a value that a clamp took the place of, the shape is the clamp's
            read = map(self.uses.target, node.inputs) if node.has(SHAPE_ONLY) else node.inputs
            self.b.append(
                node.with_(inputs=tuple(map(self.f, read)), outputs=tuple(exact.get(o, o) for o in node.outputs))
            )
            self.real |= exact
            return
        output = node.outputs[0]
        if not any(o in self.uses.wanted for o in node.outputs):
            self.decide(node, "folded", "part of a table lookup")
            return
        if output in self.uses.clamped:
            self.decide(node, "folded", "limits of the int8 output before it")
            return
        self.decide(node, "int16" if touches_int16(self.state, node) else "int8")
        if output in self.state.functions:
            self.lookup(self.state.functions[output])
        elif node.has(ACCUMULATES) and self.uses.target(output) not in self.uses.stored:
            self.direct(node)
        elif node.has(PRODUCT):
            self.product(node, None)
        elif node.op == "LSTM":
            self.lstm(node)
        else:
            self.plain(node)

    def limits(self, value: str) -> dict[str, int]:
        """qmin and qmax of an output that an absorbed clamp limits, where they are narrower than the dtype's."""
        clamp = self.uses.fused_clamps.get(value)
        if clamp is None:
            return {}
        low, high = self.state.functions[clamp].clamp_bounds(self.graph)
        if clamp in self.factors:  # NOTE: other bounds are beyond what any channel holds (channel_scales.py, 3)
            low, high = (b if b == 0 else end for b, end in ((low, -np.inf), (high, np.inf)))
        t = self.q_type(clamp)
        kind_low, kind_high = t.limits()
        q_low, q_high = (int(v) for v in quantize(np.array([low, high], np.float32), t))
        return {k: v for k, v, d in (("qmin", q_low, kind_low), ("qmax", q_high, kind_high)) if v != d}

    def direct(self, node: Node) -> None:
        """A product or average with a float output."""
        output = node.outputs[0]
        self.b.types[output] = TensorType(DType.F32, self.graph.types[output].shape)
        if node.has(PRODUCT):
            self.product(node, output)
        else:
            self.b.append(node.with_(inputs=(self.operand(node, node.inputs[0]), *node.inputs[1:])))
        self.real[output] = output

    def plain(self, node: Node) -> None:
        """An op that has the same form on integers: inputs quantized, constants where it wants them."""
        data = set(data_inputs(self.graph, node))
        inputs = [self.operand(node, i) if i in data else i for i in node.inputs]
        if node.op == "ArgMax":
            self.b.append(node.with_(inputs=tuple(inputs)))
            self.real[node.outputs[0]] = node.outputs[0]
            return
        extra = self.limits(node.outputs[0])
        outputs = self.outputs_of(node)
        t = self.b.types[outputs[0]]
        if node.op == "Concat":
            inputs = [self.rescaled(i, t) for i in inputs]
        elif node.op == "Pad":
            assert t.quant is not None
            zero = self.b.add_constant(f"{outputs[0]}.zero", np.array(t.quant.z, t.dtype.numpy))
            inputs = [*inputs[:2], zero, *inputs[3:]]
        elif node.has(SOFTMAX):
            quant = self.b.types[inputs[0]].quant
            assert quant is not None
            inputs.append(self.b.add_constant(f"{outputs[0]}.table", exponent_table(quant.scale[0])))
        elif node.op == "LayerNormalization":
            inputs = [inputs[0], *self.norm_factors(node, t)]
        self.b.append(
            node.with_(op=quantized_form(node.op), inputs=tuple(inputs), outputs=outputs).with_attributes(**extra)
        )

    def outputs_of(self, node: Node) -> tuple[str, ...]:
        """The quantized outputs of a node: those that nothing reads have no name, or, first ones, the parameters of
        their siblings."""
        held = {o for o in node.outputs if o and (o in self.quants or o in self.uses.fused_clamps)}
        outputs = [self.q_name(self.uses.target(o)) if o in held else "" for o in node.outputs]
        if not outputs[0]:
            first = node.outputs[0]
            sibling = self.b.types[next(o for o in outputs if o)]
            outputs[0] = self.b.fresh(f"{first}.q")
            self.b.types[outputs[0]] = TensorType(sibling.dtype, self.graph.types[first].shape, sibling.quant)
        return tuple(outputs)

    def rescaled(self, name: str, t: TensorType) -> str:
        """The value with the parameters of `t`, through a table where its own differ."""
        own = self.b.types[name]
        if own.quant == t.quant and own.dtype == t.dtype:
            return name
        assert own.quant is not None and t.quant is not None
        low, high = own.limits()
        m = np.float32(own.quant.s / t.quant.s)
        real = (np.arange(low, high + 1, dtype=np.int32) - own.quant.z).astype(np.float32) * m
        limits = t.limits()
        table = clamped(np.rint(real) + np.float32(t.quant.z), *limits).astype(t.dtype.numpy)
        hint = f"{name}.rescaled"
        data = self.b.add_constant(f"{hint}.table", table)
        return self.b.add("Lookup", (name, data), TensorType(t.dtype, own.shape, t.quant), hint, function="Rescale")

    def norm_factors(self, node: Node, t: TensorType) -> list[str]:
        assert t.quant is not None
        gamma = self.graph.constants[node.inputs[1]].astype(np.float32)
        beta = self.graph.constants[node.inputs[2]].astype(np.float32) if node.input(2) else np.zeros_like(gamma)
        return [self.b.add_constant(f"{node.outputs[0]}.{n}", a / t.quant.s) for n, a in (("g", gamma), ("b", beta))]

    def lookup(self, function: Function) -> None:
        root, value = self.q(function.root), function.output
        t_in = self.b.types[root]
        t_out = self.q_type(value)
        assert t_in.quant is not None and t_out.quant is not None
        low, high = t_in.limits()
        reals = (np.arange(low, high + 1) - t_in.quant.z) * np.float64(t_in.quant.scale[0])
        with np.errstate(all="ignore"):
            steps = np.rint(function.table(self.graph, reals) / t_out.quant.scale[0]) + t_out.quant.z
        table = clamped(steps, *t_out.limits()).astype(t_out.dtype.numpy)
        attributes: dict[str, object] = {"function": function.describe()}
        if function.axis is not None:
            attributes["axis"] = function.axis
        name = self.q_name(value)
        data = self.b.add_constant(f"{name}.table", np.ascontiguousarray(table))
        self.b.append(Node("Lookup", (root, data), (name,), attributes, self.b.fresh(f"{name}:Lookup")))

    def product(self, node: Node, real_output: str | None) -> None:
        """Conv, ConvTranspose, Gemm, MatMul; into a quantized value, or the float value `real_output`."""
        c = self.graph.constants
        inputs = [self.operand(node, node.inputs[0])]
        if node.op == "MatMul" and node.inputs[1] not in c:
            inputs.append(self.q(node.inputs[1]))
        else:
            inputs += self.weights(node, inputs[0])
        extra = {} if real_output else self.limits(node.outputs[0])
        output = real_output or self.q_name(self.uses.target(node.outputs[0]))
        self.b.append(node.with_(inputs=tuple(inputs), outputs=(output,)).with_attributes(**extra))

    def lstm(self, node: Node) -> None:
        """int8 weights per gate row, one float bias, float states and outputs."""
        c, x = self.graph.constants, self.q(node.inputs[0])
        quant = self.b.types[x].quant
        assert quant is not None
        names = []
        for hint, source in (("w", node.inputs[1]), ("r", node.inputs[2])):
            rows = c[source].reshape(-1, c[source].shape[-1])
            q, parameters, _ = quantize_weights(rows, 0, None, quant.scale[0], self.config)
            names.append(
                self.b.add_constant(f"{node.outputs[0]}.{hint}", q, TensorType(DType.I8, tuple(q.shape), parameters))
            )
        hidden = c[node.inputs[2]].shape[-1]
        b = c[node.inputs[3]] if node.input(3) else np.zeros((len(c[node.inputs[1]]), 8 * hidden), np.float32)
        bias = (b[:, : 4 * hidden] + b[:, 4 * hidden :]).reshape(-1)
        names.append(self.b.add_constant(f"{node.outputs[0]}.bias", bias.astype(np.float32)))
        states = [self.f(node.input(k)) for k in (5, 6)]
        for o in filter(None, node.outputs):
            self.b.types[o] = TensorType(DType.F32, self.graph.types[o].shape)
            self.real[o] = o
        kept = {name: node.attr(name) for name in OPS["QLSTM"].attributes}
        self.b.append(
            Node(
                "QLSTM", (x, *names, *states), node.outputs, {k: v for k, v in kept.items() if v is not None}, node.name
            )
        )

    def weights(self, node: Node, x: str) -> list[str]:
        c, quant = self.graph.constants, self.b.types[x].quant
        assert quant is not None
        w: Array = c[node.inputs[1]]
        bias = c[node.inputs[2]].reshape(-1) if node.input(2) else None
        axis = output_axis(node)
        if (names := self.stored_weights(node, axis, quant)) is not None:
            return names
        if bias is not None and axis is not None and bias.size == 1:
            bias = np.repeat(bias, w.shape[axis])
        if axis is not None and (mean := self.state.means.get(node.inputs[0])) is not None:
            q, quant_w, _ = quantize_weights(w, axis, bias, quant.scale[0], self.config)
            shift = output_shift(node, w, q, quant_w, mean)
            bias = (
                bias
                if shift is None
                else (np.zeros(w.shape[axis]) if bias is None else bias.astype(np.float64)) - shift
            )
        q, quant_w, q_bias = quantize_weights(w, axis, bias, quant.scale[0], self.config)
        hint = node.outputs[0]
        names = [self.b.add_constant(f"{hint}.w", q, TensorType(DType.I8, tuple(q.shape), quant_w))]
        if q_bias is not None:
            names.append(self.b.add_constant(f"{hint}.bias.i32", q_bias))
        return names

    def stored_weights(self, node: Node, axis: int | None, x: Quant) -> list[str] | None:
        """Weights and bias with the integers that the model gives them; None where it gives none."""
        kept = kept_integers(self.graph, self.state.constants, node, x, factors_of(self.state, node))
        if kept is None:
            return None
        assert not isinstance(kept, str), f"{node.name}: {kept}"
        q, quant, bias = kept
        names = [self.b.add_constant(f"{node.outputs[0]}.w", q, TensorType(DType.I8, tuple(q.shape), quant))]
        if bias is None:
            return names
        bias = np.broadcast_to(bias, (q.shape[axis],)) if axis is not None else bias
        return [*names, self.b.add_constant(f"{node.outputs[0]}.bias.i32", np.ascontiguousarray(bias, np.int32))]
