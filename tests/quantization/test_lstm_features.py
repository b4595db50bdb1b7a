"""A scale a feature of what an LSTM reads, folded into its input weights."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

import qglow
from bench.accuracy.agreement import powers, summary
from qglow.profiling.channels import Channels

BANDS, STEPS, HIDDEN = 24, 6, 16
FALL = (10 ** (-2 * np.arange(BANDS) / BANDS)).astype(np.float32)


def model(masked: bool, transposed: bool) -> onnx.ModelProto:
    """An LSTM over spectra [batch, steps, bands] or [steps, batch, bands], whose weights even the bands out; masked: a
    float product reads the spectra too."""
    rng = np.random.default_rng(1)
    shape = [1, STEPS, BANDS] if transposed else [STEPS, 1, BANDS]
    nodes = [helper.make_node("Transpose", ["x"], ["t"], "turn", perm=[1, 0, 2])] if transposed else []
    nodes.append(
        helper.make_node("LSTM", ["t" if transposed else "x", "w", "r"], ["", "h"], "lstm", hidden_size=HIDDEN)
    )
    nodes.append(helper.make_node("MatMul", ["h", "m"], ["y"], "dense"))
    if masked:
        nodes.append(helper.make_node("Einsum", ["x"], ["energy"], "energy", equation="abc->c"))
    w = rng.normal(0, 0.4, (1, 4 * HIDDEN, BANDS)) / FALL
    arrays = {"w": w, "r": rng.normal(0, 0.2, (1, 4 * HIDDEN, HIDDEN)), "m": rng.normal(0, 1, (HIDDEN, 8))}
    outputs = [helper.make_tensor_value_info("y", TensorProto.FLOAT, [1, 1, 8])]
    if masked:
        outputs.append(helper.make_tensor_value_info("energy", TensorProto.FLOAT, [BANDS]))
    graph = helper.make_graph(
        nodes, "lstm", [helper.make_tensor_value_info("x", TensorProto.FLOAT, shape)], outputs,
        [numpy_helper.from_array(a.astype(np.float32), n) for n, a in arrays.items()],
    )  # fmt: skip
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


def spectra(count: int, transposed: bool, seed: int) -> list[dict[str, Any]]:
    rng = np.random.default_rng(seed)
    shape = (1, STEPS, BANDS) if transposed else (STEPS, 1, BANDS)
    return [{"x": (np.abs(rng.normal(0, 1, shape)) * FALL).astype(np.float32)} for _ in range(count)]


def decibels(proto: onnx.ModelProto, transposed: bool, **config: object) -> float:
    profile = qglow.profile(proto, spectra(40, transposed, 2))
    bundle = qglow.quantize(proto, profile, {"widen_percent": 0.0, "min_agreement_sqnr_db": 0.0, **config})
    assert any(d["op"] == "LSTM" and d["precision"] == "int8" for d in bundle.manifest["decisions"])
    int8, real = qglow.InferenceSession(bundle, 1), qglow.InferenceSession(qglow.pipeline.float_graph(proto), 1)
    pairs = [powers(real.run(["y"], t), int8.run(["y"], t)) for t in spectra(40, transposed, 3)]
    return summary(np.array([s for s, _ in pairs]), np.array([n for _, n in pairs]), None).mean


@pytest.mark.parametrize("transposed", [False, True])
@pytest.mark.parametrize("masked", [False, True])
def test_weak_features_are_not_lost(masked: bool, transposed: bool) -> None:
    proto = model(masked, transposed)
    assert decibels(proto, transposed) > decibels(proto, transposed, balance_channels=False) + 6


def test_the_profile_knows_the_features() -> None:
    profile = qglow.profile(model(False, True), spectra(4, True, 2))
    recorded = [o for o in profile.tensors.values() if o.channel_max is not None and o.channel_max.shape == (BANDS,)]
    assert (
        recorded
        and recorded[0].channel_max is not None
        and recorded[0].channel_max[0] > 10 * recorded[0].channel_max[-1]
    )


def test_a_profile_from_before_is_taken() -> None:
    """Its channels are the batch, which says nothing of the features."""
    proto = model(False, True)
    profile = qglow.profile(proto, spectra(4, True, 2))
    for o in profile.tensors.values():
        if o.channel_max is not None and o.channel_min is not None and o.channel_max.shape == (BANDS,):
            low, high, o.channels = o.channel_min.min(keepdims=True), o.channel_max.max(keepdims=True), Channels()
            o.channels.known(low, high, None, 0)
    bundle = qglow.quantize(proto, profile, check=False)
    assert not any(name.endswith(".factors") for name in bundle.graph.constants)


def test_the_interpreter_gives_the_same_bits() -> None:
    proto = model(True, True)
    bundle = qglow.quantize(proto, qglow.profile(proto, spectra(16, True, 2)), {"widen_percent": 0.0}, check=False)
    assert any(name.endswith(".factors") for name in bundle.graph.constants)
    x = spectra(1, True, 4)[0]
    native, slow = (qglow.InferenceSession(bundle, backend=b).run(None, x) for b in ("native", "interpreter"))
    assert all(np.array_equal(a, b) for a, b in zip(native, slow, strict=True))
