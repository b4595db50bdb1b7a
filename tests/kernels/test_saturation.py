"""Products of the largest weights and pixels, beside the meaning of a conv2d: two of them leave 16 bits."""

from __future__ import annotations

import numpy as np
import pytest
from kernel_targets import KERNEL_TARGETS

from qglow.instructions.packing import pack, round_up
from qglow.kernels import library
from qglow.kernels.sizes import SCRATCH_BYTES
from qglow.kernels.table import rows_of
from qglow.targets import target
from tests.kernels.row_fields import Draw, Fields, order
from tests.kernels.row_memory import KERNEL, Memory

TAPS = 36


def fields_of(isa: str, channels: int, pairs: int) -> Fields:
    """A product of 5 pixels of TAPS channels, all float sums: every bit of a sum shows."""
    drawn = Draw(np.random.default_rng(0), "conv2d", {}, isa).fields()
    sizes = {"N": 1, "H": 1, "W": 5, "C": channels, "G": 1, "KH": 1, "KW": 1, "SH": 1, "SW": 1, "DH": 1, "DW": 1}
    strides = {"x_n": 5 * TAPS, "x_h": 5 * TAPS, "x_w": TAPS, "x_c": TAPS}
    outputs = {f"{n}_{d}": 4 * channels * k for n in "yr" for d, k in (("n", 5), ("h", 5), ("w", 1), ("g", 1))}
    return {**drawn, **sizes, **strides, **outputs, "runs": 1, "run": TAPS, "y_f32": 1, "post": 0, "pairs": pairs}


PAIRS = [(127, 127), (-128, -128), (-127, -127), (127, -128), (64, 64), (65, 64), (-64, -64), (-65, -64), (-128, 0)]
FOURS = [(127, 127, -127, -128), (-128, 0, -1, 1), (127, 50, 50, 1), (-128, -64, -64, 0)]
WEIGHTS = [*(2 * pair for pair in PAIRS), *FOURS]


def run(isa: str, name: str, fields: Fields, weights: tuple[int, ...], marked: bool = True) -> bool:
    """Whether a kernel agrees with the meaning on pixels of 255 and 0, and four weights everywhere."""
    memory = Memory("conv2d", fields, isa, np.random.default_rng(1))
    w = np.zeros((1, fields["C"], 1, 1, round_up(TAPS, target(isa).step)), np.int8)
    w[..., :TAPS] = np.tile(weights, TAPS // 4)
    packed = pack(isa, w[..., :TAPS], True).view(np.uint8)
    ordered = order(fields, isa, packed)
    if not marked:  # all steps as if neighbouring taps fitted
        lines = ordered.view(np.int32).reshape(-1, 6 + 2 * (TAPS // 4))
        lines[:, :4] = TAPS // 4, 0, 0, 0
    for operand, data in {"w": packed, "order": ordered}.items():
        if operand in memory.regions:
            memory.bytes[memory.at[operand] : memory.at[operand] + data.size] = data
    x = memory.regions["x"].view(memory.bytes, memory.at["x"])
    x[...] = 255
    x[..., 1, :, :, :, 0:TAPS:3] = 0
    want, free = memory.expected()
    got, scratch = memory.bytes.copy(), np.zeros(SCRATCH_BYTES, np.uint8)
    address = library.load(isa).address(name)
    KERNEL(address)(memory.row(address, got, scratch).ctypes.data, 0, 0, 1)
    return not ((got != want) & ~free).any()


@pytest.mark.parametrize("isa", KERNEL_TARGETS)
def test_the_largest_products(isa: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("QGLOW_ISA", isa)
    monkeypatch.setenv("QGLOW_EMULATE", "1")
    for row in rows_of("conv2d", isa):
        for channels in (3, 8, 16, 40):
            for pairs in (0, 1):
                fields = fields_of(isa, channels, pairs)
                if row.accepts(fields, target(isa)):
                    for four in WEIGHTS:
                        assert run(isa, row.name, fields, four), f"{row.name} of {isa}, {channels} channels: {four}"


@pytest.mark.parametrize("isa", [isa for isa in KERNEL_TARGETS if target(isa).pairs])
def test_pairs_that_do_not_fit_saturate(isa: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """So that the test above would fail for a kernel that widens nothing."""
    monkeypatch.setenv("QGLOW_ISA", isa)
    monkeypatch.setenv("QGLOW_EMULATE", "1")
    fields = fields_of(isa, 16, 1)
    for four in WEIGHTS:
        exact = abs(sum(four[:2])) <= 128 and abs(sum(four[2:])) <= 128
        assert run(isa, "conv2d.pairs", fields, four, marked=False) == exact, four
