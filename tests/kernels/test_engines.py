"""Compiled kernels equal the reference bit for bit: every instruction set, one to three threads, sizes around every
tile edge."""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np
import pytest
import shared_models
from kernel_targets import KERNEL_TARGETS

import qglow
from qglow.errors import KernelError
from qglow.graph import DType, Graph, GraphBuilder, Node, Quant, TensorType
from qglow.pipeline import float_graph
from qglow.reference import evaluate
from qglow.runtime import InferenceSession, native
from qglow.runtime.native import NativePlan
from qglow.runtime.step_profile import plan_of
from qglow.targets import TARGETS, has

RNG = np.random.default_rng(0)


@pytest.fixture(params=KERNEL_TARGETS)
def isa(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Each instruction set in turn, emulated where this CPU lacks it."""
    monkeypatch.setenv("QGLOW_ISA", request.param)
    monkeypatch.setenv("QGLOW_EMULATE", "1")
    return str(request.param)


@pytest.fixture(autouse=True)
def every_thread_works(monkeypatch: pytest.MonkeyPatch) -> None:
    """Small programs would run on one thread."""
    monkeypatch.setattr(native, "SMALL_WORK", 0)


def u8(*shape: int, scale: float = 0.02, zero: int = 100) -> TensorType:
    return TensorType(DType.U8, shape, Quant.per_tensor(scale, zero))


class Small:
    """A graph of quantized values only: inputs and outputs are u8."""

    def __init__(self, *inputs: TensorType) -> None:
        self.b = GraphBuilder()
        self.inputs = [self.b.fresh(f"x{k}") for k in range(len(inputs))]
        self.b.types |= dict(zip(self.inputs, inputs, strict=True))

    def weights(self, shape: tuple[int, ...], axis: int) -> str:
        t = TensorType(DType.I8, shape, Quant.per_axis(RNG.uniform(1e-3, 1e-2, shape[axis]), axis))
        return self.b.add_constant("w", RNG.integers(-127, 128, shape).astype(np.int8), t)

    def conv(self, x: str, out: TensorType, kernel: tuple[int, int], group: int = 1, **attributes: Any) -> str:
        channels = self.b.types[x].static_shape[1]
        assert out.shape is not None
        w = self.weights((int(out.shape[1]), channels // group, *kernel), 0)
        bias = self.b.add_constant("b", RNG.integers(-3000, 3000, int(out.shape[1])).astype(np.int32))
        return self.b.add("Conv", (x, w, bias), out, "conv", group=group, **attributes)

    def check(self, *outputs: str, host: int = 0) -> None:
        graph = self.b.build("small", self.inputs, outputs)
        feeds = {n: RNG.integers(0, 256, self.b.types[n].static_shape).astype(np.uint8) for n in self.inputs}
        expected = evaluate(graph, feeds)
        for threads in (1, 2, 3):
            check_session(graph, feeds, expected, threads, host)


def check_session(
    graph: Graph, feeds: dict[str, Any], expected: dict[str, Any], threads: int, host: int | None
) -> None:
    session = InferenceSession(graph, threads)
    for _ in range(2):  # a second run finds the arena as the first one left it
        for name, array in zip(graph.outputs, session.run(None, feeds), strict=True):
            assert array.dtype == expected[name].dtype and np.array_equal(array, expected[name]), (
                f"{name} differs on {threads} threads"
            )
    plan = plan_of(session, feeds)
    assert isinstance(plan, NativePlan)
    if host is not None:
        assert sum(isinstance(s, Node) for s in plan._steps) == host


@pytest.mark.parametrize("channels", [1, 3, 4, 5, 16, 33])
@pytest.mark.parametrize("out", [1, 8, 15, 16, 17, 31, 32, 33, 70])
def test_pointwise_convolutions(isa: str, channels: int, out: int) -> None:
    s = Small(u8(2, channels, 3, 5))
    s.check(s.conv("x0", u8(2, out, 3, 5, scale=0.3, zero=7), (1, 1)))


@pytest.mark.parametrize("width", [1, 2, 3, 7, 13, 14, 15, 28, 29])
def test_every_row_width(isa: str, width: int) -> None:
    s = Small(u8(1, 6, 4, width))
    s.check(s.conv("x0", u8(1, 20, 4, width, scale=0.5), (3, 3), pads=(1, 1, 1, 1)))


@pytest.mark.parametrize(
    ("kernel", "attributes", "size"),
    [
        ((3, 3), {"strides": (2, 2), "pads": (1, 1, 1, 1)}, (5, 5)),
        ((7, 7), {"strides": (2, 2), "pads": (3, 3, 3, 3)}, (5, 5)),
        ((3, 3), {"dilations": (2, 2), "pads": (2, 2, 2, 2)}, (10, 9)),
        ((1, 5), {"pads": (0, 2, 0, 2)}, (10, 9)),
        ((5, 1), {"pads": (3, 0, 1, 0), "strides": (1, 2)}, (10, 5)),
        ((2, 2), {"pads": (0, 0, 1, 1)}, (10, 9)),
        ((3, 3), {"group": 3, "pads": (1, 1, 1, 1)}, (10, 9)),
        ((3, 3), {"pads": (1, 1, 1, 1), "qmin": 60, "qmax": 130}, (10, 9)),
    ],
)
def test_convolution_geometry(
    isa: str, kernel: tuple[int, int], attributes: dict[str, Any], size: tuple[int, int]
) -> None:
    s = Small(u8(1, 9, 10, 9))
    s.check(s.conv("x0", u8(1, 21, *size, scale=0.6), kernel, **attributes))


@pytest.mark.parametrize("channels", [1, 5, 15, 16, 17, 32, 40])
@pytest.mark.parametrize("stride", [1, 2])
def test_depthwise(isa: str, channels: int, stride: int) -> None:
    s = Small(u8(1, channels, 9, 11))
    size = (9, 11) if stride == 1 else (5, 6)
    y = s.conv("x0", u8(1, channels, *size, scale=0.2), (3, 3), channels, pads=(1, 1, 1, 1), strides=(stride, stride))
    y2 = s.conv(y, u8(1, channels, *size, scale=0.4), (5, 5), channels, pads=(2, 2, 2, 2))
    s.check(y, y2)


@pytest.mark.parametrize("op", ["Add", "Sub", "Mul"])
@pytest.mark.parametrize("other", [(2, 19, 5, 3), (2, 19, 1, 1), (1, 1, 5, 3)])
def test_binary(isa: str, op: str, other: tuple[int, ...]) -> None:
    s = Small(u8(2, 19, 5, 3), u8(*other, scale=0.03, zero=20))
    out = u8(2, 19, 5, 3, scale=0.05 if op != "Mul" else 0.04, zero=90)
    s.check(s.b.add(op, ("x0", "x1"), out, "y"), s.b.add(op, ("x1", "x0"), out, "z"))


def test_tables_pools_concat_and_resize(isa: str) -> None:
    s = Small(u8(1, 18, 8, 6), u8(1, 5, 8, 6))
    b = s.b
    one = b.add(
        "Lookup", ("x0", b.add_constant("t", RNG.integers(0, 256, 256).astype(np.uint8))), u8(1, 18, 8, 6), "one"
    )
    per = b.add(
        "Lookup",
        (one, b.add_constant("t", RNG.integers(0, 256, (18, 256)).astype(np.uint8))),
        u8(1, 18, 8, 6),
        "per",
        axis=1,
    )
    cat = b.add("Concat", (per, "x1"), u8(1, 23, 8, 6), "cat", axis=1)
    pool = b.add("MaxPool", (cat,), u8(1, 23, 4, 3), "pool", kernel_shape=(3, 3), strides=(2, 2), pads=(1, 1, 1, 1))
    average = b.add(
        "AveragePool",
        (cat,),
        u8(1, 23, 4, 3, scale=0.01),
        "avg",
        kernel_shape=(3, 3),
        strides=(2, 2),
        pads=(1, 1, 1, 1),
    )
    mean = b.add("GlobalAveragePool", (cat,), u8(1, 23, 1, 1, scale=0.01), "mean")
    scales = b.add_constant("scales", np.array([1, 1, 2, 2], np.float32))
    up = b.add(
        "Resize",
        (pool, "", scales),
        u8(1, 23, 8, 6),
        "up",
        coordinate_transformation_mode="asymmetric",
        nearest_mode="floor",
    )
    flat = b.add("Flatten", (mean,), u8(1, 23, scale=0.01), "flat")
    s.check(up, average, flat)


@pytest.mark.parametrize(("m", "k", "n"), [(1, 1, 1), (1, 64, 10), (15, 33, 17), (29, 130, 40)])
def test_matrix_products(isa: str, m: int, k: int, n: int) -> None:
    s = Small(u8(m, k))
    y = s.b.add("MatMul", ("x0", s.weights((k, n), 1)), u8(m, n, scale=0.4), "y")
    z = s.b.add("Gemm", ("x0", s.weights((n, k), 0)), TensorType(DType.F32, (m, n)), "z", transB=1)
    s.check(y, z)


def test_float_borders(isa: str, digits: Any) -> None:
    """Quantize, dequantize and host steps between native ones, on the demo model with one convolution kept float."""
    data = [{"image": np.load(digits / f"{k:03d}.npy")} for k in range(3)]
    bundle = qglow.quantize(
        digits / "model.onnx", qglow.profile(digits / "model.onnx", data), qglow.QuantConfig(exclude=("conv_c",))
    )
    check_session(bundle.graph, data[0], evaluate(bundle.graph, data[0]), 2, None)


LARGE = ("dnsmos_p835_sig_bak_ovr", "superres_modelzoo")


@cache
def quantized(name: str) -> tuple[Graph, Any, Any]:
    """The int8 graph of a model, a sample and its outputs. The exact proof of memory plays every byte of a plan: that
    of float plans of profiles is left to tests of profiles."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("QGLOW_VERIFY", "1")
        patch.delenv("QGLOW_ISA", raising=False)
        graph, data = float_graph(shared_models.path(name)), shared_models.feeds(name, 2)
        bundle = qglow.quantize(graph, qglow.profile(graph, data), {"widen_percent": 0}, check=False)
        return bundle.graph, data[1], evaluate(bundle.graph, data[1])


@pytest.mark.parametrize("name", shared_models.with_made(
    ["squeezenet1.1_imagenet", "cifar10_resnet20", "mlperftiny_vww_mobilenet025", "nanodet_m_320", "yunet_n_320",
     "mobilefacenet", "pfld_landmark", "lprnet", "superres_modelzoo"]))  # fmt: skip
def test_real_models(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    graph, feeds, expected = quantized(name)
    if name in LARGE:
        monkeypatch.setenv("QGLOW_VERIFY", "1")
    for threads in (1, 2):
        check_session(graph, feeds, expected, threads, None)


@pytest.mark.parametrize("name", shared_models.with_made(
    ["cifar10_resnet20", "mlperftiny_vww_mobilenet025", "mobilefacenet", "lprnet"]))  # fmt: skip
def test_real_models_on_every_instruction_set(isa: str, name: str) -> None:
    check_session(*quantized(name), 2, None)


def test_unknown_or_missing_instruction_sets_are_clear_errors(monkeypatch: pytest.MonkeyPatch) -> None:
    from qglow.targets import detect

    monkeypatch.setenv("QGLOW_ISA", "sse9")
    with pytest.raises(KernelError, match="no such instruction set"):
        detect.choose()
    monkeypatch.setattr(detect, "cpu_flags", lambda: frozenset({"avx2", "fma"}))
    monkeypatch.delenv("QGLOW_ISA")
    assert detect.choose()[0].name == "avx2"
    monkeypatch.setenv("QGLOW_ISA", "avx512_vnni")
    with pytest.raises(KernelError, match="this CPU lacks avx512_vnni"):
        detect.choose()
    monkeypatch.setenv("QGLOW_EMULATE", "1")
    assert detect.choose() == (TARGETS["avx512_vnni"], True)


@pytest.mark.parametrize(("channels", "out"), [(3, 8), (16, 33), (5, 32)])
def test_an_emulated_cpu_has_the_same_bits(channels: int, out: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where this CPU has nothing at all: one of the sets that are emulated for other tests as well."""
    from qglow.targets import detect

    isa = next((name for name in KERNEL_TARGETS if not has(name) and not TARGETS[name].tiles), "avx512_vnni")
    monkeypatch.setattr(detect, "cpu_flags", lambda: frozenset())
    monkeypatch.setenv("QGLOW_ISA", isa)
    monkeypatch.setenv("QGLOW_EMULATE", "1")
    assert detect.choose() == (TARGETS[isa], True)
    s = Small(u8(1, channels, 6, 17))
    y = s.conv("x0", u8(1, out, 6, 17, scale=0.3, zero=7), (3, 3), pads=(1, 1, 1, 1))
    s.check(y, s.conv(y, u8(1, out, 6, 17, scale=0.3), (3, 3), out, pads=(1, 1, 1, 1)))


def test_small_work_uses_one_thread(digits: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(native, "SMALL_WORK", 10**6)
    data = [{"image": np.load(digits / "000.npy")}]
    graph = qglow.quantize(digits / "model.onnx", qglow.profile(digits / "model.onnx", data)).graph
    for batch, threads in ((1, 1), (64, 2)):
        session = InferenceSession(graph, 2)
        plan = plan_of(session, {"image": np.repeat(data[0]["image"], batch, 0)})
        assert isinstance(plan, NativePlan) and plan.threads == threads


def test_plain_integers_are_moved_and_not_computed() -> None:
    """A u8 tensor that stands for no real: a pool of it is a host step, a concatenation and a transposition are
    copies."""
    s = Small(TensorType(DType.U8, (1, 4, 6, 5)))
    t = TensorType(DType.U8, (1, 4, 3, 3))
    pool = s.b.add("MaxPool", ("x0",), t, "pool", kernel_shape=(3, 3), strides=(2, 2), pads=(1, 1, 1, 1))
    cat = s.b.add("Concat", (pool, pool), TensorType(DType.U8, (1, 8, 3, 3)), "cat", axis=1)
    s.check(s.b.add("Transpose", (cat,), TensorType(DType.U8, (1, 3, 3, 8)), "y", perm=(0, 2, 3, 1)), host=1)


@pytest.mark.models
def test_model_that_came_quantized_keeps_its_accuracy() -> None:
    """onnxruntime fuses its integer ops, so single steps differ; the class that is chosen must not."""
    import onnxruntime as ort

    path = shared_models.path("shufflenet-v2-12-int8")
    session = InferenceSession(qglow.quantize(path))
    peer = ort.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    data = shared_models.feeds("shufflenet-v2-12-int8", 20)
    same = [session.run(None, f)[0].argmax() == peer.run(None, f)[0].argmax() for f in data]
    assert sum(same) >= 19
