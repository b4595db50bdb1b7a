"""Kernels of Arm targets, cross-compiled here, have the bits of the reference: run under qemu-aarch64."""

from __future__ import annotations

from pathlib import Path

import pytest
import under_qemu
from test_meaning import FORMS, Net
from three_engines import same, static, with_all_values

from qglow.instructions.lower import lower
from qglow.instructions.program import HostCall
from qglow.instructions.verify import verify_program
from qglow.reference import evaluate
from qglow.targets import AARCH64, TARGETS

ARM = [n for n, row in TARGETS.items() if row.architecture == AARCH64 and n != "generic"]
ON_THE_HOST = ("mirrored_pads",)  # forms of which a step has no kernel
pytestmark = pytest.mark.skipif(under_qemu.QEMU is None, reason="no qemu-aarch64 here (Debian: apt-get install qemu-user)")


@pytest.fixture(scope="module", params=ARM)
def linked(request: pytest.FixtureRequest) -> under_qemu.Linked:
    return under_qemu.Linked(request.param)


@pytest.mark.parametrize("name", [n for n in FORMS if n not in ON_THE_HOST])
def test_every_form_has_the_bits_of_the_reference(name: str, linked: under_qemu.Linked, tmp_path: Path) -> None:
    net = Net()
    graph, feeds = net.graph(*FORMS[name][1](net)), net.feeds()
    programs = [verify_program(lower(static(g, feeds), linked.isa)) for g in (graph, with_all_values(graph))]
    native = [p for p in programs if not any(isinstance(s, HostCall) for s in p.steps)]
    assert native
    for program in native:
        same(linked.run(program, feeds, tmp_path), evaluate(program.graph, feeds), f"{name} under qemu")
