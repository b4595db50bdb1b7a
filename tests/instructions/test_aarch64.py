"""Kernels of Arm targets, cross-compiled here, have the bits of the reference: run under qemu-aarch64."""

from __future__ import annotations

import tempfile
from pathlib import Path

import numpy as np
import pytest
import under_qemu
from hypothesis import HealthCheck, assume, given, settings
from program_graphs import feeds_of, nets
from test_meaning import FORMS, Net
from three_engines import same, static, with_all_values

import qglow
from qglow.graph import Graph
from qglow.instructions.lower import lower
from qglow.instructions.program import HostCall
from qglow.instructions.verify import verify_program
from qglow.reference import evaluate
from qglow.targets import AARCH64, TARGETS

ARM = [n for n, row in TARGETS.items() if row.architecture == AARCH64 and n != "generic"]
ON_THE_HOST = ("mirrored_pads", "choices", "tiles_of_many_loops")  # forms of which a step has no kernel
pytestmark = pytest.mark.skipif(
    under_qemu.QEMU is None, reason="no qemu-aarch64 here (Debian: apt-get install qemu-user)"
)


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


@settings(max_examples=12, suppress_health_check=list(HealthCheck))
@given(nets())
def test_grown_graphs_have_the_bits_of_the_reference(linked: under_qemu.Linked, made: tuple[Graph, int]) -> None:
    graph, seed = made
    feeds = feeds_of(graph, np.random.default_rng(seed))
    program = lower(static(with_all_values(graph), feeds), linked.isa)
    assume(not any(isinstance(s, HostCall) for s in program.steps))
    with tempfile.TemporaryDirectory() as folder:
        same(linked.run(program, feeds, Path(folder)), evaluate(program.graph, feeds), "a grown graph under qemu")


def test_the_demo_model_has_the_bits_of_the_reference(linked: under_qemu.Linked, digits: Path, tmp_path: Path) -> None:
    graph = qglow.quantize(digits / "model.onnx", qglow.profile(digits / "model.onnx", digits, samples=8)).graph
    feeds = {"image": np.load(digits / "007.npy")}
    program = lower(static(with_all_values(graph), feeds), linked.isa)
    same(linked.run(program, feeds, tmp_path), evaluate(program.graph, feeds), "the demo model under qemu")
