"""What passes remember is what they would find: nothing that an answer depends on is left out of its key."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from qglow.graph import DType, Graph, Node, Quant, float_type
from qglow.profiling.observers import Observer
from qglow.quantization import QuantConfig, noise_amplification, ranges, remembered
from qglow.quantization.pointwise import Function


def observer(values: np.ndarray) -> Observer:
    o = Observer()
    o.observe(values.astype(np.float32))
    return o


def graph_of(op: str, constant: float) -> tuple[Graph, Function]:
    types = {n: float_type(1, 8) for n in "xy"} | {"c": float_type()}
    node = Node(op, ("x", "c"), ("y",), name="node")
    graph = Graph("g", ("x",), ("y",), (node,), types, {"c": np.array(constant, np.float32)})
    return graph, Function("x", "y", (node,), None, 1)


@pytest.fixture(autouse=True)
def nothing_known() -> None:
    remembered._answers.clear()


def test_ranges_are_found_once_for_what_is_alike() -> None:
    rng = np.random.default_rng(0)
    seen = [observer(rng.standard_t(2, 4000) * scale) for scale in (1, 1, 3)]
    configs = [QuantConfig(calibration=c) for c in ("mse", "minmax", "entropy")]
    configs += [QuantConfig(calibration="percentile", percentile=p) for p in (99.0, 99.9)]
    throughs = [None, lambda x: np.maximum(x, 0), lambda x: np.minimum(x, 0)]
    asked = [(o, c, t) for o in seen for c in configs for t in throughs]
    first = [ranges.select(*a) for a in asked]
    again = [ranges.select(*a) for a in asked]
    alone = []
    for a in asked:
        remembered._answers.clear()
        alone.append(ranges.select(*a))
    assert first == again == alone and len(set(first)) > 15
    seen[0].observe(np.full(3, 1000, np.float32))
    assert ranges.select(seen[0], configs[1])[1] == 1000


def test_noise_depends_on_all_of_a_function() -> None:
    rng = np.random.default_rng(1)
    x = rng.uniform(0.1, 2, 3000)
    quants = [Quant.per_tensor(s, 0) for s in (0.01, 0.1)]
    asked = []
    for op, constant in (("Pow", 2.0), ("Pow", 3.0), ("Mul", 3.0), ("Div", 3.0)):
        graph, f = graph_of(op, constant)
        for d in (None, np.array([0.5])):
            g = replace(f, d_in=d, d_out=None if d is None else d / 2)
            y = f.table(graph, x)
            asked += [(graph, g, {"x": observer(x), "y": observer(y)}, DType.U8, q) for q in quants]
    first = [noise_amplification.signal_to_noise(*a) for a in asked]
    alone = []
    for a in asked:
        remembered._answers.clear()
        alone.append(noise_amplification.signal_to_noise(*a))
    assert first == alone and len(set(first)) > len(first) // 2


def test_answers_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(remembered, "MOST", 3)
    assert [remembered.remembered(k, lambda k=k: k + 1) for k in range(5)] == [1, 2, 3, 4, 5]  # type: ignore[misc]
    assert list(remembered._answers) == [2, 3, 4]
    assert remembered.remembered(2, lambda: 99) == 3
    with pytest.raises(ZeroDivisionError):
        remembered.remembered("fails", lambda: 1 // 0)
    assert "fails" not in remembered._answers
