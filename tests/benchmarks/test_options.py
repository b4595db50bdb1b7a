"""A measurement that is asked for what is not there says so in one line, before it begins."""

from __future__ import annotations

from pathlib import Path

import pytest

from bench import cold_start, memory, options, peers, quantize_time, sweep, walk


@pytest.mark.parametrize(
    ("main", "arguments", "message"),
    [
        (peers.main, "--models resnet50,nix", "no model 'nix'; there are resnet50"),
        (peers.main, "--models nix.onnx", "no model 'nix.onnx'"),
        (peers.main, "--peers ort", "no peer 'ort'; there are ort fp32"),
        (peers.main, "--threads 1,two", "expected whole numbers of at least 1, by comma, got '1,two'"),
        (cold_start.main, "--json no/such/folder.json", "expected the name of a file in a folder that is there"),
        (quantize_time.main, "--models nix", "no model 'nix'"),
        (memory.main, "--model nix", "no real model 'nix'"),
        (memory.main, "--counts 0", "expected whole numbers of at least 1"),
        (walk.main, "--models nix", "no real model 'nix'"),
        (sweep.main, "gemm --json /", "expected the name of a file"),
    ],
)
def test_what_is_not_there_is_named(
    main: object, arguments: str, message: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sys.argv", ["bench", *arguments.split()])
    with pytest.raises(SystemExit) as stopped:
        main()  # type: ignore[operator]
    assert stopped.value.code == 2
    assert message in capsys.readouterr().err.splitlines()[-1]


def test_a_model_may_be_a_file(tmp_path: Path) -> None:
    file = tmp_path / "net.onnx"
    file.touch()
    assert options.models(f"mlp,{file}") == ["mlp", str(file)]
    assert options.numbers("1,20") == [1, 20]
