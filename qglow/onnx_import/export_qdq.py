"""A quantized graph as standard ONNX in QDQ form, for any other runtime.

Quantized values are integer tensors. Around an op stand DequantizeLinear and QuantizeLinear, which runtimes fuse;
per-channel weights and int32 biases are dequantized constants. A table lookup is a Gather, exact in every runtime.
Narrower output limits are a Clip. The opset is the oldest that has the nodes (export_opset.py).
"""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
from onnx import helper

from ..errors import QGlowError, in_one_line
from ..graph import Array, DType, Graph, Node, TensorType
from ..graph.blocks import OP as BLOCKWISE
from ..graph.quantized_io import is_translation
from ..ops.traits import PRODUCT, SOFTMAX
from .export_blocks import blockwise_nodes
from .export_float import OPSET, export_nodes, make_model
from .export_guard import guarding_axis, read_by_float_products
from .export_opset import in_oldest_opset


def export_qdq(graph: Graph) -> onnx.ModelProto:
    """The QDQ model of a quantized graph, which onnx's checker has passed, and its inference as to dtypes. Raises
    QGlowError."""
    exporter = Exporter(graph)
    for node in graph.nodes:
        exporter.node(node)
    return finished(graph, exporter)


def finished(graph: Graph, exporter: Exporter) -> onnx.ModelProto:
    """The model of what was exported, checked."""
    model = make_model(graph, exporter.nodes, exporter.constants, {o: graph.types[o] for o in graph.outputs})
    model.graph.initializer.extend(exporter.tensors)
    model.graph.value_info.extend(exporter.infos)
    if not any(n.op == "Onnx" for n in graph.nodes):
        model = in_oldest_opset(model, OPSET)
    try:
        if model.ByteSize() < 2**31:  # NOTE: what is larger cannot be checked, nor saved as one file
            onnx.checker.check_model(model)
            # NOTE: not strict: its sizes of pools are not those of runtimes
            onnx.shape_inference.infer_shapes(model, check_type=True)
    except (onnx.checker.ValidationError, onnx.shape_inference.InferenceError) as error:
        raise QGlowError(f"the exported model is not valid in ONNX opset {OPSET}: {in_one_line(error)}") from error
    return model


class Exporter:
    def __init__(self, graph: Graph) -> None:
        self.graph = graph
        self.guarded = read_by_float_products(graph)
        self.nodes: list[onnx.NodeProto] = []
        self.constants: dict[str, Array] = {}
        self.tensors: list[onnx.TensorProto] = []  # those that no array of numpy's own is
        self.reals: dict[str, str] = {}
        self.infos: list[onnx.ValueInfoProto] = []  # of values whose dtype no inference of ONNX's finds

    def node(self, node: Node) -> None:
        graph = self.graph
        types = [graph.types[v] for v in (*node.inputs, *node.outputs) if v]
        if not any(t.is_quantized for t in types):
            self.keep(node.inputs)
            self.nodes += export_nodes(node, node.inputs, node.outputs)
        elif node.op == "Lookup":
            self.lookup(node)
        elif node.op == BLOCKWISE:
            parts = blockwise_nodes(graph, node)
            self.nodes += parts.nodes
            self.tensors += parts.tensors
        elif node.op == "Quantize":
            self.quantize(node.inputs[0], node.outputs[0])
        elif node.op == "Dequantize":
            make = self.dequantize_apart if node.outputs[0] in self.guarded else self.dequantize
            make(node.inputs[0], node.outputs[0])
        else:
            self.wrapped(node)

    def keep(self, names: tuple[str, ...]) -> None:
        self.constants |= {n: self.graph.constants[n] for n in names if n in self.graph.constants}

    def add(self, op: str, inputs: list[str], output: str, **attributes: Any) -> str:
        self.nodes.append(helper.make_node(op, inputs, [output], name=f"{output}:{op}", **attributes))
        return output

    def constant(self, name: str, array: Array) -> str:
        self.constants[name] = array
        return name

    def parameters(self, name: str, t: TensorType) -> tuple[list[str], dict[str, int]]:
        """Names of scale and zero point constants of a quantized value, and the axis attribute."""
        q = t.quant
        assert q is not None
        scale, zero = np.array(q.scale, np.float32), np.array(q.zero_point, t.dtype.numpy)
        if q.axis is None:
            scale, zero = scale.reshape(()), zero.reshape(())
        names = [self.constant(f"{name}.scale", scale), self.constant(f"{name}.zero_point", zero)]
        return names, {} if q.axis is None else {"axis": q.axis}

    def quantize(self, real: str, output: str) -> None:
        names, attributes = self.parameters(output, self.graph.types[output])
        self.add("QuantizeLinear", [real, *names], output, **attributes)

    def dequantize(self, value: str, output: str) -> str:
        names, attributes = self.parameters(value, self.graph.types[value])
        return self.add("DequantizeLinear", [value, *names], output, **attributes)

    def dequantize_apart(self, value: str, output: str) -> str:
        """The same reals in a form that onnxruntime's optimizer does not take for the input of an int8 layer
        (export_guard.py): with a scale for each index of an axis, or where none of several is known, step by step."""
        t = self.graph.types[value]
        axis = guarding_axis(t)
        if t.quant is None or t.quant.axis is not None:
            return self.dequantize(value, output)
        if axis is None:
            return self.steps(value, output)
        size = t.shape[axis]  # type: ignore[index]
        assert isinstance(size, int)
        parts = (
            ("scales", np.full(size, t.quant.s, np.float32)),
            ("zero_points", np.full(size, t.quant.z, t.dtype.numpy)),
        )
        names = [self.constant(f"{value}.{n}", a) for n, a in parts]
        return self.add("DequantizeLinear", [value, *names], output, axis=axis)

    def real(self, value: str) -> str:
        """The float name of an input, made once."""
        if not value or not self.graph.types[value].is_quantized:
            self.keep((value,))
            return value
        if value not in self.reals:
            self.keep((value,))
            self.reals[value] = self.dequantize(value, f"{value}.real")
        return self.reals[value]

    def apart(self, value: str) -> str:
        """The same reals by another way: steps, then times the scale. Around a Softmax that reads a DequantizeLinear
        directly onnxruntime's optimizer puts an operator of its own, whose integers are others by far."""
        t = self.graph.types[value]
        if not t.is_quantized or t.quant is None:
            return self.real(value)
        self.keep((value,))
        name = f"{value}.apart"
        if name not in self.reals:
            self.reals[name] = self.steps(value, name)
        return self.reals[name]

    def steps(self, value: str, output: str) -> str:
        """A value of one scale as reals: its steps from the zero point, times the scale."""
        t = self.graph.types[value]
        assert t.quant is not None
        numbers = ("one", 1), ("step", t.quant.s)
        one, scale = (self.constant(f"{value}.{n}", np.array(v, np.float32)) for n, v in numbers)
        zero = self.constant(f"{value}.zero_point", np.array(t.quant.z, t.dtype.numpy))
        steps = self.add("DequantizeLinear", [value, one, zero], f"{output}.steps")
        return self.add("Mul", [steps, scale], output)

    def wrapped(self, node: Node) -> None:
        real = self.apart if node.has(SOFTMAX) else self.real
        inputs = [real(i) for i in self.float_inputs(node)]
        if node.has(PRODUCT) and node.input(2):
            inputs[2] = self.bias(node)
        outputs = [f"{o}.exact" if o and self.graph.types[o].is_quantized else o for o in node.outputs]
        self.nodes += export_nodes(node.with_(op=node.operator), inputs, outputs)
        for exact, o in zip(outputs, node.outputs, strict=True):
            if exact != o:
                self.quantize(self.clipped(node, exact, o), o)

    def float_inputs(self, node: Node) -> list[str]:
        """Inputs of the float op: without the constants that only the integer meaning has."""
        if node.op == "QSoftmax":
            return [node.inputs[0]]
        if node.op == "Pad":
            return [*node.inputs[:2], "", *node.inputs[3:]] if len(node.inputs) > 3 else list(node.inputs[:2])
        if node.op == "QLSTM":
            return self.lstm_weights(node)
        if node.op == "QLayerNormalization":
            quant = self.graph.types[node.outputs[0]].quant
            assert quant is not None
            for name in node.inputs[1:]:
                self.constants[f"{node.name}.{name}"] = (self.graph.constants[name] * quant.s).astype(np.float32)
            self.graph = self.graph.with_(
                types={**self.graph.types, **{f"{node.name}.{n}": self.graph.types[n] for n in node.inputs[1:]}}
            )
            return [node.inputs[0], *(f"{node.name}.{n}" for n in node.inputs[1:])]
        return list(node.inputs)

    def lstm_weights(self, node: Node) -> list[str]:
        """The inputs of a float LSTM: weights as floats, [directions, 4 hidden, width], and both biases."""
        hidden = int(node.attr("hidden_size"))
        arrays = []
        for name in node.inputs[1:3]:
            q, quant = self.graph.constants[name], self.graph.types[name].quant
            assert quant is not None
            arrays.append((q * np.array(quant.scale, np.float32)[:, None]).reshape(-1, 4 * hidden, q.shape[1]))
        b = self.graph.constants[node.inputs[3]].reshape(-1, 4 * hidden)
        arrays.append(np.concatenate([b, np.zeros_like(b)], 1))
        names = [f"{node.name}.{k}" for k in "WRB"]
        self.constants |= {n: a.astype(np.float32) for n, a in zip(names, arrays, strict=True)}
        self.graph = self.graph.with_(
            types={**self.graph.types, **{n: TensorType(DType.F32, self.constants[n].shape) for n in names}}
        )
        return [node.inputs[0], *names, "", *node.inputs[4:6]]

    def bias(self, node: Node) -> str:
        x, w = (self.graph.types[i].quant for i in node.inputs[:2])
        assert x is not None and w is not None
        name = node.inputs[2]
        self.keep((name,))
        scale = np.float32(x.scale[0]) * np.array(w.scale, np.float32)
        s = self.constant(f"{node.name}.bias.scale", scale if scale.size > 1 else scale.reshape(()))
        return self.add("DequantizeLinear", [name, s], f"{node.name}.bias.real", axis=0)

    def clipped(self, node: Node, exact: str, output: str) -> str:
        t = self.graph.types[output]
        assert t.quant is not None
        if "qmin" not in node.attributes and "qmax" not in node.attributes:
            return exact
        low, high = t.limits()
        bounds = [(int(node.attributes.get(k, d)) - t.quant.z) * t.quant.s for k, d in (("qmin", low), ("qmax", high))]
        names = [
            self.constant(f"{exact}.{k}", np.array(v, np.float32)) for k, v in zip(("low", "high"), bounds, strict=True)
        ]
        return self.add("Clip", [exact, *names], f"{exact}.clipped")

    def lookup(self, node: Node) -> None:
        x, y = node.inputs[0], node.outputs[0]
        if is_translation(self.graph, node):
            self.quantize(self.real(x), y)
            return
        table, t = self.graph.constants[node.inputs[1]], self.graph.types[x]
        index = self.add("Cast", [x], f"{y}.index", to=onnx.TensorProto.INT32)
        offset = np.array(-t.limits()[0], np.int32)
        if table.ndim == 2:
            shape = [1] * len(t.shape or ())
            shape[int(node.attr("axis"))] = -1
            offset = offset + (np.arange(table.shape[0], dtype=np.int32) * 256).reshape(shape)
        if np.any(offset):
            index = self.add("Add", [index, self.constant(f"{y}.offset", offset)], f"{y}.place")
        self.add("Gather", [self.constant(node.inputs[1], table.reshape(-1)), index], y, axis=0)
