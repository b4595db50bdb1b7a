"""A profile that was interrupted, wherever and however often, has the bytes of one that was not."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import onnx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import helper

import qglow
from qglow.commands.main import main
from qglow.errors import ConfigError
from qglow.profiling import saved_state
from qglow.profiling.engine_native import Job, NativeEngine

COUNT = 45


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model with a symbolic batch, two layers, and a tensor of sequence lengths as channels."""
    path = tmp_path_factory.mktemp("model") / "m.onnx"
    x, y = (helper.make_tensor_value_info(n, onnx.TensorProto.FLOAT, ["N", 3, "T"]) for n in "xy")
    weight = helper.make_tensor("w", onnx.TensorProto.FLOAT, (3, 3, 1), [0.1 * k - 0.3 for k in range(9)])
    nodes = [
        helper.make_node("Conv", ["x", "w"], ["h"]),
        helper.make_node("Transpose", ["h"], ["t"], perm=[0, 2, 1]),
        helper.make_node("Transpose", ["t"], ["u"], perm=[0, 2, 1]),
        helper.make_node("Relu", ["u"], ["y"]),
    ]
    graph = helper.make_graph(nodes, "g", [x], [y], [weight])
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), path)
    return path


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Samples of several lengths and magnitudes, of which some cannot be used."""
    folder, rng = tmp_path_factory.mktemp("data"), np.random.default_rng(0)
    for k in range(COUNT):
        x = rng.normal(0, 10.0 ** int(rng.integers(-3, 4)), (1, 3, 4 + k % 3)).astype(np.float32)
        np.savez(folder / f"{k:03d}.npz", **({"z": x} if k in (0, 7, 8, 44) else {"x": x}))
    return folder


@pytest.fixture(scope="module")
def whole(model: Path, data: Path) -> str:
    return hashed(qglow.profile(model, data, skip_bad=True).to_json())


def hashed(text: str) -> str:
    """NOTE: whole profiles make pages of a failure."""
    return hashlib.sha256(text.encode()).hexdigest()


class Interrupted:
    """Engines stop before the nth group that they are given, and a state is kept after each."""

    def __init__(self, after: int) -> None:
        self.left, self.run = after, NativeEngine.run

    def __enter__(self) -> Interrupted:
        def run(engine: NativeEngine, jobs: Sequence[Job]) -> None:
            if not self.left:
                raise KeyboardInterrupt
            self.left -= 1
            self.run(engine, jobs)

        self.period, self.share = saved_state.PERIOD, saved_state.SHARE
        saved_state.PERIOD = saved_state.SHARE = 0
        NativeEngine.run = run  # type: ignore[method-assign]
        return self

    def __exit__(self, *error: object) -> None:
        saved_state.PERIOD, saved_state.SHARE = self.period, self.share
        NativeEngine.run = self.run  # type: ignore[method-assign]


@settings(deadline=None, max_examples=12)
@given(after=st.lists(st.integers(3, 60), min_size=1, max_size=3), batch_size=st.sampled_from([1, 4]))
def test_any_interruption(
    after: list[int], batch_size: int, model: Path, data: Path, whole: str, tmp_path_factory: pytest.TempPathFactory
) -> None:
    partial = tmp_path_factory.mktemp("out") / "p.json.partial"
    for count in after:
        with Interrupted(count):
            try:
                qglow.profile(model, data, skip_bad=True, batch_size=batch_size, partial=partial)
            except KeyboardInterrupt:
                assert partial.exists() or count <= 2 + 2  # NOTE: the check of the engine runs the first samples too
    made = qglow.profile(model, data, skip_bad=True, batch_size=batch_size, partial=partial)
    assert hashed(made.to_json()) == whole and not partial.exists()


def interrupted(model: Path, data: Path, partial: Path) -> None:
    with Interrupted(12), pytest.raises(KeyboardInterrupt):
        qglow.profile(model, data, skip_bad=True, partial=partial)


def test_it_goes_on_and_says_so(
    model: Path, data: Path, whole: str, tmp_path: Path, capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    out = tmp_path / "p.json"
    partial = tmp_path / "p.json.partial"
    interrupted(model, data, partial)
    position = json.loads(partial.read_text())["next"]
    command = ["profile", str(model), "--data", str(data), "--skip-bad", "-o", str(out)]
    read: list[str] = []
    from qglow.profiling import dataset

    def counting(path: Path) -> object:
        read.append(path.name)
        return read_npz(path)

    read_npz = dataset.read_npz
    monkeypatch.setattr(dataset, "read_npz", counting)
    assert main(command) == 0
    assert f"continued at sample {position + 1} of {COUNT}" in capsys.readouterr().err
    assert position > 0 and len([r for r in read if int(r[:3]) < position]) <= 8 and hashed(out.read_text()) == whole
    interrupted(model, data, partial)
    assert main([*command, "--no-resume"]) == 0
    assert "continued" not in capsys.readouterr().err and hashed(out.read_text()) == whole and not partial.exists()


def test_state_of_something_else_is_not_continued(
    model: Path, data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    partial = tmp_path / "p"
    interrupted(model, data, partial)
    kept = partial.read_bytes()
    file = sorted(data.iterdir())[3]
    before = file.stat()
    os.utime(file, (1, 1))
    try:
        qglow.profile(model, data, skip_bad=True, partial=partial, progress=True)
    finally:
        os.utime(file, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert "other data" in capsys.readouterr().err and not partial.exists()
    partial.write_bytes(kept)
    qglow.profile(model, data, 30, True, skip_bad=True, partial=partial)
    assert "other settings" in capsys.readouterr().err
    partial.write_bytes(kept)
    qglow.profile(model, data, None, True, skip_bad=True, engine="onnxruntime", partial=partial)
    assert "other settings" in capsys.readouterr().err


def test_damaged_state_is_not_continued(
    model: Path, data: Path, whole: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    partial = tmp_path / "p"
    interrupted(model, data, partial)
    raw = json.loads(partial.read_text())
    del raw["recording"]["digests"][1]
    for text in ("", "[]", partial.read_text()[:-40], json.dumps(raw)):
        partial.write_text(text)
        made = qglow.profile(model, data, None, True, skip_bad=True, partial=partial)
        assert hashed(made.to_json()) == whole
        assert "cannot be continued" in capsys.readouterr().err


def test_samples_that_are_no_files(model: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="where the data is a path"):
        qglow.profile(model, [{"x": np.ones((1, 3, 4), np.float32)}], partial=tmp_path / "p")


KILLED = """
import os, signal, sys
from qglow.profiling import saved_state
saved_state.PERIOD = saved_state.SHARE = 0
save, left = saved_state.SavedState.save, [3]
def then_killed(self, *arguments):
    save(self, *arguments)
    left[0] -= 1
    if not left[0]:
        os.kill(os.getpid(), signal.SIGKILL)
saved_state.SavedState.save = then_killed
import qglow
qglow.profile(sys.argv[1], sys.argv[2], skip_bad=True, partial=sys.argv[3])
"""


def test_a_killed_process(model: Path, data: Path, whole: str, tmp_path: Path) -> None:
    partial = tmp_path / "p"
    done = subprocess.run([sys.executable, "-c", KILLED, str(model), str(data), str(partial)], check=False)
    assert done.returncode == -9 and json.loads(partial.read_text())["next"] > 0
    made = qglow.profile(model, data, skip_bad=True, partial=partial)
    assert hashed(made.to_json()) == whole and not partial.exists()
