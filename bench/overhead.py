"""What a call costs beside the computing: Relu of eight floats, by each way of calling it.

    python -m bench.overhead

Nanoseconds of a call, the least of many rounds in which all ways take turns, on one thread: qglow's `run`, `run_into`
and bound call, onnxruntime's `run` and `run_with_iobinding` on the same float model. "native" is the call of
qglow's executor alone.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from time import perf_counter_ns
from typing import Any

import numpy as np
import onnx
import onnxruntime
from onnx import TensorProto, helper

import qglow
from qglow.runtime.native import NativePlan, Segment

from . import options

Call = Callable[[], Any]
ROUNDS, CALLS = 300, 100


def model() -> onnx.ModelProto:
    infos = [helper.make_tensor_value_info(n, TensorProto.FLOAT, [1, 8]) for n in "xy"]
    graph = helper.make_graph([helper.make_node("Relu", ["x"], ["y"])], "relu", infos[:1], infos[1:])
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)


def calls() -> dict[str, Call]:
    """Ways to call it, by name."""
    x, y = np.zeros((1, 8), np.float32), np.zeros((1, 8), np.float32)
    bundle = qglow.quantize(model(), qglow.profile(model(), [{"x": x + 1}] * 2), check=None)
    session = qglow.InferenceSession(bundle, 1)
    plan = session._plan([x])
    assert isinstance(plan, NativePlan)
    [segment] = plan._steps
    assert isinstance(segment, Segment)
    settings = onnxruntime.SessionOptions()
    settings.intra_op_num_threads = 1
    other = onnxruntime.InferenceSession(model().SerializeToString(), settings, providers=["CPUExecutionProvider"])
    binding = other.io_binding()
    binding.bind_ortvalue_input("x", onnxruntime.OrtValue.ortvalue_from_numpy(x))
    binding.bind_ortvalue_output("y", onnxruntime.OrtValue.ortvalue_from_numpy(y))
    return {
        "qglow native": lambda: plan._execute(segment.start, segment.count),
        "qglow bound": session.bind({"x": x}, {"y": y}),
        "qglow run": lambda: session.run(None, {"x": x}),
        "qglow run_into": lambda: session.run_into({"x": x}, {"y": y}),
        "onnxruntime io_binding": lambda: other.run_with_iobinding(binding),
        "onnxruntime run": lambda: other.run(None, {"x": x}),
    }


def least(ways: dict[str, Call]) -> dict[str, float]:
    """Nanoseconds of a call, by way."""
    found = dict.fromkeys(ways, float("inf"))
    for _ in range(ROUNDS):
        for name, call in ways.items():
            start = perf_counter_ns()
            for _ in range(CALLS):
                call()
            found[name] = min(found[name], (perf_counter_ns() - start) / CALLS)
    return found


def main() -> int:
    parser = options.parser(__doc__)
    options.add_json(parser)
    given = parser.parse_args()
    found = least(calls())
    for name, ns in found.items():
        print(f"{name:24s} {ns:7.0f} ns")
    if given.json:
        given.json.write_text(json.dumps(found, indent=1))
    return 0


if __name__ == "__main__":
    sys.exit(main())
