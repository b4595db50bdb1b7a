"""Imports go one way, and foreign libraries stop at their doors: read from the syntax trees of the package, importing
nothing."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path

import pytest

from tools import structure

PACKAGE = Path(__file__).resolve().parent.parent / "qglow"
FILES = sorted(PACKAGE.rglob("*.py"))
BASE = {
    "arguments",
    "cluster",
    "errors",
    "record",
    "files",
    "float_mode",
    "fallback",
    "limits",
    "notebook",
    "npz",
    "progress",
    "reading",
    "toml",
    "threads",
    "words",
}
PIPELINE = BASE | {
    "ops",
    "graph",
    "reference",
    "onnx_import",
    "oracle",
    "simplify",
    "profiling",
    "quantization",
    "instructions",
    "runtime",
    "report",
    "metrics",
}
CALLERS = ("pipeline.py", "quantizing.py")
MAY_IMPORT = {
    "errors": set(),
    "record": set(),
    "arguments": {"errors"},
    "cluster": {"arguments", "errors", "targets", "words"},
    "files": {"arguments", "errors"},
    "limits": {"arguments", "errors"},
    "reading": {"errors", "limits"},
    "npz": {"errors", "files", "limits", "reading", "words"},
    "toml": {"errors", "reading"},
    "float_mode": set(),
    "fallback": {"record"},
    "progress": {"errors"},
    "threads": set(),
    "words": set(),
    "metrics": {"errors", "arguments", "words"},
    "notebook": set(),
    "ops": {"record"},
    "graph": BASE | {"ops"},
    "reference": BASE | {"ops", "graph"},
    "onnx_import": BASE | {"ops", "graph", "reference"},
    "simplify": BASE | {"ops", "graph", "reference"},
    "oracle": BASE | {"ops", "graph", "reference", "onnx_import"},
    "profiling": BASE | {"ops", "graph", "reference", "onnx_import", "oracle", "kernels", "runtime", "targets"},
    "quantization": BASE | {"ops", "graph", "reference", "simplify", "profiling"},
    "targets": {"errors", "record"},
    "instructions": BASE | {"ops", "graph", "reference", "targets"},
    "kernels": BASE | {"reference", "instructions", "targets"},
    "tuning": BASE | {"instructions", "kernels", "targets"},
    "runtime": BASE | {"ops", "graph", "reference", "simplify", "instructions", "kernels", "tuning", "targets"},
    "report": (PIPELINE - {"instructions", "report"}) | {"targets"},
    "checking": BASE | {"ops", "graph", "reference"},
    "onnx_backend": BASE | {"ops", "graph", "pipeline", "runtime"},
    "quantizing": PIPELINE,
    "pipeline": PIPELINE | {"checking", "quantizing"},
}
STAGES = {  # what makes the result of each stage, by the package that holds it: only the pipeline calls them
    "onnx_import": {"qglow.onnx_import.load"},
    "simplify": {"qglow.simplify.simplify", "qglow.simplify.assume_branches.assume_branches"},
    "profiling": {
        "qglow.profiling.record",
        "qglow.profiling.interpreter.record",
        "qglow.profiling.on_cluster.record_on",
    },
    "quantization": {
        "qglow.quantization.run_passes",
        "qglow.quantization.passes.run_passes",
        "qglow.quantization.quantize_graph",
    },
    "report": {
        "qglow.report.compare.compare_samples",
        "qglow.report.target.reach",
        "qglow.report.peer_comparison.time_beside_peers",
    },
}
BY_NAME = {
    "__init__.py": "the public names, each when it is first asked for",
    "commands/main.py": "the command that was given, and no other",
    "instructions/meaning.py": "the meanings of the instructions that a program has",
    "kernels/build.py": "the kernels that the table names",
    "reference/lookup.py": "the functions of the ops that a graph has, as their declarations name them",
}
DOORS = {
    "onnx": ("onnx_import/", "onnx_backend.py"),
    "onnxruntime": ("report/", "oracle/", "profiling/engine_onnxruntime.py", "commands/bench.py"),
    "numba": ("kernels/",),
    "llvmlite": ("kernels/",),
    "dask": ("cluster.py",),
    "distributed": ("cluster.py",),
}


@cache
def imported(path: Path) -> tuple[str, ...]:
    return tuple(_imported(path))


def _imported(path: Path) -> Iterator[str]:
    """Dotted names of every module that a file imports, relative ones resolved."""
    here = ("qglow", *path.relative_to(PACKAGE).with_suffix("").parts)
    if here[-1] == "__init__":
        here = (*here[:-1], "")
    for node in structure.nodes_of(path):
        if isinstance(node, ast.Import):
            yield from (a.name for a in node.names)
        elif isinstance(node, ast.ImportFrom) and node.level:
            parts = (*here[: -node.level], *(node.module or "").split("."))
            base = ".".join(p for p in parts if p)
            yield from (f"{base}.{a.name}" for a in node.names) if not node.module else (base,)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.module


def goes_back(path: Path, name: str) -> bool:
    """Whether a file imports from a package that its own may not import from."""
    part = path.relative_to(PACKAGE).parts[0].removesuffix(".py")
    top, _, rest = name.partition(".")
    target = rest.split(".")[0]
    if top != "qglow" or part not in MAY_IMPORT or not target or target == part or target.startswith("__"):
        return False
    return target not in MAY_IMPORT[part]


def test_imports_go_one_way() -> None:
    assert not [f"{structure.relative(p)} imports {n}" for p in FILES for n in imported(p) if goes_back(p, n)]
    assert goes_back(PACKAGE / "graph" / "graph.py", "qglow.runtime.session")


def names_imported(path: Path) -> Iterator[str]:
    """Dotted names of what a file imports from modules of the package."""
    here = ("qglow", *path.relative_to(PACKAGE).with_suffix("").parts)
    for node in structure.nodes_of(path):
        if isinstance(node, ast.ImportFrom):
            base = ".".join((*here[: -node.level], *filter(None, [node.module]))) if node.level else node.module
            yield from (f"{base}.{a.name}" for a in node.names)


def test_no_stage_calls_another() -> None:
    for path in FILES:
        package = path.relative_to(PACKAGE).parts[0]
        calls = {n for stage, names in STAGES.items() if stage != package for n in names} & set(names_imported(path))
        assert not calls or package in CALLERS, (
            f"{path.relative_to(PACKAGE)} calls {sorted(calls)}: only {' and '.join(CALLERS)} do"
        )


def test_every_stage_is_called_by_the_pipeline() -> None:
    called = {name for caller in CALLERS for name in names_imported(PACKAGE / caller)}
    assert all(names & called for names in STAGES.values())


def test_foreign_libraries_stop_at_their_doors() -> None:
    for path in FILES:
        where = path.relative_to(PACKAGE).as_posix()
        for name in imported(path):
            doors = DOORS.get(name.split(".")[0])
            assert doors is None or where.startswith(doors), f"{where} imports {name}: allowed in {doors} only"


def test_modules_are_imported_by_name_in_few_places() -> None:
    """Of their own package alone: which layer a name belongs to, the test above does not see."""

    def names(path: Path) -> set[str]:
        nodes = structure.nodes_of(path)
        return {n.id if isinstance(n, ast.Name) else n.attr for n in nodes if isinstance(n, ast.Name | ast.Attribute)}

    by_name = {structure.relative(p) for p in FILES if names(p) & {"import_module", "__import__"}}
    assert by_name == set(BY_NAME)


def test_the_reference_does_not_know_onnx() -> None:
    for path in (PACKAGE / "reference").rglob("*.py"):
        assert "onnx_import" not in path.read_text(), path


@pytest.mark.parametrize("listed", structure.LISTS, ids=lambda f: f.__name__)
def test_the_structure_is_as_it_should_be_or_says_why_not(listed: Callable[[], Iterator[structure.Finding]]) -> None:
    assert not [f for f in listed() if not f.reason], "python tools/structure.py lists what is allowed, and why"


@pytest.mark.smoke
def test_a_cycle_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    """And what leads to it or comes from it is not in it."""
    imports = {"qglow.errors": {"qglow.limits"}, "qglow.limits": {"qglow.files"}, "qglow.files": {"qglow.limits"}}
    monkeypatch.setattr(structure, "imports_of", lambda path: imports.get(f"qglow.{path.stem}", set()))
    assert [f.where for f in structure.import_cycles()] == ["qglow.files", "qglow.limits"]


def test_inference_imports_neither_onnx_nor_numba() -> None:
    heavy = "{'onnx', 'onnxruntime', 'numba'} & set(sys.modules)"
    code = f"import sys, qglow; qglow.InferenceSession; found = {heavy}; print(found); sys.exit(len(found))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=PACKAGE.parent)
    assert done.returncode == 0, done.stdout + done.stderr


def test_no_file_is_named_utils() -> None:
    assert not [p for p in FILES if p.stem in ("utils", "helpers", "misc", "common")]
