"""The caller's floating point mode changes no bit of a result, and is the caller's again afterwards."""

from __future__ import annotations

import ctypes
import mmap
import platform
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

import qglow
from qglow.runtime import native

if platform.machine() != "x86_64":
    pytest.skip("sets the mode by an instruction of x86", allow_module_level=True)

USUAL = 0x1F80
MODES = {
    "flush to zero": 0x8000,
    "denormals are zero": 0x0040,
    "down": 0x2000,
    "up": 0x4000,
    "towards zero": 0x6000,
    "all": 0xE040,
}
_PAGE = mmap.mmap(-1, 4096, prot=mmap.PROT_READ | mmap.PROT_WRITE | mmap.PROT_EXEC)
_PAGE.write(bytes([0x0F, 0xAE, 0x17, 0xC3, 0x0F, 0xAE, 0x1F, 0xC3]))  # ldmxcsr [rdi]; ret; stmxcsr [rdi]; ret
_START = ctypes.addressof(ctypes.c_char.from_buffer(_PAGE))
_load, _store = (ctypes.CFUNCTYPE(None, ctypes.c_void_p)(_START + at) for at in (0, 4))


def mode() -> int:
    """The bits of this thread's MXCSR that choose how it computes."""
    word = ctypes.c_uint32()
    _store(ctypes.addressof(word))
    return word.value & 0xFFC0


@contextmanager
def caller_with(bits: int) -> Iterator[None]:
    changed, usual = ctypes.c_uint32(USUAL | bits), ctypes.c_uint32(USUAL)
    _load(ctypes.addressof(changed))
    try:
        yield
        assert mode() == USUAL | bits
    finally:
        _load(ctypes.addressof(usual))


def model() -> onnx.ModelProto:
    """A product, a softmax, an operator that runs on the host, and weights of which some are denormal."""
    rng = np.random.default_rng(0)
    w = rng.normal(0, 0.3, (64, 20)).astype(np.float32)
    w[:, ::5] *= np.float32(1e-39)
    nodes = [
        helper.make_node("MatMul", ["x", "w"], ["h"]),
        helper.make_node("Softmax", ["x"], ["e"], axis=-1),
        helper.make_node("Sin", ["h"], ["s"]),
        helper.make_node("Mul", ["s", "t"], ["y"]),
    ]
    outputs = [helper.make_tensor_value_info(n, TensorProto.FLOAT, s) for n, s in (("y", [4, 20]), ("e", [4, 64]))]
    inputs = [helper.make_tensor_value_info("x", TensorProto.FLOAT, [4, 64])]
    weights = [numpy_helper.from_array(w, "w"), numpy_helper.from_array(np.float32(0.7), "t")]
    graph = helper.make_graph(nodes, "g", inputs, outputs, weights)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)


def samples() -> list[dict[str, np.ndarray]]:
    rng = np.random.default_rng(1)
    return [{"x": rng.normal(0, 25, (4, 64)).astype(np.float32)} for _ in range(4)]


MODEL, SAMPLES = model(), samples()


def same(a: list[np.ndarray], b: list[np.ndarray]) -> bool:
    return all(x.tobytes() == y.tobytes() for x, y in zip(a, b, strict=True))


@pytest.mark.parametrize("bits", MODES.values(), ids=MODES)
@pytest.mark.parametrize("engine", ["native", "reference", "interpreter"])
@pytest.mark.parametrize("threads", [1, 2])
def test_run(bits: int, engine: str, threads: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(native, "SMALL_WORK", 0)
    monkeypatch.setenv("QGLOW_ENGINE", engine)
    x = SAMPLES[0]
    bundle = qglow.quantize(MODEL, qglow.profile(MODEL, SAMPLES), check=False)
    want = qglow.InferenceSession(bundle, threads).run(None, x)
    session = qglow.InferenceSession(bundle, threads, backend=engine if engine == "interpreter" else "native")
    with caller_with(bits):
        assert same(session.run(None, x), want)
        assert same(session.run(None, x), want)
    assert same(session.run(None, x), want)


def changed_by(bits: int, call: Callable[[], bytes]) -> bool:
    want = call()
    with caller_with(bits):
        got = call()
    return got != want


@pytest.mark.parametrize("bits", MODES.values(), ids=MODES)
@pytest.mark.parametrize("engine", ["qglow", "onnxruntime"])
def test_profile(bits: int, engine: str, tmp_path_factory: pytest.TempPathFactory) -> None:
    def call() -> bytes:
        out = tmp_path_factory.mktemp("p") / "p.json"
        qglow.profile(MODEL, SAMPLES, engine=engine).save(out)
        return out.read_bytes()

    assert not changed_by(bits, call)


@pytest.mark.parametrize("bits", MODES.values(), ids=MODES)
def test_quantize_and_compare(bits: int, tmp_path_factory: pytest.TempPathFactory) -> None:
    profile = qglow.profile(MODEL, SAMPLES)

    def call() -> bytes:
        out = tmp_path_factory.mktemp("b") / "b.qglow"
        bundle = qglow.quantize(MODEL, profile)
        bundle.save(out)
        outputs = qglow.compare(MODEL, bundle, SAMPLES).to_dict()["outputs"]
        return out.read_bytes() + repr(outputs).encode()

    assert not changed_by(bits, call)


def test_an_error_leaves_the_callers_mode() -> None:
    session = qglow.InferenceSession(qglow.quantize(MODEL, qglow.profile(MODEL, SAMPLES)), 1)
    with caller_with(MODES["all"]), pytest.raises(qglow.QGlowError):
        session.run(None, {"x": np.zeros((4, 63), np.float32)})
    with caller_with(MODES["all"]), pytest.raises(qglow.QGlowError):
        qglow.profile(MODEL, [{"z": np.zeros((4, 63), np.float32)}])
