"""Each node of an op of onnxruntime's own becomes the nodes of standard ops that mean the same, before anything else
looks at the model; so does each of ONNX's ops of transformers, which are functions of others."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from math import prod

import onnx

from ...errors import LimitError, ModelError
from ..inference import infer_shapes, is_shapeless
from . import attention, fake_quantize, integers, layouts, pointwise, products, recurrent, rotary, withdrawn
from .body import Body, UnknownTypeError, with_outputs_of
from .onnx_functions import body_by_onnx

DOMAIN = "com.microsoft"
OPENVINO = "org.openvinotoolkit"
BLOCKED = "com.microsoft.nchwc"
STANDARD = ("", "ai.onnx")
BODIES: dict[tuple[str, str], Callable[[Body], None]] = {
    **{
        (DOMAIN, name): body
        for name, body in {
            "Attention": attention.attention,
            "BiasGelu": pointwise.gelu,
            "BiasSoftmax": pointwise.bias_softmax,
            "DequantizeLinear": integers.dequantize,
            "DynamicQuantizeLSTM": recurrent.dynamic_quantize_lstm,
            "DynamicQuantizeMatMul": products.dynamic_product,
            "EmbedLayerNormalization": pointwise.embed_layer_norm,
            "FastGelu": pointwise.fast_gelu,
            "FusedConv": products.fused_conv,
            "FusedGemm": products.fused_gemm,
            "FusedMatMul": products.fused_matmul,
            "Gelu": pointwise.gelu,
            "MatMulIntegerToFloat": products.integers_to_float,
            "NhwcConv": layouts.conv,
            "NhwcFusedConv": layouts.conv,
            "NhwcMaxPool": layouts.max_pool,
            "QEmbedLayerNormalization": integers.embed_layer_norm,
            "QLinearAveragePool": layouts.qlinear_pool,
            "QLinearConv": layouts.qlinear_conv,
            "QLinearGlobalAveragePool": layouts.qlinear_pool,
            "QLinearWhere": integers.where,
            "MultiHeadAttention": attention.multi_head_attention,
            "QuickGelu": pointwise.quick_gelu,
            "QuantizeLinear": integers.quantize,
            "Range": products.range_of,
            "GroupQueryAttention": rotary.group_query_attention,
            "QAttention": attention.quantized_attention,
            "RotaryEmbedding": rotary.rotary_embedding,
            "SimplifiedLayerNormalization": pointwise.rms_norm,
            "SkipLayerNormalization": pointwise.skip_layer_norm,
            "SkipSimplifiedLayerNormalization": pointwise.skip_rms_norm,
            "TransposeMatMul": products.fused_matmul,
            "Trilu": products.trilu,
        }.items()
    },
    ("", "SimplifiedLayerNormalization"): pointwise.rms_norm,
    ("", "LayerNormalization"): pointwise.layer_norm,
    ("", "MeanVarianceNormalization"): pointwise.mean_variance_norm,
    ("", "Affine"): withdrawn.affine,
    ("", "Crop"): withdrawn.crop,
    ("", "ImageScaler"): withdrawn.image_scaler,
    ("", "ParametricSoftplus"): withdrawn.parametric_softplus,
    ("", "Scale"): withdrawn.scale,
    ("", "ScaledTanh"): withdrawn.scaled_tanh,
    (OPENVINO, "FakeQuantize"): fake_quantize.fake_quantize,
    **{("", name): body_by_onnx for name in ("Attention", "RMSNormalization", "RotaryEmbedding")},
}
LARGE = 1 << 10  # elements of a constant that cannot be sizes
LAYER_NORM_SINCE = 17  # opset: from then on LayerNormalization is ONNX's


def with_standard_ops(proto: onnx.ModelProto, where: str) -> onnx.ModelProto:
    """The model without the ops of `BODIES`; the same object where there are none.

    Raises ModelError, naming the node, where it has a form that nothing here stands for.
    """
    if any(o.domain == BLOCKED for o in proto.opset_import) and any(n.domain == BLOCKED for n in proto.graph.node):
        raise ModelError(
            f"{where}: onnxruntime has laid its weights out for the CPU that it was saved on (domain {BLOCKED}); save "
            "it with the graph "
            f"optimization level ORT_ENABLE_EXTENDED, or as it was exported"
        )
    opset = max((o.version for o in proto.opset_import if o.domain in STANDARD), default=onnx.defs.onnx_opset_version())
    if not any(_body_of(n, opset) for g in graphs(proto.graph) for n in g.node):
        return proto
    result = onnx.ModelProto()
    result.CopyFrom(proto)
    taken = {name for g in graphs(result.graph) for n in g.node for name in (*n.input, *n.output)}
    prefix = next(
        p for p in (f"ort{'_' * k}" for k in range(len(taken) + 1)) if not any(t.startswith(p) for t in taken)
    )
    for graph in graphs(result.graph):
        _expand(result, graph, opset, prefix, where)
    return result


def graphs(graph: onnx.GraphProto) -> Iterator[onnx.GraphProto]:
    """The graph and all that its nodes carry."""
    yield graph
    for n in graph.node:
        for a in n.attribute:
            for inner in (a.g, *a.graphs) if a.type in (onnx.AttributeProto.GRAPH, onnx.AttributeProto.GRAPHS) else ():
                yield from graphs(inner)


def _body_of(n: onnx.NodeProto, opset: int) -> Callable[[Body], None] | None:
    domain = "" if n.domain in STANDARD else n.domain
    if (domain, n.op_type) == ("", "LayerNormalization") and opset >= LAYER_NORM_SINCE:
        return None
    return BODIES.get((domain, n.op_type))


def _expand(model: onnx.ModelProto, graph: onnx.GraphProto, opset: int, prefix: str, where: str) -> None:
    """Nodes in place, round by round: a node whose inputs have to be typed waits until what comes before it is
    standard."""
    left = [n for n in graph.node if _body_of(n, opset)]
    while left:
        known, nodes, waiting, why = _types(model, graph), [], [], ValueError()
        constants = {t.name: t for g in (model.graph, graph) for t in g.initializer}
        constants |= {n.output[0]: a.t for n in graph.node if n.op_type == "Constant" for a in n.attribute}
        for number, n in enumerate(graph.node):
            body = _body_of(n, opset)
            if body is None:
                nodes.append(n)
                continue
            made = Body(n, opset, known, f"{prefix}{len(left)}.{number}.{n.name or n.op_type}.", constants)
            try:
                body(made)
            except UnknownTypeError as error:
                why = error
                waiting.append(n)
                nodes.append(n)
            except (ValueError, IndexError, TypeError) as error:
                raise ModelError(
                    f"{where}: node {n.name or n.output[0]!r} ({n.op_type}): {error} is not supported"
                ) from error
            else:
                nodes += with_outputs_of(made.nodes)
        if len(waiting) == len(left):
            own = next((n for n in waiting if n.domain not in STANDARD), None)
            if own is not None:
                raise ModelError(f"{where}: node {own.name or own.output[0]!r} ({own.op_type}): {why} is not supported")
            return  # ONNX's own stay: they have a meaning as they are
        _replace(graph, nodes)
        left = waiting


def _replace(graph: onnx.GraphProto, nodes: Iterable[onnx.NodeProto]) -> None:
    kept = []
    for n in nodes:
        copy = onnx.NodeProto()
        copy.CopyFrom(n)
        kept.append(copy)
    del graph.node[:]
    graph.node.extend(kept)


def _types(model: onnx.ModelProto, graph: onnx.GraphProto) -> dict[str, onnx.TypeProto.Tensor]:
    """The types that inference finds in the main graph; in a branch those of its own declarations too."""
    typed, graphs_here = onnx.helper.make_tensor_type_proto, (model.graph, graph)
    found = {t.name: typed(t.data_type, t.dims).tensor_type for g in graphs_here for t in g.initializer}
    try:
        main = infer_shapes(_light(model)).graph
    except LimitError:
        raise
    except Exception:  # NOTE: inference is a help: a form that needs a rank says so
        main = model.graph
    for g in (main, graph):
        infos = [v for v in (*g.input, *g.value_info, *g.output) if v.type.HasField("tensor_type")]
        found |= {v.name: v.type.tensor_type for v in infos if v.name not in found or not is_shapeless(v)}
    return found


def _light(model: onnx.ModelProto) -> onnx.ModelProto:
    """The model with its large constants as inputs: their elements say nothing about shapes."""
    g, large = model.graph, [t for t in model.graph.initializer if prod(t.dims) > LARGE]
    names = {t.name for t in large}
    infos = [onnx.helper.make_tensor_value_info(t.name, t.data_type, t.dims) for t in large]
    inputs = [*(v for v in g.input if v.name not in names), *infos]
    small = [t for t in g.initializer if t.name not in names]
    light = onnx.helper.make_graph(g.node, g.name, inputs, g.output, small, value_info=g.value_info)
    return onnx.helper.make_model(
        light, opset_imports=model.opset_import, functions=model.functions, ir_version=model.ir_version
    )
