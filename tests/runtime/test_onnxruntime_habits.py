"""Habits of those who know onnxruntime: one program written for it runs on both, and what it prints is compared."""

from __future__ import annotations

import pickle
import threading
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import onnx.parser
import onnxruntime
import pytest

import qglow
from qglow.graph import Array
from qglow.runtime.value_info import ValueInfo


def program(ort: Any, path: str, x: Array) -> tuple[dict[str, Any], dict[str, Array]]:
    """Written for onnxruntime: facts that must be the same on both, and arrays that must be close."""
    options = ort.SessionOptions()
    options.intra_op_num_threads = 1
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_ENABLE_ALL
    options.execution_mode = ort.ExecutionMode.ORT_SEQUENTIAL
    options.add_free_dimension_override_by_name("of no input", 1)
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    assert "CPUExecutionProvider" in ort.get_available_providers() and ort.get_device() == "CPU"
    session = ort.InferenceSession(path, sess_options=options, providers=["CPUExecutionProvider"])
    [given], [made] = session.get_inputs(), session.get_outputs()
    facts = {
        "inputs": (given.name, given.shape, given.type), "outputs": (made.name, made.shape, made.type),
        "providers": session.get_providers(), "provider options": session.get_provider_options(),
        "threads": session.get_session_options().intra_op_num_threads,
        "entry": session.get_session_options().get_session_config_entry("session.intra_op.allow_spinning"),
        "graph": session.get_modelmeta().graph_name, "version": session.get_modelmeta().version,
        "metadata": session.get_modelmeta().custom_metadata_map, "constants": session.get_overridable_initializers(),
    }  # fmt: skip
    feeds, arrays = {given.name: x}, {}
    arrays["all"] = session.run(None, feeds)[0]
    arrays["none named"] = session.run([], feeds, ort.RunOptions())[0]
    arrays["named twice"] = np.stack(session.run(output_names=[made.name, made.name], input_feed=feeds))
    arrays["list"] = session.run([made.name], {given.name: x.tolist()})[0]
    arrays["whole numbers"] = session.run([made.name], {given.name: np.round(x).astype(int).tolist()})[0]
    arrays["no batch"] = session.run(None, {given.name: x[:0]})[0]

    binding, memory = session.io_binding(), np.full((len(x), 10), np.nan, np.float32)
    binding.bind_cpu_input(given.name, x)
    binding.bind_output(made.name, "cpu")
    session.run_with_iobinding(binding)
    arrays["bound"] = binding.copy_outputs_to_cpu()[0]
    binding.bind_input(given.name, "cpu", 0, np.float32, x.shape, x.ctypes.data)
    binding.bind_output(made.name, "cpu", 0, np.float32, memory.shape, memory.ctypes.data)
    session.run_with_iobinding(binding)
    arrays["bound to memory"] = memory

    value = ort.OrtValue.ortvalue_from_numpy(x)
    facts["value"] = value.shape(), value.data_type(), value.device_name(), value.is_tensor(), value.has_value()
    arrays["values"] = session.run_with_ort_values([made.name], {given.name: value})[0].numpy()
    target = ort.OrtValue.ortvalue_from_shape_and_type([len(x), 10], np.float32, "cpu")
    binding.bind_ortvalue_input(given.name, value)
    binding.bind_ortvalue_output(made.name, target)
    session.run_with_iobinding(binding)
    arrays["values bound"], arrays["of the binding"] = target.numpy(), binding.get_outputs()[0].numpy()
    return facts, arrays


@pytest.fixture(scope="module")
def bundle(digits: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("bundle") / "digits.qglow"
    profile = qglow.profile(digits / "model.onnx", digits, 16)
    qglow.quantize(digits / "model.onnx", profile, {"calibration": "minmax"}).save(path)
    return path


@pytest.fixture(scope="module")
def x(digits: Path) -> Array:
    return np.concatenate([np.load(digits / f"{k:03d}.npy") for k in (7, 8)])


def test_a_program_for_onnxruntime_runs_on_a_bundle(bundle: Path, digits: Path, x: Array) -> None:
    wanted, real = program(onnxruntime, str(digits / "model.onnx"), x)
    facts, arrays = program(qglow, str(bundle), x)
    assert facts == wanted
    for name, array in arrays.items():
        assert array.shape == real[name].shape and array.dtype == real[name].dtype, name
        assert np.abs(array - real[name]).max(initial=0) < 0.5, name  # int8 of scores up to 15
    same = ("none named", "list", "bound", "bound to memory", "values", "values bound", "of the binding")
    assert all(np.array_equal(arrays[n], arrays["all"]) for n in same)


def test_types_and_shapes_are_spelled_as_onnxruntime_does() -> None:
    names = ["float", "float16", "double", "int8", "uint8", "int16", "uint16", "int32", "uint32", "int64", "uint64",
             "bool", "string"]  # fmt: skip
    arguments = ", ".join(f"{t}['n', {k % 2 + 1}] v{k}" for k, t in enumerate(names))
    body = "\n".join(f"w{k} = Identity(v{k})" for k in range(len(names)))
    made = ", ".join(f"{t}['n', {k % 2 + 1}] w{k}" for k, t in enumerate(names)).replace("'", "")
    text = f'<ir_version: 8, opset_import: ["": 17]> g ({arguments}) => ({made}) {{ {body} }}'.replace("'", "")
    model = onnx.parser.parse_model(text)
    model.graph.input[0].type.tensor_type.shape.dim[0].Clear()
    graph = qglow.Graph  # a session of the float graph shows the same types as one of its bundle
    from qglow.pipeline import float_graph

    session = qglow.InferenceSession(float_graph(model), threads=1)
    assert isinstance(session.graph, graph)
    theirs = onnxruntime.InferenceSession(model.SerializeToString()).get_inputs()
    assert session.get_inputs() == [ValueInfo(i.name, i.shape, i.type) for i in theirs]


def test_a_bundle_is_opened_from_its_bytes_and_pickled(bundle: Path, x: Array) -> None:
    session = qglow.InferenceSession(bundle.read_bytes(), threads=1)
    want = session.run(None, {"image": x})[0]
    again = pickle.loads(pickle.dumps(session))
    assert again.threads == 1 and np.array_equal(again.run(None, {"image": x})[0], want)
    loaded = qglow.load(bundle, mapped=True)
    assert pickle.loads(pickle.dumps(loaded)).to_bytes() == loaded.to_bytes() == bundle.read_bytes()
    with pytest.raises(qglow.QGlowError, match="the given bytes"):
        qglow.InferenceSession(bundle.read_bytes()[:-1])


def test_an_onnx_model_in_place_of_a_bundle_is_told_apart(digits: Path) -> None:
    with pytest.raises(qglow.QGlowError, match="but an ONNX model; make one of it"):
        qglow.InferenceSession(digits / "model.onnx")
    for model in Path(onnx.__file__).parent.glob("backend/test/data/simple/*/model.onnx"):
        with pytest.raises(
            qglow.QGlowError, match="the given bytes: not a sound bundle but an ONNX model; make one of it"
        ):
            qglow.InferenceSession(model.read_bytes())


def test_a_profile_is_pickled_and_taken_from_readers(digits: Path, x: Array) -> None:
    class Reader:
        """onnxruntime's CalibrationDataReader."""

        def __init__(self) -> None:
            self.samples = iter([{"image": x[:1]}, {"image": x[1:]}])

        def get_next(self) -> dict[str, Array] | None:
            return next(self.samples, None)

    class Tensor:
        """What a loader of torch gives."""

        def __init__(self, array: Array) -> None:
            self.array = array

        def __array__(self, dtype: Any = None, copy: bool | None = None) -> Array:
            return self.array

    class Loader:
        def __iter__(self) -> Any:
            return iter([{"image": Tensor(x[:1])}, {"image": Tensor(x[1:])}])

    model = digits / "model.onnx"
    want = qglow.profile(model, [{"image": x[:1]}, {"image": x[1:]}])
    assert qglow.profile(model, Reader()).to_json() == want.to_json()  # type: ignore[arg-type]
    assert qglow.profile(model, Loader()).to_json() == want.to_json()
    assert pickle.loads(pickle.dumps(want)).to_json() == want.to_json()
    with pytest.raises(qglow.QGlowError, match="give a list of samples"):
        qglow.profile(model, {"image": x})


def test_threads_and_providers(bundle: Path) -> None:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = qglow.InferenceSession(str(bundle), options)
    assert session.threads == 1 and session.get_session_options() is options
    assert qglow.InferenceSession(bundle, 1).threads == qglow.InferenceSession(bundle, threads=1).threads == 1
    assert qglow.InferenceSession(model=bundle, threads=1).get_session_options().intra_op_num_threads == 1
    with pytest.warns(UserWarning, match="'CUDAExecutionProvider' is not available"):
        gpu = qglow.InferenceSession(bundle, providers=[("CUDAExecutionProvider", {}), "CPUExecutionProvider"])
    assert gpu.get_providers() == ["CPUExecutionProvider"]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        qglow.InferenceSession(bundle, providers=["CPUExecutionProvider"], provider_options=[{}])


@pytest.mark.parametrize("backend", ["native", "interpreter"])
def test_run_into_writes_what_run_returns(bundle: Path, x: Array, backend: str) -> None:
    session = qglow.InferenceSession(bundle, 1, backend=backend)
    memory = np.zeros((2, 20), np.float32)[:, ::2]
    session.run_into({"image": x}, {"scores": memory})
    assert np.array_equal(memory, session.run(None, {"image": x})[0])
    kept = memory.copy()
    with pytest.raises(qglow.QGlowError, match=r"scores: expected memory of float32\[1, 10\]"):
        session.run_into({"image": x[1:]}, {"scores": memory})
    assert np.array_equal(memory, kept)


def test_libraries_of_operators_are_refused() -> None:
    with pytest.raises(qglow.ConfigError, match="runs no operators of other libraries, such as str 'x.so'"):
        qglow.SessionOptions().register_custom_ops_library("x.so")


def test_run_async_calls_back_with_results_or_an_error(bundle: Path, x: Array) -> None:
    session, done, found = qglow.InferenceSession(bundle, 1), threading.Event(), list[Any]()

    def callback(*given: Any) -> None:
        found.append(given)
        done.set()

    session.run_async(None, {"image": x}, callback, "mine")
    assert done.wait(30)
    [results], data, error = found.pop()
    assert np.array_equal(results, session.run(None, {"image": x})[0]) and (data, error) == ("mine", "")
    done.clear()
    session.run_async(None, {"image": x[0]}, callback)
    assert done.wait(30)
    results, data, error = found.pop()
    assert results == [] and data is None and "expected shape" in error


def test_lists_are_taken_where_no_value_changes() -> None:
    text = """<ir_version: 8, opset_import: ["": 17]> g (float[n] f, int64[n] i, bool[n] b, uint8 s, string[n] t)
        => (float[n] f2, int64[n] i2, bool[n] b2, uint8 s2, string[n] t2) {
        f2 = Identity(f) i2 = Identity(i) b2 = Identity(b) s2 = Identity(s) t2 = Identity(t) }"""
    from qglow.pipeline import float_graph

    session = qglow.InferenceSession(float_graph(onnx.parser.parse_model(text)), threads=1)
    good = {"f": [1, 2.5], "i": [1.0, -(2**40)], "b": [True, 0], "s": 3, "t": ["a", "b"]}
    assert [o.tolist() for o in session.run(None, good)] == [[1, 2.5], [1, -(2**40)], [True, False], 3, ["a", "b"]]
    for name, bad in (("f", [1e300, 1]), ("f", ["a", "b"]), ("i", [1.5, 2]), ("b", [2, 0]), ("s", 256), ("s", -1),
                      ("i", [float("nan"), 1]), ("f", [None, None]), ("t", [1, 2])):  # fmt: skip
        with pytest.raises(qglow.QGlowError, match=f"input '{name}'"):
            session.run(None, good | {name: bad})


def test_nan_is_the_lowest_number_of_a_quantized_input(bundle: Path, x: Array) -> None:
    """docs/determinism.md: what an int8 layer does with what is not a number, as onnxruntime's QuantizeLinear does."""
    session, broken = qglow.InferenceSession(bundle, 1), x.copy()
    broken[0, 0, 3, 3] = np.nan
    lowest = x.copy()
    lowest[0, 0, 3, 3] = -np.inf
    made, want = (session.run(None, {"image": a})[0] for a in (broken, lowest))
    assert np.isfinite(made).all() and np.array_equal(made, want)
    assert np.array_equal(made[1], session.run(None, {"image": x})[0][1])
