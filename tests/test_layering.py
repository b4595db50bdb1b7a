"""Imports go one way, and foreign libraries stop at their doors: read from the syntax trees of the package, importing
nothing."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

PACKAGE = Path(__file__).resolve().parent.parent / "qglow"
FILES = sorted(PACKAGE.rglob("*.py"))
BASE = {
    "arguments",
    "errors",
    "files",
    "float_mode",
    "fallback",
    "limits",
    "npz",
    "progress",
    "reading",
    "toml",
    "threads",
}
MAY_IMPORT = {
    "errors": set(),
    "arguments": {"errors"},
    "files": {"arguments", "errors"},
    "limits": {"arguments", "errors"},
    "reading": {"errors", "limits"},
    "npz": {"errors", "files", "limits", "reading"},
    "toml": {"errors", "reading"},
    "float_mode": set(),
    "fallback": set(),
    "progress": {"errors"},
    "threads": set(),
    "ops": set(),
    "graph": BASE | {"ops"},
    "reference": BASE | {"ops", "graph"},
    "onnx_import": BASE | {"ops", "graph", "reference"},
    "simplify": BASE | {"ops", "graph", "reference"},
    "oracle": BASE | {"ops", "graph", "reference", "onnx_import"},
    "profiling": BASE | {"ops", "graph", "reference", "onnx_import", "oracle", "kernels", "runtime"},
    "quantization": BASE | {"ops", "graph", "reference", "simplify", "profiling"},
    "targets": {"errors"},
    "instructions": BASE | {"ops", "graph", "reference", "targets"},
    "kernels": BASE | {"reference", "instructions", "targets"},
    "tuning": BASE | {"instructions", "kernels", "targets"},
    "runtime": BASE | {"ops", "graph", "reference", "simplify", "instructions", "kernels", "tuning", "targets"},
    "report": BASE
    | {"ops", "graph", "reference", "onnx_import", "oracle", "simplify", "profiling", "quantization", "runtime"},
    "checking": BASE | {"ops", "graph", "reference"},
    "onnx_backend": BASE | {"ops", "graph", "pipeline", "runtime"},
    "pipeline": BASE
    | {
        "checking",
        "ops",
        "graph",
        "reference",
        "onnx_import",
        "oracle",
        "simplify",
        "profiling",
        "quantization",
        "instructions",
    }
    | {"runtime", "report"},
}
STAGES = {  # what makes the result of each stage, by the package that holds it: only the pipeline calls them
    "onnx_import": {"qglow.onnx_import.load"},
    "simplify": {"qglow.simplify.simplify", "qglow.simplify.assume_branches.assume_branches"},
    "profiling": {"qglow.profiling.record", "qglow.profiling.interpreter.record"},
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
MOST_LINES, MOST_PARAMETERS = 40, 7
LARGE = {  # functions beyond these, outside of kernels, and why
    "instructions/lower_product.py:depthwise": "one instruction, field by field",
    "instructions/lower_product.py:product_of_two": "one instruction, field by field",
    "instructions/lower_recurrent.py:lstm": "the instructions of a layer, field by field",
    "profiling/interpreter.py:record": "public: what it takes, gives and raises; both passes over the samples in order",
    "quantization/precision_uses.py:find_precision_uses": "one walk over the graph, a case for each kind of node",
    "quantization/qdq.py:strip_qdq": "one walk over the graph, a case for each kind of node",
    "quantization/ranges.py:_mse": "one search, with its source",
    "report/peers.py:onnxruntime_int8": "one call of another library, option by option",
    "report/target.py:reach": "one search, step by step",
    "instructions/lower_product.py:product": "one product of any form: each argument is a field of the instruction",
    "instructions/lower_recurrent.py:cell": "the operands of one instruction",
    "onnx_import/contrib/products.py:scaled_product": "the operands of an op of onnxruntime's, which this composes",
    "ops/movement.py:_moves": "the fields of a declaration, by name",
    "pipeline.py:compare": "public: what a user may choose, by name",
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
}


def imported(path: Path) -> Iterator[str]:
    """Dotted names of every module that a file imports, relative ones resolved."""
    here = ("qglow", *path.relative_to(PACKAGE).with_suffix("").parts)
    if here[-1] == "__init__":
        here = (*here[:-1], "")
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (a.name for a in node.names)
        elif isinstance(node, ast.ImportFrom) and node.level:
            parts = (*here[: -node.level], *(node.module or "").split("."))
            base = ".".join(p for p in parts if p)
            yield from (f"{base}.{a.name}" for a in node.names) if not node.module else (base,)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.module


@pytest.mark.parametrize("path", FILES, ids=lambda p: str(p.relative_to(PACKAGE)))
def test_imports_go_one_way(path: Path) -> None:
    part = path.relative_to(PACKAGE).parts[0].removesuffix(".py")
    for name in imported(path):
        top, _, rest = name.partition(".")
        target = rest.split(".")[0]
        if top == "qglow" and part in MAY_IMPORT and target and target != part and not target.startswith("__"):
            assert target in MAY_IMPORT[part], (
                f"{path.relative_to(PACKAGE)} imports {name}: {part} may import {sorted(MAY_IMPORT[part])}"
            )


def names_imported(path: Path) -> Iterator[str]:
    """Dotted names of what a file imports from modules of the package."""
    here = ("qglow", *path.relative_to(PACKAGE).with_suffix("").parts)
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom):
            base = ".".join((*here[: -node.level], *filter(None, [node.module]))) if node.level else node.module
            yield from (f"{base}.{a.name}" for a in node.names)


@pytest.mark.parametrize("path", FILES, ids=lambda p: str(p.relative_to(PACKAGE)))
def test_no_stage_calls_another(path: Path) -> None:
    package = path.relative_to(PACKAGE).parts[0]
    calls = {name for stage, names in STAGES.items() if stage != package for name in names} & set(names_imported(path))
    assert not calls or package == "pipeline.py", (
        f"{path.relative_to(PACKAGE)} calls {sorted(calls)}: only pipeline.py does"
    )


def test_every_stage_is_called_by_the_pipeline() -> None:
    called = set(names_imported(PACKAGE / "pipeline.py"))
    assert all(names & called for names in STAGES.values())


@pytest.mark.parametrize("path", FILES, ids=lambda p: str(p.relative_to(PACKAGE)))
def test_foreign_libraries_stop_at_their_doors(path: Path) -> None:
    where = path.relative_to(PACKAGE).as_posix()
    for name in imported(path):
        doors = DOORS.get(name.split(".")[0])
        assert doors is None or where.startswith(doors), f"{where} imports {name}: allowed in {doors} only"


def late_imports(path: Path) -> Iterator[tuple[int, str]]:
    """(line, text with the comment above it) of each import within a function."""
    source = path.read_text()
    lines = source.splitlines()
    for function in (n for n in ast.walk(ast.parse(source)) if isinstance(n, ast.FunctionDef | ast.AsyncFunctionDef)):
        inner = (n for n in ast.walk(function) if isinstance(n, ast.Import | ast.ImportFrom))
        for n in inner:
            first = last = n.lineno - 1
            while lines[first - 1].lstrip().startswith("#"):
                first -= 1
            yield n.lineno, "\n".join(lines[first : last + 1])


@pytest.mark.parametrize("path", FILES, ids=lambda p: str(p.relative_to(PACKAGE)))
def test_a_late_import_says_why_it_is_late(path: Path) -> None:
    # the process that compiles them imports numba, and chooses a target before it does
    if path.relative_to(PACKAGE).parts[0] == "kernels":
        return
    for number, line in late_imports(path):
        assert "NOTE: " in line, (
            f"{path.relative_to(PACKAGE)}:{number} imports within a function: at the top, or with its reason: {line}"
        )


@pytest.mark.parametrize("path", FILES, ids=lambda p: str(p.relative_to(PACKAGE)))
def test_modules_are_imported_by_name_in_few_places(path: Path) -> None:
    """Of their own package alone: which layer a name belongs to, the test above does not see."""
    nodes = ast.walk(ast.parse(path.read_text()))
    names = {n.id if isinstance(n, ast.Name) else n.attr for n in nodes if isinstance(n, ast.Name | ast.Attribute)}
    assert not names & {"import_module", "__import__"} or path.relative_to(PACKAGE).as_posix() in BY_NAME


def test_the_reference_does_not_know_onnx() -> None:
    for path in (PACKAGE / "reference").rglob("*.py"):
        assert "onnx_import" not in path.read_text(), path


def large_functions() -> Iterator[str]:
    for path in FILES:
        where = path.relative_to(PACKAGE)
        for f in ast.walk(ast.parse(path.read_text())) if where.parts[0] != "kernels" else ():
            if isinstance(f, ast.FunctionDef | ast.AsyncFunctionDef):
                named = [*f.args.posonlyargs, *f.args.args, *f.args.kwonlyargs]
                count = (
                    len([a for a in named if a.arg not in ("self", "cls")]) + bool(f.args.vararg) + bool(f.args.kwarg)
                )
                if (f.end_lineno or f.lineno) - f.lineno + 1 > MOST_LINES or count > MOST_PARAMETERS:
                    yield f"{where.as_posix()}:{f.name}"


def test_functions_are_small_or_say_why_not() -> None:
    assert not set(large_functions()) - set(LARGE), (
        f"beyond {MOST_LINES} lines or {MOST_PARAMETERS} parameters, without a reason in LARGE"
    )


def test_inference_imports_neither_onnx_nor_numba() -> None:
    heavy = "{'onnx', 'onnxruntime', 'numba'} & set(sys.modules)"
    code = f"import sys, qglow; qglow.InferenceSession; found = {heavy}; print(found); sys.exit(len(found))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=PACKAGE.parent)
    assert done.returncode == 0, done.stdout + done.stderr


def test_no_file_is_named_utils() -> None:
    assert not [p for p in FILES if p.stem in ("utils", "helpers", "misc", "common")]
