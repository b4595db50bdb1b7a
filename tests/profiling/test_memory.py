"""Profiling and comparing take the memory of one sample, however many there are."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import onnx
import pytest
import shared_models
from onnx import helper

from qglow.threads import MOST_LANES, TURNS

AT_ONCE = MOST_LANES * TURNS  # samples that wait for each other

CODE = """
import sys
import numpy as np
import qglow
name, shape, count, what = sys.argv[2], tuple(map(int, sys.argv[3].split(","))), int(sys.argv[4]), sys.argv[5]
samples = lambda n: ({name: np.random.default_rng(k).normal(0, 50, shape).astype(np.float32)} for k in range(n))
if what == "profile":
    assert qglow.profile(sys.argv[1], samples(count)).samples == count
else:
    bundle = qglow.quantize(sys.argv[1], qglow.profile(sys.argv[1], samples(2)), check=False)
    assert qglow.compare(sys.argv[1], bundle, samples(count)).to_dict()["samples"] == count
print(next(int(line.split()[1]) for line in open("/proc/self/status") if line.startswith("VmHWM")))
"""


def peak(model: Path, name: str, shape: tuple[int, ...], count: int, what: str = "profile") -> int:
    """Most KiB that a process of its own ever had resident."""
    command = [sys.executable, "-c", CODE, str(model), name, ",".join(map(str, shape)), str(count), what]
    return int(subprocess.run(command, capture_output=True, text=True, check=True).stdout)


@pytest.mark.parametrize("what", ["profile", "compare"])
def test_memory_is_that_of_one_sample(what: str, tmp_path: Path) -> None:
    """Samples of 3 MiB: the others kept, or their activations, would be 180 MiB and more."""
    shape = (1, 3, 512, 512)
    x, y = (helper.make_tensor_value_info(n, onnx.TensorProto.FLOAT, shape) for n in "xy")
    weight = helper.make_tensor("w", onnx.TensorProto.FLOAT, (3, 3, 1, 1), [0.1 * k for k in range(9)])
    nodes = [helper.make_node("Conv", ["x", "w"], ["h"]), helper.make_node("Relu", ["h"], ["y"])]
    graph = helper.make_graph(nodes, "g", [x], [y], [weight])
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), tmp_path / "m.onnx")
    few, many = (peak(tmp_path / "m.onnx", "x", shape, n, what) for n in (AT_ONCE, 70))
    assert many - few < 30_000, f"peak KiB over {AT_ONCE} and 70 samples: {few}, {many}"


@pytest.mark.models
def test_memory_does_not_grow_with_pictures() -> None:
    model = shared_models.path("squeezenet1.1_imagenet")
    few, many = (peak(model, "data_0", (1, 3, 224, 224), n) for n in (40, 120))
    assert many <= few * 1.03, f"peak KiB over 40 and 120 samples: {few}, {many}"
