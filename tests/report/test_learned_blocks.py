"""`--effort best`: block-wise weights that learn how to round, beside onnxruntime on samples that took no part; what
learns does not judge; and where nothing can be learned, words that say so."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper, numpy_helper

import qglow
from qglow.commands.main import main
from qglow.report import learned_blocks

Arrays = dict[str, np.ndarray]
BLOCKS = {"weights": "int4_block", "block_nodes": ["op:MatMul", "op:Gemm"], "min_agreement_sqnr_db": -20.0}
BEST = {**BLOCKS, "effort": "best"}


@cache
def model() -> onnx.ModelProto:
    """Two products: [rows, 64] by a MatMul, and by a Gemm of transposed weights, with alpha."""
    rng = np.random.default_rng(0)
    arrays = {"a": rng.normal(0, 0.2, (64, 96)), "b": rng.normal(0, 0.2, (24, 96)), "c": rng.normal(0, 1, 24)}
    nodes = [
        helper.make_node("MatMul", ["x", "a"], ["h"], "first"),
        helper.make_node("Relu", ["h"], ["r"], "relu"),
        helper.make_node("Gemm", ["r", "b", "c"], ["y"], "second", transB=1, alpha=0.5),
    ]
    graph = helper.make_graph(
        nodes, "g", [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["rows", 64])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["rows", 24])],
        [numpy_helper.from_array(v.astype(np.float32), k) for k, v in arrays.items()],
    )  # fmt: skip
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)


def samples(count: int, seed: int) -> list[Arrays]:
    """Rows whose columns go together, as activations do."""
    rng = np.random.default_rng(seed)
    mixes = np.random.default_rng(1).normal(0, 1, (5, 64))
    rows = rng.normal(0, 1, (count, 30, 5)) @ mixes + rng.normal(0, 0.2, (count, 30, 64))
    return [{"x": r.astype(np.float32)} for r in rows]


DATA, NEW = samples(16, 2), samples(8, 3)


@cache
def bundle(effort: str) -> qglow.Bundle:
    return qglow.quantize(model(), None, {**BLOCKS, "effort": effort}, check=DATA)


def decibels(made: qglow.Bundle) -> float:
    real = onnxruntime.InferenceSession(model().SerializeToString(), providers=["CPUExecutionProvider"])
    session = qglow.InferenceSession(made, 1)
    pairs = [(real.run(None, s)[0].astype(np.float64), session.run(None, s)[0]) for s in NEW]
    return float(10 * np.log10(sum((a**2).sum() for a, _ in pairs) / sum(((a - b) ** 2).sum() for a, b in pairs)))


def test_new_samples_gain() -> None:
    account = bundle("best").manifest["rounding"]
    assert account["samples"] == 16 and account["products"] == account["of"] == 2
    assert account["after_db"] > account["before_db"] + 2
    assert decibels(bundle("best")) > decibels(bundle("default")) + 2
    assert "rounding" not in bundle("default").manifest


def test_weights_and_scales_alone_differ() -> None:
    a, b = bundle("default").graph, bundle("best").graph
    assert [repr(n) for n in a.nodes] == [repr(n) for n in b.nodes] and a.types == b.types
    differ = {name for name in a.constants if not np.array_equal(a.constants[name], b.constants[name])}
    assert differ == {i for n in a.nodes if n.op == "BlockwiseMatMul" for i in n.inputs[1:3]}


def test_the_same_bits_again() -> None:
    again = qglow.quantize(model(), None, BEST, check=DATA).graph.constants
    assert all(np.array_equal(v, again[k]) for k, v in bundle("best").graph.constants.items())


@pytest.mark.parametrize(("count", "folds"), [(16, 4), (34, 2), (3, 3)])
def test_no_sample_judges_what_it_has_taught(count: int, folds: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Weights that judge a fold are those that its samples taught nothing: they are the same whatever these are."""
    compared = list[Any]()
    compare = learned_blocks.LearnedBlocks._compared

    def compares(self: Any, made: Sequence[Any], oracle: Any) -> Any:
        compared.append((made, self.folds))
        return compare(self, made, oracle)

    monkeypatch.setattr(learned_blocks.LearnedBlocks, "_compared", compares)
    given = samples(count, 2)
    made = qglow.quantize(model(), None, BEST, check=given)
    other = [{"x": s["x"][:, ::-1] if k % folds == 1 else s["x"]} for k, s in enumerate(given)]
    qglow.quantize(model(), None, BEST, check=other)
    _, (one, parts), _, (two, _) = compared
    assert [[s.position for s in part] for part in parts] == [list(range(k, count, folds)) for k in range(folds)]
    for k in range(folds):
        a, b = one[k].graph.constants, two[k].graph.constants
        assert all(np.array_equal(v, b[n]) for n, v in a.items()) == (k == 1)
    assert made.manifest["agreement"]["samples"] == count
    assert made.manifest["agreement"]["judged_on"] == learned_blocks.HOW
    worst = next(iter(made.manifest["agreement"]["outputs"].values()))
    if "rounding" in made.manifest:
        assert worst["sqnr_db"] == pytest.approx(made.manifest["rounding"]["after_db"], abs=0.01)


def test_a_profile_gives_samples_too() -> None:
    recorded = qglow.profile(model(), DATA)
    made = qglow.quantize(model(), recorded, BEST)
    assert made.manifest["rounding"]["samples"] == made.manifest["agreement"]["samples"] == 16
    assert {d["precision"] for d in made.manifest["decisions"]} == {"int4 blocks", "float"}


@pytest.mark.parametrize("count", [1, 16])
def test_samples_that_come_but_once(count: int) -> None:
    """They judge too where nothing was learned from them."""
    made = qglow.quantize(model(), None, BEST, check=(s for s in DATA[:count]))
    assert made.manifest["agreement"]["samples"] == count
    assert ("rounding" in made.manifest) == (count == 16)
    if count == 16:
        assert all(np.array_equal(v, made.graph.constants[k]) for k, v in bundle("best").graph.constants.items())


def test_few_values_of_a_large_model_are_summed_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(learned_blocks, "MEMORY", 1)
    made = qglow.quantize(model(), None, BEST, check=DATA)
    assert all(np.array_equal(v, made.graph.constants[k]) for k, v in bundle("best").graph.constants.items())


def test_a_budget_ends_it(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = iter(range(1000))
    monkeypatch.setattr(learned_blocks.time, "monotonic", lambda: next(clock))
    account = qglow.quantize(model(), None, BEST, check=DATA, budget=1.5).manifest["rounding"]
    assert account["products"] == 1 and account["of"] == 2


CASES = [
    (
        "--weights int4_block --block-nodes op:Gemm --effort best",
        "weights learn from samples how to round: give --data",
    ),
    ("--effort best --data DATA", "it is for --weights int4_block"),
    ("--weights int4_block --block-nodes op:Gemm --effort best --data ONE", "agree no better with float"),
]


@pytest.mark.parametrize(("options", "said"), CASES)
def test_no_effect_is_said(options: str, said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    onnx.save(model(), tmp_path / "m.onnx")
    for name, count in (("DATA", 8), ("ONE", 1)):
        (tmp_path / name).mkdir()
        for k, s in enumerate(DATA[:count]):
            np.savez(tmp_path / name / f"{k}.npz", x=s["x"])
    given = [str(tmp_path / w) if w in ("DATA", "ONE") else w for w in options.split()]
    assert main(["quantize", str(tmp_path / "m.onnx"), "-o", str(tmp_path / "m.qglow"), *given]) == 0
    lines = [line for line in capsys.readouterr().err.splitlines() if "--effort best had no effect" in line]
    assert len(lines) == 1 and said in lines[0]


def test_the_command_says_what_was_learned(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    onnx.save(model(), tmp_path / "m.onnx")
    (tmp_path / "data").mkdir()
    for k, s in enumerate(DATA):
        np.savez(tmp_path / "data" / f"{k}.npz", x=s["x"])
    command = ["quantize", str(tmp_path / "m.onnx"), "-o", str(tmp_path / "m.qglow"), "--weights", "int4_block"]
    command += ["--block-nodes", "op:MatMul", "--effort", "best", "--data", str(tmp_path / "data"), "--budget", "60s"]
    assert main(command) == 0
    said = capsys.readouterr()
    assert "1 product learned to round from 16 samples: " in said.out and "no effect" not in said.err
