"""Rows at places that data says, points of grids, regions and boxes: kernels beside the reference, and beside
onnxruntime what is an error and what a strange coordinate means."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import helper

import qglow
from qglow.errors import QGlowError
from qglow.graph import Array
from qglow.pipeline import float_graph
from qglow.runtime.step_profile import host_steps

RNG = np.random.default_rng(3)
Case = tuple[str, list[Array], dict[str, Any]]
X = RNG.normal(0, 1, (3, 18, 5)).astype(np.float32)


def model(op: str, arrays: list[Array], constant: int = 0, **attributes: Any) -> bytes:
    """One node, its first input through a Relu so that another step comes before. constant: how many of the last
    inputs are initializers."""
    names = [f"i{k}" for k in range(len(arrays))]
    kinds = [helper.np_dtype_to_tensor_dtype(a.dtype) for a in arrays]
    fed = len(arrays) - constant
    inputs = [helper.make_tensor_value_info(n, t, [f"{n}{k}" for k in range(a.ndim)])
              for n, t, a in zip(names[:fed], kinds, arrays, strict=False)]  # fmt: skip
    outputs = [helper.make_tensor_value_info("y", 7 if op == "NonMaxSuppression" else kinds[0], None)]
    kept = [helper.make_tensor(n, t, a.shape, a.ravel())
            for n, t, a in list(zip(names, kinds, arrays, strict=True))[fed:]]  # fmt: skip
    nodes = [helper.make_node("Identity", ["i0"], ["x"]), helper.make_node(op, ["x", *names[1:]], ["y"], **attributes)]
    graph = helper.make_graph(nodes, "one", inputs, outputs, kept)
    made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=9)
    return bytes(made.SerializeToString())


def both(data: bytes, feeds: list[Array]) -> tuple[Array | None, Array | None, qglow.InferenceSession]:
    """What onnxruntime and a session make of a model; None of one that refuses."""
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    ours = qglow.InferenceSession(float_graph(onnx.load_from_string(data)))
    named = {f"i{k}": a for k, a in enumerate(feeds)}
    try:
        theirs = onnxruntime.InferenceSession(data, options).run(None, named)[0]
    except Exception:
        theirs = None
    try:
        return theirs, ours.run(None, named)[0], ours
    except QGlowError:
        return theirs, None, ours


def indexed() -> Iterator[Case]:
    for dtype in (np.int64, np.int32):
        at = RNG.integers(-18, 18, (3, 7, 5)).astype(dtype)
        yield "GatherElements", [X, at], {"axis": 1}
        yield "GatherElements", [X, at[:2, :, :4]], {"axis": -2}
        yield "Gather", [X, at[0]], {"axis": 1}
        yield "Gather", [X, np.array(at[0, 0, 0])], {"axis": -2}
        pairs = np.stack([RNG.integers(-3, 3, (4, 2)), RNG.integers(-18, 18, (4, 2))], -1).astype(np.int64)
        yield "GatherND", [X, pairs], {}
        for reduction in ("none", "add", "mul", "max", "min"):
            fit = at if reduction != "none" else np.argsort(RNG.random((3, 18, 5)), 1)[:, :7].astype(dtype)
            yield "ScatterElements", [X, fit, np.float32(at) / 7], {"axis": 1, "reduction": reduction}
            few = np.unique(pairs.reshape(-1, 2) % (3, 18), axis=0)
            rows = np.array(X[0, : len(few)])
            yield "ScatterND", [X, few, rows], {"reduction": reduction}
    whole = RNG.integers(0, 99, (3, 4))
    yield "ScatterElements", [whole, np.int64([[1], [0], [-1]]), np.int64([[7], [8], [9]])], {"axis": 1}
    yield "Gather", [RNG.integers(0, 9, (6, 3)).astype(np.int8), np.int64([[5, -6]])], {"axis": 0}


@pytest.mark.parametrize("case", indexed(), ids=lambda c: f"{c[0]}-{c[1][1].dtype}-{c[2].get('reduction', '')}")
def test_rows_by_data_are_native_and_those_of_onnxruntime(case: Case) -> None:
    op, arrays, attributes = case
    theirs, ours, session = both(model(op, arrays, **attributes), arrays)
    assert ours is not None and ours.dtype == arrays[0].dtype
    np.testing.assert_allclose(ours, theirs, 1e-6, 1e-6)
    feeds = {f"i{k}": a for k, a in enumerate(arrays)}
    assert np.array_equal(ours, session.run_all(feeds)["y"])
    assert op not in host_steps(session, feeds)


@pytest.mark.parametrize("op", ["Gather", "GatherElements", "GatherND", "ScatterElements", "ScatterND"])
@pytest.mark.parametrize("bad", [18, -19, 1 << 40, -(1 << 62), np.iinfo(np.int64).min])
def test_an_index_outside_is_an_error_and_the_next_run_is_right(op: str, bad: int) -> None:
    x, at = np.ascontiguousarray(X[0]), RNG.integers(0, 18, (4, 5))
    at = at[:, :1] if op.endswith("ND") else at
    arrays = [x, at] + ([RNG.normal(0, 1, (4, 5)).astype(np.float32)] if op.startswith("Scatter") else [])
    attributes = {} if op.endswith("ND") else {"axis": 0}
    data = model(op, arrays, **attributes)
    wrong = [x, np.where(np.arange(at.size).reshape(at.shape) == 3, bad, at), *arrays[2:]]
    theirs, ours, session = both(data, wrong)
    assert theirs is None and ours is None
    with pytest.raises(QGlowError, match=op):
        session.run(None, {f"i{k}": a for k, a in enumerate(wrong)})
    again = session.run(None, {f"i{k}": a for k, a in enumerate(arrays)})[0]
    right = session.run_all({f"i{k}": a for k, a in enumerate(arrays)})["y"]
    assert np.array_equal(again, right)


def test_of_several_updates_at_one_place_the_last_is_written() -> None:
    x, at = np.zeros((4, 3), np.float32), np.int64([[1, 1, 1], [1, 1, 1], [-3, 0, 2]])
    updates = np.arange(9, dtype=np.float32).reshape(3, 3)
    arrays = [x, at, updates]
    _, ours, _ = both(model("ScatterElements", arrays, axis=0), arrays)
    assert ours is not None and np.array_equal(ours, [[0, 7, 0], [6, 4, 5], [0, 0, 8], [0, 0, 0]])


@pytest.mark.parametrize("padding", ["zeros", "border", "reflection"])
@pytest.mark.parametrize("mode", ["nearest", "linear", "cubic"])
def test_coordinates_of_a_grid_that_are_far_or_nowhere(mode: str, padding: str) -> None:
    x = RNG.normal(0, 1, (1, 5, 4, 6)).astype(np.float32)
    at = np.float32([np.nan, np.inf, -np.inf, 5e20, -5e20, -1, 1, 3.7, -30.2, 1.0001, 0, -0.0])
    grid = np.stack(np.meshgrid(at, at), -1)[None].astype(np.float32)
    for corners in (0, 1):
        attributes = {"mode": mode, "padding_mode": padding, "align_corners": corners}
        theirs, ours, session = both(model("GridSample", [x, grid], **attributes), [x, grid])
        assert ours is not None and np.array_equal(ours, session.run_all({"i0": x, "i1": grid})["y"])
        np.testing.assert_allclose(ours, theirs, 1e-3, 1e-3)
        huge = np.full((1, 1, 3, 2), 1e12, np.float32)
        assert np.isfinite(session.run(None, {"i0": x, "i1": huge})[0]).all()
        assert not host_steps(session, {"i0": x, "i1": grid})


@pytest.mark.parametrize("mode", ["avg", "max"])
@pytest.mark.parametrize("ratio", [0, 2])
def test_regions_of_every_kind(mode: str, ratio: int) -> None:
    x = RNG.normal(0, 1, (2, 19, 9, 7)).astype(np.float32)
    rois = np.float32([[0, 0, 6, 8], [5, 5, 2, 1], [-50, -3, 2, 2], [3, 3, 3, 3], [1e9, 0, 1e9, 4], [-2, -2, 300, 200]])
    batch = np.int64([0, 1, 1, 0, 0, 1])
    for transform in ("half_pixel", "output_half_pixel"):
        ways = {"output_height": 3, "output_width": 2, "spatial_scale": 0.5, "sampling_ratio": ratio}
        data = model("RoiAlign", [x, rois, batch], mode=mode, coordinate_transformation_mode=transform, **ways)
        theirs, ours, session = both(data, [x, rois, batch])
        assert ours is not None
        np.testing.assert_allclose(ours, theirs, 1e-4, 1e-4)
        assert np.array_equal(ours, session.run_all({"i0": x, "i1": rois, "i2": batch})["y"])
        for bad_roi, bad_batch in ((rois, batch - 1), (rois, batch + 1), (np.where(rois == 5, np.nan, rois), batch)):
            theirs, ours, _ = both(data, [x, bad_roi.astype(np.float32), bad_batch])
            assert theirs is None and ours is None
    assert not host_steps(session, {"i0": x, "i1": rois, "i2": batch})


@pytest.mark.parametrize("centers", [0, 1])
@pytest.mark.parametrize("limits", [1, 2, 3])
def test_boxes_are_kept_as_by_onnxruntime(centers: int, limits: int) -> None:
    boxes = RNG.uniform(0, 1, (2, 40, 4)).astype(np.float32)
    scores = np.round(RNG.uniform(0, 1, (2, 3, 40)), 1).astype(np.float32)  # many are equal
    given = [np.int64([7]), np.float32([0.4]), np.float32([0.3])][:limits]
    arrays = [boxes, scores, *given]
    data = model("NonMaxSuppression", arrays, limits, center_point_box=centers)
    theirs, ours, session = both(data, arrays[:2])
    assert ours is not None and np.array_equal(ours, theirs)
    odd = boxes.copy()
    odd[0, ::3], odd[1, 1] = odd[0, ::3, [2, 3, 0, 1]].T if not centers else -odd[0, ::3], np.nan
    empty = np.zeros((1, 0, 4), np.float32), np.zeros((1, 2, 0), np.float32)
    for feeds in ((odd, scores), (boxes[:1, :5], scores[:1, :, :5]), (boxes, np.full_like(scores, -1)), empty):
        named = {"i0": np.ascontiguousarray(feeds[0]), "i1": np.ascontiguousarray(feeds[1])}
        assert np.array_equal(session.run(None, named)[0], session.run_all(named)["y"])
    assert np.array_equal(session.run(None, {"i0": boxes, "i1": scores})[0], theirs)
