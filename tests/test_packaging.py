"""What the package promises to those who install it: typed, a version, dependencies that are declared."""

from __future__ import annotations

import ast
import os
import shutil
import subprocess
import sys
import tomllib
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

import qglow
from qglow.commands.main import COMMANDS
from qglow.targets import HOST, TARGETS, Target, has

ROOT = Path(__file__).resolve().parent.parent
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
OPTIONAL = {"openvino": "peers", "nncf": "peers", "dask": "dask", "distributed": "dask"}
DISTRIBUTIONS = {"PIL": "pillow"}


def test_is_typed_and_every_public_name_loads() -> None:
    assert (ROOT / "qglow" / "py.typed").is_file()
    for name in qglow.__all__:
        assert getattr(qglow, name) is not None


def test_a_wheel_carries_every_file_that_is_no_module() -> None:
    carried = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]["package-data"]["qglow"]
    listed = subprocess.run(["git", "ls-files", "qglow"], cwd=ROOT, capture_output=True, text=True).stdout.split()
    found = {f.removeprefix("qglow/") for f in listed if not f.endswith(".py")}
    assert not listed or found == set(carried)


def test_every_command_is_a_module() -> None:
    assert PROJECT["scripts"] == {"qglow": "qglow.commands.main:main"}
    for name in COMMANDS:
        assert (ROOT / "qglow" / "commands" / f"{name}.py").is_file()


def test_every_import_is_a_declared_dependency() -> None:
    declared = {d.split(">")[0].split("[")[0].strip() for d in PROJECT["dependencies"]}
    for path in (ROOT / "qglow").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            names = [a.name for a in node.names] if isinstance(node, ast.Import) else []
            if isinstance(node, ast.ImportFrom) and not node.level and node.module:
                names = [node.module]
            for top in {n.split(".")[0] for n in names} - set(sys.stdlib_module_names) - {"qglow"}:
                assert top in OPTIONAL or DISTRIBUTIONS.get(top, top) in declared, (
                    f"{path}: {top} is not declared in pyproject.toml"
                )


def test_carried_data_says_its_origin() -> None:
    for folder in (ROOT / "calibration_data").iterdir():
        assert "CC BY" in (folder / "README.md").read_text()


def test_demo_runs_from_an_installed_wheel(tmp_path: Path) -> None:
    """A wheel is built from a copy of the project's files, unpacked elsewhere, and runs with no checkout around."""
    source, installed = tmp_path / "source", tmp_path / "installed"
    ignore = shutil.ignore_patterns("__pycache__")
    for name in ("qglow", "calibration_data"):
        shutil.copytree(ROOT / name, source / name, ignore=ignore)
    for name in ("pyproject.toml", "setup.py", "README.md", "MANIFEST.in"):
        shutil.copy(ROOT / name, source / name)
    build = [sys.executable, "setup.py", "-q", "build", "--build-lib", str(installed)]
    subprocess.run(build, cwd=source, check=True, capture_output=True)
    shutil.rmtree(source)
    environment = {**os.environ, "PYTHONPATH": str(installed)}
    command = [sys.executable, "-m", "qglow", "demo", "--quiet", "--output", str(tmp_path / "out")]
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "Top-1 accuracy" in done.stdout and (tmp_path / "out" / "report.html").is_file()


def copied(folder: Path) -> Path:
    """A copy of the files that an installation is made of."""
    for name in ("qglow", "calibration_data", "tools"):
        shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("pyproject.toml", "setup.py", "README.md", "MANIFEST.in"):
        shutil.copy(ROOT / name, folder / name)
    return folder


def test_a_folder_of_its_name_does_not_shadow_an_editable_install(tmp_path: Path) -> None:
    """Beside the clone, which is such a folder, Python takes the package and no namespace."""
    source, site = copied(tmp_path / "qglow"), tmp_path / "site"
    site.mkdir()
    build = f"import sys; sys.path.insert(0, 'tools'); import build_backend as b; b.build_editable({str(site)!r})"
    subprocess.run([sys.executable, "-c", build], cwd=source, check=True, capture_output=True)
    (wheel,) = site.iterdir()
    with zipfile.ZipFile(wheel) as file:
        file.extractall(site)
    seen = f"import site, importlib.util as u; site.addsitedir({str(site)!r}); print(u.find_spec('qglow').origin)"
    environment = {k: v for k, v in os.environ.items() if k != "PYTHONPATH"}
    for place in (tmp_path, source, source / "qglow"):
        command = [sys.executable, "-S", "-c", seen]
        found = subprocess.run(command, cwd=place, env=environment, capture_output=True, text=True)
        assert Path(found.stdout.strip()) == source / "qglow" / "__init__.py", found.stderr


@pytest.mark.parametrize(("given", "expected"), [
    (None, lambda rows: [next(r.name for r in rows if not r.on_request and has(r.name))]),
    ("all", lambda rows: [r.name for r in rows if r.architecture == HOST]),
    ("none", lambda rows: []),
    ("generic, avx2", lambda rows: ["generic", "avx2"]),
])  # fmt: skip
def test_a_wheel_carries_the_kernels_of_this_machine_or_those_asked_for(
    given: str | None, expected: Callable[[list[Target]], list[str]]
) -> None:
    code = "import setuptools; setuptools.setup = lambda **_: None; import setup; print(*setup.wanted_sets())"
    environment = {k: v for k, v in os.environ.items() if k not in ("QGLOW_WHEEL_KERNELS", "QGLOW_ISA")}
    if given is not None:
        environment["QGLOW_WHEEL_KERNELS"] = given
    found = subprocess.run([sys.executable, "-c", code], cwd=ROOT, env=environment, capture_output=True, text=True)
    assert found.stdout.split() == expected(list(TARGETS.values())), found.stderr
