"""Whatever a user can cause is a QGlowError: every public function with arguments of wrong kinds, and with odd ones
that are right."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from onnx import ModelProto, TensorProto, helper, numpy_helper

import qglow
from qglow.commands.main import main
from qglow.graph import Array, Graph, Node, float_type

X = np.random.default_rng(0).normal(0, 1, (2, 3, 8, 8)).astype(np.float32)
SAMPLES = [{"x": X}]


def model() -> ModelProto:
    """[n, 3, 8, 8] -> two outputs: a convolution, and the same with a Relu."""
    nodes = [
        helper.make_node("Conv", ["x", "w"], ["c"], name="conv"),
        helper.make_node("Relu", ["c"], ["y"], name="relu"),
    ]
    weights = numpy_helper.from_array(np.random.default_rng(1).normal(0, 0.3, (4, 3, 1, 1)).astype(np.float32), "w")
    value = helper.make_tensor_value_info
    outputs = [value(n, TensorProto.FLOAT, ["n", 4, 8, 8]) for n in ("y", "c")]
    graph = helper.make_graph(nodes, "g", [value("x", TensorProto.FLOAT, ["n", 3, 8, 8])], outputs, [weights])
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)


class Hostile:
    """An object that fails in whatever is done to it."""

    def __array__(self, *args: object, **kwargs: object) -> Array:
        raise RuntimeError("no array")

    def __repr__(self) -> str:
        raise RuntimeError("no text")

    def __index__(self) -> int:
        raise TypeError("no number")


ODD: dict[str, Any] = {
    "None": None, "True": True, "zero": 0, "negative": -1, "huge": 10**30, "float": 2.5, "nan": float("nan"),
    "infinite": float("inf"),
    "empty text": "", "text": "no such file", "text with NUL": "a\0b", "long text": "x" * 5000, "bytes": b"abc",
    "empty list": [],
    "empty dict": {}, "list of None": [None], "ragged": [[1, 2], [3]], "dict of None": {"x": None},
    "dict of text": {"x": "text"},
    "other name": {"z": X}, "number as name": {3: X}, "one more": {"x": X, "z": X}, "list of samples": SAMPLES,
    "one sample": {"x": X},
    "array": X, "float64": {"x": X.astype(np.float64)}, "objects": {"x": X.astype(object)},
    "ragged sample": {"x": [[1, 2], [3]]},
    "other rank": {"x": X[0]}, "other size": {"x": X[:, :2]}, "scalar": {"x": np.float32(1)}, "set": {1, 2},
    "function": len, "type": int,
    "hostile": Hostile(), "sample of hostile": {"x": Hostile()}, "path": Path("no/such/file"), "folder": Path(),
    "complex": 1j,
    "nan sample": [{"x": np.full_like(X, np.nan)}], "sample of no batch": [{"x": X[:0]}],
    "graph": Graph("g", (), (), (), {}),
    "broken graph": Graph("g", ("x",), ("y",), (Node("Relu", ("x",), ("y",), {}, "n"),), {"x": float_type(1)}),
}  # fmt: skip


@pytest.fixture(scope="module")
def made() -> dict[str, Any]:
    profile = qglow.profile(model(), SAMPLES)
    bundle = qglow.quantize(model(), profile)
    report = qglow.compare(model(), bundle, SAMPLES)
    return {
        "model": model(),
        "profile": profile,
        "bundle": bundle,
        "report": report,
        "session": qglow.InferenceSession(bundle, 1),
    }


Call = Callable[[dict[str, Any], Any], object]


def bound(made: dict[str, Any], bind: Callable[[Any], object]) -> None:
    binding = made["session"].io_binding()
    binding.bind_cpu_input("x", X)
    bind(binding)
    made["session"].run_with_iobinding(binding)


CALLS: dict[str, Call] = {
    "session of": lambda m, v: qglow.InferenceSession(v).run(None, {"x": X}),
    "session threads": lambda m, v: qglow.InferenceSession(m["bundle"], v),
    "session providers": lambda m, v: qglow.InferenceSession(m["bundle"], providers=v),
    "session a provider": lambda m, v: qglow.InferenceSession(m["bundle"], providers=[v], provider_options=v),
    "run options": lambda m, v: m["session"].run(None, {"x": X}, v),
    "run into": lambda m, v: m["session"].run_into({"x": X}, v),
    "run into one": lambda m, v: m["session"].run_into({"x": X}, {"y": v}),
    "bind arrays": lambda m, v: m["session"].bind(v)(),
    "bind an array": lambda m, v: m["session"].bind({"x": v})(),
    "bind arrays to write to": lambda m, v: m["session"].bind([X], v)(),
    "bind an array to write to": lambda m, v: m["session"].bind([X], {"y": v})(),
    "run callback": lambda m, v: m["session"].run_async(None, v, lambda *a: None),
    "run ort values": lambda m, v: m["session"].run_with_ort_values(None, v),
    "bind input": lambda m, v: bound(m, lambda b: b.bind_cpu_input("x", v)),
    "bind value": lambda m, v: bound(m, lambda b: b.bind_ortvalue_input("x", v)),
    "bind output": lambda m, v: bound(m, lambda b: b.bind_ortvalue_output("y", v)),
    "bind output name": lambda m, v: bound(m, lambda b: b.bind_output(v)),
    "bind output type": lambda m, v: bound(m, lambda b: b.bind_output("y", "cpu", 0, v, [1], X.ctypes.data)),
    "ort value": lambda m, v: qglow.OrtValue.ortvalue_from_shape_and_type(v, np.float32)
    if not isinstance(v, (list, tuple)) else None,
    "run outputs": lambda m, v: m["session"].run(v, {"x": X}),
    "run one output": lambda m, v: m["session"].run([v], {"x": X}),
    "run feeds": lambda m, v: m["session"].run(None, v),
    "run an input": lambda m, v: m["session"].run(None, {"x": v}),
    "run_all": lambda m, v: m["session"].run_all(v),
    "profile of": lambda m, v: qglow.profile(v, SAMPLES),
    "profile data": lambda m, v: qglow.profile(m["model"], v),
    "profile a sample": lambda m, v: qglow.profile(m["model"], [v]),
    "profile samples": lambda m, v: qglow.profile(m["model"], SAMPLES, v),
    "profile batch": lambda m, v: qglow.profile(m["model"], SAMPLES, batch_size=v),
    "profile engine": lambda m, v: qglow.profile(m["model"], SAMPLES, engine=v),
    "profile load": lambda m, v: qglow.Profile.load(v),
    "profile save": lambda m, v: m["profile"].save(v),
    "profile merge": lambda m, v: m["profile"].merge(v),
    "quantize of": lambda m, v: qglow.quantize(v, m["profile"]),
    "quantize profile": lambda m, v: qglow.quantize(m["model"], v),
    "quantize config": lambda m, v: qglow.quantize(m["model"], m["profile"], v),
    "quantize check": lambda m, v: qglow.quantize(m["model"], m["profile"], check=v),
    "quantize dump": lambda m, v: qglow.quantize(m["model"], m["profile"], dump_dir=v) if not isinstance(v,
    Path) else None,
    "compare of": lambda m, v: qglow.compare(v, m["bundle"], SAMPLES),
    "compare bundle": lambda m, v: qglow.compare(m["model"], v, SAMPLES),
    "compare data": lambda m, v: qglow.compare(m["model"], m["bundle"], v),
    "compare labels": lambda m, v: qglow.compare(m["model"], m["bundle"], SAMPLES, v),
    "compare a label": lambda m, v: qglow.compare(m["model"], m["bundle"], SAMPLES, [v]),
    "compare samples": lambda m, v: qglow.compare(m["model"], m["bundle"], SAMPLES, samples=v),
    "compare layers": lambda m, v: qglow.compare(m["model"], m["bundle"], SAMPLES, layer_samples=v),
    "report save": lambda m, v: m["report"].save(v),
    "load": lambda m, v: qglow.load(v),
    "bundle of": lambda m, v: qglow.Bundle(v).save("/nowhere/at/all"),
    "bundle manifest": lambda m, v: qglow.Bundle(m["bundle"].graph, v),
    "bundle save": lambda m, v: m["bundle"].save(v),
    "config load": lambda m, v: qglow.QuantConfig.load(v),
    **{f"config {f}": (lambda m, v, f=f: qglow.QuantConfig(**{f: v})) for f in qglow.QuantConfig.__dataclass_fields__},
    "config exclude one": lambda m, v: qglow.QuantConfig(exclude=(v,)),
}  # fmt: skip


@pytest.mark.parametrize("name", CALLS)
def test_odd_arguments_are_an_error_of_ours_or_right(
    name: str, made: dict[str, Any], tmp_path: Path, monkeypatch: Any
) -> None:
    monkeypatch.chdir(tmp_path)
    for kind, value in ODD.items():
        try:
            CALLS[name](made, value)
        except qglow.QGlowError as error:
            assert str(error).strip() and "\n" not in str(error), f"{name}, {kind}: {error!r}"
        except Exception as error:
            raise AssertionError(
                f"{name}, {kind}: expected a QGlowError, got {type(error).__name__}: {error}"
            ) from error


WRONG: list[tuple[Call, str]] = [
    (lambda m, v: qglow.InferenceSession(m["model"]), "session: expected a Bundle.*quantize"),
    (lambda m, v: qglow.InferenceSession(m["bundle"], 10**9), "threads must be a whole number, at most"),
    (lambda m, v: m["session"].run("y", {"x": X}), "output_names must be a list"),
    (lambda m, v: m["session"].run(["q"], {"x": X}), "no output 'q'; the outputs are"),
    (lambda m, v: m["session"].run(None, None), "must be given as {name: array}"),
    (lambda m, v: m["session"].run(None, [X]), "must be given as {name: array}"),
    (lambda m, v: m["session"].run(None, {"x": [[1, 2], [3]]}), "input 'x'.* is no array"),
    (lambda m, v: m["session"].run(None, {"x": X.astype(np.float64)}), "input 'x': expected float32, got float64"),
    (lambda m, v: qglow.profile(m["model"], SAMPLES[0]), "one sample.*list of samples"),
    (lambda m, v: qglow.profile(m["model"], None), "expected a path, or samples"),
    (lambda m, v: qglow.quantize(m["model"], 3), "profile: expected the path"),
    (lambda m, v: qglow.quantize(m["model"], m["profile"], {"weight": "per_tensor"}), "unknown field 'weight'"),
    (lambda m, v: qglow.quantize(m["model"], m["profile"], [("weights", 1)]), "config must be a QuantConfig or"),
    (lambda m, v: qglow.InferenceSession(m["bundle"], "2"), "sess_options must be SessionOptions, or the number"),
    (lambda m, v: qglow.InferenceSession(m["bundle"], 2, threads=1), "threads is int 1, and the session options ask"),
    (lambda m, v: qglow.InferenceSession(m["bundle"], providers="CPUExecutionProvider"), "providers must be a list"),
    (lambda m, v: m["session"].run(None, {"x": X}, {"terminate": True}), "run_options must be RunOptions or None"),
    (lambda m, v: m["session"].run_into({"x": X}, {"y": X}), "y: expected memory of float32.2, 4, 8, 8."),
    (lambda m, v: m["session"].run_into({"x": X}, {"q": X}), "no output 'q'; the outputs are"),
    (lambda m, v: m["session"].run_async(None, {"x": X}, 3), "callback must be a function"),
    (lambda m, v: m["session"].run_with_iobinding(3), "expected what io_binding"),
    (lambda m, v: m["session"].io_binding().bind_output("y", "cuda"), "no device 'cuda'; known is cpu|no device str"),
    (lambda m, v: m["session"].io_binding().bind_cpu_input("z", X), "nothing is named"),
    (lambda m, v: qglow.OrtValue.ortvalue_from_numpy([1]), "an OrtValue is made of a numpy array"),
    (
        lambda m, v: qglow.quantize(None, m["profile"]),
        "model: expected a path, an onnx.ModelProto or a Graph, got None",
    ),
    (lambda m, v: qglow.QuantConfig(exclude="conv"), "exclude must be a tuple"),
    (lambda m, v: qglow.QuantConfig(min_agreement_sqnr_db=float("nan")), "min_agreement_sqnr_db must be a number"),
    (lambda m, v: qglow.QuantConfig(float_outputs=1), "float_outputs must be true or false"),
    (lambda m, v: m["profile"].merge(3), "expected another Profile"),
    (lambda m, v: m["bundle"].save(None), "file to write"),
]


@pytest.mark.parametrize("call, said", WRONG, ids=[said for _, said in WRONG])
def test_errors_say_what_was_expected(call: Call, said: str, made: dict[str, Any]) -> None:
    with pytest.raises(qglow.QGlowError, match=said):
        call(made, None)


def forms() -> Iterator[tuple[str, Any]]:
    """The same numbers, otherwise stored."""
    wide = np.zeros((2, 3, 8, 16), np.float32)
    wide[..., ::2] = X
    frozen = X.copy()
    frozen.flags.writeable = False
    odd = np.zeros(X.nbytes + 1, np.uint8)[1:].view(np.uint8)
    odd[:] = X.ravel().view(np.uint8)
    yield from {
        "fortran": np.asfortranarray(X), "strided": wide[..., ::2],
        "reversed": X[::-1, ..., ::-1].copy()[::-1, ..., ::-1],
        "byte-swapped": X.astype(">f4"), "read-only": frozen, "misaligned": odd.view(np.float32).reshape(X.shape),
        "subclass": X.view(np.ma.MaskedArray), "memoryview": memoryview(X),
    }.items()  # fmt: skip


@pytest.mark.parametrize("form, given", forms(), ids=[form for form, _ in forms()])
def test_arrays_may_lie_as_they_like(form: str, given: Any, made: dict[str, Any]) -> None:
    want = made["session"].run(None, {"x": X})
    assert all(np.array_equal(a, b) for a, b in zip(want, made["session"].run(None, {"x": given}), strict=True))
    assert qglow.profile(made["model"], [{"x": given}]).to_json() == made["profile"].to_json()


def test_outputs_by_name_as_onnxruntime_gives_them(made: dict[str, Any]) -> None:
    y, c = made["session"].run(None, {"x": X})
    for names, want in (([], [y, c]), (("c",), [c]), (["c", "y", "c"], [c, y, c]), (iter(["y"]), [y])):
        got = made["session"].run(names, {"x": X})
        assert len(got) == len(want) and all(np.array_equal(a, b) for a, b in zip(got, want, strict=True))


@pytest.mark.parametrize("arguments", [
    ["run"], ["run", "no.qglow", "--data", "."], ["run", "a\0b", "--data", "."], ["profile", "no.onnx", "--data", "."],
    ["quantize", "no.onnx", "--profile", "no.json"], ["quantize", ".", "--profile", "."],
    ["report", "no.onnx", "no.qglow", "--data", "."],
    ["bench", "."], ["inspect", "."], ["inspect", "no.txt"], ["export", "."],
    ["quantize", "m.onnx", "--percentile", "nan"],
    ["run", "no.qglow", "--data", ".", "--threads", "99999999999999999999"], ["nothing"], [],
], ids=lambda a: " ".join(a).replace("\0", "NUL") or "none")  # fmt: skip
def test_the_command_line_says_it_in_one_line(
    arguments: list[str], tmp_path: Path, monkeypatch: Any, capsys: Any
) -> None:
    monkeypatch.chdir(tmp_path)
    try:
        code = main(arguments)
    except SystemExit as stopped:  # argparse
        code = int(stopped.code or 0)
    said = capsys.readouterr().err
    assert code == 2 and said.strip() and "Traceback" not in said and "internal error" not in said
