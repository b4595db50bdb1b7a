"""Block-wise weights for large products of float models: with a profile and without, in all that counts and reports
layers."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import qglow
from qglow.commands.main import main
from qglow.errors import ConfigError
from qglow.graph import DType, Graph, Node, TensorType
from qglow.onnx_import.export_float import export_float
from qglow.quantization.block_weights import quantize_blocks
from qglow.reference import evaluate

RNG = np.random.default_rng(0)
HEADS, WIDTH, INNER = 4, 256, 512


def floats(*shape: int, scale: float = 0.06) -> Any:
    return RNG.normal(0, scale, shape).astype(np.float32)


def transformer() -> Graph:
    """One layer: attention of four heads and two products, with residuals and norms; rows as [1, tokens, WIDTH]."""
    types: dict[str, TensorType] = {"x": TensorType(DType.F32, (1, "T", WIDTH))}
    constants: dict[str, Any] = {}
    nodes: list[Node] = []

    def op(kind: str, inputs: tuple[str, ...], out: str, shape: tuple[Any, ...], **attributes: Any) -> str:
        nodes.append(Node(kind, inputs, (out,), attributes, f"{out}:{kind}"))
        types[out] = TensorType(DType.F32, shape)
        return out

    def const(name: str, array: Any) -> str:
        constants[name], types[name] = array, TensorType(DType.of(array.dtype), array.shape)
        return name

    def dense(x: str, out: str, n: int, k: int) -> str:
        y = op("MatMul", (x, const(f"{out}.w", floats(k, n))), f"{out}.product", (1, "T", n))
        return op("Add", (y, const(f"{out}.b", floats(n))), out, (1, "T", n))

    def head(x: str, perm: tuple[int, ...]) -> str:
        parts = op("Reshape", (x, const(f"{x}.shape", np.array([1, -1, HEADS, WIDTH // HEADS]))), f"{x}.heads",
                   (1, "T", HEADS, WIDTH // HEADS))  # fmt: skip
        shape = [(1, "T", HEADS, WIDTH // HEADS)[p] for p in perm]
        return op("Transpose", (parts,), f"{x}.turned", tuple(shape), perm=perm)

    q, k, v = (dense("x", n, WIDTH, WIDTH) for n in "qkv")
    scores = op("MatMul", (head(q, (0, 2, 1, 3)), head(k, (0, 2, 3, 1))), "scores", (1, HEADS, "T", "T"))
    scores = op("Mul", (scores, const("eighth", np.array(0.125, np.float32))), "scaled", (1, HEADS, "T", "T"))
    weights = op("Softmax", (scores,), "weights", (1, HEADS, "T", "T"), axis=-1)
    mixed = op("MatMul", (weights, head(v, (0, 2, 1, 3))), "mixed", (1, HEADS, "T", WIDTH // HEADS))
    turned = op("Transpose", (mixed,), "turned", (1, "T", HEADS, WIDTH // HEADS), perm=(0, 2, 1, 3))
    rows = op("Reshape", (turned, const("rows", np.array([1, -1, WIDTH]))), "joined", (1, "T", WIDTH))
    x = op("Add", (dense(rows, "out", WIDTH, WIDTH), "x"), "first", (1, "T", WIDTH))
    norm = (const("gain", floats(WIDTH, scale=1)), const("shift", floats(WIDTH)))
    x = op("LayerNormalization", (x, *norm), "normed", (1, "T", WIDTH), axis=-1, epsilon=1e-5)
    inner = op("Relu", (dense(x, "up", INNER, WIDTH),), "relu", (1, "T", INNER))
    y = op("Add", (dense(inner, "down", WIDTH, INNER), x), "y", (1, "T", WIDTH))
    return Graph("transformer", ("x",), (y,), tuple(nodes), types, constants)


GRAPH = transformer()
DATA = [{"x": floats(1, 7, WIDTH, scale=1)} for _ in range(4)]
DENSE = [f"{n}.product:MatMul" for n in ("q", "k", "v", "out", "up", "down")]


def precisions(bundle: qglow.Bundle) -> dict[str, str]:
    return {d["node"]: d["precision"] for d in bundle.manifest["decisions"]}


def db(want: Any, got: Any) -> float:
    return float(10 * np.log10((want.astype(np.float64) ** 2).sum() / ((want.astype(np.float64) - got) ** 2).sum()))


@pytest.mark.parametrize(
    ("weights", "size", "least"), [("int4_block", 32, 17), ("int4_block", 128, 16), ("int8_block", 64, 36)]
)
@pytest.mark.parametrize("profiled", [False, True])
def test_a_transformer_layer(weights: str, size: int, least: float, profiled: bool) -> None:
    profile = qglow.profile(GRAPH, DATA) if profiled else None
    bundle = qglow.quantize(GRAPH, profile, qglow.QuantConfig(weights=weights, block_size=size))
    said = {n: p for n, p in precisions(bundle).items() if p.endswith("blocks")}
    assert said == dict.fromkeys(DENSE, f"{weights[:4]} blocks")
    assert {"Quantize"} & {n.op for n in bundle.graph.nodes} == ({"Quantize"} if profiled else set())
    session = qglow.InferenceSession(bundle, threads=2)
    for sample in DATA[:1] if profiled else (DATA[0], {"x": floats(1, 1, WIDTH, scale=1)}):
        got, want = session.run(None, sample)[0], evaluate(GRAPH, sample, fast=True)["y"]
        assert np.array_equal(got, session.run_all(sample)["y"]) and db(want, got) > (
            least if profiled is False else least - 4
        )


def test_a_saved_bundle_is_smaller_and_the_same(tmp_path: Path) -> None:
    bundle = qglow.quantize(GRAPH, config=qglow.QuantConfig(weights="int4_block"))
    bundle.save(tmp_path / "b.qglow")
    again = qglow.load(tmp_path / "b.qglow")
    assert 5 * (tmp_path / "b.qglow").stat().st_size < sum(a.nbytes for a in GRAPH.constants.values())
    want = qglow.InferenceSession(bundle).run(None, DATA[0])[0]
    assert np.array_equal(qglow.InferenceSession(again).run(None, DATA[0])[0], want)


def test_the_report_names_the_precision() -> None:
    bundle = qglow.quantize(GRAPH, qglow.profile(GRAPH, DATA), qglow.QuantConfig(weights="int4_block"))
    report = qglow.compare(GRAPH, bundle, DATA).to_dict()
    layers = {r["name"]: r for r in report["layers"] if r["op"] == "BlockwiseMatMul"}
    assert {n.split(".")[0] for n in layers} == {n.split(".")[0] for n in DENSE}
    assert {r["precision"] for r in layers.values()} == {"int4 blocks"}
    assert (
        report["nodes"]["int4 blocks"] == len(DENSE)
        and sum(20 < (r["own_sqnr_db"] or 0) < 30 for r in layers.values()) >= 4
    )


def test_an_accuracy_target_puts_products_back_to_float() -> None:
    config = qglow.QuantConfig(weights="int4_block", min_sqnr_db=24)
    bundle = qglow.quantize(GRAPH, qglow.profile(GRAPH, DATA), config, check=DATA)
    kept = [n for n in DENSE if precisions(bundle)[n] == "float"]
    assert kept and bundle.manifest["target"]["reached"]["sqnr_db"] >= 24


def test_which_products_have_them() -> None:
    def chosen(**fields: Any) -> set[str]:
        made = precisions(qglow.quantize(GRAPH, config=qglow.QuantConfig(weights="int8_block", **fields)))
        return {n for n, p in made.items() if p == "int8 blocks"}

    assert chosen(block_nodes=("re:^[qk]\\.",)) == {*DENSE[:2]}
    assert chosen(exclude=("re:^[qk]\\.",)) == {*DENSE[2:]}
    assert chosen(block_nodes=("op:MatMul",), exclude=("scores:MatMul", "mixed:MatMul")) == {*DENSE}
    with pytest.raises(ConfigError, match="relu:Relu.*no MatMul"):
        chosen(block_nodes=("op:Relu",))
    with pytest.raises(ConfigError, match="scores:MatMul.*no constant matrix"):
        chosen(block_nodes=("op:MatMul",))
    with pytest.raises(ConfigError, match="matches no node"):
        chosen(block_nodes=("nothing",))
    small = Graph("small", ("x",), ("y",), (Node("MatMul", ("x", "w"), ("y",), {}, "mm"),),
                  {"x": TensorType(DType.F32, (3, 40)), "y": TensorType(DType.F32, (3, 8)),
                  "w": TensorType(DType.F32, (40, 8))},
                  {"w": floats(40, 8)})  # fmt: skip
    assert precisions(qglow.quantize(small, config=qglow.QuantConfig(weights="int4_block"))) == {"mm": "float"}
    with pytest.raises(ConfigError, match="40 elements"):
        qglow.quantize(small, config=qglow.QuantConfig(weights="int4_block", block_nodes=("mm",)))


@pytest.mark.parametrize(
    "fields", [{"block_size": 33}, {"block_size": True}, {"block_nodes": ("mm",)}, {"weights": "int3_block"}], ids=str
)
def test_settings_that_are_refused(fields: dict[str, Any]) -> None:
    with pytest.raises(ConfigError):
        qglow.QuantConfig(**fields)


@pytest.mark.parametrize("bits", [4, 8])
def test_blocks_keep_what_they_can(bits: int) -> None:
    """No element is off by more than a step and what is cut of the largest; zeros and exact multiples are kept."""
    w = floats(20, 96)
    w[0, :32], w[1, 32:64], w[2, :32] = 0, np.arange(-16, 16) // 2, 1e-40
    q, s = quantize_blocks(w, 32, bits)
    real = (q.astype(np.float32) - (1 << (bits - 1))) * np.repeat(s, 32, 1)
    largest = np.repeat(np.abs(w).reshape(20, 3, 32).max(2), 32, 1)
    assert np.array_equal(real[0, :32], w[0, :32]) and np.isfinite(s).all()
    assert (np.abs(real - w) <= largest * (0.31 if bits == 4 else 0.01)).all()
    assert bits == 8 or np.array_equal(real[1, 32:64], w[1, 32:64])


def test_the_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    import onnx

    onnx.save(export_float(GRAPH), tmp_path / "m.onnx")
    out = tmp_path / "m.qglow"
    assert (
        main(["quantize", str(tmp_path / "m.onnx"), "--weights", "int4_block", "--block-size", "64", "-o", str(out)])
        == 0
    )
    assert "6 with int4 weights in blocks" in capsys.readouterr().out
    assert {n.op for n in qglow.load(out).graph.nodes} >= {"BlockwiseMatMul"}
    assert main(["quantize", str(tmp_path / "m.onnx"), "-o", str(out)]) == 2
    assert (
        main(["quantize", str(tmp_path / "m.onnx"), "--weights", "int4_block", "--block-size", "7", "-o", str(out)])
        == 2
    )
