"""Whatever a user gets wrong is one clear line on stderr and exit code 2, and every file is as it was before."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import helper
from PIL import Image

from qglow.commands.main import main


def model_of(
    op: str, *, domain: str = "", opset: int = 13, shape: tuple[int, ...] = (1, 1, 8, 8), inputs: int = 1
) -> bytes:
    """A model of one node on float inputs x0, x1, ..."""
    names = [f"x{k}" for k in range(inputs)]
    values = [helper.make_tensor_value_info(n, onnx.TensorProto.FLOAT, shape) for n in names]
    out = helper.make_tensor_value_info("y", onnx.TensorProto.FLOAT, shape)
    graph = helper.make_graph([helper.make_node(op, names, ["y"], name="only", domain=domain)], "g", values, [out])
    imports = [helper.make_opsetid("", opset), *([helper.make_opsetid(domain, 1)] if domain else [])]
    return helper.make_model(graph, opset_imports=imports, ir_version=8).SerializeToString()


@pytest.fixture(scope="module")
def good(tmp_path_factory: pytest.TempPathFactory, digits: Path) -> Path:
    """A folder with a model, its data, profile and bundle, and what is made of them by spoiling it."""
    folder = tmp_path_factory.mktemp("good")
    shutil.copy(digits / "model.onnx", folder)
    (folder / "data").mkdir()
    for k in range(4):
        shutil.copy(digits / f"{k:03d}.npy", folder / "data")
    here = {n: str(folder / n) for n in ("model.onnx", "data", "p.json", "b.qglow")}
    assert main(["profile", here["model.onnx"], "--data", here["data"], "-o", here["p.json"], "--quiet"]) == 0
    assert main(["quantize", here["model.onnx"], "--profile", here["p.json"], "-o", here["b.qglow"], "--quiet"]) == 0
    for name in ("model.onnx", "p.json", "b.qglow"):
        whole = (folder / name).read_bytes()
        stem, end = name.split(".")
        (folder / f"half-{stem}.{end}").write_bytes(whole[: len(whole) // 2])
        (folder / f"empty-{stem}.{end}").write_bytes(b"")
        (folder / f"noise-{stem}.{end}").write_bytes(np.random.default_rng(0).bytes(2000))
    (folder / "other.onnx").write_bytes(model_of("Relu"))
    (folder / "two.onnx").write_bytes(model_of("Add", inputs=2))
    (folder / "old.onnx").write_bytes(model_of("Relu", opset=0))
    (folder / "newer.onnx").write_bytes(model_of("Relu", opset=99))
    (folder / "letters.onnx").write_bytes(model_of("Relu").replace(b"only", b"on\x80y"))
    (folder / "custom.onnx").write_bytes(model_of("Fancy", domain="my.ops"))
    profile = json.loads((folder / "p.json").read_text())
    for name, change in {"stale": {"graph": "0" * 32}, "format": {"format": 99}, "lacking": {"tensors": None}}.items():
        (folder / f"{name}.json").write_text(json.dumps({**profile, **change}))
    (folder / "list.json").write_text("[1, 2]")
    (folder / "pickled.npy").write_bytes(b"")
    np.save(folder / "pickled.npy", np.array([{}], object), allow_pickle=True)
    np.save(folder / "int.npy", np.zeros((1, 1, 8, 8), np.int64))
    np.save(folder / "flat.npy", np.zeros(64, np.float32))
    np.save(folder / "one.npy", np.zeros((1, 1, 8, 8), np.float32))
    (folder / "half.npy").write_bytes((folder / "one.npy").read_bytes()[:150])
    (folder / "alone.png").write_bytes(b"")
    np.savez(folder / "wrong.npz", other=np.zeros((1, 1, 8, 8), np.float32))
    (folder / "text.txt").write_text("hello")
    (folder / "notes.toml").write_text("hello")
    for name, text in TOMLS.items():
        (folder / f"{name}.toml").write_text(text)
    for name, make in FOLDERS.items():
        (folder / name).mkdir()
        make(folder / name)
    return folder


TOMLS = {
    "unknown": "[quantize]\ncalibraton = 'mse'",
    "wrong-kind": "percentile = 'high'",
    "wrong-value": "percentile = 10",
    "wrong-list": "exclude = [1]",
    "table": "quantize = 3",
}


def spoiled(**files: bytes | np.ndarray) -> Callable[[Path], None]:
    """Fills a folder: arrays as .npy, bytes as they are; `__` in a name is its dot."""

    def make(folder: Path) -> None:
        for name, data in files.items():
            path = folder / name.replace("__", ".")
            if isinstance(data, bytes):
                path.write_bytes(data)
            else:
                np.save(path.with_suffix(".npy"), data)

    return make


def pictures(toml: str, labels: str | None = None) -> Callable[[Path], None]:
    """Fills a folder with a picture of 8 x 8, a dataset.toml and labels."""

    def make(folder: Path) -> None:
        Image.new("L", (8, 8), 7).save(folder / "a.png")
        (folder / "dataset.toml").write_text(toml)
        if labels is not None:
            (folder / "labels.csv").write_text(labels)

    return make


def broken_test_data(folder: Path) -> None:
    (folder / "test_data_set_0").mkdir()
    (folder / "test_data_set_0" / "input_0.pb").write_bytes(b"\xff\xff\xff")


def strange_test_data(folder: Path) -> None:
    (folder / "test_data_set_0").mkdir()
    (folder / "test_data_set_0" / "input_first.pb").write_bytes(b"")


PIXEL, IMAGES = np.ones((1, 1, 8, 8), np.float32), "[input.image]\nsource = 'images'\ncolor = 'gray'\n"
FOLDERS = {
    "data-empty": lambda folder: None,
    "data-text": spoiled(a__txt=b"hello"),
    "data-half": spoiled(a__npy=b"\x93NUMPY\x01\x00v\x00{'descr': '<f4', 'fortran"),
    "data-noise-npz": spoiled(a__npz=b"PK\x03\x04 no zip"),
    "data-pickle": spoiled(a__npy=b"\x80\x04]\x94."),
    "data-int": spoiled(a=np.ones((1, 1, 8, 8), np.int32)),
    "data-complex": spoiled(a=np.ones((1, 1, 8, 8), np.complex64)),
    "data-string": spoiled(a=np.array([[[["x"] * 8] * 8]])),
    "data-shape": spoiled(a=np.ones((1, 1, 9, 8), np.float32)),
    "data-last": spoiled(a=np.ones((1, 8, 8, 1), np.float32)),
    "data-none": spoiled(a=np.ones((0, 1, 8, 8), np.float32)),
    "data-nan": spoiled(a=PIXEL, b=np.full((1, 1, 8, 8), np.nan, np.float32)),
    "data-inf": spoiled(a=np.full((1, 1, 8, 8), np.inf, np.float32)),
    "data-huge": spoiled(a=np.full((1, 1, 8, 8), 1e39)),
    "data-pb": broken_test_data,
    "data-pb-name": strange_test_data,
    "images-no-toml": lambda folder: Image.new("L", (8, 8)).save(folder / "a.png"),
    "images-syntax": pictures("[input.image\n"),
    "images-unknown": pictures(IMAGES + "croop = 8"),
    "images-input": pictures("[input.a]\nsource = 'images'\n[input.b]\nsource = 'images'\n"),
    "images-source": pictures("[input.image]\nsource = 'video'"),
    "images-color": pictures("[input.image]\nsource = 'images'\ncolor = 'cmyk'"),
    "images-rgb": pictures("[input.image]\nsource = 'images'"),
    "images-scale": pictures(IMAGES + "scale = 'x'"),
    "images-mean": pictures(IMAGES + "mean = [1, 2]"),
    "images-std": pictures(IMAGES + "std = 0"),
    "images-resize": pictures(IMAGES + "resize = -3"),
    "images-resize-list": pictures(IMAGES + "resize = [8]"),
    "images-crop": pictures(IMAGES + "crop = 16"),
    "images-crop-text": pictures(IMAGES + "crop = 'all'"),
    "images-layout": pictures(IMAGES + "layout = 'chw'"),
    "images-table": pictures("input = 3"),
    "images-section": pictures("[input]\nimage = 3"),
    "images-broken": lambda folder: (pictures(IMAGES)(folder), (folder / "b.jpg").write_bytes(b"\xff\xd8\xff none"))[0],
    "labels-columns": pictures(IMAGES, "name,class\na.png,3\n"),
    "labels-word": pictures(IMAGES, "file,label\na.png,cat\n"),
    "labels-bytes": lambda folder: (
        pictures(IMAGES)(folder),
        (folder / "labels.csv").write_bytes(b"file,label\n\xff\xfe,1\n"),
    )[0],
    "labels-of-others": pictures(IMAGES, "file,label\nz.png,3\n"),
    "labels-beyond": pictures(IMAGES, "file,label\na.png,10\n"),
    "labels-below": pictures(IMAGES, "file,label\na.png,-1\n"),
}
PROFILE, QUANTIZE = "profile model.onnx --data", "quantize model.onnx --profile p.json"
RUN, REPORT, DIFF = "run b.qglow", "report model.onnx b.qglow --data", "diff model.onnx b.qglow --data"
DATA_CASES = [
    ("nowhere", "no such folder"),
    ("text.txt", "expected a folder, one .npz or .npy file, or one picture"),
    ("half.npy", "not a readable .npy file"),
    ("alone.png", "need a dataset.toml"),
    ("wrong.npz", "input 'image' is missing; it has ['other']"),
    ("data-empty", "no samples found"),
    ("data-text", "no samples found"),
    ("data-half", "not a readable .npy file"),
    ("data-noise-npz", "not a readable .npz file"),
    ("data-pickle", "not a readable .npy file"),
    ("data-int", None),
    ("data-complex", "expected float32, got complex64"),
    ("data-string", "expected float32, got <U1"),
    ("data-shape", "1, 8, 8], got [1, 1, 9, 8]"),
    ("data-last", "channels come last: transpose the data"),
    ("data-none", "is empty: its shape is [0, 1, 8, 8]"),
    ("data-nan", "b.npy: input 'image' holds NaN"),
    ("data-inf", "holds NaN or infinity"),
    ("data-huge", "holds NaN or infinity"),
    ("data-pb", "not a readable ONNX tensor"),
    ("data-pb-name", "expected input_0.pb"),
    ("images-no-toml", "need a dataset.toml"),
    ("images-syntax", "not valid TOML"),
    ("images-unknown", "unknown fields ['croop']"),
    ("images-input", "sections [input.NAME] are ['a', 'b']"),
    ("images-source", "source must be images"),
    ("images-color", "color is rgb, bgr or gray"),
    ("images-rgb", "1, 8, 8], got [1, 3, 8, 8]"),
    ("images-scale", "scale: expected a number"),
    ("images-mean", "mean: expected one number, or one for each channel (1)"),
    ("images-std", "std: expected numbers other than 0"),
    ("images-resize", "resize: expected a whole number above 0, or [height, width]"),
    ("images-resize-list", "resize: expected a whole number above 0, or [height, width]"),
    ("images-crop", "is smaller than the crop 16 x 16"),
    ("images-crop-text", "crop: expected a whole number above 0, or [height, width]"),
    ("images-layout", "layout nchw or nhwc"),
    ("images-table", "sections [input.NAME]"),
    ("images-section", "sections [input.NAME]"),
    ("images-broken", "b.jpg: not a readable picture"),
    ("labels-columns", "expected the columns file,label"),
    ("labels-word", "expected the number of a class, counted from 0"),
    ("labels-bytes", "expected the columns file,label"),
]
CASES = [
    ("", "the following arguments are required: COMMAND"),
    ("profle model.onnx", "invalid choice: 'profle'"),
    ("profile", "the following arguments are required: MODEL.onnx; see"),
    ("profile model.onnx --data data --fast", "unrecognized arguments: --fast"),
    *((f"{PROFILE} {data}", words) for data, words in DATA_CASES if words),
    *((f"{REPORT} {data}", words) for data, words in DATA_CASES if words),
    *((f"{RUN} --data {data}", words) for data, words in DATA_CASES if words),
    (f"{REPORT} labels-of-others", "names none of the samples"),
    (f"{REPORT} labels-beyond", "label 10, but the outputs have at most 10 scores"),
    (f"{REPORT} labels-below", "label -1"),
    ("profile nowhere.onnx --data data", "no such model file"),
    ("profile data --data data", "no such model file"),
    ("profile half-model.onnx --data data", "is the file complete?"),
    ("profile empty-model.onnx --data data", "is it complete?"),
    ("profile noise-model.onnx --data data", "not a readable ONNX model"),
    ("profile text.txt --data data", "not a readable ONNX model"),
    ("profile b.qglow --data data", "a bundle, and no ONNX model"),
    ("profile old.onnx --data data", "opset 0 is not supported"),
    ("profile newer.onnx --data data", "opset 99 is not supported"),
    ("profile custom.onnx --data data", "node 'only': operator Fancy of domain 'my.ops' is not supported"),
    ("profile letters.onnx --data data", "the name b'on\\x80y' is not valid UTF-8"),
    ("profile two.onnx --data data", ".npy files serve a model with one input"),
    (f"{PROFILE} data --samples 0", "at least 1, got '0'"),
    (f"{PROFILE} data --samples few", "at least 1, got 'few'"),
    (f"{PROFILE} data --batch-size -2", "at least 1, got '-2'"),
    (f"{PROFILE} data --engine tvm", "invalid choice: 'tvm'"),
    (f"{PROFILE} data -o data", "is a folder"),
    (f"{PROFILE} data -o nowhere/p.json", "there is no folder nowhere"),
    (f"{PROFILE} data -o text.txt/p.json", "there is no folder text.txt"),
    (f"{PROFILE} data -o model.onnx", "is also what is read"),
    ("quantize model.onnx", "is not quantized yet: give samples (`--data DATA`), or a profile of them"),
    ("quantize model.onnx --profile nowhere.json", "no such profile"),
    ("quantize model.onnx --profile data", "no such profile"),
    ("quantize model.onnx --profile half-p.json", "not a readable profile"),
    ("quantize model.onnx --profile empty-p.json", "not a readable profile"),
    ("quantize model.onnx --profile noise-p.json", "not a readable profile"),
    ("quantize model.onnx --profile list.json", "not a readable profile"),
    ("quantize model.onnx --profile lacking.json", "not a readable profile"),
    ("quantize model.onnx --profile model.onnx", "not a readable profile"),
    ("quantize model.onnx --profile format.json", "expected a qglow profile of format 1, got qglow 99"),
    ("quantize model.onnx --profile stale.json", "was recorded on another model"),
    ("quantize other.onnx --profile p.json", "was recorded on another model"),
    (f"{QUANTIZE} --config nowhere.toml", "no such configuration file"),
    (f"{QUANTIZE} --config notes.toml", "not valid TOML"),
    (f"{QUANTIZE} --config unknown.toml", "unknown field 'calibraton'"),
    (f"{QUANTIZE} --config wrong-kind.toml", "field 'percentile': expected float, got 'high'"),
    (f"{QUANTIZE} --config wrong-value.toml", "percentile must be above 50"),
    (f"{QUANTIZE} --config wrong-list.toml", "field 'exclude': expected"),
    (f"{QUANTIZE} --config table.toml", "quantize"),
    (f"{QUANTIZE} --calibration kl", "calibration must be one of"),
    (f"{QUANTIZE} --percentile nan", "expected a number, got 'nan'"),
    (f"{QUANTIZE} --percentile 101", "at most 100"),
    (f"{QUANTIZE} --min-agreement-sqnr-db inf", "expected a number, got 'inf'"),
    (f"{QUANTIZE} --exclude re:(", "not a valid regular expression"),
    (f"{QUANTIZE} --exclude conv_x", "exclude 'conv_x' matches no node"),
    (f"{QUANTIZE} --include op:Cnv", "include 'op:Cnv' matches no node"),
    (f"{QUANTIZE} --data data-shape", "expected shape"),
    (f"{QUANTIZE} --dump-dir text.txt", "cannot be made a folder"),
    (f"{QUANTIZE} -o data", "is a folder"),
    (f"{QUANTIZE} -o p.json", "is also what is read"),
    ("run nowhere.qglow --data data", "no such bundle"),
    ("run data --data data", "no such bundle"),
    ("run half-b.qglow --data data", "not a sound bundle"),
    ("run empty-b.qglow --data data", "not a sound bundle"),
    ("run noise-b.qglow --data data", "not a sound bundle"),
    ("run model.onnx --data data", "not a sound bundle"),
    (RUN, "give either --data DATA or --input"),
    (f"{RUN} --data data --input image=one.npy", "give either --data DATA or --input"),
    (f"{RUN} --input one.npy", "expected NAME=FILE.npy"),
    (f"{RUN} --input image=nowhere.npy", "expected NAME=FILE.npy with a file that exists"),
    (f"{RUN} --input x=one.npy", "no input 'x'; the inputs are image"),
    (f"{RUN} --input image=int.npy", None),
    (f"{RUN} --input image=flat.npy", "1, 8, 8], got [64]"),
    (f"{RUN} --input image=pickled.npy", "not a readable .npy file"),
    (f"{RUN} --input image=wrong.npz", "not a readable .npy file"),
    (f"{RUN} --input image=text.txt", "not a readable .npy file"),
    (f"{RUN} --input image=one.npy --input image=one.npy", "input 'image' is given twice"),
    (f"{RUN} --input image=one.npy --samples 2", "--samples goes with --data"),
    (f"{RUN} --data data --threads 0", "at least 1, got '0'"),
    (f"{RUN} --data data -o data", "is a folder"),
    (f"{RUN} --data data -o b.qglow", "is also what is read"),
    ("report other.onnx b.qglow --data data", "the bundle was made from another model: its inputs are ['image']"),
    ("report model.onnx half-b.qglow --data data", "not a sound bundle"),
    ("report half-model.onnx b.qglow --data data", "is the file complete?"),
    (f"{REPORT} data -o data", "is a folder"),
    (f"{REPORT} data --json nowhere/r.json", "there is no folder nowhere"),
    (f"{REPORT} data --json model.onnx", "is also what is read"),
    (f"{REPORT} data -o r.json --json ./r.json", "-o and --json both name r.json"),
    (f"{REPORT} data --samples 0", "at least 1"),
    (f"{DIFF} data-nan", "holds NaN"),
    (f"{DIFF} data -o text.txt", "text.txt is a file"),
    (f"{DIFF} data --floor-db high", "expected a number, got 'high'"),
    ("diff other.onnx b.qglow --data data", "made from another model"),
    ("bench b.qglow nowhere.onnx", "no such model file"),
    ("bench b.qglow other.onnx --seconds 0.1", "onnxruntime cannot run it on the bundle's inputs"),
    ("bench b.qglow --vs tvm", "unknown peer 'tvm'"),
    ("bench b.qglow --vs model.onnx", "known are onnxruntime, openvino; a model stands behind the bundle"),
    ("bench b.qglow --vs onnxruntime", "--vs needs the float model"),
    ("bench b.qglow --shape nothing=1x2", "no input 'nothing'"),
    ("quantize other.onnx --budget soon", "expected a time above 0 such as 60s or 5m, got 'soon'"),
    ("quantize other.onnx --budget 0s", "expected a time above 0"),
    ("bench b.qglow --seconds inf", "expected a number, got 'inf'"),
    ("bench b.qglow --threads two", "got 'two'"),
    ("bench b.qglow --json data", "is a folder"),
    ("bench b.qglow --data data-int", None),
    ("bench half-b.qglow", "not a sound bundle"),
    ("export half-b.qglow", "not a sound bundle"),
    ("export b.qglow -o data", "is a folder"),
    ("export b.qglow -o b.qglow", "is also what is read"),
    ("inspect nowhere.qglow", "no such bundle"),
    ("inspect half-b.qglow", "not a sound bundle"),
    ("inspect half-p.json", "not a readable profile"),
    ("inspect half-model.onnx", "is the file complete?"),
    ("inspect text.txt", "expected a .onnx model"),
    ("inspect data", "expected a .onnx model"),
    ("inspect b.qglow --stage plan --shape x=1,2", "no input 'x'"),
    ("inspect b.qglow --stage plan --shape image=1,1,8", "the model declares 'image' as ['N', 1, 8, 8]"),
    ("inspect b.qglow --stage plan --shape image=1,1,8,a", "expected NAME=1,3,224,224"),
    ("inspect b.qglow --stage plan --shape image=0,1,8,8", "expected dimensions of at least 1"),
    ("inspect b.qglow --shape image=1,1,8,8", "--shape goes with --stage instructions or plan"),
    ("inspect p.json --stage plan", "--stage is for a .qglow bundle"),
    ("inspect b.qglow --stage tokens", "invalid choice: 'tokens'"),
    ("quantize p.json --profile model.onnx", "p.json: a .json file, as profiles are, and no ONNX model"),
    ("quantize model.onnx --profile p.json -o -", "the terminal takes no such file"),
    ("quantize model.onnx --profile p.json --no-check --min-sqnr-db 20", "leave one of the two out"),
    ("bench b.qglow --seconds 1 model.onnx", "files go side by side, before the options"),
    ("demo --folder data", "no such model file"),
    ("demo --output text.txt", "cannot be made a folder"),
]


def contents(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


@pytest.mark.parametrize(("line", "words"), CASES, ids=[c[0].replace("/", "_") or "nothing" for c in CASES])
def test_one_line_exit_2_nothing_written(
    line: str, words: str | None, good: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(good)
    monkeypatch.delenv("QGLOW_DEBUG", raising=False)
    before = contents(good)
    code = main(line.split())
    printed = capfd.readouterr()
    if words is None:  # no mistake after all: whole numbers become float32
        assert code == 0, printed.err
        return
    assert code == 2, printed.err
    assert words in printed.err and printed.err.startswith("qglow: ") and printed.err.count("\n") == 1
    assert contents(good) == before
    assert not [p for p in good.rglob(".*") if p.is_file()]


@pytest.mark.skipif(
    os.geteuid() == 0, reason="root may write anywhere: run as another user to try a folder without permission"
)
def test_a_folder_without_permission(good: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    tmp_path.chmod(0o500)
    assert main(["export", str(good / "b.qglow"), "-o", str(tmp_path / "m.onnx")]) == 2
    assert "cannot be written to" in capsys.readouterr().err
