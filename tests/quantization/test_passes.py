"""The list of passes: one road for every model, states that are looked at between passes, and dumps of them."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from onnx import TensorProto, helper, numpy_helper

import qglow
from qglow.errors import VerifyError
from qglow.graph import Graph
from qglow.pipeline import float_graph
from qglow.quantization import PASSES, QuantConfig, QuantState, passes, run_passes
from tests import shared_models


@pytest.fixture(scope="module")
def start() -> QuantState:
    path = shared_models.path("residual")
    graph = float_graph(path)
    return QuantState(
        graph, graph, qglow.profile(path, shared_models.feeds("residual", 2)).matched(graph), QuantConfig()
    )


def test_a_pass_gives_a_new_state_and_changes_no_other(start: QuantState) -> None:
    seen: list[QuantState] = []
    run_passes(start, lambda before, after, name, seconds: seen.append(after))
    kept = {id(s): (s.int8, dict(s.reasons), dict(s.quants), s.graph) for s in seen}
    run_passes(start)
    assert all(kept[id(s)] == (s.int8, s.reasons, s.quants, s.graph) for s in seen)
    assert not start.int8 and not start.quants


def test_ranges_are_chosen_again_only_where_a_node_became_float(start: QuantState) -> None:
    chosen: list[bool] = []

    def watch(before: QuantState, after: QuantState, name: str, seconds: float) -> None:
        if name == "choose_ranges":
            chosen.append(after is not before)

    run_passes(start, watch)
    assert chosen == [True, False]


def broken_precision(state: QuantState) -> QuantState:
    return replace(state, reasons={**state.reasons, next(iter(state.int8)): "both"})


def broken_graph(state: QuantState) -> QuantState:
    return replace(state, graph=state.graph.with_(outputs=("nowhere",)))


@pytest.mark.parametrize(
    ("broken", "said"), [(broken_precision, "broken_precision: node .* is int8 and float"), (broken_graph, "nowhere")]
)
def test_a_pass_that_breaks_the_state_is_named(
    broken: Any, said: str, start: QuantState, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("QGLOW_VERIFY", "1")
    monkeypatch.setattr(passes, "PASSES", (*PASSES[:3], broken, *PASSES[3:]))
    with pytest.raises(VerifyError, match=said):
        run_passes(start)


def test_every_pass_is_dumped_in_order(tmp_path: Path) -> None:
    path = shared_models.path("residual")
    profile = qglow.profile(path, shared_models.feeds("residual", 2))
    for folder in ("a", "b"):
        qglow.quantize(path, profile, check=False, dump_dir=tmp_path / folder)
    names = sorted(p.name for p in (tmp_path / "a").iterdir())
    of_passes = [f"02.{k:02d}_{p.__name__}.txt" for k, p in enumerate(PASSES, 1)]
    assert names == ["00_import.txt", "01_simplify.txt", *of_passes, "02_quantize.txt"]
    assert all((tmp_path / "a" / n).read_bytes() == (tmp_path / "b" / n).read_bytes() for n in names)
    ranges = (tmp_path / "a" / of_passes[[p.__name__ for p in PASSES].index("choose_ranges")]).read_text()
    assert ": quantized, u8[" in ranges and ": int8" in ranges


def quantized_model() -> bytes:
    """x [1, 4, 6, 6]: two convolutions between roundings, named a and b."""
    rng = np.random.default_rng(3)
    nodes, constants = [], []

    def constant(name: str, value: Any) -> str:
        constants.append(numpy_helper.from_array(np.asarray(value), name))
        return name

    def rounded(x: str) -> str:
        scale, zero = constant(f"{x}.s", np.float32(2.0**-4)), constant(f"{x}.z", np.uint8(128))
        nodes.append(helper.make_node("QuantizeLinear", [x, scale, zero], [f"{x}.q"]))
        nodes.append(helper.make_node("DequantizeLinear", [f"{x}.q", scale, zero], [f"{x}.dq"]))
        return f"{x}.dq"

    x = rounded("x")
    for name in ("a", "b"):
        w = constant(f"{name}.w", rng.integers(-128, 128, (4, 4, 1, 1)).astype(np.int8))
        nodes.append(
            helper.make_node("DequantizeLinear", [w, constant(f"{name}.ws", np.float32(2.0**-9))], [f"{name}.wf"])
        )
        nodes.append(helper.make_node("Conv", [x, f"{name}.wf"], [name], name=f"conv_{name}"))
        x = rounded(name)
    ends = [helper.make_tensor_value_info(n, TensorProto.FLOAT, [1, 4, 6, 6]) for n in ("x", x)]
    model = helper.make_model(
        helper.make_graph(nodes, "g", ends[:1], ends[1:], constants), opset_imports=[helper.make_opsetid("", 17)]
    )
    return bytes(model.SerializeToString())


def convolutions(graph: Graph) -> dict[str, bool]:
    """Whether each is int8, by name."""
    return {n.name: graph.types[n.inputs[0]].is_quantized for n in graph.nodes if n.op == "Conv"}


def test_what_the_user_excludes_of_a_quantized_model_stays_float(tmp_path: Path) -> None:
    path = tmp_path / "qdq.onnx"
    path.write_bytes(quantized_model())
    whole, part = (qglow.quantize(path, None, QuantConfig(exclude=e)) for e in ((), ("a",)))
    assert convolutions(whole.graph) == {"conv_a": True, "conv_b": True}
    assert convolutions(part.graph) == {"conv_a": False, "conv_b": True}
    assert {d["node"]: d["reason"] for d in part.manifest["decisions"]}["conv_a"] == "excluded by 'a'"
    for seed in range(3):
        x = np.random.default_rng(seed).normal(0, 2, (1, 4, 6, 6)).astype(np.float32)
        one, other = (qglow.InferenceSession(b).run(None, {"x": x})[0] for b in (whole, part))
        assert np.array_equal(one, other)  # scales are powers of two, and floats hold the sums exactly


def test_weights_in_blocks_leave_the_factors_of_other_layers() -> None:
    """No node reads them: they say what the integers of a balanced value stand for, in reports."""
    path, config = (
        shared_models.path("residual"),
        QuantConfig(weights="int4_block", block_size=16, block_nodes=("op:Gemm",)),
    )
    profile = qglow.profile(path, shared_models.feeds("residual", 2))
    plain, blocks = (
        qglow.quantize(path, profile, c, check=False).graph.constants
        for c in (QuantConfig(exclude=("op:Gemm",)), config)
    )
    assert any(c.endswith(".blocks") for c in blocks)
    factors = {c for c in plain if c.endswith(".factors")}
    assert factors and factors == {c for c in blocks if c.endswith(".factors")}
