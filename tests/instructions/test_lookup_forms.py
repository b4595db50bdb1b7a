"""Tables of bytes in every layout: kernels look up a table for each channel along any axis, with the reference's
bits."""

from __future__ import annotations

import numpy as np
import pytest

from qglow.graph import DType, Graph, GraphBuilder, Quant, TensorType
from qglow.instructions.lower import lower
from qglow.instructions.program import Instruction
from qglow.reference import evaluate
from qglow.runtime import InferenceSession

RNG = np.random.default_rng(0)
QUANT = Quant.per_tensor(0.1, 7)
SHAPES = [(6,), (3, 6), (2, 5, 6), (1, 5, 1), (2, 5, 4, 3), (2, 5, 1, 3), (1, 5, 1, 1), (2, 1, 4, 3), (2, 3, 2, 3, 4)]


def looked_up(shape: tuple[int, ...], axis: int | None, behind_pool: bool) -> Graph:
    """axis: of the channels that have tables of their own; None: one table. behind_pool: of a value that lies
    channels-last."""
    b, t = GraphBuilder(), TensorType(DType.U8, shape, QUANT)
    b.types["x"] = t
    x = b.add("MaxPool", ("x",), t, "pool", kernel_shape=(1,) * (len(shape) - 2)) if behind_pool else "x"
    table = RNG.integers(0, 256, (256,) if axis is None else (shape[axis], 256)).astype(np.uint8)
    y = b.add("Lookup", (x, b.add_constant("t", table)), t, "y", **({} if axis is None else {"axis": axis}))
    return b.build("g", ["x"], [y])


@pytest.mark.parametrize("behind_pool", [False, True])
@pytest.mark.parametrize("shape", SHAPES)
def test_tables_by_channel(shape: tuple[int, ...], behind_pool: bool) -> None:
    if behind_pool and len(shape) not in (3, 4):
        return
    for axis in (None, *range(-len(shape), len(shape))):
        graph = looked_up(shape, axis, behind_pool)
        kinds = [s.kind if isinstance(s, Instruction) else s.node.op for s in lower(graph, "avx2").steps]
        feeds = {"x": RNG.integers(0, 256, shape).astype(np.uint8)}
        assert np.array_equal(InferenceSession(graph, 1).run(None, feeds)[0], evaluate(graph, feeds)["y"]), axis
        # along whatever axis channels lie, a copy may lay them side by side
        assert ("lookup" in kinds) == (axis is None or shape[axis] > 1), (axis, kinds)
