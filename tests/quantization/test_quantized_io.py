"""Bundles with quantized inputs and outputs: the integers of the bundle with floats, quantized by hand."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnx.parser
import onnxruntime
import pytest
from onnx import ModelProto, numpy_helper

import qglow
from qglow.commands.main import main
from qglow.graph import Array
from qglow.graph.quantized_io import with_float_io
from qglow.graph.verify import verify
from qglow.reference import evaluate
from qglow.runtime.native import NativePlan
from qglow.runtime.step_profile import host_steps, plan_of

IOS = {"int8": np.int8, "uint8": np.uint8}
MODELS = {
    "images": """(float[n, 3, 9, 11] x) => (float[n, 8, 9, 11] y)
        { h = Conv<pads = [1, 1, 1, 1]>(x, w)  r = Relu(h)  y = Conv<pads = [1, 1, 1, 1]>(r, v) }""",
    "scores": """(float[n, 3, 9, 11] x) => (float[n, 8] y)
        { h = Conv(x, w)  r = Relu(h)  g = GlobalAveragePool(r)  f = Flatten(g)  y = Softmax(f) }""",
    "read as float too": """(float[n, 3, 9, 11] x) => (float[n, 8, 9, 11] y, float[n, 3, 9, 11] z)
        { h = Conv<pads = [1, 1, 1, 1]>(x, w)  y = Relu(h)  z = Mod<fmod = 1>(x, three) }""",
    "output read within": """(float[n, 3, 9, 11] x) => (float[n, 8, 9, 11] y, float[n, 8, 9, 11] z)
        { h = Conv<pads = [1, 1, 1, 1]>(x, w)  y = Relu(h)  z = Conv<pads = [1, 1, 1, 1]>(y, v) }""",
    "float alone": """(float[n, 3, 9, 11] x) => (float[n, 3, 9, 11] y) { y = Mod<fmod = 1>(x, three) }""",
    "integers beside": """(float[n, 3, 9, 11] x, int64[1] k) => (float[n, 8, 9, 11] y, int64[1] j)
        { h = Conv<pads = [1, 1, 1, 1]>(x, w)  y = Relu(h)  j = Add(k, k) }""",
}


def noise(*shape: int, seed: int = 0) -> Array:
    return np.random.default_rng([seed, *shape]).normal(0, 1, shape).astype(np.float32)


def model(name: str) -> ModelProto:
    text = f'<ir_version: 9, opset_import: ["" : 17]> g {MODELS[name]}'
    made = onnx.parser.parse_model(text)
    arrays = {"w": 0.3 * noise(8, 3, 3, 3), "v": 0.3 * noise(8, 8, 3, 3), "three": np.float32(3)}
    read = {i for n in made.graph.node for i in n.input}
    made.graph.initializer.extend(numpy_helper.from_array(np.asarray(a), n) for n, a in arrays.items() if n in read)
    return made


def samples(name: str, count: int = 4) -> list[dict[str, Array]]:
    beside = {"k": np.array([5])} if name == "integers beside" else {}
    return [{"x": noise(1, 3, 9, 11, seed=k), **beside} for k in range(count)]


def quantized(name: str, **config: Any) -> qglow.Bundle:
    return qglow.quantize(
        model(name), qglow.profile(model(name), samples(name)), qglow.QuantConfig(**config), check=None
    )


def by_hand(array: Array, info: Any) -> Array:
    """QuantizeLinear, as ONNX has it."""
    if info.scale is None:
        return array
    dtype = np.dtype(info.type[7:-1])
    limits = np.iinfo(dtype)
    steps = np.rint(array / np.float32(info.scale)) + info.zero_point
    return np.clip(steps, limits.min, limits.max).astype(dtype)


@pytest.mark.parametrize("name", MODELS)
@pytest.mark.parametrize("io", IOS)
@pytest.mark.parametrize("backend", ["native", "interpreter"])
def test_the_integers_of_the_float_bundle(name: str, io: str, backend: str) -> None:
    bundle = quantized(name, io=io)
    verify(bundle.graph)
    session = qglow.InferenceSession(bundle, 2, backend=backend)
    with_floats = qglow.InferenceSession(quantized(name), 2, backend=backend)
    again = qglow.InferenceSession(bundle.with_float_io(), 2, backend=backend)
    verify(with_float_io(bundle.graph))
    for info in (*session.get_inputs(), *session.get_outputs()):
        assert info.name in "kj" or (info.type == f"tensor({io})" and info.scale and info.zero_point is not None)
    for feeds in samples(name):
        stored = {i.name: by_hand(feeds[i.name], i) for i in session.get_inputs()}
        got = session.run(None, stored)
        # what the integers stand for: of an input that is read as float too, the float bundle knows more
        exact = name not in ("read as float too", "float alone")
        real = {
            i.name: feeds[i.name] if exact or i.scale is None
            else ((stored[i.name].astype(np.int32) - i.zero_point).astype(np.float32) * np.float32(i.scale))
            for i in session.get_inputs()
        }  # fmt: skip
        want, law, back = with_floats.run(None, real), evaluate(bundle.graph, stored), again.run(None, feeds)
        for info, a, b, c in zip(session.get_outputs(), got, want, back, strict=True):
            assert np.array_equal(a, by_hand(b, info)), info.name
            assert np.array_equal(a, law[info.name])
            assert np.array_equal(a, by_hand(c, info))


@pytest.mark.parametrize("io", IOS)
def test_nothing_runs_on_the_host_and_outputs_may_come_directly(io: str) -> None:
    bundle = quantized("images", io=io, float_outputs=False)
    session = qglow.InferenceSession(bundle, 1)
    feeds = {"x": np.zeros((2, 3, 9, 11), IOS[io])}
    assert not host_steps(session, feeds)
    plan = plan_of(session, feeds)
    assert isinstance(plan, NativePlan)
    assert plan._views["x"].flags.c_contiguous, "a kernel turns planes to pixels, not numpy"
    assert [n.op for n in bundle.graph.nodes] == ["Lookup", "Conv", "Conv", *(["Lookup"] if io == "int8" else [])]
    [y] = session.run(None, feeds)
    assert y.dtype == IOS[io]


def test_wide_activations_stay_wide() -> None:
    session = qglow.InferenceSession(quantized("images", io="int8", activations="int16"), 1)
    [x], [y] = session.get_inputs(), session.get_outputs()
    assert (x.type, x.zero_point, y.type, y.zero_point) == ("tensor(int16)", 0, "tensor(int16)", 0)
    with_floats = qglow.InferenceSession(quantized("images", activations="int16"), 1)
    feeds = samples("images")[0]
    assert np.array_equal(
        session.run(None, {"x": by_hand(feeds["x"], x)})[0], by_hand(with_floats.run(None, feeds)[0], y)
    )


def test_floats_are_refused_and_named(tmp_path: Path) -> None:
    session = qglow.InferenceSession(quantized("images", io="int8"), 1)
    with pytest.raises(qglow.QGlowError, match="input 'x': expected int8, got float32"):
        session.run(None, samples("images")[0])


def test_every_batch_and_a_bound_call() -> None:
    bundle = quantized("images", io="int8")
    session, reference = qglow.InferenceSession(bundle, 1), bundle.graph
    for batch in (1, 2, 5):
        x = np.random.default_rng(batch).integers(-128, 128, (batch, 3, 9, 11)).astype(np.int8)
        [want] = session.run(None, {"x": x})
        assert np.array_equal(session.bind([x])()[0], want)
        assert np.array_equal(want, evaluate(reference, {"x": x})["y"])


@pytest.mark.parametrize("io", IOS)
@pytest.mark.parametrize("form", ["qdq", "qoperator"])
def test_exports_take_and_give_integers(tmp_path: Path, io: str, form: str) -> None:
    path, out = tmp_path / "a.qglow", tmp_path / "a.onnx"
    bundle = quantized("images", io=io)
    bundle.save(path)
    assert main(["export", str(path), "--format", form, "-o", str(out)]) == 0
    other = onnxruntime.InferenceSession(out)
    [x], [y] = other.get_inputs(), other.get_outputs()
    assert x.type == y.type == f"tensor({io})"
    ops = [n.op_type for n in onnx.load(out).graph.node]
    assert "Gather" not in ops
    stored = np.random.default_rng(0).integers(0, 100, (1, 3, 9, 11)).astype(IOS[io])
    [theirs], [ours] = other.run(None, {"x": stored}), qglow.InferenceSession(bundle, 1).run(None, {"x": stored})
    assert theirs.dtype == ours.dtype and np.abs(theirs.astype(int) - ours).max() <= 1


def test_a_model_that_came_quantized(tmp_path: Path) -> None:
    path, out = tmp_path / "a.qglow", tmp_path / "a.onnx"
    quantized("images", float_outputs=False).save(path)
    assert main(["export", str(path), "-o", str(out)]) == 0
    bundle = qglow.quantize(out, None, qglow.QuantConfig(io="int8"))
    session, with_floats = qglow.InferenceSession(bundle, 1), qglow.InferenceSession(path, 1)
    [x], [y], feeds = session.get_inputs(), session.get_outputs(), samples("images")[0]
    assert x.type == y.type == "tensor(int8)"
    [got], [want] = session.run(None, {"x": by_hand(feeds["x"], x)}), with_floats.run(None, feeds)
    assert np.array_equal(got, by_hand(want, y))


def test_what_it_costs_is_counted(tmp_path: Path) -> None:
    """The rounding of outputs is in the account of the bundle, and in the report's, which reads floats."""
    profile = qglow.profile(model("scores"), samples("scores", 12))
    found = {}
    for io in ("float", "int8"):
        bundle = qglow.quantize(model("scores"), profile, qglow.QuantConfig(io=io, widen_percent=0))
        found[io] = bundle.manifest["agreement"]["outputs"]["y"]["sqnr_db"]
        report = qglow.compare(model("scores"), bundle, samples("scores", 12)).to_dict()
        found[f"{io} report"] = report["outputs"]["y"]["sqnr_db"]
    assert found["int8"] != found["float"] and found["int8 report"] != found["float report"]
    assert found["int8"] < found["float"] + 0.5 and found["int8 report"] < found["float report"] + 0.5


def test_commands(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    source, data, bundle = tmp_path / "m.onnx", tmp_path / "data", tmp_path / "m.qglow"
    onnx.save(model("images"), source)
    data.mkdir()
    for k, feeds in enumerate(samples("images", 8)):
        np.save(data / f"{k}.npy", feeds["x"])
    assert main(["profile", str(source), "--data", str(data), "-o", str(tmp_path / "p")]) == 0
    quantize = ["quantize", str(source), "--profile", str(tmp_path / "p"), "-o", str(bundle), "--io"]
    assert main([*quantize, "int8"]) == 0
    out = tmp_path / "out.npz"
    assert main(["run", str(bundle), "--data", str(data), "-o", str(out)]) == 0
    [x], session = qglow.InferenceSession(bundle, 1).get_inputs(), qglow.InferenceSession(bundle, 1)
    with np.load(out) as made:
        for k, feeds in enumerate(samples("images", 8)):
            [want] = session.run(None, {"x": by_hand(feeds["x"], x)})
            assert np.array_equal(made[f"{k}.npy/y"], want) and want.dtype == np.int8
    stored = tmp_path / "stored.npy"
    np.save(stored, by_hand(samples("images")[0]["x"], x))
    assert main(["run", str(bundle), "--input", f"x={stored}", "-o", str(out)]) == 0
    for command in (
        ["report", str(source), str(bundle), "--data", str(data), "-o", str(tmp_path / "r.html")],
        ["diff", str(source), str(bundle), "--data", str(data), "--floor-db", "1000", "-o", str(tmp_path / "cut")],
        ["bench", str(bundle), str(source), "--seconds", "0.05"],
        ["bench", str(bundle), "--data", str(data), "--seconds", "0.05"],
        ["inspect", str(bundle)],
    ):
        assert main(command) == 0, capsys.readouterr()
    assert main([*quantize, "int4"]) == 2
