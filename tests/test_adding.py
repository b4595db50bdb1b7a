"""What docs/adding_an_op.md says of adding things: in a copy of the package, the lines of its table are all that is
written, and what was added is declared, verified, lowered, evaluated and named by a kernel."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import qglow

PACKAGE = Path(qglow.__file__).parent
PAGE = PACKAGE.parent / "docs" / "adding_an_op.md"
COMMON = """
import numpy as np
import qglow
from qglow.graph import DType, Graph, Node, Quant, TensorType
from qglow.instructions.lower import lower
from qglow.kernels.table import KERNELS
from qglow.reference import evaluate

rng = np.random.default_rng(3)

def kinds(graph):
    '''The kinds of its instructions; on them it gives the bits of the reference.'''
    session = qglow.InferenceSession(graph, 1, backend="interpreter")
    feeds = {n: draw(graph.types[n]) for n in graph.inputs}
    for got, name in zip(session.run(None, feeds), graph.outputs):
        assert np.array_equal(got, evaluate(graph, feeds)[name])
    return [step.kind for step in lower(graph, "avx2").steps]

def draw(t):
    shape = t.static_shape
    return rng.integers(0, 256, shape).astype(np.uint8) if t.quant else rng.normal(0, 2, shape).astype(np.float32)

def of(op, *types):
    names = (*"ab"[: len(types) - 1], "y")
    node = Node(op, names[:-1], names[-1:], {}, "added")
    return Graph("adding", names[:-1], names[-1:], (node,), dict(zip(names, types)))

real = TensorType(DType.F32, (4, 70))
def u8(scale, zero):
    return TensorType(DType.U8, (4, 70), Quant.per_tensor(scale, zero))
"""
CHECKS = {
    "function of one number": """
from qglow.instructions.table import FLOAT_UNARY
from qglow.kernels.floats import FUNCTIONS
from qglow.ops import has
from qglow.ops.traits import FUSIBLE
assert set(FUNCTIONS) == set(FLOAT_UNARY) >= {"Cube"}
assert kinds(of("Cube", real, real)) == ["float_unary"]
assert has("Cube", FUSIBLE)  # so it becomes a table where its input is int8, as the example on the page shows
""",
    "function of two tensors": """
from importlib import import_module
pairs = import_module("qglow.kernels.pairs")
assert all(getattr(pairs, k.function.partition(".")[2]) for k in KERNELS.values() if k.instruction.endswith("larger"))
assert {"larger", "larger.one", "int16_larger", "int16_larger.one_bytes"} <= KERNELS.keys()
assert kinds(of("Larger", u8(0.1, 20), u8(0.03, 100), u8(0.07, 9))) == ["larger"]
assert kinds(of("Larger", real, real, real)) == ["float_binary"]
""",
    "rewrite": """
from qglow.simplify import simplify
nodes = (Node("Neg", ("a",), ("n",), {}, "n"), Node("Neg", ("n",), ("y",), {}, "y"))
graph = Graph("g", ("a",), ("z",), (*nodes, Node("Exp", ("y",), ("z",), {}, "z")), dict.fromkeys("anyz", real))
assert [n.op for n in simplify(graph).nodes] == ["Exp"]
""",
    "kernel row": """
from qglow.kernels.table import kernel_of
graph = of("MaxPool", *(TensorType(DType.U8, s, Quant.per_tensor(0.1, 3)) for s in ((1, 96, 8, 8), (1, 96, 4, 4))))
node = graph.nodes[0].with_(attributes={"kernel_shape": (2, 2), "strides": (2, 2)})
steps = lower(graph.with_(nodes=(node,)), "avx2").steps
assert [kernel_of(s, "avx2").name for s in steps if s.kind == "max_pool2d"] == ["max_pool2d.square"]
""",
    "target": """
from qglow.targets import target
assert target("avx2_wide").pixels == 5
assert kinds(of("Relu", real, real)) == ["float_unary"]
lower(of("Relu", real, real), "avx2_wide")
""",
}


def diffs() -> dict[str, list[tuple[str, str, str]]]:
    """The diffs of the page: of each heading, (file, line, the line behind which it comes)."""
    found: dict[str, list[tuple[str, str, str]]] = {}
    for name, text in re.findall(r"^Adding an? (.*?):\n\n```diff\n(.*?)^```", PAGE.read_text(), re.M | re.S):
        path = before = ""
        for line in text.splitlines():
            if line.startswith("+++ "):
                path = line[4:]
            elif line.startswith("+"):
                found.setdefault(name, []).append((path, line[1:], before))
                before = line[1:]
            else:
                before = line[1:]
    return found


@pytest.mark.parametrize("name", CHECKS)
def test_all_that_is_written_is_on_the_page(name: str, tmp_path: Path) -> None:
    shutil.copytree(PACKAGE, tmp_path / "qglow", ignore=shutil.ignore_patterns("__pycache__", "objects"))
    for path, line, before in diffs()[name]:
        file = tmp_path / path
        if not before:
            file.write_text((file.read_text() if file.exists() else "") + line + "\n")
            continue
        text = file.read_text()
        assert text.count(before + "\n") == 1, f"{path}: {before}"
        file.write_text(text.replace(before + "\n", f"{before}\n{line}\n"))
    done = subprocess.run(
        [sys.executable, "-c", COMMON + CHECKS[name]], cwd=tmp_path, capture_output=True, text=True, timeout=1800,
        env={k: v for k, v in os.environ.items() if not k.startswith("QGLOW_")} | {"PYTHONPATH": str(tmp_path)},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-2000:]


def test_the_page_has_a_diff_of_each() -> None:
    assert diffs().keys() == CHECKS.keys()
