"""Products with block-wise quantized weights, and the rows that they read: reference/blockwise.py over an arena's
bytes."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from ..graph import Array
from ..reference.blockwise import block_sums, quantized_rows
from ..reference.fused import chain
from .meaning import Meaning, Regions, Views
from .packed import unpack_blocks
from .packing import round_up
from .region import Region, Site, dense


def _rows(s: Site) -> Regions:
    h, c, size = s.many("H C size")
    blocks = -(-c // size)
    return {
        "x": Region((h, c), (s["x_h"], 4), "<f4"),
        "y": dense((h, blocks, size), "|i1"),
        "scale": dense((h, blocks), "<f4"),
        "sum": dense((h, blocks), "<i4"),
    }


def quantize_rows(v: Views, s: Site) -> None:
    q, scale = quantized_rows(np.ascontiguousarray(v["x"]), s["size"])
    v["y"][...], v["scale"][...] = q, scale
    v["sum"][...] = -s["factor"] * q.astype(np.int32).sum(2)


def _product(s: Site) -> Regions:
    h, k, c, size, bits, item = s.many("H K C size bits scale_item")
    block = s.packing.block
    columns = round_up(c, block)
    found = {
        "x": dense((h, k, size), "|i1"),
        "x_scale": dense((h, k), "<f4"),
        "x_sum": dense((h, k), "<i4"),
        "w": dense((columns * k * size * bits // 8,)),
        "scale": dense((columns // block, k, block), f"<f{item}"),
        "bias": dense((columns,), "<f4"),
        "y": Region((h, c), (s["y_h"], 4), "<f4"),
    }
    return found | ({"zero": dense((columns // block, k, block))} if s["points"] else {})


def blockwise_matmul(v: Views, s: Site) -> None:
    h, k, c, size, bits = s.many("H K C size bits")
    columns = round_up(c, s.packing.block)
    w = unpack_blocks(s.isa, v["w"], (columns, k, size), bits)
    scale = v["scale"].astype(np.float32).swapaxes(1, 2).reshape(columns, k)
    zero = v["zero"].swapaxes(1, 2).reshape(columns, k).astype(np.float64) if s["points"] else np.ones((columns, k))

    def terms() -> Iterator[tuple[Array, Array]]:
        for b in range(k):
            acc = block_sums(v["x"][:, b], w[:, b], np.zeros((columns, 1))) + v["x_sum"][:, b, None] * zero[:, b]
            with np.errstate(all="ignore"):
                yield acc.astype(np.float32) * scale[:, b], v["x_scale"][:, b, None]

    y = chain(np.zeros((h, columns), np.float32), terms())
    with np.errstate(all="ignore"):
        v["y"][...] = (y + v["bias"])[:, :c]


MEANINGS = {
    "quantize_rows": Meaning(_rows, quantize_rows, cut=((0, 2),)),
    "blockwise_matmul": Meaning(_product, blockwise_matmul, cut=((0, 1), (1, 2))),
}
