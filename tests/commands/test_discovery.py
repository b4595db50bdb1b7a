"""What a new user finds: help, completion, short texts for objects, words at the end of what a command prints."""

from __future__ import annotations

import json
import subprocess
from dataclasses import fields
from pathlib import Path

import numpy as np
import onnxruntime
import pytest
import shared_models
from onnxruntime.quantization import CalibrationDataReader, quantize_static

import qglow
from qglow.commands.completion import commands_of
from qglow.commands.main import COMMANDS, build_parser, main
from qglow.commands.quantize import FIELD_HELP
from qglow.commands.run import Scores
from qglow.graph import Array
from qglow.pipeline import compare_several
from qglow.words import counted, points_lost, size_beside


@pytest.fixture(scope="module")
def profile(digits: Path) -> qglow.Profile:
    return qglow.profile(digits / "model.onnx", digits, 12)


@pytest.fixture(scope="module")
def bundle(digits: Path, profile: qglow.Profile) -> qglow.Bundle:
    return qglow.quantize(digits / "model.onnx", profile)


@pytest.fixture(scope="module")
def quantized(digits: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    class Reader(CalibrationDataReader):  # type: ignore[misc]
        def __init__(self) -> None:
            self.samples = iter([{"image": np.load(digits / f"{k:03d}.npy")} for k in range(4)])

        def get_next(self) -> dict[str, Array] | None:
            return next(self.samples, None)

    path = tmp_path_factory.mktemp("model") / "quantized.onnx"
    quantize_static(digits / "model.onnx", path, Reader())
    return path


def test_the_command_alone_prints_help(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([]) == 2  # nothing was done, and one line says so
    out, err = capsys.readouterr()
    assert err.count("\n") == 1 and all(f"    {name} " in out for name in COMMANDS)


def test_help_has_a_line_an_option_with_its_choices(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "120")
    with pytest.raises(SystemExit):
        main(["quantize", "--help"])
    lines = capsys.readouterr().out.split("\noptions:\n")[1].split("\nexamples:")[0].splitlines()
    rows = [line for line in lines if line.startswith("  -")]
    assert all(len(line) <= 120 for line in lines) and all(len(r.split(maxsplit=2)) == 3 for r in rows)
    assert not [line for line in lines if line.startswith(" " * 10)], "an option takes more than a line"
    text = "\n".join(rows)
    for f in fields(qglow.QuantConfig):
        assert f"{f.name.replace('_', '-')} " in text
    for choices in (qglow.quantization.config.CHOICES).values():
        assert all(str(c) in text for c in choices)
    assert FIELD_HELP.keys() == {f.name for f in fields(qglow.QuantConfig)}


@pytest.mark.parametrize("command", COMMANDS)
def test_help_fits_a_narrow_terminal(
    command: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    with pytest.raises(SystemExit):
        main([command, "--help"])
    assert not [line for line in capsys.readouterr().out.splitlines() if len(line) > 80]


def completed(*words: str) -> set[str]:
    """What bash offers for the last of the words."""
    script = 'eval "$(cat)"; COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); _qglow; printf "%s\\n" "${COMPREPLY[@]}"'
    given = ["bash", "-c", script, "bash", *words]
    source: str = completed.script  # type: ignore[attr-defined]
    done = subprocess.run(given, input=source, capture_output=True, text=True, check=True)
    assert not done.stderr
    return set(done.stdout.split())


def test_a_shell_completes_what_the_parser_takes(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["completion", "bash"]) == 0
    completed.script = capsys.readouterr().out  # type: ignore[attr-defined]
    assert completed("qglow", "") == set(COMMANDS)
    _, options = commands_of(build_parser())
    for command in ("quantize", "bench"):
        names = {n for o in options[command] for n in o.names if n.startswith("--")}
        assert completed("qglow", command, "--") == names and len(names) > 5
    assert completed("qglow", "quantize", "--calibration", "m") == {"minmax", "mse"}
    assert completed("qglow", "kernels", "") == {"build", "list", "clear"}
    assert completed("qglow", "run", "b") == set()  # files, by the shell itself
    for shell in ("zsh", "fish"):
        assert main(["completion", shell]) == 0
        out = capsys.readouterr().out
        assert all(name in out for name in COMMANDS) and "min-sqnr-db" in out
    assert main(["completion", "tcsh"]) == 2


def test_objects_say_what_they_are_in_a_line(digits: Path, profile: qglow.Profile, bundle: qglow.Bundle) -> None:
    session = qglow.InferenceSession(bundle, 1)
    report = qglow.compare(digits / "model.onnx", bundle, digits, samples=3)
    said = {
        repr(profile): "Profile(14 tensors over 12 samples)",
        repr(bundle): "Bundle('digits': 13 of 13 nodes quantized, ",
        repr(session): "InferenceSession('digits', threads=1, backend='native')",
        repr(report): "AccuracyReport('digits' over 3 samples: signal to noise ",
    }
    assert all(text.startswith(start) and len(text) < 120 for text, start in said.items())
    for thing in (profile, bundle, session, report):
        html = thing._repr_html_()
        assert html.startswith("<table>") and html.endswith("</table>") and html.count("<tr>") >= 2
    named = qglow.Bundle(bundle.graph.with_(name="<b>&"))
    assert "<b>&" not in named._repr_html_() and "&lt;b&gt;&amp;" in named._repr_html_()
    assert "InferenceSession" in dir(qglow) and "import_module" not in dir(qglow)
    assert all(getattr(qglow, name) is not None for name in dir(qglow))


def test_the_best_classes_and_the_accuracy_are_shown(
    digits: Path, bundle: qglow.Bundle, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    bundle.save(tmp_path / "d.qglow")
    assert main(["run", str(tmp_path / "d.qglow"), "--data", str(digits), "--samples", "10"]) == 0
    *rows, last = capsys.readouterr().out.splitlines()
    session = onnxruntime.InferenceSession(digits / "model.onnx")
    for row in rows:
        scores = session.run(None, {"image": np.load(digits / row.split(":")[0])})[0]
        shown = [int(part.split()[0]) for part in row.split("best ")[1].split("), ")]
        assert shown[0] == scores.argmax() and len(set(shown)) == 5
    assert last == "output 'scores': top-1 accuracy 100.0%, top-5 accuracy 100.0% over 10 labelled samples"
    found = Scores()
    for label in (3, 1, 9):
        found.add(np.array([[0, 5, 1, 9, 2, 3, 4, 0, 0, 0]], np.float32), label)
    assert found.described() == "top-1 accuracy 33.3%, top-5 accuracy 66.7% over 3 labelled samples"


def test_tables_fit_a_narrow_terminal(digits: Path, bundle: qglow.Bundle, monkeypatch: pytest.MonkeyPatch) -> None:
    report = qglow.compare(digits / "model.onnx", bundle, digits, samples=2)
    for columns, wide in ((40, 80), (80, 80), (130, 130)):
        monkeypatch.setenv("COLUMNS", str(columns))
        tables = report.summary().split("outputs over 2 samples")[1].splitlines()
        assert max(map(len, tables)) <= wide
        assert ("float values" in report.summary()) == (wide > 80)


CASES = [
    ("--exclude re:. --exclude op:Conv", ["nothing became int8", "--exclude op:Conv had no effect"]),
    ("--exclude op:Conv --exclude op:Relu", ["only 3 of 13 operations became int8, 10 stayed float"]),
    ("--percentile 99", ["--percentile had no effect"]),
    ("--effort fast --widen-percent 20", ["--widen-percent had no effect"]),
    ("--block-size 64", ["--block-size had no effect: it is for --weights int4_block"]),
    ("--calibration percentile --percentile 99.9 --exclude conv_c", []),
    ("--data DIGITS --no-check", ["--data had no effect"]),
    ("--budget 9s", ["--budget had no effect: without --min-sqnr-db"]),
]


@pytest.mark.parametrize(("options", "said"), CASES, ids=[o for o, _ in CASES])
def test_the_last_lines_say_what_did_not_happen(
    options: str, said: list[str], digits: Path, profile: qglow.Profile, tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    profile.save(tmp_path / "p.json")
    given = [str(digits) if w == "DIGITS" else w for w in options.split()]
    command = ["quantize", str(digits / "model.onnx"), "--profile", str(tmp_path / "p.json")]
    assert main([*command, "-o", str(tmp_path / "x.qglow"), *given]) == 0
    lines = [line for line in capsys.readouterr().err.splitlines() if line.startswith("warning:")]
    assert len(lines) == len(said) and all(s in line for s, line in zip(said, lines, strict=True)), lines


def test_options_that_a_quantized_model_leaves_without_effect(
    quantized: Path, profile: qglow.Profile, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Each field has an effect on the bundle, or a line that says that it has none."""
    other = {
        "activations": "int16", "weights": "per_tensor", "calibration": "minmax", "percentile": "99",
        "int16": "op:Conv", "block_size": "16", "exclude": "op:Conv", "include": "op:Conv", "power_of_two": None,
        "float_outputs": None, "balance_channels": None, "correct_bias": None,
    }  # fmt: skip
    want = qglow.quantize(quantized).graph
    for name, value in other.items():
        option = f"--{name.replace('_', '-')}"
        flag = option.replace("--", "--no-") if getattr(qglow.QuantConfig(), name) is True else option
        given = [flag, value] if value else [flag]
        assert main(["quantize", str(quantized), "-o", str(tmp_path / "x.qglow"), *given]) == 0
        made, err = qglow.load(tmp_path / "x.qglow").graph, capsys.readouterr().err
        same = [repr(n) for n in made.nodes] == [repr(n) for n in want.nodes] and made.types == want.types
        assert same == (f"{option} had no effect" in err), (name, err)
    for given in (["--dynamic"], ["--weights", "int4_block"]):
        assert main(["quantize", str(quantized), "-o", str(tmp_path / "x.qglow"), *given]) == 0
        assert f"{' '.join(given)} had no effect" in capsys.readouterr().err
    with pytest.raises(qglow.QGlowError, match="the model came quantized, with ranges of its own"):
        qglow.quantize(quantized, profile)


def test_a_profile_of_a_quantized_model_says_that_it_is_of_no_use(
    digits: Path, quantized: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    command = ["profile", str(quantized), "--data", str(digits), "--samples", "2", "-o", str(tmp_path / "p.json")]
    assert main(command) == 0
    assert "warning: the model came quantized, with ranges of its own: quantize it without" in capsys.readouterr().err


def test_a_profile_of_a_long_quantized_model_is_no_defect() -> None:
    """One rounding that falls otherwise moves many behind it, so that 50 layers on values agree to 40 dB no more."""
    made = qglow.profile(shared_models.path("shufflenet-v2-12-int8"), shared_models.feeds("shufflenet-v2-12-int8", 1))
    assert made.samples == 1 and "the model came quantized" in made.warnings[0]


def test_words_follow_their_numbers() -> None:
    assert [counted(n, "sample") for n in (0, 1, 2)] == ["0 samples", "1 sample", "2 samples"]
    assert [points_lost(d) for d in (1, -0.6, 0, 2.5)] == [
        "1 point lost", "0.6 points gained", "no accuracy lost", "2.5 points lost"
    ]  # fmt: skip
    assert [size_beside(*s) for s in ((8, 2), (8, 10), (100, 101))] == [
        "4.0 times smaller", "1.2 times larger", "as large as before"
    ]  # fmt: skip


def test_files_go_in_either_order_and_a_folder_is_said_to_be_data(
    digits: Path, bundle: qglow.Bundle, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    model, made, data = str(digits / "model.onnx"), str(tmp_path / "d.qglow"), str(digits)
    bundle.save(made)
    for command in (["diff", "--data", data, "--samples", "2"], ["report", "--data", data, "--samples", "2"]):
        more = ["--no-latency"] if command[0] == "report" else []
        said = []
        for files in ([model, made], [made, model]):
            assert main([*command, *more, *files]) == 0
            said.append(capsys.readouterr().out)
        assert said[0] == said[1]
    assert main(["bench", model, made, "--seconds", "0.01", "--vs", "onnxruntime"]) == 0
    assert "onnxruntime fp32" in capsys.readouterr().out
    for command in ("run", "bench"):
        assert main([command, model, *(["--data", data] if command == "run" else [])]) == 2
        assert "not a sound bundle but an ONNX model; make one of it: `qglow quantize`" in capsys.readouterr().err
    assert main(["quantize", model, data]) == 2
    assert f"unrecognized arguments: {data}; data is given as --data {data}; see qglow quantize --help" in (
        capsys.readouterr().err
    )


def test_run_shows_the_first_of_many_samples(
    digits: Path, bundle: qglow.Bundle, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    bundle.save(tmp_path / "d.qglow")
    shown = ((1, 2, ""), (21, 22, ""), (22, 22, "and 2 more samples; -o FILE.npz keeps"), (200, 22, "and 180"))
    for samples, lines, last in shown:
        assert main(["run", str(tmp_path / "d.qglow"), "--data", str(digits), "--samples", str(samples)]) == 0
        said = capsys.readouterr().out.splitlines()
        assert len(said) == lines and said[-2].startswith(last) and "accuracy" in said[-1]


def test_labels_say_what_is_wrong_with_them(
    digits: Path, bundle: qglow.Bundle, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    bundle.save(tmp_path / "d.qglow")
    data = tmp_path / "data"
    data.mkdir()
    np.save(data / "a.npy", np.load(digits / "000.npy"))
    for text, said in (
        ("name,class\na.npy,1\n", "expected the columns file,label; file is absent from name, class"),
        ("file;label\na.npy;1\n", "file is absent from file;label"),
        ("file,label\na.npy,dog\n", "a.npy: expected the number of a class, counted from 0, as its label; got 'dog'"),
        ("file,label\na.npy\n", "a.npy: expected the number of a class"),
        ("file,label\na.npy,10\n", "a.npy: label 10, but the outputs have at most 10 scores"),
        ("file,label\na.npy,-1\n", "a.npy: label -1, but"),
    ):
        (data / "labels.csv").write_text(text)
        for command in (["run"], ["report", str(digits / "model.onnx")]):
            assert main([*command, str(tmp_path / "d.qglow"), "--data", str(data)]) == 2
            assert said in capsys.readouterr().err


def test_what_is_no_model_says_what_it_is(
    digits: Path, bundle: qglow.Bundle, tmp_path: Path, capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    monkeypatch.chdir(tmp_path)
    bundle.save("d.qglow")
    for command in ("quantize", "profile"):
        assert main([command, "d.qglow", "--data", str(digits)]) == 2
        assert "d.qglow: a bundle" in capsys.readouterr().err
    assert [p.name for p in tmp_path.iterdir()] == ["d.qglow"]
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "a.jpg").write_bytes(b"none")
    assert main(["quantize", str(digits / "model.onnx"), "--data", "data"]) == 2
    assert "--data FOLDER --write-dataset` writes one to look at" in capsys.readouterr().err
    (tmp_path / "data" / "dataset.toml").write_text('[input.image]\nsource = "images"\ncolor = "gray"\n')
    assert main(["quantize", str(digits / "model.onnx"), "--data", "data"]) == 2
    assert "a.jpg: not a readable picture (its bytes are of no known format)" in capsys.readouterr().err
    assert main(["quantize", str(digits / "model.onnx"), "--data", str(digits), "--exclude", "nosuch"]) == 2
    said = capsys.readouterr()
    assert "exclude 'nosuch' matches no node" in said.err and "profiled" not in said.out


def test_several_bundles_are_compared_by_their_outputs_alone(
    digits: Path, bundle: qglow.Bundle, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """No table is of no layers, in the terminal or on the page."""
    files = [str(tmp_path / name) for name in ("a.qglow", "b.qglow")]
    for file in files:
        bundle.save(file)
    json_only = ["--samples", "2", "--layer-samples", "0", "--no-latency", "--json", "-"]
    assert main(["report", str(digits / "model.onnx"), files[0], "--data", str(digits), *json_only]) == 0
    assert json.loads(capsys.readouterr().out)["outputs"].keys() == {"scores"}
    page, short = tmp_path / "r.html", ["--data", str(digits), "--samples", "4", "--layer-samples", "0", "--no-latency"]
    assert main(["report", str(digits / "model.onnx"), *files, *short, "-o", str(page)]) == 0
    said = capsys.readouterr().out
    assert said.count("Signal to noise") == 2 and "most noise" not in said and "b.qglow" in page.read_text()
    one = [r.to_dict() for r in compare_several(digits / "model.onnx", files, digits, samples=5, layer_samples=2)]
    whole = qglow.compare(digits / "model.onnx", files[0], digits, samples=5, layer_samples=2).to_dict()
    for key in ("outputs", "layers", "worst_samples", "samples"):
        assert one[0][key] == one[1][key] == whole[key], key
