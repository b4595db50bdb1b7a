"""A linear Resize of plain integers has the bits of onnxruntime without graph optimization, by the law and run."""

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper

from qglow.onnx_import.load import load
from qglow.pipeline import float_graph
from qglow.reference import evaluate
from qglow.runtime.plans import make_plan

MODES = ("half_pixel", "pytorch_half_pixel", "align_corners", "asymmetric", "half_pixel_symmetric")
SHAPES = (
    ((2, 9), (5, 20)),
    ((1, 2, 9), (1, 2, 20)),
    ((2, 3, 9, 11), (2, 3, 20, 24)),
    ((2, 3, 31, 17), (2, 3, 62, 5)),
    ((2, 3, 16, 11), (2, 3, 1, 1)),
    ((1, 17, 9, 3), (1, 8, 14, 3)),
    ((1, 2, 5, 6, 7), (1, 2, 3, 11, 13)),
)


def resize(dtype: int, shape: tuple[int, ...], out: tuple[int, ...], transform: str, **more: object) -> bytes:
    how = {"mode": "linear", "coordinate_transformation_mode": transform, **more}
    graph = helper.make_graph(
        [helper.make_node("Resize", ["x", "", "", "sizes"], ["y"], **how)],
        "resize",
        [helper.make_tensor_value_info("x", dtype, shape)],
        [helper.make_tensor_value_info("y", dtype, out)],
        [helper.make_tensor("sizes", TensorProto.INT64, [len(out)], out)],
    )
    opsets = [helper.make_opsetid("", 19)]
    return helper.make_model(graph, opset_imports=opsets, ir_version=9).SerializeToString()


@pytest.mark.parametrize("dtype", [np.uint8, np.int8, np.int32])
def test_bits_are_those_of_onnxruntime(dtype: type[np.integer], tmp_path) -> None:
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    draw = np.random.default_rng(1)
    path = tmp_path / "resize.onnx"
    for shape, out in SHAPES:
        for mode in MODES:
            path.write_bytes(resize(helper.np_dtype_to_tensor_dtype(np.dtype(dtype)), shape, out, mode))
            limits = np.iinfo(dtype)
            x = draw.integers(max(limits.min, -99999), min(limits.max, 99999) + 1, shape).astype(dtype)
            [expected] = onnxruntime.InferenceSession(path, options).run(None, {"x": x})
            graph = load(path)
            for found in (evaluate(graph, {"x": x})["y"], make_plan(graph, {"x": shape}, 1).run({"x": x})["y"]):
                assert found.dtype == expected.dtype
                np.testing.assert_array_equal(found, expected, f"{shape} {out} {mode}")


@pytest.mark.parametrize("mode", ["linear", "cubic"])
def test_integers_widened_against_aliasing_are_float_sums_rounded(mode: str) -> None:
    """onnxruntime's own are off by a step, or three, and it leaves nothing below 0 of int8 (docs/quantization.md)."""
    shape, out, draw = (1, 3, 9, 8), (1, 3, 5, 6), np.random.default_rng(2)

    def both(kind: int, x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        model = resize(kind, shape, out, "half_pixel", mode=mode, antialias=1)
        [theirs] = onnxruntime.InferenceSession(model).run(None, {"x": x})
        graph = float_graph(onnx.load_from_string(model))
        return evaluate(graph, {"x": x})["y"], theirs

    for dtype, kind, most in ((np.uint8, TensorProto.UINT8, 3), (np.int8, TensorProto.INT8, 255)):
        limits = np.iinfo(dtype)
        x = draw.integers(limits.min, limits.max + 1, shape).astype(dtype)
        ours, theirs = both(kind, x)
        _, real = both(TensorProto.FLOAT, x.astype(np.float32))
        assert np.abs(ours - np.clip(real, limits.min, limits.max)).max() < 0.501 and ours.dtype == dtype
        assert np.abs(ours.astype(int) - theirs).max() <= most
        assert dtype is np.uint8 or ((ours < 0).any() and not (theirs < 0).any())
