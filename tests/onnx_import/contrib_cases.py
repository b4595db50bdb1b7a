"""Nodes of onnxruntime's own ops, with inputs."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np

from qglow.graph import Array

OWN = "com.microsoft"


class Case(NamedTuple):
    """inputs: None where omitted. constants: the numbers of those that are initializers. outputs: their number, or
    names, "" for one that is not asked for."""

    name: str
    op: str
    inputs: Sequence[Array | None]
    constants: Sequence[int] = ()
    attributes: dict[str, Any] = {}
    outputs: int | Sequence[str] = 1
    domain: str = OWN


def cases() -> Iterator[Case]:
    rng = np.random.default_rng(0)
    yield from _pointwise(rng)
    yield from _products(rng)
    yield from _attention(rng)
    yield from _many_heads(rng)
    yield from _rotary(rng)
    yield from _grouped(rng)
    yield from _channels_last(rng)
    yield from _embedded(rng)
    yield from _of_onnx(rng)
    yield from _withdrawn(rng)


def floats(rng: np.random.Generator, *shape: int) -> Array:
    return rng.normal(size=shape).astype(np.float32)


def _pointwise(rng: np.random.Generator) -> Iterator[Case]:
    x, a, b, c = floats(rng, 2, 5, 8), *(floats(rng, 8) for _ in range(3))
    yield Case("gelu", "Gelu", [x])
    yield Case("quick", "QuickGelu", [x], attributes={"alpha": 1.5})
    yield Case("quick_default", "QuickGelu", [x])
    yield Case("bias", "BiasGelu", [x, a], [1])
    yield Case("fast", "FastGelu", [x])
    yield Case("fast_bias", "FastGelu", [x, a], [1])
    yield Case("skip", "SkipLayerNormalization", [x, floats(rng, 2, 5, 8), a, b, c], [2, 3, 4])
    yield Case("skip_sum", "SkipLayerNormalization", [x, x, a], [2], {"epsilon": 1e-3}, ["y", "", "", "sum"])
    yield Case("skip_repeated", "SkipLayerNormalization", [x, floats(rng, 1, 5, 8), a, b], [2, 3])
    yield Case(
        "skip_rms",
        "SkipSimplifiedLayerNormalization",
        [x, floats(rng, 2, 5, 8), a, b],
        [2, 3],
        {},
        ["y", "", "", "sum"],
    )
    yield Case("rms", "SimplifiedLayerNormalization", [x, a], [1], {"axis": -1, "epsilon": 1e-5}, domain="")
    yield Case("layer", "LayerNormalization", [x, a, b], [1, 2], {"axis": -1, "epsilon": 1e-3}, domain="")
    yield Case("layer_statistics", "LayerNormalization", [x, a], [1], {"axis": 2}, 3, domain="")
    yield Case("layer_axes", "LayerNormalization", [x, floats(rng, 5, 8)], [1], {"axis": 1}, domain="")
    ids, rows = rng.integers(0, 11, (2, 5)).astype(np.int32), rng.integers(0, 2, (2, 5)).astype(np.int32)
    words, places, kinds = floats(rng, 11, 8), floats(rng, 9, 8), floats(rng, 2, 8)
    embed, mask = "EmbedLayerNormalization", np.array([[1, 1, 1, 0, 0], [1] * 5], np.int32)
    turned = np.array([[4, 3, 2, 1, 0], [0, 1, 2, 3, 4]], np.int32)
    yield Case("embed", embed, [ids, rows, words, places, kinds, a, b], [2, 3, 4, 5, 6], outputs=2)
    yield Case("embed_mask", embed, [ids, None, words, places, None, a, b, mask], [2, 3, 5, 6], {"epsilon": 1e-5}, 3)
    yield Case("embed_places", embed, [ids, rows, words, places, kinds, a, b, None, turned], [2, 3, 4, 5, 6], outputs=2)
    yield Case("triangle", "Trilu", [floats(rng, 2, 4, 5), np.array(1)])
    yield Case("triangle_below", "Trilu", [rng.integers(0, 9, (4, 5)), np.array([-1])], [1], {"upper": 0})
    yield Case("range", "Range", [np.array([v], np.float32) for v in (1, 9, 2)])


def _products(rng: np.random.Generator) -> Iterator[Case]:
    x, w, b = floats(rng, 2, 4, 7, 7), floats(rng, 6, 4, 3, 3), floats(rng, 6)
    activations = {
        "Relu": [],
        "Clip": [0.0, 1.0],
        "LeakyRelu": [0.2],
        "Tanh": [],
        "Sigmoid": [],
        "HardSigmoid": [0.3, 0.4],
    }
    for name, given in activations.items():
        parameters = {"activation_params": given} if given else {}
        yield Case(
            f"conv_{name}", "FusedConv", [x, w, b], [1, 2], {"activation": name, "pads": [1, 1, 1, 1], **parameters}
        )
    yield Case(
        "conv_sum",
        "FusedConv",
        [x, w, b, floats(rng, 2, 6, 7, 7)],
        [1, 2],
        {"activation": "Relu", "pads": [1, 1, 1, 1]},
    )
    yield Case(
        "conv_groups",
        "FusedConv",
        [x, floats(rng, 4, 1, 3, 3)],
        [1],
        {"activation": "Relu", "strides": [2, 2], "group": 4},
    )
    leaky = {"activation": "LeakyRelu", "activation_alpha": 0.1, "transB": 1}
    yield Case("gemm", "FusedGemm", [floats(rng, 3, 4), floats(rng, 5, 4), floats(rng, 5)], [1, 2], leaky)
    scaled = {"activation": "Relu", "alpha": 0.5, "beta": 2.0}
    yield Case("gemm_scaled", "FusedGemm", [floats(rng, 3, 4), floats(rng, 4, 5), floats(rng, 5)], [1, 2], scaled)
    yield Case(
        "matmul_a", "FusedMatMul", [floats(rng, 2, 3, 5, 4), floats(rng, 2, 3, 5, 6)], (), {"transA": 1, "alpha": 0.5}
    )
    yield Case("matmul_b", "FusedMatMul", [floats(rng, 2, 5, 4), floats(rng, 6, 4)], (), {"transB": 1})
    yield Case(
        "matmul_batch", "FusedMatMul", [floats(rng, 5, 2, 3, 4), floats(rng, 2, 3, 4, 6)], (), {"transBatchA": 1}
    )
    every = {"transBatchA": 1, "transBatchB": 1, "transA": 1, "transB": 1}
    yield Case("matmul_all", "FusedMatMul", [floats(rng, 5, 2, 3, 4), floats(rng, 6, 2, 3, 5)], (), every)
    u8, s8 = rng.integers(0, 255, (3, 8)).astype(np.uint8), rng.integers(-128, 127, (8, 5)).astype(np.int8)
    one, many = np.array([0.1], np.float32), abs(floats(rng, 5))
    zeros, bias = rng.integers(-9, 9, 5).astype(np.int8), floats(rng, 5)
    yield Case("dynamic", "DynamicQuantizeMatMul", [floats(rng, 3, 8), s8, one], [1, 2])
    yield Case("dynamic_columns", "DynamicQuantizeMatMul", [floats(rng, 2, 3, 8), s8, many, zeros, bias], [1, 2, 3, 4])
    scale, zero = np.float32(0.1), np.int16(-7)
    yield Case("to_steps", "QuantizeLinear", [floats(rng, 3, 8), scale, np.uint8(3)], [1, 2])
    yield Case("to_wide_steps", "QuantizeLinear", [floats(rng, 3, 8), scale, zero], [1, 2])
    yield Case("of_steps", "DequantizeLinear", [s8, scale, np.int8(5)], [1, 2])
    yield Case(
        "of_wide_steps", "DequantizeLinear", [rng.integers(-32768, 32767, (3, 8)).astype(np.int16), scale, zero], [1, 2]
    )
    to_float = [u8, s8, one, many, np.array([7], np.uint8), zeros, bias]
    yield Case("integers", "MatMulIntegerToFloat", to_float, [1, 2, 3, 4, 5, 6])
    yield Case("integers_plain", "MatMulIntegerToFloat", [u8, s8.view(np.uint8), one, one], [1, 2, 3])


def _attention(rng: np.random.Generator) -> Iterator[Case]:
    x, w, b, two = floats(rng, 2, 5, 8), floats(rng, 8, 24), floats(rng, 24), {"num_heads": 2}
    shown = np.array([[1, 1, 1, 0, 0], [0, 1, 1, 1, 1]], np.int32)
    past = floats(rng, 2, 2, 2, 3, 4)
    yield Case("plain", "Attention", [x, w, b], [1, 2], two)
    yield Case("mask", "Attention", [x, w, b, shown], [1, 2], two)
    yield Case("lengths", "Attention", [x, w, b, np.array([3, 4], np.int32)], [1, 2], two)
    each = rng.integers(0, 2, (2, 5, 5)).astype(np.int32)
    yield Case("mask_of_queries", "Attention", [x, w, b, each], [1, 2], {**two, "mask_filter_value": -50.0})
    yield Case("causal", "Attention", [x, w, b], [1, 2], {**two, "unidirectional": 1, "scale": 0.7})
    yield Case("causal_mask", "Attention", [x, w, b, shown], [1, 2], {**two, "unidirectional": 1})
    yield Case("past", "Attention", [x, w, b, None, past], [1, 2], {**two, "unidirectional": 1}, 2)
    longer = rng.integers(0, 2, (2, 8)).astype(np.int32)
    yield Case("past_mask", "Attention", [x, w, b, longer, past], [1, 2], two, 2)
    yield Case("added", "Attention", [x, w, b, None, None, floats(rng, 1, 2, 5, 5)], [1, 2], two)
    yield Case(
        "sizes", "Attention", [x, floats(rng, 8, 16), floats(rng, 16)], [1, 2], {**two, "qkv_hidden_sizes": [6, 6, 4]}
    )
    xu, wq = rng.integers(0, 255, (2, 5, 8)).astype(np.uint8), rng.integers(-127, 127, (8, 24)).astype(np.int8)
    scales, points = (
        [np.array([s], np.float32) for s in (0.02, 0.01)],
        [np.array([120], np.uint8), np.array([3], np.int8)],
    )
    yield Case("quantized", "QAttention", [xu, wq, b, *scales, None, *points], [1, 2, 3, 4, 6, 7], two)
    by_column = [scales[0], abs(floats(rng, 24)), shown, points[0], np.zeros(24, np.int8)]
    yield Case("quantized_mask", "QAttention", [xu, wq, b, *by_column], [1, 2, 3, 4, 6, 7], two)


def _many_heads(rng: np.random.Generator) -> Iterator[Case]:
    op, two = "MultiHeadAttention", {"num_heads": 2}
    q, k, v = floats(rng, 2, 5, 8), floats(rng, 2, 7, 8), floats(rng, 2, 7, 8)
    by_head = [floats(rng, 2, 2, 7, 4), floats(rng, 2, 2, 7, 4)]
    yield Case("heads", op, [q, k, v], (), two)
    yield Case("heads_bias", op, [q, k, floats(rng, 2, 7, 6), floats(rng, 22)], [3], two)
    shown = np.array([[1] * 5 + [0] * 2, [1] * 7], np.int32)
    yield Case("heads_mask", op, [q, k, v, None, shown], (), {**two, "scale": 0.4})
    yield Case("heads_lengths", op, [q, k, v, None, np.array([3, 6], np.int32)], (), two)
    yield Case("heads_added", op, [q, k, v, None, None, floats(rng, 1, 2, 5, 7)], (), two)
    yield Case("heads_apart", op, [q, *by_head], (), two)
    yield Case("heads_apart_bias", op, [q, *by_head, floats(rng, 24)], [3], two)
    past = [floats(rng, 2, 2, 3, 4), floats(rng, 2, 2, 3, 4)]
    yield Case("heads_past", op, [q, q, q, None, None, None, *past], (), two, 3)
    yield Case("heads_causal", op, [q, q, q], (), {**two, "unidirectional": 1})


def _rotary(rng: np.random.Generator) -> Iterator[Case]:
    angles, positions = [floats(rng, 16, 4), floats(rng, 16, 4)], np.array([[0, 1, 2, 3, 4], [7, 6, 5, 4, 3]])
    x, flat = floats(rng, 2, 3, 5, 8), floats(rng, 2, 5, 24)
    for pairs in (0, 1):
        given = {"interleaved": pairs}
        yield Case(f"rotary_{pairs}", "RotaryEmbedding", [x, positions, *angles], [2, 3], given)
        yield Case(f"rotary_flat_{pairs}", "RotaryEmbedding", [flat, positions, *angles], [2, 3], given)
        yield Case(f"rotary_from_{pairs}", "RotaryEmbedding", [x, np.array([2]), *angles], [2, 3], given)
        part = [x, positions, floats(rng, 16, 2), floats(rng, 16, 2)]
        yield Case(
            f"rotary_part_{pairs}",
            "RotaryEmbedding",
            part,
            [2, 3],
            {**given, "num_heads": 3, "rotary_embedding_dim": 4},
        )


def _grouped(rng: np.random.Generator) -> Iterator[Case]:
    """Four heads of queries, two of keys, each of 16."""

    def case(
        name: str, batch: int, new: int, past: int | None, lasts: list[int], total: int, **attributes: Any
    ) -> Case:
        q, k, v = floats(rng, batch, new, 64), floats(rng, batch, new, 32), floats(rng, batch, new, 32)
        held = [None, None] if past is None else [floats(rng, batch, 2, past, 16), floats(rng, batch, 2, past, 16)]
        angles = [floats(rng, 32, 8), floats(rng, 32, 8)] if attributes.get("do_rotary") else []
        inputs = [q, k, v, *held, np.array(lasts, np.int32), np.array(total, np.int32), *angles]
        return Case(name, "GroupQueryAttention", inputs, [7, 8], {"num_heads": 4, "kv_num_heads": 2, **attributes}, 3)

    for pairs in (0, 1):
        rotary = {"do_rotary": 1, "rotary_interleaved": pairs}
        yield case(f"group_prompt_{pairs}", 2, 5, None, [4, 4], 5, **rotary)
        yield case(f"group_padded_prompt_{pairs}", 2, 5, None, [4, 2], 5, **rotary)
        yield case(f"group_token_{pairs}", 2, 1, 7, [7, 7], 8, **rotary)
        yield case(f"group_token_of_lengths_{pairs}", 2, 1, 7, [7, 4], 8, **rotary)
        yield case(f"group_shared_buffer_{pairs}", 2, 1, 16, [7, 4], 8, **rotary)
        yield case(f"group_prompt_in_buffer_{pairs}", 1, 5, 16, [4], 5, **rotary)
        yield case(f"group_several_tokens_{pairs}", 1, 3, 4, [6], 7, **rotary)
    yield case("group_window", 2, 1, 7, [7, 7], 8, local_window_size=3, scale=0.3)
    yield case("group_prompt_window", 2, 5, None, [4, 4], 5, local_window_size=2)
    packed: list[Array | None] = [
        floats(rng, 1, 5, 128),
        None,
        None,
        floats(rng, 1, 2, 0, 16),
        floats(rng, 1, 2, 0, 16),
    ]
    packed += [np.array([4], np.int32), np.array(5, np.int32)]
    yield Case("group_packed", "GroupQueryAttention", packed, (), {"num_heads": 4, "kv_num_heads": 2}, 3)


def _of_onnx(rng: np.random.Generator) -> Iterator[Case]:
    """Of opset 23: grouped heads, heads side by side, masks, a past, a cap; rotary positions."""
    q, k, v = floats(rng, 2, 4, 5, 8), floats(rng, 2, 4, 7, 8), floats(rng, 2, 4, 7, 8)

    def case(
        name: str, inputs: Sequence[Array | None], op: str = "Attention", outputs: int = 1, **attributes: Any
    ) -> Case:
        return Case(name, op, inputs, (), attributes, outputs, "")

    yield case("onnx_heads", [q, k, v])
    yield case("onnx_grouped", [q, k[:, :2], v[:, :2]])
    yield case(
        "onnx_flat",
        [floats(rng, 2, 5, 32), floats(rng, 2, 7, 16), floats(rng, 2, 7, 16)],
        q_num_heads=4,
        kv_num_heads=2,
    )
    yield case("onnx_causal", [q, k, v], is_causal=1, scale=0.3)
    yield case("onnx_added", [q, k, v, floats(rng, 5, 7)])
    yield case("onnx_mask", [q, k, v, rng.integers(0, 2, (2, 1, 5, 7)).astype(bool)])
    past = [floats(rng, 2, 4, 3, 8), floats(rng, 2, 4, 3, 8)]
    yield case("onnx_past", [q, k[:, :, :5], v[:, :, :5], None, *past], outputs=3, is_causal=1)
    yield case("onnx_cap", [q, k, v], softcap=2.0)
    yield case("onnx_rms", [floats(rng, 2, 5, 8), floats(rng, 8)], "RMSNormalization", epsilon=1e-3)
    angles, positions = [floats(rng, 16, 4), floats(rng, 16, 4)], np.array([[0, 1, 2, 3, 4], [7, 6, 5, 4, 3]])
    yield case("onnx_rotary", [floats(rng, 2, 3, 5, 8), *angles, positions], "RotaryEmbedding")
    each = [floats(rng, 2, 5, 4), floats(rng, 2, 5, 4)]
    yield case("onnx_rotary_flat", [floats(rng, 2, 5, 24), *each], "RotaryEmbedding", num_heads=3, interleaved=1)


def _channels_last(rng: np.random.Generator) -> Iterator[Case]:
    x = rng.integers(0, 255, (2, 7, 7, 4)).astype(np.uint8)
    yield Case("pool_last", "NhwcMaxPool", [x], (), {"kernel_shape": [3, 3], "strides": [2, 2], "pads": [1, 1, 1, 1]})
    w = rng.integers(-127, 127, (6, 4, 3, 3)).astype(np.int8)
    scale, point = (
        [np.array(s, np.float32) for s in (0.02, 0.01, 0.5)],
        [np.array(z, t) for z, t in ((9, "u1"), (0, "i1"), (99, "u1"))],
    )
    inputs = [x, scale[0], point[0], w, scale[1], point[1], scale[2], point[2]]
    yield Case("conv_last", "QLinearConv", inputs, range(1, 8), {"channels_last": 1, "pads": [1, 1, 1, 1]})
    parameters = [np.array(v, t) for v, t in ((0.02, "f4"), (9, "u1"), (0.03, "f4"), (99, "u1"))]
    for name, last in (("last", 1), ("first", 0)):
        given: dict[str, Any] = {"channels_last": last}
        yield Case(f"mean_{name}", "QLinearGlobalAveragePool", [x, *parameters], range(1, 5), given)
        given = {**given, "kernel_shape": [3, 2], "strides": [2, 1], "pads": [1, 0, 0, 1]}
        yield Case(f"average_{name}", "QLinearAveragePool", [x, *parameters], range(1, 5), given)
    chosen = rng.integers(0, 2, (2, 7, 7, 1)).astype(bool), x, *parameters[:2], x[:1], *parameters[2:], *parameters[:2]
    yield Case("where", "QLinearWhere", chosen, (2, 3, 5, 6, 7, 8))


def _embedded(rng: np.random.Generator) -> Iterator[Case]:
    ids, rows = rng.integers(0, 11, (2, 5)).astype(np.int32), rng.integers(0, 2, (2, 5)).astype(np.int32)
    tables = [rng.integers(0, 255, s).astype(np.uint8) for s in ((11, 8), (9, 8), (2, 8), (8,), (8,))]
    scales = [np.array(s, np.float32) for s in (0.02, 0.01, 0.03, 0.01, 0.02)]
    zeros = [np.array(z, np.uint8) for z in (120, 128, 127, 10, 100)]
    inputs, constants = [ids, rows, *tables, None, *scales, *zeros], (*range(2, 7), *range(8, 18))
    yield Case("embed_integers", "QEmbedLayerNormalization", inputs, constants, outputs=2)


def _withdrawn(rng: np.random.Generator) -> Iterator[Case]:
    x = floats(rng, 2, 3, 5, 4)
    yield Case("withdrawn_affine", "Affine", [x], attributes={"alpha": 1.5, "beta": -0.25}, domain="")
    yield Case("withdrawn_scale", "Scale", [x], attributes={"scale": 0.3}, domain="")
    yield Case("withdrawn_scaled_tanh", "ScaledTanh", [x], attributes={"alpha": 1.7, "beta": 0.6}, domain="")
    yield Case("withdrawn_softplus", "ParametricSoftplus", [x], attributes={"alpha": 0.7, "beta": 1.2}, domain="")
    yield Case("withdrawn_image", "ImageScaler", [x], attributes={"scale": 0.5, "bias": [0.1, 0.2, -0.3]}, domain="")
    yield Case("withdrawn_crop", "Crop", [x], attributes={"border": [1, 2, 0, 1]}, domain="")
    yield Case("withdrawn_crop_size", "Crop", [x], attributes={"border": [1, 2, 0, 0], "scale": [3, 2]}, domain="")
    yield Case("mean_variance", "MeanVarianceNormalization", [x[0]], domain="")
    yield Case("mean_variance_axes", "MeanVarianceNormalization", [x], attributes={"axes": [-1, 1]}, domain="")
