"""Where the operations of a model run, before there is a profile of it and after: every node counted once,
multiply-adds as counted by hand, and the reasons."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import onnx
import onnx.helper as oh
import pytest

import qglow
from qglow.commands.main import main
from qglow.commands.shapes import likely_shapes
from qglow.graph import Graph
from qglow.pipeline import before_profile, float_graph
from qglow.report.coverage import Coverage, cover, percent
from qglow.report.coverage_text import coverage_text
from qglow.runtime.placement import symbolic_as_one

FLOAT = onnx.TensorProto.FLOAT


def weights(seed: int, *shape: int) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=shape).astype(np.float32)


def model(
    nodes: list[onnx.NodeProto], shape: list[int | str], out: list[int | str] | None, **constants: np.ndarray
) -> onnx.ModelProto:
    given, made = oh.make_tensor_value_info("x", FLOAT, shape), oh.make_tensor_value_info("y", FLOAT, out)
    initializers = [onnx.numpy_helper.from_array(a, n) for n, a in constants.items()]
    graph = oh.make_graph(nodes, "g", [given], [made], initializers)
    return oh.make_model(graph, opset_imports=[oh.make_opsetid("", 17)], ir_version=8)


def mixed() -> onnx.ModelProto:
    """Two convolutions, and an op without a kernel."""
    nodes = [
        oh.make_node("Conv", ["x", "w1"], ["a"], "first", pads=[1, 1, 1, 1]),
        oh.make_node("Relu", ["a"], ["b"], "relu"),
        oh.make_node("Conv", ["b", "w2"], ["c"], "second"),
        oh.make_node("Hardmax", ["c"], ["y"], "choice", axis=1),
    ]
    return model(nodes, ["N", 3, 6, 5], ["N", 4, 6, 5], w1=weights(0, 8, 3, 3, 3), w2=weights(1, 4, 8, 1, 1))


def foreseen(m: onnx.ModelProto, config: qglow.QuantConfig | None = None, **shapes: tuple[int, ...]) -> Coverage:
    graph, decisions = before_profile(m, config)
    return cover(graph, decisions, {**symbolic_as_one(graph), **shapes})


def test_int8_float_and_host_are_told_apart() -> None:
    found = foreseen(mixed(), qglow.QuantConfig(exclude=("second",)), x=(2, 3, 6, 5))
    rows = {r.op: r for r in found.rows}
    assert found.nodes() == {"int8": 2, "float": 1, "host": 1}
    assert rows["Conv"].nodes == {"int8": 1, "float": 1}
    assert found.multiply_adds()["int8"] == 2 * 8 * 30 * 27 and found.multiply_adds()["float"] == 2 * 4 * 30 * 8
    assert rows["Conv"].why == {("float", "excluded by 'second'"): ["second"]}
    ((way, why),) = rows["Hardmax"].why
    assert way == "host" and why == "op Hardmax has no kernel"


@pytest.mark.parametrize(
    ("node", "shape", "constants", "wanted"),
    [
        (oh.make_node("Conv", ["x", "w"], ["y"], "n", group=2), [1, 4, 5, 5], {"w": (6, 2, 3, 3)}, 6 * 9 * 18),
        (oh.make_node("ConvTranspose", ["x", "w"], ["y"], "n", strides=[2, 2]), [1, 4, 5, 5], {"w": (4, 3, 2, 2)},
         25 * 4 * 12),
        (oh.make_node("MatMul", ["x", "w"], ["y"], "n"), [2, 3, 7], {"w": (7, 5)}, 2 * 3 * 7 * 5),
        (oh.make_node("Gemm", ["x", "w"], ["y"], "n", transB=1), [3, 7], {"w": (5, 7)}, 3 * 7 * 5),
        (oh.make_node("Gemm", ["x", "w"], ["y"], "n", transA=1), [7, 3], {"w": (7, 5)}, 3 * 7 * 5),
        (oh.make_node("LSTM", ["x", "w", "r"], ["y"], "n", hidden_size=6), [9, 2, 5],
         {"w": (1, 24, 5), "r": (1, 24, 6)}, 9 * 2 * 24 * 11),
        (oh.make_node("GRU", ["x", "w", "r"], ["y"], "n", hidden_size=6), [9, 2, 5],
         {"w": (1, 18, 5), "r": (1, 18, 6)}, 9 * 2 * 18 * 11),
    ],
    ids=lambda v: v.op_type if isinstance(v, onnx.NodeProto) else "",
)  # fmt: skip
def test_multiply_adds_as_counted_by_hand(
    node: onnx.NodeProto, shape: list[int | str], constants: dict[str, tuple[int, ...]], wanted: int
) -> None:
    arrays = {n: weights(k, *s) for k, (n, s) in enumerate(constants.items())}
    m = model([node], shape, None, **arrays)
    for config in (None, qglow.QuantConfig(exclude=("re:.",))):
        assert foreseen(m, config).multiply_adds().total() == wanted


def test_what_was_foreseen_is_what_a_profile_gives(digits: Path) -> None:
    path = str(digits / "model.onnx")
    profile = qglow.profile(path, str(digits), samples=4)
    bundle = qglow.quantize(path, profile, check=False)
    before = foreseen(onnx.load(path))
    after = cover(bundle.graph, bundle.manifest["decisions"], symbolic_as_one(bundle.graph))
    assert after.to_dict() == before.to_dict()
    report = qglow.compare(path, bundle, str(digits), samples=2, layer_samples=0)
    assert report.to_dict()["coverage"] == after.to_dict()


def test_the_host_is_where_the_session_runs_it() -> None:
    """The plan of a session says the same, and every node is counted once."""
    from qglow.runtime.step_profile import host_steps

    m, x = mixed(), weights(3, 1, 3, 6, 5)
    bundle = qglow.quantize(m, qglow.profile(m, [{"x": x}]), check=False)
    found = cover(bundle.graph, bundle.manifest["decisions"], {"x": (1, 3, 6, 5)})
    assert found.nodes()["host"] == len(list(host_steps(qglow.InferenceSession(bundle), {"x": x})))
    assert found.nodes().total() == len(bundle.manifest["decisions"]) == 4


def test_a_shape_that_depends_on_data_and_constants_of_shapes() -> None:
    nodes = [
        oh.make_node("Shape", ["x"], ["s"], "shape"),
        oh.make_node("Reshape", ["x", "s"], ["r"], "reshape"),
        oh.make_node("NonZero", ["r"], ["i"], "nonzero"),
        oh.make_node("Cast", ["i"], ["f"], "cast", to=FLOAT),
        oh.make_node("Relu", ["f"], ["y"], "relu"),
    ]
    found = foreseen(model(nodes, ["N", "K"], None), x=(3, 4))
    rows = {r.op: r for r in found.rows}
    assert list(rows["NonZero"].why) == [("host", "op NonZero has no kernel")]
    assert rows["NonZero"].nodes == {"host": 1} and rows["Relu"].nodes.total() == 1 and not rows["Relu"].nodes["int8"]
    assert found.multiply_adds().total() == 0 and "-" in coverage_text(found)


def test_a_branch_that_is_not_taken_is_nowhere() -> None:
    """A condition that depends on data is taken as true, and the account says so."""
    then = oh.make_graph([oh.make_node("MatMul", ["x", "w"], ["t"], "product")], "t", [],
                         [oh.make_tensor_value_info("t", FLOAT, None)])  # fmt: skip
    other = oh.make_graph([oh.make_node("ReduceSum", ["x"], ["e"], "sum", keepdims=0)], "e", [],
                          [oh.make_tensor_value_info("e", FLOAT, None)])  # fmt: skip
    nodes = [
        oh.make_node("ReduceMax", ["x"], ["m"], "most", keepdims=0),
        oh.make_node("Cast", ["m"], ["c"], "cast", to=onnx.TensorProto.BOOL),
        oh.make_node("If", ["c"], ["y"], "if", then_branch=then, else_branch=other),
    ]
    found = foreseen(model(nodes, [4, 8], None, w=weights(0, 8, 3)))
    assert found.assumed == {"c": True} and found.multiply_adds().total() == 4 * 8 * 3
    assert {r.op: r.nodes["none"] for r in found.rows}["ReduceSum"] == 1
    assert "taken as true, for it depends on data: c" in coverage_text(found)


@pytest.mark.parametrize(("part", "shown"), [(0, "0.0%"), (1, "< 0.1%"), (99_999, "> 99.9%"), (100_000, "100.0%")])
def test_no_small_part_is_shown_as_none_nor_most_as_all(part: int, shown: str) -> None:
    assert percent(part, 100_000) == shown and percent(0, 0) == "-"


def test_the_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = str(tmp_path / "m.onnx")
    onnx.save(mixed(), path)
    assert main(["inspect", path, "--coverage", "--exclude", "second", "--shape", "x=2x3x6x5"]) == 0
    text = capsys.readouterr().out
    assert max(map(len, text.splitlines())) <= 80
    assert "float: 1 Conv: excluded by 'second': second" in text and "host: 1 Hardmax: op Hardmax has no kernel" in text
    assert main(["inspect", path, "--coverage", "--exclude", "second", "--json", "--shape", "x=2,3,6,5"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["nodes"] == {"int8": 2, "float": 1, "host": 1, "none": 0, "unknown": 0}
    assert found["shapes"] == {"x": [2, 3, 6, 5]} and abs(sum(found["share"].values()) - 1) < 1e-12


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ("m.onnx --coverage --shape z=1", "no input 'z'"),
        ("m.onnx --coverage --shape x=1x4x6x5", "declares 'x'"),
        ("m.onnx --coverage --exclude nobody", "nobody"),
        ("m.onnx --coverage --stage plan", "--stage is for a .qglow bundle"),
        ("b.qglow --coverage --stage plan", "--coverage and --stage: give one"),
        ("m.onnx --json", "--json goes with --coverage"),
        ("p.json --coverage", "--coverage is of a .onnx model or a .qglow bundle"),
        ("nowhere.onnx --coverage", "no such"),
        ("b.qglow --coverage --exclude y", "quantized already"),
    ],
)
def test_bad_input_is_one_line(
    arguments: str, said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    onnx.save(mixed(), "m.onnx")
    assert main(["inspect", *arguments.split()]) == 2
    error = capsys.readouterr().err
    assert said in error and error.count("\n") == 1


def test_a_bundle_without_an_account_is_counted_all_the_same() -> None:
    x = weights(3, 1, 3, 6, 5)
    bundle = qglow.quantize(mixed(), qglow.profile(mixed(), [{"x": x}]), check=False)
    graph: Graph = bundle.graph
    found = cover(graph, [], {"x": (1, 3, 6, 5)})
    assert found.nodes() == {"int8": 2, "host": 1} and found.multiply_adds() == {"int8": 8 * 30 * 27 + 4 * 30 * 8}


def pooled(window: int, channels: int | str = 3) -> onnx.ModelProto:
    """Pictures of any size, of which a window must fit."""
    nodes = [
        oh.make_node("Conv", ["x", "w"], ["a"], "conv"),
        oh.make_node("AveragePool", ["a"], ["y"], "pool", kernel_shape=[window, window]),
    ]
    return model(nodes, ["N", channels, "H", "W"], None, w=weights(0, 8, 3, 3, 3))


@pytest.mark.parametrize(
    ("window", "options", "shape"),
    [
        (3, "", [1, 3, 224, 224]),
        (300, "", [1, 3, 640, 640]),
        (3, "--shape x=2x3x6x5", [2, 3, 6, 5]),
    ],
)
def test_sizes_that_nobody_gives(
    window: int, options: str, shape: list[int], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = str(tmp_path / "m.onnx")
    onnx.save(pooled(window), path)
    assert main(["inspect", path, "--coverage", "--json", *options.split()]) == 0
    assert json.loads(capsys.readouterr().out)["shapes"] == {"x": shape}


def test_sizes_that_no_usual_one_fits_are_asked_for(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = str(tmp_path / "m.onnx")
    onnx.save(pooled(1000), path)
    assert main(["inspect", path, "--coverage"]) == 2
    error = capsys.readouterr().err
    assert "give --shape" in error and "224" in error and error.count("\n") == 1


def test_likely_sizes_of_tokens_and_sound() -> None:
    int64 = onnx.TensorProto.INT64
    kinds = {"ids": (int64, ["N", "T"]), "mask": (int64, ["N", "T"]), "sound": (FLOAT, ["N", "S"]), "one": (FLOAT, [])}
    nodes = [oh.make_node("Identity", [n], [f"{n}.same"]) for n in kinds]
    infos = [[oh.make_tensor_value_info(n + end, *kinds[n]) for n in kinds] for end in ("", ".same")]
    graph = oh.make_graph(nodes, "g", *infos)
    made = oh.make_model(graph, opset_imports=[oh.make_opsetid("", 17)], ir_version=9)
    found = list(likely_shapes(float_graph(made), []))
    assert found[0] == {"ids": (1, 128), "mask": (1, 128), "sound": (1, 16000), "one": ()}
    assert found[-1] == {"ids": (1, 1), "mask": (1, 1), "sound": (1, 1), "one": ()}
    given = next(likely_shapes(float_graph(made), ["ids=2x7"]))
    assert given == {"ids": (2, 7), "mask": (2, 7), "sound": (2, 16000), "one": ()}


def test_a_bundle_is_covered_at_the_shapes_of_its_profile(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    m, x = pooled(3), weights(3, 1, 3, 9, 11)
    path = str(tmp_path / "b.qglow")
    qglow.quantize(m, qglow.profile(m, [{"x": x}]), check=False).save(path)
    assert main(["inspect", path, "--coverage", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["shapes"] == {"x": [1, 3, 9, 11]}
