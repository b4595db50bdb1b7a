"""Hints say how a product's work is done: every one of them gives the same bits, on every instruction set and number of
threads."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from kernel_targets import KERNEL_TARGETS
from program_graphs import Net
from three_engines import Guarded, same, static

from qglow.errors import VerifyError
from qglow.graph import Graph
from qglow.instructions.lower import lower
from qglow.instructions.text import check_program_text
from qglow.instructions.verify import verify_program
from qglow.reference import evaluate
from qglow.tuning.schedule import products, with_hints

CHOICES = {"tile": (0, 1, 3, 5), "limit": (0, 1, 5), "split": (0, 1, 2)}


@pytest.fixture(params=KERNEL_TARGETS)
def isa(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setenv("QGLOW_ISA", request.param)
    monkeypatch.setenv("QGLOW_EMULATE", "1")
    return str(request.param)


def residual_net() -> tuple[Graph, dict[str, np.ndarray]]:
    """Rows that pair, a sum and a table behind products, channels that fill no block, and groups."""
    net = Net()
    x = net.input(1, 32, 7, 7)
    y = net.op("Add", (net.conv(x, 32, (3, 3), pads=(1, 1, 1, 1)), x))
    z = net.op("Lookup", (net.conv(y, 70, (1, 1)), net.constant("t", net.rng.integers(0, 256, 256).astype("u1"))))
    last = net.conv(z, 40, (3, 3), group=2, strides=(2, 2))
    return net.graph(last), net.feeds()


def test_hints_never_change_bits(isa: str) -> None:
    graph, feeds = residual_net()
    program = lower(static(graph, feeds), isa)
    want = evaluate(graph, feeds)
    assert len(products(program, ("conv2d",))) == 3
    for values in itertools.product(*CHOICES.values()):
        hints = {k: v for k, v in zip(CHOICES, values, strict=True) if v}
        hinted = with_hints(program, [hints] * 3)
        for threads in (1, 2, 3):
            plan = Guarded(hinted, threads)
            same(plan.run(feeds), want, f"{isa} with {hints} on {threads} threads")
            plan.check_guards("the program")
    check_program_text(verify_program(hinted))


@pytest.mark.parametrize("hints", [{"tile": -1}, {"limit": 1 << 20}, {"speed": 1}, {"split": 3}])
def test_hints_that_do_not_exist_are_refused(hints: dict[str, int]) -> None:
    graph, feeds = residual_net()
    program = lower(static(graph, feeds), "generic")
    program = with_hints(program, [hints, {}, {}])
    with pytest.raises(VerifyError, match=f"hint.*{next(iter(hints))}"):
        verify_program(program)
