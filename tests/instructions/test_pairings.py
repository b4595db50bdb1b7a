"""In which order products add pairs in 16 bits, beside every sum that two products of bytes can have."""

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
from qglow.instructions.pairings import Steps, can_be_ordered, pairings, step_order, steps_of, wrong_steps
from qglow.instructions.program import Instruction
from qglow.instructions.verify import verify_program
from qglow.targets import TARGETS

PAIRING = [name for name, row in TARGETS.items() if row.pairs]
PAIRS = ((0, 1), (2, 3)), ((0, 2), (1, 3)), ((0, 3), (1, 2))


def leaves_16_bits(pair: Array) -> bool:
    sums = [x * int(pair[0]) + y * int(pair[1]) for x, y in itertools.product((0, 255), repeat=2)]
    return min(sums) < -(2**15) or max(sums) >= 2**15


def pairing_of(taps: Array) -> int:
    """The first way in which no pair of any channel [channels, 4] leaves 16 bits, or 3."""
    for k, pairs in enumerate(PAIRS):
        if not any(leaves_16_bits(channel[list(pair)]) for channel in taps for pair in pairs):
            return k
    return 3


@pytest.mark.smoke
@pytest.mark.parametrize("isa", PAIRING)
def test_every_pair_at_the_edges(isa: str) -> None:
    edges = [-128, -127, -65, -64, -63, -2, -1, 0, 1, 2, 63, 64, 65, 126, 127]
    pairs = np.array(list(itertools.product(edges, repeat=2)), np.int8)
    taps = np.zeros((1, TARGETS[isa].lanes, 1, 1, 4 * len(pairs)), np.int8)
    taps[0, 3, 0, 0].reshape(-1, 4)[:, 2:] = pairs  # of one channel, the second pair of each step
    found = pairings(isa, taps, True)
    assert found.tolist() == [[int(leaves_16_bits(p)) for p in pairs]]
    assert found.any() and not found.all()


def read_off(isa: str, w: Array, fused: bool, line: Array, first: int, vectors: int) -> list[tuple[int, int, int]]:
    """(where a step reads x, its place in the order, its pairing) of a block whose packed bytes begin at `first`."""
    counts, steps = line[:4].tolist(), line[6:].reshape(-1, 2)
    size = vectors * TARGETS[isa].lanes * 4
    ways = [k for k, count in enumerate(counts) for _ in range(count)]
    packed = pack(isa, w, fused)
    found = []
    for (reads, place), way in zip(steps.tolist(), ways, strict=True):
        taps = packed[first + place : first + place + size].reshape(-1, 4)
        assert pairing_of(taps) == way
        found.append((place // size, reads, way))
    return found


@pytest.mark.parametrize("isa", PAIRING)
@pytest.mark.parametrize("shape", [(1, 40, 3, 3, 4), (2, 17, 2, 3, 5), (3, 1, 1, 1, 1), (1, 33, 1, 2, 64)])
@pytest.mark.parametrize("fused", [False, True])
def test_each_step_once_where_its_pairs_fit(isa: str, shape: tuple[int, ...], fused: bool) -> None:
    """As the packed bytes of each step say."""
    w = np.random.default_rng(1).integers(-72, 72, shape).astype(np.int8)
    p, (g, oc, kh, kw, ic) = TARGETS[isa], shape
    runs, run = (1, kw * ic) if fused else (kw, ic)
    steps = Steps(isa, g, oc, kh, runs, run, 1000, 100)
    found, per_run, ways = step_order(steps, w, fused), -(-run // 4), set()
    vectors, lines = -(-oc // p.lanes), iter(found)
    for group in range(g):
        for block in range(0, vectors, p.vectors):
            count = min(p.vectors, vectors - block)
            first = (group * vectors + block) * p.lanes * kh * runs * per_run * 4
            seen = sorted(read_off(isa, w, fused, next(lines), first, count))
            want = [1000 * a + 100 * r + 4 * s for a in range(kh) for r in range(runs) for s in range(per_run)]
            assert [(k, reads) for k, reads, _ in seen] == list(enumerate(want))
            ways |= {way for _, _, way in seen}
    assert next(lines, None) is None
    assert len(ways) > 1 or w.size < 100
    assert wrong_steps(steps, pack(isa, w, fused), found) == 0


@pytest.mark.parametrize("isa", PAIRING)
def test_what_is_wrong_in_an_order(isa: str) -> None:
    w = np.random.default_rng(2).integers(-90, 90, (2, 70, 1, 1, 24)).astype(np.int8)
    steps = Steps(isa, 2, 70, 1, 1, 24, 0, 0)
    packed, order = pack(isa, w, True), step_order(steps, w, True)
    for at, change in ((0, 1), (0, -1), (4, 1), (6, 4), (7, 64), (9, -(1 << 20))):
        spoiled = order.copy()
        spoiled[3, at] += change
        assert wrong_steps(steps, packed, spoiled) == 1, (at, change)
    early = order.copy()
    early[:, :4] = [[6, 0, 0, 0]] * len(order)  # all steps as if neighbours fitted
    assert wrong_steps(steps, packed, early) == int((order[:, 0] < 6).sum()) > 0
    assert can_be_ordered(steps) and not can_be_ordered(steps._replace(rows=3, row=1 << 30))


@pytest.mark.parametrize("isa", PAIRING)
def test_many_channels_are_looked_at_in_pieces(isa: str, monkeypatch: pytest.MonkeyPatch) -> None:
    w = np.random.default_rng(2).integers(-90, 90, (2, 70, 1, 1, 24)).astype(np.int8)
    whole = pairings(isa, w, True)
    monkeypatch.setattr("qglow.instructions.pairings.PIECE", 1)
    assert np.array_equal(pairings(isa, w, True), whole)
    assert pairings(isa, w[:, :0], True).shape == (0, 6)


@pytest.mark.parametrize("isa", PAIRING)
def test_an_order_with_pairs_that_can_saturate_is_found(isa: str) -> None:
    net = Net()
    graph = net.graph(net.conv(net.input(1, 8, 5, 4), 16, (3, 3)))
    program = lower(static(graph, feeds_of(graph, np.random.default_rng(0))), isa)
    verify_program(program)
    step = next(s for s in program.steps if isinstance(s, Instruction) and s.kind == "conv2d")
    count = steps_of(isa, step.fields).total

    def clear(p: MutableProgram) -> None:
        k = int(np.searchsorted(np.cumsum([len(piece) for piece in p.constant_pool]), step.constants["order"], "right"))
        order = np.frombuffer(bytes(p.constant_pool[k]), np.int32).copy()
        order[:4] = count, 0, 0, 0
        p.constant_pool[k] = order.tobytes()

    with pytest.raises(VerifyError, match=r"order: expected each step once, no sum of a pair beyond 16 bits, got \d+"):
        verify_program(changed(program, clear))
