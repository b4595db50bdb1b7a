"""The command line from end to end on the demo model: results, exit codes, one clear line for bad input."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import onnx
import onnx.parser
import pytest

from qglow.commands.main import COMMANDS, main

ROOT = str(Path(__file__).resolve().parents[2])


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory, digits: Path) -> Path:
    folder = tmp_path_factory.mktemp("bundle")
    model, data = str(digits / "model.onnx"), str(digits)
    assert main(["profile", model, "--data", data, "--samples", "20", "-o", str(folder / "p.json"), "--quiet"]) == 0
    assert (
        main(["quantize", model, "--profile", str(folder / "p.json"), "--data", data, "-o", str(folder / "d.qglow")])
        == 0
    )
    return folder / "d.qglow"


def test_run_writes_outputs(bundle: Path, digits: Path, tmp_path: Path) -> None:
    assert main(["run", str(bundle), "--data", str(digits), "-o", str(tmp_path / "o.npz")]) == 0
    with np.load(tmp_path / "o.npz") as outputs:
        assert len(outputs.files) == 200 and outputs["007.npy/scores"].shape == (1, 10)
    assert main(["run", str(bundle), "--input", f"image={digits / '003.npy'}"]) == 0


def test_quantize_profiles_its_data_where_there_is_no_profile(
    bundle: Path, digits: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The same bundle as by way of a file. What came with a profile, or needs none, judges by the data as ever."""
    model, data, made = str(digits / "model.onnx"), str(digits), tmp_path / "now.qglow"
    assert main(["quantize", model, "--data", data, "-o", str(made)]) == 0
    said = capsys.readouterr()
    assert "profiled 14 tensors over 200 samples, 25 of them held back" in said.out and not said.err
    assert "held back from calibration" in said.out
    profile = str(tmp_path / "p.json")
    assert main(["profile", model, "--data", data, "-o", profile]) == 0
    assert main(["quantize", model, "--profile", profile, "-o", str(tmp_path / "two.qglow")]) == 0
    assert made.read_bytes() == (tmp_path / "two.qglow").read_bytes()
    capsys.readouterr()
    assert main(["quantize", model, "--data", data, "--max-accuracy-drop", "1", "-o", str(made)]) == 2
    assert "samples that calibration did not see" in capsys.readouterr().err
    assert main(["quantize", model, "--data", data, "--no-check", "--quiet", "-o", str(made)]) == 0
    assert capsys.readouterr() == ("", "")
    assert main(["quantize", model, "--data", data, "--dynamic", "-o", str(made)]) == 0
    assert "profiled" not in (said := capsys.readouterr().out) and "samples that were given" in said


def test_report_has_what_the_interface_promises(bundle: Path, digits: Path, tmp_path: Path) -> None:
    html, file = tmp_path / "r.html", tmp_path / "r.json"
    assert (
        main(
            [
                "report",
                str(digits / "model.onnx"),
                str(bundle),
                "--data",
                str(digits),
                "-o",
                str(html),
                "--json",
                str(file),
            ]
        )
        == 0
    )
    report = json.loads(file.read_text())
    scores = report["outputs"]["scores"]
    assert scores["top1_fp32"] - scores["top1_int8"] <= 0.01 and scores["sqnr_db"] > 20
    assert {"cosine", "max_abs_error", "top1_agreement"} <= set(scores)
    assert report["layers"] and all(
        {"name", "op", "precision", "sqnr_db", "cosine"} <= set(r) for r in report["layers"]
    )
    text = html.read_text()
    assert "<svg" in text and "http" not in text


def test_other_commands(bundle: Path, digits: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["inspect", str(bundle)]) == 0
    assert "= Conv(" in capsys.readouterr().out
    assert main(["inspect", str(digits / "model.onnx")]) == 0
    assert main(["diff", str(digits / "model.onnx"), str(bundle), "--data", str(digits), "--floor-db", "99"]) == 0
    assert "first below" in capsys.readouterr().out
    assert main(["bench", str(bundle), str(digits / "model.onnx"), "--seconds", "0.1"]) == 0
    out = capsys.readouterr().out
    assert "onnxruntime fp32" in out and "onnxruntime int8   " in out and "failed" not in out
    assert (
        main(["bench", str(bundle), "--seconds", "0.1", "--per-layer", "--json", str(bundle.with_suffix(".json"))]) == 0
    )
    assert "of peak" in capsys.readouterr().out
    measured = json.loads(bundle.with_suffix(".json").read_text())
    assert measured["machine"]["peak"] > 0 and {s["kind"] for s in measured["steps"]} >= {"conv2d", "quantize"}


def test_hostile_bundles_are_refused(bundle: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    whole = bundle.read_bytes()
    rng = np.random.default_rng(0)
    for k in range(30):
        data = bytearray(whole)
        if k % 3 == 0:
            data = data[: int(rng.integers(0, len(data)))]
        else:
            data[int(rng.integers(0, len(data) if k % 3 == 1 else 4000))] ^= int(rng.integers(1, 256))
        (tmp_path / "bad.qglow").write_bytes(bytes(data))
        code = main(["inspect", str(tmp_path / "bad.qglow")])
        assert code in (0, 2) and "internal error" not in capsys.readouterr().err


def test_a_reader_that_leaves_early_is_no_error(bundle: Path) -> None:
    command = f"{sys.executable} -m qglow inspect {bundle} | head -n 1"
    done = subprocess.run(
        ["bash", "-o", "pipefail", "-c", command],
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": ROOT},
    )
    assert done.returncode == 0 and done.stdout.count("\n") == 1 and not done.stderr


def test_a_device_is_written_to_and_stays_one(bundle: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """/dev/null is no file to put another in the place of; here a named pipe stands for it."""
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    with subprocess.Popen(["cat", str(pipe)], stdout=subprocess.PIPE) as reader:
        assert main(["export", str(bundle), "-o", str(pipe), "--quiet"]) == 0
        assert reader.stdout is not None and onnx.load_from_string(reader.stdout.read()).graph.node
    assert pipe.is_fifo()
    assert main(["export", str(bundle), "-o", "/dev/full"]) == 2
    assert (
        "/dev/full: cannot be written: No space left" in capsys.readouterr().err and Path("/dev/full").is_char_device()
    )


def test_a_terminal_without_the_characters_of_a_table(bundle: Path, digits: Path, tmp_path: Path) -> None:
    arguments = [
        "report",
        str(digits / "model.onnx"),
        str(bundle),
        "--data",
        str(digits),
        "--samples",
        "2",
        "--no-latency",
    ]
    command = [sys.executable, "-m", "qglow", *arguments, "--json", str(tmp_path / "no-suffix")]
    environment = {**os.environ, "PYTHONPATH": ROOT, "PYTHONIOENCODING": "ascii"}
    done = subprocess.run(command, capture_output=True, text=True, env=environment)
    assert done.returncode == 0 and "Signal to noise" in done.stdout and not done.stderr
    assert json.loads((tmp_path / "no-suffix").read_text())["samples"] == 2


def test_quantizing_again_gives_the_same_bytes(digits: Path, tmp_path: Path) -> None:
    profile = tmp_path / "p.json"
    assert (
        main(
            [
                "profile",
                str(digits / "model.onnx"),
                "--data",
                str(digits),
                "--samples",
                "8",
                "-o",
                str(profile),
                "--quiet",
            ]
        )
        == 0
    )
    made = [tmp_path / f"{k}.qglow" for k in range(3)]
    for path in made:
        assert (
            main(["quantize", str(digits / "model.onnx"), "--profile", str(profile), "-o", str(path), "--quiet"]) == 0
        )
    assert len({path.read_bytes() for path in made}) == 1


def test_inspect_plans_for_given_shapes(bundle: Path, capsys: pytest.CaptureFixture[str]) -> None:
    sizes = []
    for batch in (1, 4):
        assert main(["inspect", str(bundle), "--stage", "plan", "--shape", f"image={batch},1,8,8"]) == 0
        sizes.append(int(capsys.readouterr().out.split()[1]))
    assert sizes[1] > 2 * sizes[0]


def test_samples_are_spread_over_the_data(bundle: Path, digits: Path, tmp_path: Path) -> None:
    arguments = ["run", str(bundle), "--data", str(digits), "--samples", "3", "-o", str(tmp_path / "o.npz"), "--quiet"]
    assert main(arguments) == 0
    with np.load(tmp_path / "o.npz") as outputs:
        assert outputs.files == ["000.npy/scores", "099.npy/scores", "199.npy/scores"]
    arguments = [
        "report",
        str(digits / "model.onnx"),
        str(bundle),
        "--data",
        str(digits),
        "--samples",
        "3",
        "--no-latency",
    ]
    assert main([*arguments, "--json", str(tmp_path / "r.json"), "--quiet"]) == 0
    assert json.loads((tmp_path / "r.json").read_text())["samples"] == 3


SEQUENCE = """
<ir_version: 8, opset_import: ["": 15]>
g (float[1, n, 4] x) => (float[1, m, 4] y) {
  w = Constant <value = float[4, 4] {1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16}> ()
  shape = Constant <value = int64[3] {1, 3, 4}> ()
  h = MatMul (x, w)
  s = Reshape (h, shape)
  y = MatMul (s, w)
}
"""


def test_bench_says_where_noise_is_no_input(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A model that wants a certain length runs on noise of the profile's length, and not of length 1."""
    np.savez(tmp_path / "d.npz", x=np.ones((1, 3, 4), np.float32))
    onnx.save(onnx.parser.parse_model(SEQUENCE), tmp_path / "m.onnx")
    model, data, bundle = (str(tmp_path / n) for n in ("m.onnx", "d.npz", "b.qglow"))
    assert main(["profile", model, "--data", data, "-o", str(tmp_path / "p.json")]) == 0
    assert main(["quantize", model, "--profile", str(tmp_path / "p.json"), "-o", bundle]) == 0
    capsys.readouterr()
    assert main(["bench", bundle, "--seconds", "0.05"]) == 0
    printed = capsys.readouterr().out
    assert "inputs: x 1x3x4" in printed and max(map(len, printed.splitlines())) <= 80
    assert main(["bench", bundle, "--seconds", "0.05", "--shape", "x=1x1x4"]) == 2
    error = capsys.readouterr().err
    assert "does not run on noise (x [1, 1, 4]" in error and "--data" in error and error.count("\n") == 1
    assert main(["bench", bundle, "--seconds", "0.05", "--json", "-"]) == 0
    assert json.loads(capsys.readouterr().out)["shapes"] == {"x": [1, 3, 4]}
    assert main(["bench", bundle, model, "--seconds", "0.05", "--data", data]) == 0
    assert "onnxruntime int8" in capsys.readouterr().out


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_has_help_with_examples(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stop:
        main([command, "--help"])
    assert stop.value.code == 0 and "examples:" in capsys.readouterr().out


def test_inspect_shows_instructions_and_plan(bundle: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["inspect", str(bundle), "--stage", "instructions"]) == 0
    assert "conv2d @in x=b" in capsys.readouterr().out
    assert main(["inspect", str(bundle), "--dump-dir", str(tmp_path / "stages")]) == 0
    stages = sorted((tmp_path / "stages").iterdir())
    assert [p.name[3:-4] for p in stages] == ["graph", "fuse", "layouts", "select", "bufferize", "plan"]
    texts = [p.read_text() for p in stages]
    assert texts[2].startswith('image %"') and " steps -1 to -1, at -1" in texts[3] and " at -1" not in texts[5]
    assert texts[5].startswith("program ") and capsys.readouterr()
    assert main(["inspect", str(bundle), "--stage", "plan"]) == 0
    assert "arena" in capsys.readouterr().out
    assert main(["export", str(bundle), "-o", str(bundle.with_suffix(".onnx"))]) == 0


def test_a_broken_bundle_is_kept_under_its_own_name(
    digits: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    model, profile, out = str(digits / "model.onnx"), str(tmp_path / "p.json"), tmp_path / "d.qglow"
    assert main(["profile", model, "--data", str(digits), "--samples", "4", "-o", profile, "--quiet"]) == 0
    arguments = ["quantize", model, "--profile", profile, "-o", str(out), "--min-agreement-sqnr-db", "90"]
    assert main(arguments) == 1
    error = capsys.readouterr().err
    assert "does not agree with float" in error and "d.broken.qglow" in error and error.count("\n") == 1
    assert not out.exists() and (tmp_path / "d.broken.qglow").is_file()
    assert main([*arguments, "--no-check"]) == 0 and out.is_file()
