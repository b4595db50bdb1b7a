"""Transformers over pictures: class tokens expanded to the batch, shifted windows, grids, and a detector that asks with
queries."""

from __future__ import annotations

import numpy as np

from .builder import Case, Net
from .encoders import HEADS, SIZE, WIDTH


def pictures(n: Net, size: int, batches: tuple[int, ...]) -> list[dict[str, np.ndarray]]:
    return [{"pixels": n.noise(b, 3, size, size)} for b in batches]


def patches(n: Net, x: str, side: int) -> str:
    """A convolution whose stride is its kernel: [B, WIDTH, H / side, W / side]."""
    w = n.weight(WIDTH, 3, side, side)
    window = {"kernel_shape": [side] * 2, "strides": [side] * 2, "pads": [0] * 4, "dilations": [1, 1]}
    return n.op("Conv", x, w, n.weight(WIDTH, scale=0.1), group=1, **window)


def attention(n: Net, x: str, mask: str | None = None, bias: str | None = None) -> str:
    """A fused projection to [3, B, heads, S, size], taken apart by Gather, as timm writes it."""
    qkv = n.reshape(n.linear(x, WIDTH, 3 * WIDTH), n.dimension(x, 0), n.dimension(x, 1), 3, HEADS, SIZE)
    turned = n.op("Transpose", qkv, perm=[2, 0, 3, 1, 4])
    q, k, v = (n.op("Gather", turned, n.constant(j, np.int64), axis=0) for j in range(3))
    scores = n.op("MatMul", n.op("Mul", q, n.constant(SIZE**-0.5)), n.op("Transpose", k, perm=[0, 1, 3, 2]))
    for more in (bias, mask):
        scores = scores if more is None else n.op("Add", scores, more)
    mixed = n.op("Transpose", n.op("MatMul", n.op("Softmax", scores, axis=-1), v), perm=[0, 2, 1, 3])
    return n.linear(n.reshape(mixed, n.dimension(x, 0), n.dimension(x, 1), WIDTH), WIDTH, WIDTH)


def block(n: Net, x: str, **more: str) -> str:
    x = n.op("Add", x, attention(n, n.layer_norm(x, WIDTH), **more))
    return n.op("Add", x, n.linear(n.gelu(n.linear(n.layer_norm(x, WIDTH), WIDTH, 2 * WIDTH)), 2 * WIDTH, WIDTH))


def vit(opset: int, by_where: bool) -> Case:
    """by_where: the sizes of Expand as torch writes them, Where(sizes == -1, ones, sizes)."""
    n = Net(21, opset)
    x = n.input("pixels", ["batch", 3, 16, 16])
    x = patches(n, x, 4)
    batch, channels = n.dimension(x, 0), n.dimension(x, 1)
    x = n.op("Transpose", n.reshape(x, batch, channels, -1), perm=[0, 2, 1])
    token = n.weight(1, 1, WIDTH, scale=0.5)
    sizes = n.op("Concat", n.dimension(x, 0), n.constant([-1], np.int64), n.constant([-1], np.int64), axis=0)
    if by_where:
        ones = n.op("ConstantOfShape", n.constant([3], np.int64), value=_int_tensor(1))
        unknown = n.op("Equal", sizes, n.op("Mul", ones, n.constant(-1, np.int64)))
        sizes = n.op("Where", unknown, ones, sizes)
    else:
        sizes = n.op("Concat", n.dimension(x, 0), n.constant([1, WIDTH], np.int64), axis=0)
    x = n.op("Add", n.op("Concat", n.op("Expand", token, sizes), x, axis=1), n.weight(1, 17, WIDTH, scale=0.3))
    for _ in range(2):
        x = block(n, x)
    first = n.op("Gather", n.layer_norm(x, WIDTH), n.constant(0, np.int64), axis=1)
    n.output(n.gemm(first, WIDTH, 10), "logits", ["batch", 10])
    return Case(n.model(), pictures(n, 16, (1,) * 8), pictures(n, 16, (2, 5)))


def _int_tensor(value: int) -> object:
    from onnx import numpy_helper

    return numpy_helper.from_array(np.array([value], np.int64))


def rolled(n: Net, x: str, shift: int) -> str:
    """torch.roll over rows and columns: Slice, Slice, Concat, twice."""
    for axis in (1, 2):
        x = n.op("Concat", n.slice(x, -shift, np.iinfo(np.int64).max, axis), n.slice(x, 0, -shift, axis), axis=axis)
    return x


def windows(n: Net, x: str, side: int, grid: bool = False) -> str:
    """[B, H, W, C] to [windows, side * side, C]; grid: of elements that lie H / side apart, as MaxViT's."""
    batch = n.dimension(x, 0)
    count = 8 // side
    shape = (side, count, side, count) if grid else (count, side, count, side)
    perm = [0, 2, 4, 1, 3, 5] if grid else [0, 1, 3, 2, 4, 5]
    return n.reshape(n.op("Transpose", n.reshape(x, batch, *shape, WIDTH), perm=perm), -1, side * side, WIDTH)


def joined(n: Net, x: str, side: int, grid: bool = False) -> str:
    count = 8 // side
    whole = n.reshape(x, -1, count, count, side, side, WIDTH)
    return n.reshape(n.op("Transpose", whole, perm=[0, 3, 1, 4, 2, 5] if grid else [0, 1, 3, 2, 4, 5]), -1, 8, 8, WIDTH)


def relative_bias(n: Net, side: int) -> str:
    """A table gathered by a constant index: [1, heads, side^2, side^2]."""
    place = np.stack(np.meshgrid(*[np.arange(side)] * 2, indexing="ij")).reshape(2, -1)
    distance = (place[:, :, None] - place[:, None]) + side - 1
    index = n.initializer((distance[0] * (2 * side - 1) + distance[1]).reshape(-1), np.int64)
    bias = n.op("Gather", n.weight((2 * side - 1) ** 2, HEADS, scale=0.5), index)
    return n.unsqueeze(n.op("Transpose", n.reshape(bias, side**2, side**2, HEADS), perm=[2, 0, 1]), 0)


def shifted_mask(side: int, shift: int) -> np.ndarray:
    """Swin's: -100 between elements of a window that were not beside each other before the shift: [windows, 1, side^2,
    side^2]."""
    region = np.zeros((8, 8))
    cuts = (slice(0, 8 - side), slice(8 - side, 8 - shift), slice(8 - shift, None))
    for k, (rows, columns) in enumerate((a, b) for a in cuts for b in cuts):
        region[rows, columns] = k
    count = 8 // side
    flat = region.reshape(count, side, count, side).transpose(0, 2, 1, 3).reshape(-1, side * side)
    return np.where(flat[:, None] == flat[:, :, None], 0, -100.0).astype(np.float32)[:, None]


def swin() -> Case:
    """One block of windows, one of shifted windows with a mask added between the batch and the windows, then patch
    merging."""
    n, side, shift = Net(23, 17), 4, 2
    x = patches(n, n.input("pixels", ["batch", 3, 16, 16]), 2)
    x = n.op("Transpose", x, perm=[0, 2, 3, 1])
    x = n.layer_norm(x, WIDTH)
    for moved in (0, shift):
        h = n.layer_norm(x, WIDTH)
        h = windows(n, rolled(n, h, -moved) if moved else h, side)
        qkv = n.reshape(n.linear(h, WIDTH, 3 * WIDTH), n.dimension(h, 0), side**2, 3, HEADS, SIZE)
        turned = n.op("Transpose", qkv, perm=[2, 0, 3, 1, 4])
        q, k, v = (n.op("Gather", turned, n.constant(j, np.int64), axis=0) for j in range(3))
        scores = n.op("MatMul", n.op("Mul", q, n.constant(SIZE**-0.5)), n.op("Transpose", k, perm=[0, 1, 3, 2]))
        scores = n.op("Add", scores, relative_bias(n, side))
        if moved:
            by_picture = n.reshape(scores, -1, 4, HEADS, side**2, side**2)
            masked = n.op("Add", by_picture, n.initializer(shifted_mask(side, shift)[None]))
            scores = n.reshape(masked, -1, HEADS, side**2, side**2)
        mixed = n.op("Transpose", n.op("MatMul", n.op("Softmax", scores, axis=-1), v), perm=[0, 2, 1, 3])
        h = joined(n, n.linear(n.reshape(mixed, -1, side**2, WIDTH), WIDTH, WIDTH), side)
        x = n.op("Add", x, rolled(n, h, moved) if moved else h)
        x = n.op("Add", x, n.linear(n.gelu(n.linear(n.layer_norm(x, WIDTH), WIDTH, 2 * WIDTH)), 2 * WIDTH, WIDTH))
    parts = [n.slice(n.slice(x, r, 8, 1, 2), c, 8, 2, 2) for c in (0, 1) for r in (0, 1)]
    merged = n.linear(n.layer_norm(n.op("Concat", *parts, axis=-1), 4 * WIDTH), 4 * WIDTH, WIDTH, bias=False)
    n.output(n.op("Transpose", merged, perm=[0, 3, 1, 2]), "features", ["batch", WIDTH, 4, 4])
    return Case(n.model(), pictures(n, 16, (1,) * 8), pictures(n, 16, (2, 3)))


def maxvit() -> Case:
    """An inverted bottleneck with squeeze and excitation, then attention in windows and in a grid."""
    n = Net(25, 18)
    x = patches(n, n.input("pixels", ["batch", 3, 16, 16]), 2)
    h = n.op("Mul", *_twice(n, n.batch_norm(n.conv(x, WIDTH, WIDTH, 3, group=WIDTH), WIDTH), "Sigmoid"))
    gate = n.conv(n.op("Relu", n.conv(n.mean(h, [2, 3]), WIDTH, 8, 1)), 8, WIDTH, 1)
    x = n.op("Add", x, n.conv(n.op("Mul", h, n.op("Sigmoid", gate)), WIDTH, WIDTH, 1))
    x = n.op("Transpose", x, perm=[0, 2, 3, 1])
    for grid in (False, True):
        parts = windows(n, x, 4, grid)
        x = joined(n, block(n, parts, bias=relative_bias(n, 4)), 4, grid)
    x = n.op("GlobalAveragePool", n.op("Transpose", x, perm=[0, 3, 1, 2]))
    n.output(n.gemm(n.op("Flatten", x, axis=1), WIDTH, 10), "logits", ["batch", 10])
    return Case(n.model(), pictures(n, 16, (1,) * 8), pictures(n, 16, (2, 3)))


def _twice(n: Net, x: str, op: str) -> tuple[str, str]:
    return x, n.op(op, x)


def detr() -> Case:
    """A convolution's features as memory, learned queries expanded to the batch, boxes by Sigmoid, classes by
    Softmax."""
    n = Net(27, 14)
    x = n.input("pixels", ["batch", 3, 16, 16])
    x = n.op("Relu", n.conv(n.op("Relu", n.conv(x, 3, 16, stride=2)), 16, WIDTH, stride=2))
    batch = n.dimension(x, 0)
    memory = n.op("Transpose", n.reshape(x, batch, WIDTH, -1), perm=[0, 2, 1])
    memory = n.op("Add", memory, n.weight(1, 16, WIDTH, scale=0.3))
    sizes = n.op("Concat", batch, n.constant([5], np.int64), n.constant([WIDTH], np.int64), axis=0)
    queries = n.op("Expand", n.unsqueeze(n.weight(5, WIDTH, scale=1.0), 0), sizes)
    target = n.op("ConstantOfShape", sizes)
    asked = n.op("Add", target, queries)
    q = n.split_heads(n.linear(asked, WIDTH, WIDTH), HEADS, SIZE)
    k, v = (n.split_heads(n.linear(memory, WIDTH, WIDTH), HEADS, SIZE) for _ in range(2))
    mixed = n.linear(n.merge_heads(n.attend(q, k, v, SIZE), WIDTH), WIDTH, WIDTH)
    h = n.layer_norm(n.op("Add", mixed, queries), WIDTH)
    n.output(n.op("Softmax", n.linear(h, WIDTH, 7), axis=-1), "scores", ["batch", 5, 7])
    boxes = n.linear(n.op("Relu", n.linear(h, WIDTH, WIDTH)), WIDTH, 4)
    boxes = n.op("Sigmoid", boxes)
    centre, extent = (n.slice(boxes, a, b, 2) for a, b in ((0, 2), (2, 4)))
    half = n.op("Mul", extent, n.constant(0.5))
    n.output(n.op("Concat", n.op("Sub", centre, half), n.op("Add", centre, half), axis=-1), "boxes", ["batch", 5, 4])
    return Case(n.model(), pictures(n, 16, (1,) * 8), pictures(n, 16, (2, 3)))


def resized_positions() -> Case:
    """Pictures of any size: position embeddings as a picture, resized to the patches' rows and columns by sizes
    computed in the model."""
    n = Net(29, 17)
    x = patches(n, n.input("pixels", ["batch", 3, "height", "width"]), 4)
    channels = n.constant([1, WIDTH], np.int64)
    sizes = n.op("Concat", channels, n.dimension(x, 2), n.dimension(x, 3), axis=0)
    table = n.op(
        "Resize",
        n.weight(1, WIDTH, 4, 4, scale=0.5),
        "",
        "",
        sizes,
        mode="linear",
        coordinate_transformation_mode="half_pixel",
    )
    x = n.op("Add", x, table)
    flat = n.op("Transpose", n.reshape(x, n.dimension(x, 0), WIDTH, -1), perm=[0, 2, 1])
    n.output(n.linear(block(n, flat), WIDTH, 10), "y", ["batch", "tokens", 10])
    others = [{"pixels": n.noise(b, 3, h, w)} for b, h, w in ((2, 16, 16), (1, 24, 16), (2, 12, 20))]
    return Case(n.model(), pictures(n, 16, (1,) * 8), others)


CASES = {
    "vit_11": lambda: vit(11, by_where=False),
    "vit_17": lambda: vit(17, by_where=True),
    "swin": swin,
    "maxvit": maxvit,
    "detr": detr,
    "resized_positions": resized_positions,
}
