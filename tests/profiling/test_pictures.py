"""Pictures of every format and depth that is read, and samples that are left out."""

from __future__ import annotations

import tomllib
from pathlib import Path

import numpy as np
import onnx.parser
import pytest
from onnx import ModelProto
from PIL import Image

import qglow
from qglow.commands.main import main
from qglow.pipeline import float_graph
from qglow.profiling.dataset import open_dataset
from qglow.profiling.template import template

GRAY = np.random.default_rng(0).integers(0, 256, (8, 8)).astype(np.uint8)
TOML = "[input.x]\nsource = 'images'\ncolor = '{}'\n"


def model(channels: int) -> ModelProto:
    text = f"""<ir_version: 8, opset_import: ["": 17]> g (float[1, {channels}, 8, 8] x) => (float[1, 3, 8, 8] y)
        <float[3, {channels}, 1, 1] w = {{{", ".join(["0.5"] * 3 * channels)}}}> {{ y = Conv(x, w) }}"""
    return onnx.parser.parse_model(text)


def folder_of(path: Path, color: str) -> Path:
    path.mkdir(exist_ok=True)
    (path / "dataset.toml").write_text(TOML.format(color))
    return path


@pytest.mark.parametrize("color", ["gray", "rgb", "bgr"])
def test_a_gray_picture_is_the_same_in_every_format(color: str, tmp_path: Path) -> None:
    folder, picture = folder_of(tmp_path, color), Image.fromarray(GRAY)
    for name in ("a.png", "b.bmp", "c.gif", "d.tiff", "e.ppm"):
        picture.save(folder / name)
    wide = GRAY.astype(np.uint16) * 257
    Image.fromarray(wide).save(folder / "f16.png")
    Image.fromarray(wide).save(folder / "g16.tif")
    picture.save(folder / "h.gif", save_all=True, append_images=[Image.fromarray(255 - GRAY)])
    channels = 1 if color == "gray" else 3
    samples = list(open_dataset(folder, float_graph(model(channels))))
    assert len(samples) == 8
    for sample in samples:
        assert np.array_equal(sample.feeds["x"], np.broadcast_to(GRAY, (1, channels, 8, 8))), sample.name


def test_16_bits_are_not_cut_to_8(tmp_path: Path) -> None:
    fine = np.arange(64, dtype=np.uint16).reshape(8, 8) * 1000
    Image.fromarray(fine).save(folder_of(tmp_path, "gray") / "a.png")
    [sample] = open_dataset(tmp_path, float_graph(model(1)))
    assert np.allclose(sample.feeds["x"][0, 0], fine / 257, rtol=1e-6)
    Image.fromarray(fine.astype(np.float32)).save(tmp_path / "b.tiff")
    with pytest.raises(qglow.QGlowError, match="mode F, of no known range; save it with 8 or 16 bits"):
        list(open_dataset(tmp_path, float_graph(model(1))))


def test_a_wrong_size_names_what_sets_it(tmp_path: Path) -> None:
    Image.fromarray(np.zeros((9, 8), np.uint8)).save(folder_of(tmp_path, "gray") / "a.png")
    with pytest.raises(qglow.QGlowError, match=r"shape \[1, 1, 8, 8\], got \[1, 1, 9, 8\]; set resize and crop"):
        qglow.profile(model(1), tmp_path)


def test_labels_that_contradict_each_other(tmp_path: Path) -> None:
    Image.fromarray(GRAY).save(folder_of(tmp_path, "gray") / "a.png")
    graph, file = float_graph(model(1)), tmp_path / "labels.csv"
    file.write_text("\ufefffile,label\na.png,2\na.png,2\nmissing.png,1\n", encoding="utf-8")
    assert [s.label for s in open_dataset(tmp_path, graph)] == [2]
    file.write_text("file,label\na.png,2\na.png,1\n")
    with pytest.raises(qglow.QGlowError, match="a.png has two labels, 2 and 1; keep one row for each file"):
        open_dataset(tmp_path, graph)
    Image.fromarray(GRAY).save(tmp_path / "b.png")
    file.write_text("file,label\na.png,2\n")
    with pytest.raises(qglow.QGlowError, match="1 of 2 samples have no label, such as b.png;"):
        open_dataset(tmp_path, graph)


def test_a_broken_picture_is_an_error_or_left_out(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = folder_of(tmp_path / "data", "gray")
    for k in range(4):
        Image.fromarray(np.roll(GRAY, k)).save(folder / f"{k}.png")
    good = qglow.profile(model(1), folder)
    (folder / "1b.png").write_bytes(b"no picture")
    Image.fromarray(GRAY[:4]).save(folder / "2b.png")
    with pytest.raises(qglow.QGlowError, match=r"1b.png: not a readable picture"):
        qglow.profile(model(1), folder)
    profile = qglow.profile(model(1), folder, skip_bad=True)
    left = [w for w in profile.warnings if w.startswith("left out: ")]
    assert len(left) == 2 and "1b.png" in left[0] and "2b.png: input 'x': expected shape" in left[1]
    assert profile.samples == 4 and profile.data == good.data
    path = tmp_path / "m.onnx"
    path.write_bytes(model(1).SerializeToString())
    out = tmp_path / "p.json"
    assert main(["profile", str(path), "--data", str(folder), "-o", str(out)]) == 2
    assert main(["profile", str(path), "--data", str(folder), "-o", str(out), "--skip-bad"]) == 0
    assert capsys.readouterr().err.count("warning: left out: ") == 2
    qglow.quantize(path, profile).save(tmp_path / "m.qglow")
    run = ["run", str(tmp_path / "m.qglow"), "--data", str(folder), "--skip-bad"]
    assert main([*run, "-o", str(tmp_path / "o.npz")]) == 0
    printed = capsys.readouterr()
    assert printed.err.count("warning: left out: ") == 2 and "o.npz: 4 samples" in printed.out
    for k in range(4):
        (folder / f"{k}.png").unlink()
    with pytest.raises(qglow.QGlowError, match="none of 2 samples can be used"):
        qglow.profile(model(1), folder, skip_bad=True)


def test_a_template_is_printed_or_written_and_works(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path, folder = tmp_path / "m.onnx", tmp_path / "data"
    path.write_bytes(model(3).SerializeToString())
    folder.mkdir()
    Image.fromarray(np.stack([GRAY] * 3, -1)).resize((20, 16)).save(folder / "a.png")
    command = ["profile", str(path), "-o", str(tmp_path / "p.json")]
    assert main(command) == 2
    printed = capsys.readouterr()
    assert "[input.x]  # float32 1x3x8x8" in printed.out and "required: --data" in printed.err
    assert main([*command, "--data", str(folder)]) == 2
    assert capsys.readouterr().out == printed.out and not (folder / "dataset.toml").exists()
    assert main([*command, "--write-dataset"]) == 2
    assert main([*command, "--data", str(folder), "--write-dataset"]) == 0
    assert (folder / "dataset.toml").read_text() == printed.out and not (tmp_path / "p.json").exists()
    assert main([*command, "--data", str(folder), "--write-dataset"]) == 2
    assert main([*command, "--data", str(folder)]) == 0


@pytest.mark.parametrize(("inputs", "said"), [
    ("float[n, h, w, 3] x", ["resize = [224, 224]  # ? the model", 'layout = "nhwc"', "mean ="]),
    ("float[1, 1, 28, 20] x", ["resize = [28, 20]", 'color = "gray"', 'layout = "nchw"']),
    ("float[1, 16] x", ['source = "npz"', "float32 1x16"]),
    ("int64[1, n] x, float[1, 3, 8, 8] y", ['source = "npz"', "[input.x]  # int64 1xn", "[input.y]"]),
])  # fmt: skip
def test_a_template_follows_the_inputs(inputs: str, said: list[str]) -> None:
    made = inputs.replace(" x", " o0").replace(" y", " o1")
    body = "o0 = Identity(x)" + (" o1 = Identity(y)" if " y" in inputs else "")
    text = f'<ir_version: 8, opset_import: ["": 17]> g ({inputs}) => ({made}) {{ {body} }}'
    filled = template(float_graph(onnx.parser.parse_model(text)))
    assert all(s in filled for s in said), filled
    assert set(tomllib.loads(filled)["input"]) == {n for n in "xy" if f" {n}" in inputs}
