"""Commands that once ended in an internal error, found by changing files at random: each is one line and an exit code,
or works."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper
from PIL import Image

from qglow.commands.main import main


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("QGLOW_DEBUG", raising=False)
    return tmp_path


def _refused(command: list[str], words: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(command) == 2
    said = capsys.readouterr().err
    assert words in said and said.startswith("qglow: ") and said.count("\n") == 1 and len(said) < 500


@pytest.mark.parametrize("op", ["Relu", "Sigmoid", "Add", "Softmax"])
def test_a_model_without_weights(op: str, here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    x, y = (helper.make_tensor_value_info(n, TensorProto.FLOAT, [2, 3]) for n in ("x", "y"))
    graph = helper.make_graph([helper.make_node(op, ["x"] * (2 if op == "Add" else 1), ["y"])], "g", [x], [y])
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), here / "m.onnx")
    np.savez(here / "d.npz", x=np.linspace(-1, 1, 6, dtype=np.float32).reshape(2, 3))
    assert main(["profile", "m.onnx", "--data", "d.npz", "-o", "p.json"]) == 0
    assert main(["quantize", "m.onnx", "--profile", "p.json", "-o", "b.qglow"]) == 0
    assert "b.qglow: " in capsys.readouterr().out


@pytest.mark.parametrize(
    "value", ["0x" + "f" * 4000, "9" * 5000, "[" * 5000, "{a = 1}", "1979-05-27", "nan", "true", '"\\u001b[31m"']
)
@pytest.mark.parametrize("key", ["source", "resize", "crop", "color", "scale", "mean", "std", "layout"])
def test_values_of_a_data_set(
    key: str, value: str, here: Path, digits: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    fields = {"source": '"images"', "color": '"gray"', "resize": "[8, 8]", key: value}
    (here / "dataset.toml").write_text("[input.image]\n" + "".join(f"{k} = {v}\n" for k, v in fields.items()))
    Image.new("L", (8, 8)).save(here / "a.png")
    _refused(
        ["profile", str(digits / "model.onnx"), "--data", str(here), "-o", "p.json", "--max-memory", "1G"], "", capsys
    )


def test_a_picture_that_is_made_huge(here: Path, digits: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (here / "dataset.toml").write_text('[input.image]\nsource = "images"\ncolor = "gray"\nresize = 65536\n')
    Image.new("L", (1, 900)).save(here / "a.png")
    words = "a.png: a picture of 58982400 x 65536 takes 45.7 TiB of memory, and the limit is 1.0 GiB"
    _refused(
        ["profile", str(digits / "model.onnx"), "--data", str(here), "-o", "p.json", "--max-memory", "1G"],
        words,
        capsys,
    )


def test_sums_of_a_profile_beyond_all_floats(here: Path, digits: Path, capsys: pytest.CaptureFixture[str]) -> None:
    model = str(digits / "model.onnx")
    assert main(["profile", model, "--data", str(digits), "--samples", "2", "-o", "p.json", "--quiet"]) == 0
    profile = json.loads((here / "p.json").read_text())
    record = next(r for r in profile["tensors"].values() if "channel_sum" in r)
    record["channel_sum"][0] = 10**400
    (here / "p.json").write_text(json.dumps(profile))
    _refused(["quantize", model, "--profile", "p.json", "-o", "b.qglow"], "not a readable profile", capsys)


@pytest.mark.parametrize("field", ["dims", "raw_data", "data_type"])
@pytest.mark.parametrize("op", ["Add", "Conv", "LSTM", "QuantizeLinear", "BatchNormalization"])
def test_initializers_of_the_wrong_size(op: str, field: str, here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    shapes = {"Add": [(3,)], "Conv": [(4, 3, 3, 3), (4,)], "LSTM": [(1, 16, 3), (1, 16, 4), (1, 32)],
        "QuantizeLinear": [()],
              "BatchNormalization": [(3,)] * 4}[op]  # fmt: skip
    rank = {"Conv": [1, 3, 8, 8], "LSTM": [2, 1, 3]}.get(op, [2, 3])
    for spoiled in range(len(shapes)):
        weights = [numpy_helper.from_array(np.ones(s, np.float32), f"w{k}") for k, s in enumerate(shapes)]
        t = weights[spoiled]
        if field == "dims":
            t.dims.append(5)
        elif field == "raw_data":
            t.raw_data = t.raw_data[:-1]
        else:
            t.data_type = TensorProto.DOUBLE
        x, y = (
            helper.make_tensor_value_info("x", TensorProto.FLOAT, rank),
            helper.make_tensor_value_info("y", TensorProto.FLOAT, ["?"]),
        )
        attributes = {"hidden_size": 4} if op == "LSTM" else {}
        node = helper.make_node(op, ["x", *(w.name for w in weights)], ["y"], **attributes)
        graph = helper.make_graph([node], "g", [x], [y], weights)
        onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8), here / "m.onnx")
        _refused(["inspect", "m.onnx"], f"w{spoiled}" if field != "data_type" else "", capsys)
