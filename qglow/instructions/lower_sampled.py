"""Samplers of images, by a grid or in regions, and the choice of boxes by score."""

from __future__ import annotations

import numpy as np

from ..graph import DType, Node
from .layout import NO_HALO
from .lower_float import operand
from .program import TensorView
from .select import Lowering
from .table import GRID_MODES, GRID_PADDINGS

MOST_ROWS = 1 << 17  # of boxes that may be kept: more are better counted on the host
Fields = dict[str, int | float]


def grid_sample(low: Lowering, node: Node) -> bool:
    x, grid = (operand(low, v) for v in node.inputs)
    if x is None or grid is None or len(x.shape) != 4 or 0 in (*x.shape, *grid.shape):
        return False
    x = low.image_of(node.inputs[0])
    grid = grid if grid.strides[-1] == 4 else low.dense_of(node.inputs[1])
    fields: Fields = {"IH": x.shape[2], "IW": x.shape[3], "corners": int(bool(node.attr("align_corners")))}
    fields |= dict(zip(("g_n", "g_h", "g_w"), grid.strides, strict=False))
    fields |= {"mode": GRID_MODES.index(node.attr("mode")), "padding": GRID_PADDINGS.index(node.attr("padding_mode"))}
    return _sampled(low, node, "float_grid_sample", {"x": x, "grid": grid, "scratch": None}, x, fields)


def roi_align(low: Lowering, node: Node) -> bool:
    x, rois = (operand(low, v) for v in node.inputs[:2])
    shapes = [low.type(v).static_shape for v in node.inputs]
    if x is None or rois is None or any(0 in s for s in shapes) or len(x.shape) != 4:
        return False
    if low.type(node.inputs[2]).dtype is not DType.I64 or shapes[1] != (*shapes[2], 4):
        return False
    if node.inputs[2] not in low.places:
        low.constant_place(node.inputs[2], low.graph.constants[node.inputs[2]])
    x, scale = low.image_of(node.inputs[0]), float(np.float32(node.attr("spatial_scale")))
    half = node.attr("coordinate_transformation_mode") == "half_pixel"
    fields: Fields = {
        "S0": x.shape[0], "IH": x.shape[2], "IW": x.shape[3], "ratio": int(node.attr("sampling_ratio")),
        "half": int(half), "largest": int(node.attr("mode") == "max"), "f_ratio": scale,
    }  # fmt: skip
    operands = {"x": x, "roi": low.dense_of(node.inputs[1]), "batch": low.dense_of(node.inputs[2])}
    return _sampled(low, node, "float_roi_align", {**operands, "scratch": None, "fault": None}, x, fields)


def _sampled(
    low: Lowering, node: Node, kind: str, operands: dict[str, TensorView | None], x: TensorView, fields: Fields
) -> bool:
    """An instruction to an image, which is moved where it has to lie."""
    y = low.place(node.outputs[0])
    n, c, h, w = y.shape
    made = y if c == 1 or y.strides[1] == 4 else low.image((n, c, h, w), "<f4", NO_HALO)
    fields |= {"N": n, "H": h, "W": w, "C": c}
    for name, place in (("x", x), ("y", made)):
        fields |= {f"{name}_{k}": place.strides[axis] for k, axis in zip("nhw", (0, 2, 3), strict=True)}
    low.emit(kind, {**operands, "y": made}, {}, fields)
    if made is not y:
        low.move(made, y)
    return True


def suppression(low: Lowering, node: Node) -> bool:
    """Boxes and scores of floats, and limits that are constant."""
    boxes, scores = (operand(low, v) for v in node.inputs[:2])
    limits = [low.graph.constants.get(v) if v else None for v in (*node.inputs[2:], "", "")[:3]]
    if boxes is None or scores is None or 0 in (*boxes.shape, *scores.shape):
        return False
    if any(v and limit is None for v, limit in zip(node.inputs[2:], limits, strict=False)):
        return False
    most, overlap, least = (None if v is None or not v.size else v.ravel()[0] for v in limits)
    (batches, classes, count), rows = scores.shape, low.type(node.outputs[0]).static_shape[0]
    numbers = [float(np.float32(v or 0)) for v in (overlap, least)]
    if not 0 < rows <= MOST_ROWS or most is None or not np.isfinite(numbers).all():
        return low.refuse(f"it may keep {rows} boxes")
    if boxes.shape != (batches, count, 4):
        return False
    y, kept = (low.place(v, channels_last=False) for v in node.outputs)
    made = [p if p.is_dense else low.dense(p.shape, p.dtype) for p in (y, kept)]
    fields: Fields = {
        "N": batches, "C": classes, "H": count, "K": min(count, int(most)), "every": int(least is None),
        "centers": int(bool(node.attr("center_point_box"))), "f_overlap": numbers[0], "f_least": numbers[1],
    }  # fmt: skip
    operands = {"x": low.dense_of(node.inputs[0]), "score": low.dense_of(node.inputs[1])}
    # codes twice, the counts of a digit, boxes as five planes, those kept as five with a vector behind each
    work = low.dense((2 * 8 * count + 8 * 256 + 5 * 4 * count + 5 * 4 * (min(count, int(most)) + 16),), "|u1")
    low.emit("float_nms", {**operands, "y": made[0], "count": made[1], "work": work}, {}, fields)
    for a, b in zip(made, (y, kept), strict=True):
        if a is not b:
            low.move(a, b)
    return True
