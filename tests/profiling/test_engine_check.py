"""An engine that computes another value than the oracle makes no profile: the error names the node."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest
from onnx import TensorProto, helper, numpy_helper

import qglow
from qglow.errors import DisagreementError
from qglow.graph import Array
from qglow.instructions.select import FLOAT_RULES
from qglow.ops import OPS
from qglow.oracle.oracle import ReferenceOracle
from qglow.pipeline import float_graph
from qglow.profiling import engine_check, open_dataset, record

RNG = np.random.default_rng(0)
NODES = [("MatMul", ["x", "w"], "a"), ("Relu", ["a"], "b"), ("MatMul", ["b", "w"], "c"), ("Tanh", ["c"], "y")]


def model(nodes: list[tuple[str, list[str], str]], size: int = 6) -> Any:
    made = [helper.make_node(op, ins, [out], name=f"{op}_{out}") for op, ins, out in nodes]
    values = [helper.make_tensor_value_info(n, TensorProto.FLOAT, [4, size]) for n in ("x", nodes[-1][2])]
    stored = [numpy_helper.from_array(RNG.normal(0, 0.5, (size, size)).astype(np.float32), "w")]
    graph = helper.make_graph(made, "g", values[:1], values[1:], stored)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)


def samples(count: int = 4, size: int = 6) -> list[dict[str, Array]]:
    return [{"x": RNG.normal(0, 1, (4, size)).astype(np.float32)} for _ in range(count)]


class Other(ReferenceOracle):
    """The reference, but for one value that is multiplied by a factor."""

    def __init__(self, graph: Any, changed: str, factor: float) -> None:
        super().__init__(graph)
        self.changed, self.factor = changed, factor

    def values(self, feeds: Mapping[str, Array], names: Any) -> dict[str, Array]:
        return {
            n: a * np.float32(self.factor) if n == self.changed else a for n, a in super().values(feeds, names).items()
        }


@pytest.mark.parametrize("changed", ["a", "b", "c", "y"])
@pytest.mark.parametrize("engine", ["qglow", "onnxruntime"])
def test_the_first_node_whose_value_differs_is_named(changed: str, engine: str) -> None:
    graph = float_graph(model(NODES))
    with pytest.raises(DisagreementError, match=rf"node '\w+_{changed}' \(\w+\): value '{changed}' differs"):
        record(graph, open_dataset(samples(), graph), engine=engine, oracle=Other(graph, changed, 1.1))
    assert (
        record(graph, open_dataset(samples(), graph), engine=engine, oracle=Other(graph, changed, 1.0001)).samples == 4
    )


def test_a_kernel_that_is_wrong_makes_no_profile(monkeypatch: pytest.MonkeyPatch) -> None:
    """Lowering that takes a Relu for something else: what onnxruntime says of the model itself comes in between."""
    m, data = model(NODES), samples()
    assert qglow.profile(m, data).samples == 4
    taken = FLOAT_RULES["Tanh"]
    monkeypatch.setitem(
        FLOAT_RULES._found, "Tanh", (OPS["Tanh"], lambda low, node: taken(low, node.with_(op="Sigmoid")))
    )
    with pytest.raises(
        DisagreementError, match=r"sample 0.*node 'Tanh_y' \(Tanh\): value 'y' differs from onnxruntime"
    ):
        qglow.profile(m, data)


def test_values_are_compared_in_parts_of_bounded_size(monkeypatch: pytest.MonkeyPatch) -> None:
    graph = float_graph(model(NODES))
    monkeypatch.setattr(engine_check, "LIMIT", 100)  # bytes: one value at a time
    asked: list[list[str]] = []

    class Asked(ReferenceOracle):
        def values(self, feeds: Mapping[str, Array], names: Any) -> dict[str, Array]:
            asked.append(sorted(names))
            return super().values(feeds, names)

    record(graph, open_dataset(samples(1), graph), oracle=Asked(graph))
    assert [n for part in asked for n in part] == ["a", "b", "c", "y"] and all(len(part) == 1 for part in asked)


def test_an_ill_conditioned_value_is_no_disagreement(monkeypatch: pytest.MonkeyPatch) -> None:
    """The difference of two equal sums is rounding alone, and its sign decides between -1 and 1: no engine is right
    there."""
    nodes = [("MatMul", ["x", "w"], "a"), ("Unsqueeze", ["x", "two"], "u"), ("Mul", ["u", "w"], "m"),
        ("ReduceSum", ["m", "one"], "s"),
             ("Sub", ["s", "a"], "d"), ("Sign", ["d"], "y")]  # fmt: skip
    m = model(nodes, 32)
    next(n for n in m.graph.node if n.op_type == "ReduceSum").attribute.append(helper.make_attribute("keepdims", 0))
    m.graph.initializer.extend(numpy_helper.from_array(np.array([k]), n) for n, k in (("one", 1), ("two", 2)))
    data = samples(2, 32)
    assert qglow.profile(m, data).samples == 2
    monkeypatch.setattr(engine_check.EngineCheck, "_own_ratio", lambda *_: 200.0)
    with pytest.raises(DisagreementError, match="'Sign_y'"):
        qglow.profile(m, data)


def test_random_numbers_are_not_compared() -> None:
    m = model(
        [
            ("MatMul", ["x", "w"], "a"),
            ("RandomNormalLike", ["a"], "noise"),
            ("Add", ["a", "noise"], "b"),
            ("Tanh", ["a"], "y"),
        ]
    )
    m.graph.output.append(helper.make_tensor_value_info("b", TensorProto.FLOAT, [4, 6]))
    assert qglow.profile(m, samples()).samples == 4


@pytest.mark.parametrize("spoil", [np.nan, np.inf, 1e30, 3.0, 0.0])
def test_one_element_that_is_wrong_among_many_is_seen(spoil: float) -> None:
    real = RNG.normal(0, 1, 1_000_000).astype(np.float32)
    real[77] = 1.5
    got = real.copy()
    got[77] = spoil
    assert engine_check._ratio_db(real, got, 0.0, peak=True) < engine_check.FLOOR_DB
    assert (engine_check._ratio_db(real, got, 0.0, peak=False) < engine_check.FLOOR_DB) == (
        not np.isfinite(spoil) or spoil > 1e6
    )


@pytest.mark.parametrize("scale", [1e-38, 1e-30, 1e-10, 1.0, 1e10, 1e30])
def test_ratios_do_not_depend_on_the_scale(scale: float) -> None:
    real = (RNG.normal(0, 1, 1000) * scale).astype(np.float32)
    ratios = [
        engine_check._ratio_db(real, (real * np.float32(f)).astype(np.float32), 0.0, peak=True)
        for f in (1, 1.1, 1.001, -1)
    ]
    assert ratios == pytest.approx([200, 20, 60 if ratios[2] < 200 else 200, -6.02], abs=0.1)
