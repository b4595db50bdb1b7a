"""Backends: native kernels and the interpreter give the bits of the reference; the interpreter needs no compiler."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

import qglow
from qglow.commands.main import main
from qglow.errors import ConfigError, KernelError
from qglow.reference import evaluate, retype
from qglow.runtime.backends import BACKENDS
from qglow.runtime.interpreted import InterpretedPlan
from qglow.runtime.step_profile import time_steps
from qglow.targets import TARGETS

RNG = np.random.default_rng(11)


def value(name: str, kind: int, *shape: int | str) -> onnx.ValueInfoProto:
    return helper.make_tensor_value_info(name, kind, shape)


def data_dependent() -> onnx.ModelProto:
    """A product, then the places of its large values: a shape that depends on data; then a branch and another
    product.
    """
    nodes = [
        helper.make_node("MatMul", ["x", "w"], ["m"]), helper.make_node("Relu", ["m"], ["r"]),
        helper.make_node("NonZero", ["r"], ["places"]), helper.make_node("Transpose", ["r"], ["t"], perm=[1, 0]),
        helper.make_node("MatMul", ["t", "r"], ["p"]), helper.make_node("ReduceSum", ["p"], ["s"], keepdims=0),
        helper.make_node("Greater", ["s", "limit"], ["large"]),
        helper.make_node("If", ["large"], ["y"], then_branch=branch("then", "Neg"), else_branch=branch("else", "Exp")),
    ]  # fmt: skip
    weights = RNG.normal(size=(6, 8)).astype(np.float32)
    constants = [numpy_helper.from_array(weights, "w"), numpy_helper.from_array(np.float32(20), "limit")]
    outputs = [value("y", TensorProto.FLOAT, 8, 8), value("places", TensorProto.INT64, 2, "k")]
    graph = helper.make_graph(nodes, "g", [value("x", TensorProto.FLOAT, "n", 6)], outputs, constants)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)


def branch(name: str, op: str) -> onnx.GraphProto:
    y = f"{name}_y"
    return helper.make_graph([helper.make_node(op, ["p"], [y])], name, [], [value(y, TensorProto.FLOAT, 8, 8)])


@pytest.fixture(scope="module")
def digits_bundle(tmp_path_factory: pytest.TempPathFactory) -> tuple[qglow.Bundle, Path, np.ndarray]:
    folder = Path(__file__).resolve().parents[2] / "calibration_data" / "digits"
    model, x = folder / "model.onnx", np.random.default_rng(3).normal(size=(5, 1, 8, 8)).astype(np.float32)
    bundle = qglow.quantize(model, qglow.profile(model, folder))
    path = tmp_path_factory.mktemp("bundle") / "digits.qglow"
    bundle.save(path)
    return bundle, path, x


def run(bundle: Any, feeds: dict[str, np.ndarray], backend: str, threads: int = 1) -> list[np.ndarray]:
    session = qglow.InferenceSession(bundle, threads, backend=backend)
    assert session.backend == backend and f"backend={backend!r}" in repr(session)
    return session.run(None, feeds)


@pytest.mark.parametrize("isa", TARGETS)
def test_the_interpreter_has_the_bits_of_the_reference_for_every_target(
    isa: str, digits_bundle: tuple[qglow.Bundle, Path, np.ndarray], monkeypatch: pytest.MonkeyPatch
) -> None:
    bundle, _, x = digits_bundle
    graph = bundle.graph
    feeds = {graph.inputs[0]: x}
    monkeypatch.setenv("QGLOW_ISA", isa)  # NOTE: neither this CPU nor QGLOW_EMULATE need to know of it
    want = evaluate(retype(graph, {graph.inputs[0]: x.shape}), feeds)
    for a, name in zip(run(bundle, feeds, "interpreter"), graph.outputs, strict=True):
        assert a.dtype == want[name].dtype and np.array_equal(a, want[name])


def test_backends_agree_where_shapes_and_branches_depend_on_data() -> None:
    samples = [{"x": RNG.normal(size=(n, 6)).astype(np.float32)} for n in (4, 4, 4, 4)]
    model = data_dependent()
    bundle = qglow.quantize(model, qglow.profile(model, samples))
    sessions = {b: qglow.InferenceSession(bundle, backend=b) for b in BACKENDS}
    for feeds in (*samples, {"x": np.zeros((2, 6), np.float32)}, {"x": RNG.normal(size=(9, 6)).astype(np.float32)}):
        native, interpreted = (s.run(None, feeds) for s in sessions.values())
        assert all(a.dtype == b.dtype and np.array_equal(a, b) for a, b in zip(native, interpreted, strict=True))


def test_results_are_the_callers(digits_bundle: tuple[qglow.Bundle, Path, np.ndarray]) -> None:
    bundle, _, x = digits_bundle
    session = qglow.InferenceSession(bundle, backend="interpreter")
    name = bundle.graph.inputs[0]
    first = session.run(None, {name: x})
    kept = [a.copy() for a in first]
    second = session.run(None, {name: -x})
    assert not any(np.array_equal(a, b) for a, b in zip(first, second, strict=True))
    for a in first:
        a[...] = 0
    assert all(np.array_equal(a, b) for a, b in zip(session.run(None, {name: x}), kept, strict=True))


def test_steps_are_timed_on_both(digits_bundle: tuple[qglow.Bundle, Path, np.ndarray]) -> None:
    bundle, _, x = digits_bundle
    found = []
    for backend in BACKENDS:
        session = qglow.InferenceSession(bundle, 1, backend=backend)
        steps = time_steps(session, {bundle.graph.inputs[0]: x}, 2)
        assert all(s.seconds > 0 for s in steps)
        found.append([(s.kind, s.name, s.host, s.ops, s.shape) for s in steps])
    assert found[0] == found[1]


def test_the_interpreter_needs_no_compiled_kernel(digits_bundle: tuple[qglow.Bundle, Path, np.ndarray]) -> None:
    """In a process that can import neither numba nor LLVM, and whose kernels cannot be had."""
    _, path, _ = digits_bundle
    code = f"""
import sys
sys.modules["numba"] = sys.modules["llvmlite"] = None
import numpy as np, qglow
from qglow.errors import KernelError
from qglow.kernels import objects
def none(*_, **__): raise KernelError("no kernels here")
objects.find = objects.ensure = objects.build = none
feeds = None
for backend in ("interpreter", "native"):
    session = qglow.InferenceSession({str(path)!r}, backend=backend)
    x = np.ones([d if isinstance(d, int) else 2 for d in session.get_inputs()[0].shape], np.float32)
    try:
        print(backend, session.run(None, {{session.get_inputs()[0].name: x}})[0].shape)
    except KernelError as error:
        print(backend, error)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.stdout.splitlines() == ["interpreter (2, 10)", "native no kernels here"], done.stdout + done.stderr


def test_unknown_backends_are_refused(
    digits_bundle: tuple[qglow.Bundle, Path, np.ndarray],
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    bundle, path, _ = digits_bundle
    for name in ("gpu", "", None, 3, ["native"]):
        with pytest.raises(ConfigError, match="known are native, interpreter"):
            qglow.InferenceSession(bundle, backend=name)  # type: ignore[arg-type]
    assert main(["run", str(path), "--data", "nowhere", "--backend", "gpu"]) == 2
    said = capsys.readouterr().err
    assert said.count("\n") == 1 and "native" in said and "interpreter" in said
    monkeypatch.setenv("QGLOW_ISA", "sse9")
    with pytest.raises(KernelError, match="known are"):
        run(bundle, {bundle.graph.inputs[0]: np.ones((1, 1, 8, 8), np.float32)}, "interpreter")


def test_commands_take_a_backend(
    digits_bundle: tuple[qglow.Bundle, Path, np.ndarray],
    digits: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    _, path, _ = digits_bundle
    made = {}
    for backend in BACKENDS:
        out = tmp_path / f"{backend}.npz"
        assert (
            main(
                [
                    "run",
                    "--quiet",
                    str(path),
                    "--data",
                    str(digits),
                    "--samples",
                    "3",
                    "-o",
                    str(out),
                    "--backend",
                    backend,
                ]
            )
            == 0
        )
        made[backend] = np.load(out)
    native, interpreted = made.values()
    assert native.files == interpreted.files and all(np.array_equal(native[n], interpreted[n]) for n in native.files)
    model = str(digits / "model.onnx")
    assert main(["report", model, str(path), "--data", str(digits), "--samples", "2", "--backend", "interpreter"]) == 0
    assert main(["bench", str(path), "--seconds", "0.05", "--per-layer", "--backend", "interpreter"]) == 0
    assert "conv2d" in capsys.readouterr().out


def test_a_program_of_another_machine_is_held_to_its_memory(
    digits_bundle: tuple[qglow.Bundle, Path, np.ndarray],
) -> None:
    """The interpreter's executable is proven before it runs, as the native one."""
    from qglow.errors import VerifyError
    from qglow.instructions.lower import lower
    from qglow.instructions.program import Instruction

    bundle, _, x = digits_bundle
    program = lower(retype(bundle.graph, {bundle.graph.inputs[0]: x.shape}), "generic")
    assert InterpretedPlan(program).nbytes >= program.arena_size
    k, step = next((k, s) for k, s in enumerate(program.steps) if isinstance(s, Instruction) and s.kind == "conv2d")
    wide = step._replace(fields={**step.fields, "y_n": 1 << 40})
    program = program._replace(steps=(*program.steps[:k], wide, *program.steps[k + 1 :]))
    with pytest.raises(VerifyError):
        InterpretedPlan(program)
