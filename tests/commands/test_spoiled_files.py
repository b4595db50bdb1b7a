"""Files of random bytes, and good files that were changed: every command ends with 0, 1 or 2 and one line, never a
traceback or a crash."""

from __future__ import annotations

import io
import json
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image
from safetensors import safe_open
from safetensors.numpy import save

from qglow.commands.main import main

FEW = settings(
    max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)
TOML = """[input.image]
source = "images"
color = "gray"
resize = 8
crop = [8, 8]
scale = 0.0625
mean = [0.5]
std = 1.5
layout = "nchw"
"""


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory, digits: Path) -> Path:
    folder = tmp_path_factory.mktemp("made")
    shutil.copy(digits / "model.onnx", folder)
    model, data = str(folder / "model.onnx"), str(digits)
    assert main(["profile", model, "--data", data, "--samples", "4", "-o", str(folder / "p.json"), "--quiet"]) == 0
    assert main(["quantize", model, "--profile", str(folder / "p.json"), "-o", str(folder / "b.qglow"), "--quiet"]) == 0
    return folder


@dataclass(frozen=True)
class Edit:
    """What is done to the bytes of a file, at parts of its length: small enough to be shown where a test fails."""

    kind: str
    places: list[float]
    data: bytes

    def of(self, whole: bytes) -> bytes:
        """The bytes cut short, with some replaced, with a part put in again elsewhere, or other bytes altogether."""
        at = [int(p * len(whole)) for p in self.places]
        if self.kind == "random":
            return self.data * 3
        if self.kind == "cut":
            return whole[: at[0]]
        if self.kind == "copy":
            a, b = sorted(at[:2])
            return whole[: at[2]] + whole[a:b] + whole[at[2] :]
        changed = bytearray(whole)
        for place, value in zip(at, self.data, strict=False):
            changed[min(place, len(whole) - 1)] = value
        return bytes(changed)


KINDS = st.sampled_from(("cut", "bytes", "bytes", "copy", "random"))
EDITS = st.builds(Edit, KINDS, st.lists(st.floats(0, 1), min_size=4, max_size=4), st.binary(min_size=1, max_size=60))


def ends_well(arguments: list[str], capfd: pytest.CaptureFixture[str]) -> None:
    capfd.readouterr()
    code = main(arguments)
    error = capfd.readouterr().err
    assert code in (0, 1, 2) and "internal error" not in error and "Traceback" not in error, error
    assert code == 0 or len([line for line in error.splitlines() if line.startswith("qglow: ")]) == 1


@FEW
@given(edit=EDITS)
def test_profiles(edit: Edit, made: Path, capfd: pytest.CaptureFixture[str]) -> None:
    path = made / "spoiled.json"
    path.write_bytes(edit.of((made / "p.json").read_bytes()))
    ends_well(["quantize", str(made / "model.onnx"), "--profile", str(path), "-o", str(made / "x.qglow")], capfd)


@FEW
@given(data=st.data())
def test_fields_of_profiles(data: st.DataObject, made: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """One value of the JSON, anywhere, becomes another."""
    raw = json.loads((made / "p.json").read_text())
    where, key = raw, "tensors"
    while isinstance(where[key], (dict, list)) and where[key] and data.draw(st.integers(0, 3)):
        where = where[key]
        key = data.draw(st.sampled_from(sorted(where) if isinstance(where, dict) else range(len(where))))
    strange = st.one_of(
        st.none(),
        st.booleans(),
        st.integers(-(2**70), 2**70),
        st.floats(),
        st.text(max_size=5),
        st.just([]),
        st.just({}),
    )
    where[key] = data.draw(strange)
    path = made / "spoiled.json"
    path.write_text(json.dumps(raw))
    ends_well(["quantize", str(made / "model.onnx"), "--profile", str(path), "-o", str(made / "x.qglow")], capfd)


@FEW
@given(edit=EDITS)
def test_models(edit: Edit, made: Path, digits: Path, capfd: pytest.CaptureFixture[str]) -> None:
    path = made / "spoiled.onnx"
    path.write_bytes(edit.of((made / "model.onnx").read_bytes()))
    ends_well(["profile", str(path), "--data", str(digits), "--samples", "1", "-o", str(made / "x.json")], capfd)


@FEW
@given(edit=EDITS)
def test_bundles(edit: Edit, made: Path, digits: Path, capfd: pytest.CaptureFixture[str]) -> None:
    path = made / "spoiled.qglow"
    path.write_bytes(edit.of((made / "b.qglow").read_bytes()))
    ends_well(["run", str(path), "--data", str(digits), "--samples", "1"], capfd)


def array_bytes(write: Callable[..., None]) -> bytes:
    buffer = io.BytesIO()
    image = np.arange(64, dtype=np.float32).reshape(1, 1, 8, 8)
    write(buffer, image=image) if write is np.savez else write(buffer, image)
    return buffer.getvalue()


@FEW
@pytest.mark.parametrize(("name", "write"), [("a.npy", np.save), ("a.npz", np.savez)])
@given(edit=EDITS)
def test_arrays(
    name: str, write: Callable[..., None], edit: Edit, made: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    folder = made / f"data-{name}"
    folder.mkdir(exist_ok=True)
    (folder / name).write_bytes(edit.of(array_bytes(write)))
    ends_well(["run", str(made / "b.qglow"), "--data", str(folder)], capfd)
    if write is np.save:
        ends_well(["run", str(made / "b.qglow"), "--input", f"image={folder / name}"], capfd)


@FEW
@given(data=st.data())
def test_descriptions_of_pictures(data: st.DataObject, made: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """A dataset.toml of changed bytes, or with one field of another value."""
    folder = made / "pictures"
    folder.mkdir(exist_ok=True)
    Image.fromarray(np.arange(120, dtype=np.uint8).reshape(10, 12)).save(folder / "a.png")
    values = st.sampled_from(
        ["0", "-1", "8", "99999999", "1e300", "nan", "true", '"x"', "[]", "[8]", "[8, 8]", "[8, 8, 8]", "[[8]]", "{}"]
    )
    field = st.builds(
        lambda k, v: re.sub(rf"{k} = .*", f"{k} = {v}", TOML), st.sampled_from(re.findall(r"(\w+) =", TOML)), values
    )
    (folder / "dataset.toml").write_bytes(
        data.draw(st.one_of(EDITS.map(lambda e: e.of(TOML.encode())), field.map(str.encode)))
    )
    ends_well(["run", str(made / "b.qglow"), "--data", str(folder)], capfd)


HOSTILE = """
import resource, sys
resource.setrlimit(resource.RLIMIT_AS, (8 << 30, 8 << 30))
import numpy as np
import qglow
for path in sys.argv[2:]:
    print(path, flush=True)
    try:
        qglow.InferenceSession(path, 1).run(None, {"image": np.load(sys.argv[1])})
    except qglow.QGlowError:
        pass
print("all")
"""


def test_bundles_with_another_graph_do_no_harm(made: Path, digits: Path, tmp_path: Path) -> None:
    """Numbers, names and operators of the graph's text are exchanged: what passes the verifier runs in its memory, or
    is refused."""
    with safe_open(made / "b.qglow", framework="numpy") as file:
        metadata, constants = file.metadata(), {k: file.get_tensor(k) for k in file.keys()}  # noqa: SIM118
    text = metadata["graph"]
    numbers, names, ops = (
        [m.span() for m in re.finditer(p, text)] for p in (r"-?\d+(?:\.\d+)?", r"%[\w./:-]+", r"(?<== )\w+(?=\()")
    )
    rng = np.random.default_rng(0)
    paths = []
    for k in range(150):
        start, stop = (numbers, numbers, names, ops)[k % 4][rng.integers(len((numbers, numbers, names, ops)[k % 4]))]
        new = str(rng.choice([0, 1, -1, 3, 7, 255, 1000, 10**6, 2**31, 2**63, 0.5, 1e-30]))
        if k % 4 >= 2:
            other = (names, ops)[k % 4 - 2]
            a, b = other[rng.integers(len(other))]
            new = text[a:b]
        paths.append(tmp_path / f"{k}.qglow")
        paths[-1].write_bytes(save(constants, {**metadata, "graph": text[:start] + new + text[stop:]}))
    command = [sys.executable, "-W", "ignore", "-c", HOSTILE, str(digits / "000.npy"), *map(str, paths)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=1800)
    assert done.stdout.endswith("all\n"), (
        f"exit {done.returncode} after {done.stdout.splitlines()[-1:]}: {done.stderr[-500:]}"
    )
