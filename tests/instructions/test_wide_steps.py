"""Which steps of packed weights are widened, beside every sum that two products of bytes can have."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from mutable_program import MutableProgram, changed
from program_graphs import Net, feeds_of
from three_engines import static

from qglow.errors import VerifyError
from qglow.graph import Array
from qglow.instructions.lower import lower
from qglow.instructions.packing import pack
from qglow.instructions.program import Instruction
from qglow.instructions.verify import verify_program
from qglow.instructions.wide_steps import wide_steps, wide_steps_of
from qglow.targets import TARGETS

PAIRING = [name for name, row in TARGETS.items() if row.pairs]


def leaves_16_bits(pair: Array) -> bool:
    sums = [x * int(pair[0]) + y * int(pair[1]) for x, y in itertools.product((0, 255), repeat=2)]
    return min(sums) < -(2**15) or max(sums) >= 2**15


@pytest.mark.smoke
@pytest.mark.parametrize("isa", PAIRING)
def test_every_pair_at_the_edges(isa: str) -> None:
    edges = [-128, -127, -65, -64, -63, -2, -1, 0, 1, 2, 63, 64, 65, 126, 127]
    pairs = np.array(list(itertools.product(edges, repeat=2)), np.int8)
    taps = np.zeros((1, TARGETS[isa].lanes, 1, 1, 4 * len(pairs)), np.int8)
    taps[0, 3, 0, 0].reshape(-1, 4)[:, 2:] = pairs  # of one channel, the second pair of each step
    found = wide_steps(isa, taps, True)
    assert found.tolist() == [[int(leaves_16_bits(p)) for p in pairs]]
    assert found.any() and not found.all()


@pytest.mark.parametrize("isa", PAIRING)
@pytest.mark.parametrize("shape", [(1, 40, 3, 3, 4), (2, 17, 2, 3, 5), (3, 1, 1, 1, 1), (1, 33, 1, 2, 64)])
@pytest.mark.parametrize("fused", [False, True])
def test_steps_of_a_block_are_those_of_its_channels(isa: str, shape: tuple[int, ...], fused: bool) -> None:
    """In the order of the packed bytes: read off them, vector by vector."""
    w = np.random.default_rng(1).integers(-72, 72, shape).astype(np.int8)
    p, (g, oc, kh, kw, ic) = TARGETS[isa], shape
    runs, run = (1, kw * ic) if fused else (kw, ic)
    found = wide_steps(isa, w, fused)
    steps = kh * runs * -(-run // 4)
    at, want = 0, []
    packed = pack(isa, w, fused).reshape(-1, p.lanes, 4)
    vectors = -(-oc // p.lanes)
    for _ in range(g):
        for first in range(0, vectors, p.vectors):
            count = min(p.vectors, vectors - first)
            block = packed[at : at + steps * count].reshape(steps, -1, 2)
            at += steps * count
            marks = [int(any(map(leaves_16_bits, step))) for step in block]
            want += [marks] * count
    assert found.tolist() == want
    assert found.size < 9 or (found.any() and not found.all())
    assert np.array_equal(found, wide_steps_of(isa, packed.reshape(-1), (g, oc, kh, runs, run)))


@pytest.mark.parametrize("isa", PAIRING)
def test_many_channels_are_looked_at_in_pieces(isa: str, monkeypatch: pytest.MonkeyPatch) -> None:
    w = np.random.default_rng(2).integers(-90, 90, (2, 70, 1, 1, 24)).astype(np.int8)
    whole = wide_steps(isa, w, True)
    monkeypatch.setattr("qglow.instructions.wide_steps.PIECE", 1)
    assert np.array_equal(wide_steps(isa, w, True), whole)
    assert wide_steps(isa, w[:, :0], True).shape == (0, 6)


@pytest.mark.parametrize("isa", PAIRING)
def test_a_step_that_is_not_marked_is_found(isa: str) -> None:
    net = Net()
    graph = net.graph(net.conv(net.input(1, 8, 5, 4), 16, (3, 3)))
    program = lower(static(graph, feeds_of(graph, np.random.default_rng(0))), isa)
    verify_program(program)
    at = next(s for s in program.steps if isinstance(s, Instruction) and s.kind == "conv2d").constants["wide"]

    def clear(p: MutableProgram) -> None:
        k = int(np.searchsorted(np.cumsum([len(piece) for piece in p.constant_pool]), at, "right"))
        p.constant_pool[k] = bytes(len(p.constant_pool[k]))

    with pytest.raises(VerifyError, match=r"wide: expected each step that can saturate to be marked, got \d+ that"):
        verify_program(changed(program, clear))
