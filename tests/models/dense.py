"""Pictures in, pictures or boxes out: skips, upsampling by every means, heads with anchors, sizes computed in
floats."""

from __future__ import annotations

import numpy as np
from onnx import numpy_helper

from .builder import FLOAT, INT64, Case, Net
from .convnets import pictures, start


def unet(upsampling: str, opset: int) -> Case:
    """upsampling: transposed convolution, Resize by scales, or by the sizes of what it is joined with."""
    n, x = start(61, opset, 8)
    low = n.op("Relu", n.conv(n.op("MaxPool", x, kernel_shape=[2, 2], strides=[2, 2]), 8, 16))
    if upsampling == "transposed":
        up = n.op(
            "ConvTranspose",
            low,
            n.weight(16, 8, 2, 2, scale=0.15),
            n.weight(8, scale=0.1),
            kernel_shape=[2, 2],
            strides=[2, 2],
        )
        width = 16
    elif upsampling == "scales":
        up = n.op("Resize", low, n.constant([]), n.constant([1.0, 1.0, 2.0, 2.0]), mode="nearest", nearest_mode="floor",
                  coordinate_transformation_mode="asymmetric")  # fmt: skip
        width = 24
    else:
        first = n.slice(n.op("Shape", low), 0, 2, 0)
        sizes = n.op("Concat", first, n.slice(n.op("Shape", x), 2, 4, 0), axis=0)
        up = n.op("Resize", low, "", "", sizes, mode="linear", coordinate_transformation_mode="half_pixel")
        width = 24
    h = n.op("Relu", n.conv(n.op("Concat", up, x, axis=1), width, 8))
    n.output(n.op("Sigmoid", n.conv(h, 8, 1, 1)), "mask", ["batch", 1, "height", "width"])
    return Case(n.model(), pictures(n, *[(1, 16, 16)] * 8), pictures(n, (2, 16, 16), (1, 24, 20), (3, 8, 8)))


def floats_for_sizes() -> Case:
    """torch's interpolate as older exporters write it: sizes through Cast, Mul, Floor and Concat, unsqueezed one by
    one."""
    n, x = start(62, 11, 8)
    sides = []
    for axis in (2, 3):
        side = n.op("Cast", n.dimension(x, axis, vector=False), to=FLOAT)
        side = n.op("Floor", n.op("Cast", n.op("Mul", side, n.constant(1.5)), to=FLOAT))
        sides.append(n.unsqueeze(n.op("Cast", side, to=INT64), 0))
    sizes = n.op("Concat", n.slice(n.op("Shape", x), 0, 2, 0), *sides, axis=0)
    up = n.op(
        "Resize", x, n.constant([]), n.constant([]), sizes, mode="linear", coordinate_transformation_mode="half_pixel"
    )
    n.output(n.conv(up, 8, 3), "y", ["batch", 3, "h", "w"])
    return Case(n.model(), pictures(n, *[(1, 16, 16)] * 6), pictures(n, (2, 16, 16), (1, 10, 14)))


def espcn(opset: int, mode: str) -> Case:
    n, x = start(63, opset, 16)
    h = n.conv(n.op("Tanh", n.conv(x, 16, 16)), 16, 12)
    if mode == "reshape":
        batch, rows, columns = (n.dimension(h, k) for k in (0, 2, 3))
        h = n.op("Transpose", n.reshape(h, batch, 3, 2, 2, rows, columns), perm=[0, 1, 4, 2, 5, 3])
        two = n.constant([2], np.int64)
        h = n.reshape(h, batch, 3, n.op("Mul", rows, two), n.op("Mul", columns, two))
    else:
        h = n.op("DepthToSpace", h, blocksize=2, mode=mode)
    n.output(n.op("Clip", h, n.constant(-1.0), n.constant(1.0)), "y", ["batch", 3, "h", "w"])
    return Case(n.model(), pictures(n, *[(1, 12, 12)] * 6), pictures(n, (2, 12, 12), (1, 8, 20)))


def yolo(version: int) -> Case:
    """Heads of two sizes. 5: Split of the last axis, (2 s - 0.5 + grid) stride, (2 s)^2 anchors; 3: exp; 8: a softmax
    over distances."""
    n = Net(65 + version, 12 if version < 8 else 17)
    x = n.input("image", ["batch", 3, 16, 16])
    x = n.conv(n.op("Mul", *_silu(n, n.conv(x, 3, 16, stride=2))), 16, 16)
    heads = []
    for stride in (2, 4):
        if stride == 4:
            x = n.op("Relu", n.conv(x, 16, 16, stride=2))
        rows = 16 // stride
        grid = np.stack(np.meshgrid(*[np.arange(rows, dtype=np.float32)] * 2), -1)
        heads.append(
            _distances(n, x, rows, stride, grid) if version == 8 else _anchors(n, x, rows, stride, grid, version)
        )
    n.output(n.op("Concat", *heads, axis=2 if version == 8 else 1), "predictions", ["batch", "p", "q"])
    return Case(n.model(), pictures(n, *[(1, 16, 16)] * 8), pictures(n, (2, 16, 16), (3, 16, 16)))


def _silu(n: Net, x: str) -> tuple[str, str]:
    return x, n.op("Sigmoid", x)


def _anchors(n: Net, x: str, rows: int, stride: int, grid: np.ndarray, version: int) -> str:
    raw = n.reshape(n.conv(x, 16, 3 * 7, 1), n.dimension(x, 0), 3, 7, rows, rows)
    raw = n.op("Transpose", raw, perm=[0, 1, 3, 4, 2])
    anchors = n.initializer(n.rng.uniform(1, 4, (1, 3, 1, 1, 2)))
    if version == 5:
        place, extent, rest = n.ops("Split", n.op("Sigmoid", raw), count=3, axis=4, split=[2, 2, 3])
        place = n.op("Add", n.op("Mul", place, n.constant(2.0)), n.initializer(grid[None, None] - 0.5))
        place = n.op("Mul", place, n.constant(float(stride)))
        extent = n.op("Mul", n.op("Pow", n.op("Mul", extent, n.constant(2.0)), n.constant(2.0)), anchors)
    else:
        place = n.op(
            "Mul",
            n.op("Add", n.op("Sigmoid", n.slice(raw, 0, 2, 4)), n.initializer(grid[None, None])),
            n.constant(float(stride)),
        )
        extent = n.op("Mul", n.op("Exp", n.slice(raw, 2, 4, 4)), anchors)
        rest = n.op("Sigmoid", n.slice(raw, 4, np.iinfo(np.int64).max, 4))
    return n.reshape(n.op("Concat", place, extent, rest, axis=4), n.dimension(x, 0), -1, 7)


def _distances(n: Net, x: str, rows: int, stride: int, grid: np.ndarray) -> str:
    raw = n.reshape(n.conv(x, 16, 4 * 8 + 3, 1), n.dimension(x, 0), 35, -1)
    boxes, classes = n.ops("Split", raw, n.ints(32, 3), count=2, axis=1)
    spread = n.op("Transpose", n.reshape(boxes, n.dimension(x, 0), 4, 8, rows * rows), perm=[0, 2, 1, 3])
    weights = n.initializer(np.arange(8, dtype=np.float32).reshape(1, 8, 1, 1))
    distance = n.reshape(n.op("Conv", n.op("Softmax", spread, axis=1), weights), n.dimension(x, 0), 4, rows * rows)
    near, far = n.ops("Split", distance, n.ints(2, 2), count=2, axis=1)
    centres = n.initializer(grid.reshape(1, -1, 2).transpose(0, 2, 1) + 0.5)
    first, last = n.op("Sub", centres, near), n.op("Add", centres, far)
    centre = n.op("Div", n.op("Add", first, last), n.constant(2.0))
    box = n.op("Mul", n.op("Concat", centre, n.op("Sub", last, first), axis=1), n.constant(float(stride)))
    return n.op("Concat", box, n.op("Sigmoid", classes), axis=1)


def ssd() -> Case:
    """Scores and boxes of two sizes turned to rows, softmax over classes, boxes decoded by constants of default
    boxes."""
    n, x = start(75, 10, 16, free=False)
    scores, boxes, count = [], [], 0
    for rows in (16, 8):
        x = x if rows == 16 else n.op("Relu", n.conv(x, 16, 16, stride=2))
        for found, width in ((scores, 2 * 4), (boxes, 2 * 4)):
            turned = n.op("Transpose", n.conv(x, 16, width), perm=[0, 2, 3, 1])
            found.append(n.reshape(turned, n.dimension(turned, 0), -1, 4))
        count += 2 * rows * rows
    n.output(n.op("Softmax", n.op("Concat", *scores, axis=1), axis=2), "scores", ["batch", count, 4])
    place, extent = (n.op("Slice", n.op("Concat", *boxes, axis=1), n.ints(a), n.ints(a + 2), n.ints(2)) for a in (0, 2))
    default = n.rng.uniform(0.1, 1, (2, count, 2)).astype(np.float32)
    place = n.op(
        "Add", n.op("Mul", n.op("Mul", place, n.constant(0.1)), n.initializer(default[1])), n.initializer(default[0])
    )
    extent = n.op("Mul", n.op("Exp", n.op("Mul", extent, n.constant(0.2))), n.initializer(default[1]))
    n.output(n.op("Concat", place, extent, axis=2), "boxes", ["batch", count, 4])
    return Case(n.model(), pictures(n, *[(1, 16, 16)] * 6), pictures(n, (2, 16, 16), (4, 16, 16)))


def linear_attention() -> Case:
    """Keys times values first, of [B, heads, size, N] with N from the shape; normalized by a sum with ones padded
    in."""
    n, x = start(77, 17, 16)
    qkv = n.reshape(n.conv(x, 16, 48, 1), n.dimension(x, 0), 6, 8, -1)
    q, k, v = (n.slice(qkv, 2 * j, 2 * j + 2, 1) for j in range(3))
    q, k = n.op("Relu", q), n.op("Relu", k)
    padded = n.op("Pad", v, n.constant([0, 0, 0, 0, 0, 0, 1, 0], np.int64), n.constant(1.0), mode="constant")
    mixed = n.op("MatMul", n.op("MatMul", padded, n.op("Transpose", k, perm=[0, 1, 3, 2])), q)
    top, bottom = n.slice(mixed, 0, -1, 2), n.slice(mixed, -1, np.iinfo(np.int64).max, 2)
    h = n.op("Div", top, n.op("Add", bottom, n.constant(2.0)))
    batch, rows, columns = (n.dimension(x, k) for k in (0, 2, 3))
    n.output(n.conv(n.reshape(h, batch, 16, rows, columns), 16, 8, 1), "y", ["batch", 8, "h", "w"])
    return Case(n.model(), pictures(n, *[(1, 8, 8)] * 8), pictures(n, (2, 8, 8), (1, 8, 8)))


def range_grid() -> Case:
    """A grid of coordinates made by Range, ConstantOfShape and Expand from the picture's size, joined as channels
    (CoordConv)."""
    n, x = start(79, 13, 8)
    planes = []
    for axis, dims in ((2, (-1, 1)), (3, (1, -1))):
        size = n.dimension(x, axis, vector=False)
        line = n.op("Range", n.constant(0.0), n.op("Cast", size, to=FLOAT), n.constant(1.0))
        line = n.op("Div", line, n.op("Sub", n.op("Cast", size, to=FLOAT), n.constant(1.0)))
        shape = n.op(
            "Concat", n.dimension(x, 0), n.constant([1], np.int64), n.dimension(x, 2), n.dimension(x, 3), axis=0
        )
        plane = n.reshape(line, 1, 1, *dims)
        zeros = n.op("ConstantOfShape", shape, value=numpy_helper.from_array(np.zeros(1, np.float32)))
        planes.append(n.op("Add", n.op("Expand", plane, shape), zeros))
    n.output(n.conv(n.op("Concat", x, *planes, axis=1), 10, 4), "y", ["batch", 4, "h", "w"])
    return Case(n.model(), pictures(n, *[(1, 8, 8)] * 6), pictures(n, (2, 8, 8), (1, 6, 10)))


CASES = {
    "unet_transposed": lambda: unet("transposed", 11),
    "unet_scales": lambda: unet("scales", 13),
    "unet_sizes": lambda: unet("sizes", 17),
    "floats_for_sizes": floats_for_sizes,
    "espcn_dcr": lambda: espcn(11, "DCR"),
    "espcn_crd": lambda: espcn(17, "CRD"),
    "espcn_reshape": lambda: espcn(13, "reshape"),
    "yolo_3": lambda: yolo(3),
    "yolo_5": lambda: yolo(5),
    "yolo_8": lambda: yolo(8),
    "ssd": ssd,
    "linear_attention": linear_attention,
    "range_grid": range_grid,
}
