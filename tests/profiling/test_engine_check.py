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
from qglow.oracle.onnxruntime_oracle import OnnxruntimeOracle
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

    def value_from(self, known: Mapping[str, Array], name: str) -> Array | None:
        found = super().value_from(known, name)
        return found if found is None or name != self.changed else found * np.float32(self.factor)


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
    with monkeypatch.context() as patch:
        patch.setattr(engine_check.EngineCheck, "_own_ratio", lambda *_: 200.0)
        assert qglow.profile(m, data).samples == 2  # the nodes compute what the oracle does of the engine's own sums
        patch.setattr(OnnxruntimeOracle, "value_from", lambda *_: None)
        with pytest.raises(DisagreementError, match="'Sign_y'"):
            qglow.profile(m, data)


def test_a_node_that_makes_a_small_difference_large_is_not_at_fault() -> None:
    """The oracle's sum of squares is off by a little, as sums of Fourier transforms are, and a logarithm stands behind
    it: that node is named only where it is wrong itself."""
    m = model([("Mul", ["x", "x"], "a"), ("Add", ["a", "tiny"], "b"), ("Log", ["b"], "y")])
    m.graph.initializer.append(numpy_helper.from_array(np.float32(1e-12), "tiny"))
    graph = float_graph(m)

    class Inexact(OnnxruntimeOracle):
        wrong = ""

        def values(self, feeds: Mapping[str, Array], names: Any) -> dict[str, Array]:
            moved = {"x": np.where(feeds["x"] == 0, np.float32(1e-3), feeds["x"])}
            return super().values(moved, names)

        def value_from(self, known: Mapping[str, Array], name: str) -> Array | None:
            found = super().value_from(known, name)
            return found if found is None or name != self.wrong else found + np.float32(1)

    data = samples(2)
    for sample in data:
        sample["x"][0, :3] = 0
    assert record(graph, open_dataset(data, graph), oracle=Inexact(m, graph)).samples == 2
    Inexact.wrong = "y"
    with pytest.raises(DisagreementError, match="'Log_y'"):
        record(graph, open_dataset(data, graph), oracle=Inexact(m, graph))


@pytest.mark.parametrize("known", [["a"], ["c"], ["x"], ["a", "c"], []])
def test_a_value_is_computed_from_the_nearest_that_are_known(known: list[str]) -> None:
    """Through a body that captures a value too."""
    m = model([*NODES[:3], ("Tanh", ["c"], "d"), ("Add", ["d", "picked"], "y")])
    body = helper.make_graph(
        [helper.make_node("Add", ["a", "b"], ["inner"])],
        "body",
        [],
        [helper.make_tensor_value_info("inner", TensorProto.FLOAT, None)],
    )
    m.graph.node.insert(4, helper.make_node("If", ["yes"], ["picked"], then_branch=body, else_branch=body))
    m.graph.initializer.append(numpy_helper.from_array(np.array(True), "yes"))
    oracle = OnnxruntimeOracle(m, float_graph(m))
    feeds = samples(1)[0]
    values = oracle.values(feeds, ["a", "b", "c", "d", "y"])
    given = {n: values[n] + np.float32(0.25) if n in values else feeds[n] for n in known}
    a = given.get("a", values["a"])
    b = np.maximum(a, 0) if "a" in given else values["b"]
    w = numpy_helper.to_array(m.graph.initializer[0])
    expected = np.tanh(given["c"] if "c" in given else b @ w) + (a + b)
    found = oracle.value_from({**feeds, **given}, "y")
    assert found is not None and np.allclose(found, expected, atol=1e-5)
    reference = ReferenceOracle(float_graph(m))
    alone = reference.value_from({n: values[n] for n in ("d",)} | {"picked": values["a"]}, "y")
    assert alone is None or np.allclose(alone, np.tanh(values["c"]) + values["a"], atol=1e-5)


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
