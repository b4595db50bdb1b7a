"""Targets: a row is all that an instruction set takes, and what a CPU has decides between them."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import qglow
from qglow.errors import KernelError
from qglow.kernels import library, objects
from qglow.reference import evaluate, retype
from qglow.targets import AARCH64, HOST, TARGETS, X86_64, Target, choose, detect, has, target
from qglow.targets.table import table

PACKAGE = Path(qglow.__file__).parent


@pytest.fixture(scope="module")
def digits_graph(digits: Path) -> Any:
    return qglow.quantize(digits / "model.onnx", qglow.profile(digits / "model.onnx", digits)).graph


def agrees(graph: Any, backend: str) -> None:
    feeds = {graph.inputs[0]: np.random.default_rng(5).normal(size=(3, 1, 8, 8)).astype(np.float32)}
    want = evaluate(retype(graph, {n: a.shape for n, a in feeds.items()}), feeds)
    got = qglow.InferenceSession(graph, 1, backend=backend).run(None, feeds)
    assert all(np.array_equal(a, want[n]) for a, n in zip(got, graph.outputs, strict=True))


@pytest.mark.parametrize(
    "change",
    [
        {"lanes": 4}, {"lanes": 4, "vectors": 3, "pixels": 5}, {"lanes": 32, "vectors": 1},
        {"offset": 128, "narrow": False},
        {"step": 16, "vectors": 4}, {"byte_tables": True, "lanes": 16},
    ],
    ids=str,
)  # fmt: skip
def test_one_new_row_is_lowered_packed_and_run(
    change: dict[str, Any], digits_graph: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing but the row knows of it: lowering, packing, the verifiers and the interpreter take all of it from
    there.
    """
    monkeypatch.setitem(TARGETS, "new", TARGETS["avx2"]._replace(name="new", **change))
    monkeypatch.setenv("QGLOW_ISA", "new")
    monkeypatch.setenv("QGLOW_VERIFY", "2")
    agrees(digits_graph, "interpreter")


def test_one_new_row_has_kernels(digits_graph: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """A row that differs from another in its name alone has the same kernels: here they are those."""
    monkeypatch.setitem(TARGETS, "new", TARGETS["generic"]._replace(name="new"))
    monkeypatch.setenv("QGLOW_ISA", "new")
    kept = objects.ensure
    monkeypatch.setattr(objects, "ensure", lambda isa, emulated=False: kept("generic", emulated))
    monkeypatch.setattr(library, "_LOADED", {})
    agrees(digits_graph, "native")
    assert list(library._LOADED) == [("new", False)] and "new" in {line.split()[0] for line in objects.listing()}


def test_a_row_has_one_name() -> None:
    with pytest.raises(ValueError, match="two targets are named avx2"):
        table((*TARGETS.values(), TARGETS["generic"]._replace(name="avx2")))


def test_no_target_is_named_elsewhere() -> None:
    """Whatever differs between targets is said in their table: no other file of the package tells them apart by
    name.
    """
    names = "|".join(n for n in TARGETS if n != "generic")
    allowed = {"targets/table.py"}
    found = []
    for path in sorted(PACKAGE.rglob("*.py")):
        for number, line in enumerate(path.read_text().splitlines(), 1):
            code = line.split("#")[0]
            if path.relative_to(PACKAGE).as_posix() not in allowed and re.search(rf"""["']({names})["']""", code):
                found.append(f"{path.relative_to(PACKAGE)}:{number}: {line.strip()}")
    assert not found, "\n".join(found)


CPUINFO = {
    "x86": "processor\t: 0\n"
    "model name\t: A CPU\nflags\t\t: fpu sse avx2 fma avx512f\n\nprocessor\t: 1\nflags\t\t: none\n",
    "arm": "processor\t: 0\n"
    "BogoMIPS\t: 50.00\nFeatures\t: fp asimd evtstrm asimddp i8mm\nCPU part\t: 0xd40\n\nprocessor\t: 1\n",
}


def test_features_are_read_by_each_architectures_own_name() -> None:
    assert detect.parsed(CPUINFO["x86"])[X86_64.flags].split() == ["fpu", "sse", "avx2", "fma", "avx512f"]
    assert "asimddp" in detect.parsed(CPUINFO["arm"])[AARCH64.flags].split()


@pytest.mark.parametrize(
    ("architecture", "flags", "wanted"),
    [
        (AARCH64, "fp asimd", "generic"), (AARCH64, "fp asimd asimddp", "aarch64_dotprod"),
        (AARCH64, "asimd asimddp i8mm", "aarch64_i8mm"),
        (X86_64, "asimd asimddp i8mm", "generic"), (X86_64, "avx2 fma", "avx2"),
        (X86_64, "avx2 fma avx_vnni", "avx_vnni"),
        (AARCH64, "avx2 fma", "generic"),
    ],
)  # fmt: skip
def test_the_best_that_a_cpu_has_is_chosen(
    architecture: Any, flags: str, wanted: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("QGLOW_ISA", raising=False)
    monkeypatch.setattr(detect, "HOST", architecture)
    monkeypatch.setattr(detect, "cpu_flags", lambda: frozenset(flags.split()))
    monkeypatch.setitem(TARGETS, "generic", TARGETS["generic"]._replace(architecture=architecture))
    assert choose()[0].name == wanted


def test_another_architectures_target_is_refused_by_name(monkeypatch: pytest.MonkeyPatch) -> None:
    other = next(n for n, row in TARGETS.items() if row.architecture != HOST)
    monkeypatch.delenv("QGLOW_EMULATE", raising=False)
    with pytest.raises(KernelError, match=f"this CPU is {HOST.name}, not .*; set QGLOW_EMULATE=1"):
        choose(other)
    assert not has(other)
    monkeypatch.setenv("QGLOW_EMULATE", "1")
    assert choose(other) == (target(other), True)


def test_objects_are_named_after_the_machine_that_runs_them() -> None:
    assert objects.object_name("aarch64_dotprod").endswith("-aarch64_dotprod-linux-aarch64.o")
    assert objects.object_name("aarch64_dotprod", emulated=True).endswith(f"-emulated-linux-{HOST.name}.o")
    row = target("aarch64_dotprod")
    assert (
        row.triple("x86_64-unknown-linux-gnu") == "aarch64-unknown-linux-gnu" == row.triple("aarch64-unknown-linux-gnu")
    )


def test_every_field_of_a_row_is_read_somewhere() -> None:
    text = "\n".join(p.read_text() for p in PACKAGE.rglob("*.py") if p.name != "table.py" or p.parent.name != "targets")
    assert not [f for f in Target._fields if not re.search(rf"\.{f}\b", text)]
