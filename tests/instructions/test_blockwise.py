"""Products with block-wise weights: every instruction set at its tile edges, and what does not fit a block's int8."""

from __future__ import annotations

import numpy as np
import pytest
from kernel_targets import KERNEL_TARGETS
from program_graphs import Net
from three_engines import all_agree, static

from qglow.graph import DType
from qglow.instructions.lower import lower
from qglow.instructions.packed import PackedBlocks, unpack_blocks
from qglow.instructions.packing import round_up
from qglow.instructions.program import Instruction
from qglow.reference import evaluate
from qglow.reference.blockwise import packed_nibbles
from qglow.targets import TARGETS, target

SIZES = [(1, 1), (2, 15), (3, 16), (6, 17), (7, 32), (8, 33), (127, 8), (128, 70)]


@pytest.fixture(params=KERNEL_TARGETS)
def isa(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Each instruction set in turn, emulated where this CPU lacks it."""
    monkeypatch.setenv("QGLOW_EMULATE", "1")
    return str(request.param)


@pytest.mark.parametrize(("rows", "columns"), SIZES)
def test_tile_edges(isa: str, rows: int, columns: int) -> None:
    net = Net(rows)
    inputs = [net.input(rows, k, quant=None, dtype=DType.F32) for k in (64, 75)]
    forms = [(16, 4, True), (32, 8, False), (48, 4, False), (128, 8, True)]
    outputs = [
        net.blockwise(x, columns, size, bits, points, halves=halves)
        for x, halves in zip(inputs, (False, True), strict=True)
        for size, bits, points in forms
    ]
    all_agree(net.graph(*outputs), net.feeds(), isa, (1, 2, 3))


def test_what_is_not_finite_or_vanishes_stays_so(isa: str) -> None:
    """A block with NaN or an infinity makes its row NaN, whatever the weights; one below 2^-100 counts as zeros."""
    net = Net()
    x = net.input(6, 48, quant=None, dtype=DType.F32)
    graph = net.graph(net.blockwise(x, 20, 16, 4, bias=False), net.blockwise(x, 20, 16, 8, points=False))
    rows = np.random.default_rng(0).normal(0, 1, (6, 48)).astype(np.float32)
    rows[0, 3], rows[1, 47], rows[2, :], rows[3, :], rows[4, :16] = np.nan, -np.inf, 0, 1e-38, 3e38
    feeds = {graph.inputs[0]: rows}
    assert all(np.isnan(y[:2]).all() and np.isfinite(y[2:4]).all() for y in evaluate(graph, feeds).values())
    all_agree(graph, feeds, isa, (1, 2))


def test_scales_that_float16_holds_are_kept_so(isa: str) -> None:
    """All of them exactly, the largest and the least normal number, zeros of both signs; not denormals, not more."""
    kept = np.array([65504, 2.0**-14, -(2.0**-14), 0.0, -0.0, 1 + 2.0**-10, -0.5], np.float32)
    for other, item in ((1.0, 2), (2.0**-15, 4), (1 + 2.0**-11, 4), (65536.0, 4)):
        net = Net()
        x = net.input(3, 64, quant=None, dtype=DType.F32)
        y = net.blockwise(x, 20, 16, 4)
        scales = net.b.constants[net.b.nodes[-1].inputs[2]]
        scales.flat[:] = np.resize(np.append(kept, np.float32(other)), scales.size)
        graph = net.graph(y)
        all_agree(graph, net.feeds(), isa, (1, 2))
        *_, step = lower(static(graph, net.feeds()), isa).steps
        assert isinstance(step, Instruction)
        assert (step.kind, step.fields["scale_item"]) == ("blockwise_matmul", item)


@pytest.mark.parametrize(
    ("columns", "k", "size", "bits"), [(1, 16, 16, 4), (33, 75, 16, 4), (40, 64, 32, 8), (17, 130, 128, 4)]
)
@pytest.mark.parametrize("name", TARGETS)
def test_packed_blocks_read_back(name: str, columns: int, k: int, size: int, bits: int) -> None:
    q = np.random.default_rng(0).integers(0, 1 << bits, (columns, k)).astype(np.uint8)
    packed = PackedBlocks(name, packed_nibbles(q) if bits == 4 else q, (columns, k), size, bits)
    out = np.full(len(packed), 0xCC, np.uint8)
    packed.write(out)
    whole = unpack_blocks(name, out, (round_up(columns, target(name).block), -(-k // size), size), bits)
    again = whole.reshape(len(whole), -1)
    assert np.array_equal(again[:columns, :k], q) and not again[columns:].any() and not again[:, k:].any()
