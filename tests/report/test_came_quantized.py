"""The report of a model that came quantized: its layers after saturation, which is what the model means, and under the
names of its file; progress of what takes long."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

import qglow
from qglow.pipeline import measure_several
from qglow.report import peer_comparison

Feeds = list[dict[str, np.ndarray]]


@pytest.fixture(scope="module")
def feeds() -> Feeds:
    rng = np.random.default_rng(1)
    return [{"pixels": rng.normal(0, 1, (1, 3, 8, 8)).astype(np.float32)} for _ in range(6)]


@pytest.fixture(scope="module")
def folder(feeds: Feeds, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """float.onnx, and what onnxruntime's quantize_static makes of it: QDQ.onnx and QOperator.onnx. Its Relu nodes go
    into the zero points of what they made."""
    from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_static

    rng, path = np.random.default_rng(0), tmp_path_factory.mktemp("quantized")
    constants = {"stem.w": (8, 3, 1, 1), "stem.b": (8,), "block.w": (8, 8, 3, 3), "head.w": (5, 8), "head.b": (5,)}
    nodes = [
        helper.make_node("Conv", ["pixels", "stem.w", "stem.b"], ["stem.out"], name="stem"),
        helper.make_node("Relu", ["stem.out"], ["stem.relu"], name="stem_relu"),
        helper.make_node("Conv", ["stem.relu", "block.w"], ["block.out"], name="block", pads=[1] * 4),
        helper.make_node("Add", ["block.out", "stem.relu"], ["joined"], name="join"),
        helper.make_node("Relu", ["joined"], ["joined.relu"], name="join_relu"),
        helper.make_node("GlobalAveragePool", ["joined.relu"], ["pooled"], name="pool"),
        helper.make_node("Flatten", ["pooled"], ["flat"], name="flatten"),
        helper.make_node("Gemm", ["flat", "head.w", "head.b"], ["scores"], name="head", transB=1),
    ]
    given = [numpy_helper.from_array(rng.normal(0, 0.3, s).astype(np.float32), n) for n, s in constants.items()]
    shapes = {"pixels": [1, 3, 8, 8], "scores": [1, 5]}
    ends = [helper.make_tensor_value_info(n, TensorProto.FLOAT, s) for n, s in shapes.items()]
    graph = helper.make_graph(nodes, "net", ends[:1], ends[1:], given)
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), path / "float.onnx")

    class Reader(CalibrationDataReader):  # type: ignore[misc]
        def __init__(self) -> None:
            self.left = iter(feeds[:3])

        def get_next(self) -> dict[str, np.ndarray] | None:
            return next(self.left, None)

    for form in ("QDQ", "QOperator"):
        quantize_static(
            path / "float.onnx", path / f"{form}.onnx", Reader(), quant_format=getattr(QuantFormat, form),
            activation_type=QuantType.QUInt8, weight_type=QuantType.QInt8,
        )  # fmt: skip
    return path


@pytest.mark.parametrize("form", ["QDQ", "QOperator"])
def test_layers_are_compared_after_saturation(folder: Path, feeds: Feeds, form: str) -> None:
    """Far beyond the ranges of the file too: what is left is rounding."""
    model = folder / f"{form}.onnx"
    bundle = qglow.quantize(model)
    far = [{"pixels": 3 * f["pixels"]} for f in feeds]
    for data in (feeds, far):
        report = qglow.compare(model, bundle, data)
        layers = {row.name: row for row in report.layers}
        assert len(layers) >= 6
        assert min(row.sqnr_db for row in layers.values()) > 30
        assert min(row.own_sqnr_db for row in layers.values() if row.own_sqnr_db is not None) > 30
        assert all(not row.spread.clipped for row in layers.values() if row.spread is not None)
        assert "--calibration" not in report.summary()


def test_layers_have_the_names_of_the_file(folder: Path, feeds: Feeds) -> None:
    bundle = qglow.quantize(folder / "QDQ.onnx")
    report = qglow.compare(folder / "QDQ.onnx", bundle, feeds)
    assert [row.name for row in report.layers][:5] == ["pixels", "stem.relu", "block.out", "joined.relu", "pooled"]
    assert {d["node"] for d in bundle.manifest["decisions"]} == {"stem", "block", "join", "pool", "flatten", "head"}


def test_beside_the_float_model_what_is_cut_off_is_noise(folder: Path, feeds: Feeds) -> None:
    bundle, far = qglow.quantize(folder / "QDQ.onnx"), [{"pixels": 3 * f["pixels"]} for f in feeds]
    layers = {row.name: row for row in qglow.compare(folder / "float.onnx", bundle, far).layers}
    spread = layers["stem.relu"].spread
    assert layers["stem.relu"].sqnr_db < 20 and spread is not None and spread.clipped > 0


@pytest.mark.parametrize("quiet", [True, False])
def test_phases_beside_onnxruntime_have_bars(
    folder: Path, feeds: Feeds, quiet: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shown: list[tuple[str, int | None, bool]] = []

    def track(items: Iterable[Any], what: str, total: int | None = None, quiet: bool = False) -> Iterable[Any]:
        shown.append((what, total, quiet))
        return items

    monkeypatch.setattr(peer_comparison, "track", track)
    monkeypatch.setattr(peer_comparison, "interleaved", lambda runs: {})
    qglow.quantize(folder / "QDQ.onnx").save(tmp_path / "m.qglow")
    measure_several([tmp_path / "m.qglow"], folder / "float.onnx", feeds, quiet=quiet)
    assert shown == [
        ("preparing onnxruntime, float and its own int8", 2, quiet), ("comparing with onnxruntime", len(feeds), quiet),
    ]  # fmt: skip
