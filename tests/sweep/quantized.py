"""The float cases of ops with an int8 variant in models that come quantized: QDQ nodes around each value."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import onnx
from onnx import helper, numpy_helper

import qglow
from qglow.reference import evaluate

from . import pointwise, products, reductions, shaping, windowing
from .case import Array, Case, Fixed
from .judge import model_of, oracle

MOVES = (
    "Reshape", "Flatten", "Transpose", "Squeeze", "Unsqueeze", "Concat", "Split", "Slice", "Gather", "Expand",
    "Tile", "Pad",
    "DepthToSpace", "SpaceToDepth", "MaxPool", "GlobalMaxPool", "Identity",
)  # fmt: skip
PRODUCTS = ("Conv", "ConvTranspose", "Gemm", "MatMul")
MEANS = ("AveragePool", "GlobalAveragePool", "ReduceMean")
OTHERS = ("Add", "Sub", "Mul", "Softmax", "LayerNormalization", "Resize", "ArgMax", *pointwise.FUNCTIONS)
INT8 = (*MOVES, *PRODUCTS, *MEANS, *OTHERS)
FAMILIES = [f for m in (pointwise, reductions, products, windowing, shaping) for f in m.FAMILIES]
Results = Sequence[Sequence[Array]]
Values = Mapping[str, Array]
FIRST, LAST = 13, 22  # opsets: per-channel parameters came with 13


@dataclass(frozen=True)
class Parameters:
    scale: float
    zero: int

    @staticmethod
    def of(values: Array) -> Parameters:
        low, high = min(0.0, float(values.min())), max(0.0, float(values.max()))
        scale = float(np.float32((high - low) / 255)) or 1.0
        return Parameters(scale, round(-low / scale))

    def integers(self, values: Array) -> Array:
        return np.clip(np.rint(values / np.float32(self.scale)) + self.zero, 0, 255).astype(np.uint8)


def fits(c: Case, results: Sequence[Array]) -> bool:
    """Whether a case can be had quantized: floats of moderate size go in and come out."""
    arrays = [i for i in c.inputs if isinstance(i, np.ndarray)]
    floats = [a for a in (*arrays, *results) if a.dtype.kind == "f"]
    sound = all(a.dtype == np.float32 and a.size and np.isfinite(a).all() for a in floats)
    return sound and bool(floats) and isinstance(c.inputs[0], np.ndarray) and c.inputs[0].dtype == np.float32


def candidates() -> Iterator[Case]:
    """Cases of an op with one result, or of Split. Of Resize, which changed often, those of one opset."""
    for family in FAMILIES:
        for c in {c.name: c for c in family()}.values():
            old = c.op == "Resize" and c.opset != 18
            if c.op in INT8 and FIRST <= c.opset <= LAST and not old and (c.outputs == 1 or c.op == "Split"):
                yield c


class Model:
    """Grows one model of many quantized cases."""

    def __init__(self, opset: int) -> None:
        self.opset = opset
        self.nodes: list[onnx.NodeProto] = []
        self.constants: list[onnx.TensorProto] = []
        self.inputs: list[onnx.ValueInfoProto] = []
        self.outputs: list[onnx.ValueInfoProto] = []
        self.feeds: dict[str, Array] = {}

    def constant(self, name: str, array: Array) -> str:
        self.constants.append(numpy_helper.from_array(np.asarray(array), name))
        return name

    def node(self, op: str, inputs: Sequence[str], outputs: Sequence[str], **attributes: object) -> None:
        self.nodes.append(helper.make_node(op, inputs, outputs, f"{op}_of_{outputs[0]}", **attributes))

    def parameters(self, name: str, p: Parameters) -> tuple[str, str]:
        return self.constant(f"{name}_s", np.float32(p.scale)), self.constant(f"{name}_z", np.uint8(p.zero))

    def rounded(self, name: str, p: Parameters) -> str:
        """The value rounded to steps."""
        pair = self.parameters(name, p)
        self.node("QuantizeLinear", (name, *pair), [f"{name}_q"])
        self.node("DequantizeLinear", (f"{name}_q", *pair), [f"{name}_d"])
        return f"{name}_d"

    def stored(self, name: str, values: Array, p: Parameters) -> str:
        """A constant that is stored as bytes."""
        self.node(
            "DequantizeLinear", (self.constant(f"{name}_q", p.integers(values)), *self.parameters(name, p)), [name]
        )
        return name

    def weights(self, name: str, values: Array, axis: int | None) -> str:
        """A weight that is stored as signed bytes, symmetric, with a scale for each index of an axis."""
        others = tuple(k for k in range(values.ndim) if k != axis)
        largest = np.abs(values).max(others if axis is not None else None, keepdims=True)
        scale = np.maximum(largest / np.float32(127), np.float32(1e-6)).astype(np.float32)
        stored = self.constant(f"{name}_q", np.clip(np.rint(values / scale), -127, 127).astype(np.int8))
        flat = self.constant(f"{name}_s", scale.reshape(-1) if axis is not None else scale.reshape(()))
        zeros = self.constant(f"{name}_z", np.zeros(scale.size if axis is not None else (), np.int8))
        self.node("DequantizeLinear", (stored, flat, zeros), [name], **({} if axis is None else {"axis": axis}))
        return name

    def product(self, name: str, shape: tuple[int, ...], p: Parameters, before: bool) -> str:
        """The value after a product that changes nothing, or, beside one that reads it, the value itself."""
        if len(shape) < (2 if before else 1):
            return name
        image = before and len(shape) == 4
        size = shape[1 if image else -1]
        eye = np.eye(size, dtype=np.float32)
        w = self.weights(f"{name}_w", eye.reshape(size, size, 1, 1) if image else eye, 0 if image else 1)
        self.node("Conv" if image else "MatMul", (name, w), [f"{name}_p"])
        last = self.rounded(f"{name}_p", p)
        if not before:
            self.outputs.append(helper.make_tensor_value_info(last, onnx.TensorProto.FLOAT, shape))
        return last if before else name

    def proto(self) -> onnx.ModelProto:
        graph = helper.make_graph(self.nodes, "quantized", self.inputs, self.outputs, self.constants)
        return helper.make_model(graph, opset_imports=[helper.make_opsetid("", self.opset)], ir_version=10)


def weight_axis(c: Case, rank: int) -> int | None:
    if c.op == "Conv":
        return 0
    if c.op == "Gemm":
        return 0 if c.attributes.get("transB") else 1
    return rank - 1 if c.op == "MatMul" and rank > 1 else None


def add(model: Model, number: int, c: Case, results: Sequence[Array], before: bool) -> list[float]:
    """Add a case to the model: the step of each output, 0 where it holds integers."""
    names: list[str] = []
    mine = [Parameters.of(r) if r.dtype.kind == "f" else None for r in results]
    if c.op in MOVES:
        first = [i.array if isinstance(i, Fixed) else i for i in c.inputs if i is not None]
        mine = [Parameters.of(np.concatenate([a.ravel() for a in first if a.dtype.kind == "f"]))] * len(results)
    for k, given in enumerate(c.inputs):
        name = f"i{number}_{k}" if given is not None else ""
        if isinstance(given, Fixed):
            names.append(_fixed(model, name, k, c, given.array, mine[0]))
            continue
        names.append(name)
        if given is not None:
            model.feeds[name] = given
            kind = helper.np_dtype_to_tensor_dtype(given.dtype)
            model.inputs.append(helper.make_tensor_value_info(name, kind, given.shape))
            if given.dtype.kind == "f":
                p = mine[0] if c.op in MOVES and mine[0] else Parameters.of(given)
                names[-1] = model.product(model.rounded(name, p), given.shape, p, before)
    outputs = [f"o{number}_{k}" for k in range(len(results))]
    model.node(c.op, names, outputs, **c.attributes)
    for out, result, p in zip(outputs, results, mine, strict=True):
        last = model.rounded(out, p) if p is not None else out
        kind = helper.np_dtype_to_tensor_dtype(result.dtype)
        model.outputs.append(helper.make_tensor_value_info(last, kind, result.shape))
    return [p.scale if p is not None else 0.0 for p in mine]


def _fixed(model: Model, name: str, k: int, c: Case, array: Array, p: Parameters | None) -> str:
    """An initializer: weights and constant operands as bytes, all else as it is."""
    if c.op in PRODUCTS and k == 1:
        return model.weights(name, array, weight_axis(c, array.ndim))
    if array.dtype == np.float32 and c.op in ("Add", "Sub", "Mul", "Concat"):
        return model.stored(name, array, p if c.op == "Concat" and p else Parameters.of(array))
    if array.dtype == np.float32 and c.op == "Pad" and p is not None:
        return model.stored(name, array, p)
    return model.constant(name, array)


def results_of(cases: Sequence[Case]) -> tuple[list[Case], list[list[Array]]]:
    """The cases that can be had quantized, and what they give in float."""
    kept = []
    for c in cases:
        proto, feeds = model_of([c])
        results = list(oracle(proto, feeds).values())
        if fits(c, results):
            kept.append((c, results))
    return [c for c, _ in kept], [r for _, r in kept]


def build(cases: Sequence[Case], results: Results, before: bool) -> tuple[Model, list[list[float]]]:
    model = Model(cases[0].opset)
    return model, [add(model, k, c, r, before) for k, (c, r) in enumerate(zip(cases, results, strict=True))]


def verdicts(cases: Sequence[Case], results: Results, before: bool, counts: dict[str, int]) -> dict[str, str]:
    """What is wrong, by the case's name: more than a step beside onnxruntime, or other bits than the reference.

    before: a product makes what each op reads; else one reads it too. counts: nodes in integers, by op, are added.
    """
    try:
        model, steps = build(cases, results, before)
        proto = model.proto()
        want = oracle(proto, model.feeds, optimize=False)
        bundle = qglow.quantize(proto, check=False)
        session = qglow.InferenceSession(bundle, threads=1)
        got = dict(zip((o.name for o in session.get_outputs()), session.run(None, model.feeds), strict=True))
        law = evaluate(bundle.graph, model.feeds)
    except Exception as error:  # noqa: BLE001  (what is raised is what is told)
        if len(cases) == 1:
            return {cases[0].name: f"{type(error).__name__}: {error}"[:300]}
        half = len(cases) // 2
        first = verdicts(cases[:half], results[:half], before, counts)
        return first | verdicts(cases[half:], results[half:], before, counts)
    for d in bundle.manifest["decisions"]:
        counts[d["op"]] = counts.get(d["op"], 0) + (d["precision"] != "float")
    return compared(cases, steps, got, want, law)


def compared(
    cases: Sequence[Case], steps: Sequence[Sequence[float]], got: Values, want: Values, law: Values
) -> dict[str, str]:
    found: dict[str, str] = {}
    for number, (c, widths) in enumerate(zip(cases, steps, strict=True)):
        for k, step in enumerate(widths):
            name = f"o{number}_{k}" + ("_d" if step else "")
            a, b = got[name], want[name]
            if (a.shape, a.dtype) != (b.shape, b.dtype):
                found[c.name] = f"expected {b.dtype}{list(b.shape)}, got {a.dtype}{list(a.shape)}"
            elif not np.array_equal(a, law[name]):
                found[c.name] = "the kernels and the reference differ"
            elif a.size and (far := float(np.abs(a.astype(np.float64) - b).max())) > step * 1.001:
                found[c.name] = f"{far / step if step else far:.2f} steps from onnxruntime"
    return found
