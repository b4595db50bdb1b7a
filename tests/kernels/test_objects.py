"""Compiled kernels as files: a wheel carries them and needs no cache, their bytes do not depend on where they are
made."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import time
import zipfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

import qglow
from qglow.commands.main import main
from qglow.errors import KernelError
from qglow.kernels import builder, objects
from qglow.kernels.library import Library, ensure

ROOT = Path(__file__).resolve().parents[2]
SESSION = """
import sys, numpy as np, qglow
from qglow.kernels.library import ensure
session = qglow.InferenceSession(sys.argv[1])
session.run(None, {"image": np.load(sys.argv[2])})
assert not (found := {"numba", "onnx", "platformdirs"} & set(sys.modules)), found
print(ensure())
"""


def python(*arguments: str, cwd: Path, **environment: str) -> str:
    command = [sys.executable, *arguments]
    done = subprocess.run(command, cwd=cwd, env={**os.environ, **environment}, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel of a copy of the project's files, with the generic kernels only, unpacked."""
    folder = tmp_path_factory.mktemp("wheel")
    for name in ("qglow", "calibration_data"):
        shutil.copytree(ROOT / name, folder / "source" / name, ignore=shutil.ignore_patterns("__pycache__", "objects"))
    for name in ("pyproject.toml", "setup.py", "README.md", "MANIFEST.in"):
        shutil.copy(ROOT / name, folder / "source" / name)
    command = ("setup.py", "-q", "bdist_wheel")
    said = python(*command, cwd=folder / "source", QGLOW_WHEEL_KERNELS="generic", PYTHONHASHSEED="1")
    counts = re.findall(r"^qglow: compiling generic: (\d+) of (\d+) kernels", said, re.M)
    assert counts[0][0] == "0" and counts[-1][0] == counts[-1][1] and len(counts) > 2
    (made,) = (folder / "source" / "dist").glob("*.whl")
    assert made.name.split("-")[2:4] == ["py3", "none"] and not made.stem.endswith("-any")
    with zipfile.ZipFile(made) as file:
        file.extractall(folder / "installed")
    shutil.rmtree(folder / "source")
    return folder / "installed"


def test_a_wheel_runs_with_its_own_kernels(wheel: Path, digits: Path, tmp_path: Path) -> None:
    """No cache is made, no compiler is imported."""
    settings = {"PYTHONPATH": str(wheel), "QGLOW_ISA": "generic", "QGLOW_CACHE_DIR": str(tmp_path / "cache")}
    python("-m", "qglow", "demo", "--quiet", "--output", str(tmp_path / "out"), cwd=tmp_path, **settings)
    used = python(
        "-c", SESSION, str(tmp_path / "out" / "digits.qglow"), str(digits / "007.npy"), cwd=tmp_path, **settings
    )
    assert Path(used.strip()).parent == wheel / "qglow" / "kernels" / "objects" and not (tmp_path / "cache").exists()


def test_a_wheel_needs_neither_home_nor_cache(wheel: Path, digits: Path, tmp_path: Path) -> None:
    """And a kernel of the wheel that is not what the wheel was made with is refused."""
    bundle = tmp_path / "digits.qglow"
    qglow.quantize(digits / "model.onnx", qglow.profile(digits / "model.onnx", digits, samples=2)).save(bundle)
    command = [sys.executable, "-c", SESSION, str(bundle), str(digits / "007.npy")]
    kept = {"PYTHONPATH": str(wheel), "QGLOW_ISA": "generic", "HOME": "", "PATH": os.environ["PATH"]}
    done = subprocess.run(command, cwd=tmp_path, env=kept, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert [p.name for p in tmp_path.iterdir()] == ["digits.qglow"]
    (carried,) = (wheel / "qglow" / "kernels" / "objects").iterdir()
    sound = carried.read_bytes()
    try:
        carried.write_bytes(objects.sealed(sound))
        done = subprocess.run(command, cwd=tmp_path, env=kept, capture_output=True, text=True)
        assert done.returncode == 1 and "not the compiled kernels that this package was made with" in done.stderr
    finally:
        carried.write_bytes(sound)


def test_the_same_bytes_wherever_they_are_built(wheel: Path, tmp_path: Path) -> None:
    """In the wheel's folder, and for the tests: another folder, another process, other hashes of names."""
    code = "from qglow.kernels import objects; print(objects.ensure('generic'))"
    built = Path(python("-c", code, cwd=tmp_path, PYTHONPATH=str(ROOT), PYTHONHASHSEED="2").strip())
    (carried,) = (wheel / "qglow" / "kernels" / "objects").iterdir()
    assert carried.name == built.name and carried.read_bytes() == built.read_bytes()


def test_build_says_where_the_kernels_are(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Nobody else may write there."""
    monkeypatch.setenv("QGLOW_CACHE_DIR", str(tmp_path / "cache"))
    made = objects.sealed(b"object")

    def compile_into(handle: int, *_: object) -> None:
        os.ftruncate(handle, os.write(handle, made))

    monkeypatch.setattr(builder, "compile_into", compile_into)
    for said in ("", " (was there)"):
        assert main(["kernels", "build", "--isa", "generic"]) == 0
        (built,) = (tmp_path / "cache").iterdir()
        assert built.stat().st_mode & 0o022 == 0 and (tmp_path / "cache").stat().st_mode & 0o777 == 0o700
        assert capsys.readouterr().out.strip() == f"{built}{said}" and built.read_bytes() == made


def test_the_hash_covers_what_kernels_import() -> None:
    """A kernel is compiled anew when anything changes that its code reads."""
    hashed = {Path(p).relative_to(ROOT).as_posix() for p in objects.sources()}
    assert "qglow/kernels/conv.py" in hashed and "qglow/kernels/objects.py" not in hashed
    for path in map(Path, objects.sources()):
        imported = (
            re.findall(r"^from \.\.(\w+\.\w+) import", path.read_text(), re.M) if path.parent.name == "kernels" else []
        )
        for module in imported:
            assert f"qglow/{module.replace('.', '/')}.py" in hashed, (
                f"{path.name} imports {module}, which the hash leaves out"
            )


def test_list_and_clear(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setenv("QGLOW_CACHE_DIR", str(tmp_path))
    (tmp_path / objects.object_name("avx2")).write_bytes(bytes(2048))
    (tmp_path / "kernels-0.0.1-of-old.o").write_bytes(bytes(1024))
    (tmp_path / "other.txt").write_text("not ours")
    assert main(["kernels", "list"]) == 0
    printed = capsys.readouterr().out
    lines = {line.split()[0]: line for line in printed.splitlines()}
    assert (
        "(2 KiB)" in lines["avx2"]
        and "not compiled yet" in lines["generic"]
        and "also holds 1 of other versions, 1 KiB" in printed
    )
    assert main(["kernels", "clear"]) == 0
    assert "removed 2 files, 3 KiB" in capsys.readouterr().out
    assert [p.name for p in tmp_path.iterdir()] == ["other.txt"]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["build", "--all", "--isa", "avx2"], "either --isa or --all"),
        (["list", "--all"], "belong to `qglow kernels build`"),
        (["build", "--isa", "neon"], "invalid choice: 'neon'"),
        (["remove"], "invalid choice: 'remove'"),
    ],
)
def test_bad_usage(arguments: list[str], words: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["kernels", *arguments]) == 2
    error = capsys.readouterr().err
    assert words in error and error.count("\n") == 1


def test_a_cache_that_cannot_be_written_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("QGLOW_CACHE_DIR", str(tmp_path / "file" / "cache"))
    monkeypatch.setenv("QGLOW_ISA", "generic")
    with pytest.raises(KernelError, match="no place for compiled kernels .* set QGLOW_CACHE_DIR"):
        ensure()


def test_a_build_that_fails_says_its_last_line_and_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(KernelError, match="the no-such-set kernels cannot be built: KeyError: 'no-such-set'"):
        objects.build("no-such-set", tmp_path / "x.o")
    assert not list(tmp_path.iterdir())


def test_a_spoiled_object_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "kernels.o"
    for data in (b"", b"not an object", ensure().read_bytes()[:-1]):
        path.write_bytes(data)
        with pytest.raises(KernelError, match="spoiled; remove them with `qglow kernels clear`"):
            Library(path, "generic")


def test_an_object_that_several_miss_is_built_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("QGLOW_CACHE_DIR", str(tmp_path))
    built: list[Path] = []

    def build(isa: str, path: Path, emulated: bool = False, quiet: bool = False) -> None:
        time.sleep(0.2)
        built.append(path)
        path.write_bytes(objects.sealed(b"object"))

    monkeypatch.setattr(objects, "build", build)
    monkeypatch.setattr(objects, "PACKAGED", tmp_path / "none")
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(objects.ensure, ["generic"] * 4))
    assert len(built) == 1 and set(found) == set(built)
