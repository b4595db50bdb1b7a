"""Imports go one way: a package imports only what stands above it in docs/layout.md, and foreign libraries stop at their doors."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent / "qglow"
MAY_IMPORT = {
    "graph": set(), "reference": {"graph"}, "onnx_import": {"graph", "reference"}, "simplify": {"graph", "reference"},
    "profiling": {"graph", "reference", "onnx_import"}, "quantization": {"graph", "reference", "simplify", "profiling"},
    "instructions": {"graph", "reference"}, "kernels": {"instructions"},
    "runtime": {"graph", "reference", "instructions", "kernels"},
    "report": {"graph", "reference", "profiling", "runtime", "pipeline"},
}  # fmt: skip
TOP = {"errors", "files", "progress"}
FILES = sorted(p for package in MAY_IMPORT for p in (ROOT / package).glob("*.py"))


def imported(path: Path) -> set[str]:
    """Top-level names under qglow that a file imports."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and node.level == 2:
            found |= {node.module.split(".")[0]} if node.module else {a.name for a in node.names}
        elif isinstance(node, ast.ImportFrom) and node.level == 0 and (node.module or "").startswith("qglow."):
            found.add((node.module or "").split(".")[1])
    return found


@pytest.mark.parametrize("path", FILES, ids=lambda p: f"{p.parent.name}/{p.name}")
def test_imports_go_one_way(path: Path) -> None:
    assert imported(path) - MAY_IMPORT[path.parent.name] - TOP - {path.parent.name} <= {"__version__"}


def test_inference_imports_neither_onnx_nor_numba() -> None:
    code = "import qglow, sys; qglow.InferenceSession; print([m for m in ('onnx', 'onnxruntime', 'numba') if m in sys.modules])"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.strip() == "[]"
