"""The roofline plot, and the limits that it is drawn under."""

from __future__ import annotations

import platform
import re
from dataclasses import replace
from typing import Any
from xml.etree import ElementTree

import pytest

from qglow.kernels.machine_probe import loops_of, machine_code, product_text
from qglow.report.roofline import roofline
from qglow.runtime.machine_limits import MachineLimits, machine_roof
from qglow.runtime.step_profile import StepTime
from qglow.targets import TARGETS

ROOF = MachineLimits(1, 1e12, 1e11, 2e10)


def _step(**changes: Any) -> StepTime:
    return replace(StepTime(0, "conv2d", "a<b", False, 1e-5, 5_000_000, 50_000, "1x8x8x8"), **changes)


def test_the_plot_has_a_circle_for_each_native_step_under_the_roof() -> None:
    svg = roofline([_step(), _step(ops=1000, seconds=1e-6), _step(host=True, ops=0, moved=0)], ROOF)
    root = ElementTree.fromstring(svg)
    circles = root.findall("circle")
    assert len(circles) == 2 and "conv2d a<b" in (circles[0][0].text or "")
    roofs = [
        [tuple(map(float, p.split(","))) for p in line.attrib["points"].split()] for line in root.findall("polyline")
    ]
    peak = min(y for line in roofs for _, y in line)
    assert all(float(c.attrib["cy"]) > peak for c in circles)  # SVG counts downwards
    assert all(line[0][1] > line[1][1] == line[2][1] for line in roofs)  # up a slope, then level


def test_a_program_without_native_steps_has_an_empty_plot() -> None:
    assert "<circle" not in roofline([], ROOF)


def test_the_machine_is_measured() -> None:
    roof = machine_roof(1)
    assert roof.peak > 1e9 and roof.cache > roof.memory / 2 > 1e8
    assert machine_roof(1) is roof


@pytest.mark.skipif(platform.machine() != "x86_64", reason="compiles with the LLVM of this machine")
@pytest.mark.parametrize("isa", TARGETS)
def test_a_loop_compiles_for_every_instruction_set(isa: str) -> None:
    texts = [product_text(loop) for loop in loops_of(TARGETS[isa])]
    assert any(machine_code(text, isa) for text in texts)
    assert all(len(re.findall("phi", t)) > 0 for t in texts)
