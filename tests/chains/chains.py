"""Models of many chains of blocks, in float and in int8, beside onnxruntime and the reference."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import onnx
import onnxruntime as ort
from onnx import TensorProto, helper, numpy_helper

import qglow
from qglow.graph import Array
from qglow.pipeline import float_graph
from qglow.reference import evaluate

from .blocks import BLOCKS, Builder, C, N, S

Chain = tuple[str, ...]
FLOAT_TOLERANCE = 2e-5  # of the largest value of an output
EVERYTHING_FLOAT = qglow.QuantConfig(exclude=("re:.*",))


def model_of(chains: Sequence[Chain], seed: int = 0) -> tuple[onnx.ModelProto, list[str]]:
    """One input, one output a chain; of every second chain the value before its last block is an output too."""
    b = Builder(seed)
    outputs, names = [], []
    for k, chain in enumerate(chains):
        value = "x"
        for step, name in enumerate(chain):
            if step == len(chain) - 1 and step and k % 2:
                outputs.append(value)
                names.append(" > ".join(chain[:-1]))
            value = BLOCKS[name](b, value)
        outputs.append(value)
        names.append(" > ".join(chain))
    values = [helper.make_tensor_value_info(n, TensorProto.FLOAT, [N, C, S, S]) for n in ("x", *outputs)]
    stored = [numpy_helper.from_array(a, n) for n, a in b.constants.items()]
    graph = helper.make_graph(b.nodes, "chains", values[:1], values[1:], stored)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9), names


def samples(count: int, seed: int = 0) -> list[dict[str, Array]]:
    rng = np.random.default_rng([seed, 77])
    return [{"x": rng.normal(0, 1, (N, C, S, S)).astype(np.float32)} for _ in range(count)]


def float_faults(chains: Sequence[Chain], seed: int = 0) -> list[str]:
    """What a session on the float model computes otherwise than onnxruntime, a line a chain."""
    model, names = model_of(chains, seed)
    feeds = samples(1, seed)[0]
    want = ort.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"]).run(None, feeds)
    got = qglow.InferenceSession(float_graph(model), 1).run(None, feeds)
    faults = []
    for name, a, b in zip(names, want, got, strict=True):
        worst = float(np.abs(a - b).max()) / max(float(np.abs(a).max()), 1e-6)
        if not worst <= FLOAT_TOLERANCE:
            faults.append(f"{name}: off by {worst:.2g} of the largest value")
    return faults


def int8_faults(chains: Sequence[Chain], seed: int = 0, threads: int = 2) -> list[str]:
    """What a session on the int8 graph computes otherwise than the reference: not one bit."""
    model, names = model_of(chains, seed)
    data = samples(2, seed)
    bundle = qglow.quantize(model, qglow.profile(model, data), check=False)
    want = evaluate(bundle.graph, data[0])
    got = qglow.InferenceSession(bundle, threads).run(None, data[0])
    pairs = zip(names, bundle.graph.outputs, got, strict=True)
    return [
        f"{n}: other bits than the reference" for n, o, b in pairs if not np.array_equal(want[o], b, equal_nan=True)
    ]


def drawn(count: int, length: int, seed: int) -> list[Chain]:
    """Chains of random blocks."""
    rng, names = np.random.default_rng([seed, length]), sorted(BLOCKS)
    return [tuple(names[k] for k in rng.integers(0, len(names), length)) for _ in range(count)]


def pairs() -> list[Chain]:
    """Every block behind every other, and behind itself."""
    names = sorted(BLOCKS)
    return [(a, b) for a in names for b in names]
