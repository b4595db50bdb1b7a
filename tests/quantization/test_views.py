"""What goes by int8 is not rounded for nothing: states of a recurrent layer, views of float results, weak bands of a
spectrum."""

from __future__ import annotations

import numpy as np

import qglow
from qglow.graph import Graph, GraphBuilder, Node, float_type
from qglow.oracle import float_oracle
from qglow.profiling import open_dataset
from qglow.quantization import QuantConfig
from qglow.report.agreement import measure

RNG = np.random.default_rng(11)


def array(*shape: int) -> np.ndarray:
    return RNG.normal(0, 1, shape).astype(np.float32)


def decisions(bundle: qglow.Bundle) -> dict[str, str]:
    return {d["node"].split(":")[0]: d["precision"] for d in bundle.manifest["decisions"]}


def recurrent() -> Graph:
    """An LSTM of one step with its state [2, 1, 8] in and out, and a product after it."""
    b = GraphBuilder()
    b.types |= {"x": float_type(1, 1, 6), "state": float_type(2, 1, 8)}
    b.fresh("x")
    b.fresh("state")
    first = b.add_constant("first", np.array([0]))
    one = float_type(1, 1, 8)
    h = b.add("Gather", ("state", first), one, "h", axis=0)
    c = b.add("Gather", ("state", b.add_constant("second", np.array([1]))), one, "c", axis=0)
    w, r, bias = (
        b.add_constant("w", array(1, 32, 6)),
        b.add_constant("r", array(1, 32, 8) / 4),
        b.add_constant("b", array(1, 64) / 4),
    )
    b.types |= {"y": float_type(1, 1, 1, 8), "y_h": float_type(1, 1, 8), "y_c": float_type(1, 1, 8)}
    b.append(Node("LSTM", ("x", w, r, bias, "", h, c), ("y", "y_h", "y_c"), {"hidden_size": 8}, "lstm"))
    b.add("Concat", ("y_h", "y_c"), float_type(2, 1, 8), "next", axis=0)
    rows = b.add("Squeeze", ("y_h", first), float_type(1, 8), "rows")
    b.add("MatMul", (rows, b.add_constant("v", array(8, 4))), float_type(1, 4), "out")
    return b.build("recurrent", ("x", "state"), ("out", "next"))


def test_a_state_that_goes_by_is_not_rounded() -> None:
    graph = recurrent()
    samples = [
        {"x": array(1, 1, 6), "state": np.concatenate([np.tanh(array(1, 1, 8)), 9 * array(1, 1, 8)])} for _ in range(8)
    ]
    bundle = qglow.quantize(graph, qglow.profile(graph, samples), check=False)
    chosen = decisions(bundle)
    assert {chosen[n] for n in ("h", "c", "next", "rows")} == {"float"}
    assert chosen["lstm"] == chosen["out"] == "int8"
    agreement = measure(float_oracle(graph, graph), bundle.graph, open_dataset(samples, graph))
    assert agreement.outputs["next"].sqnr_db > 40 and agreement.outputs["out"].sqnr_db > 30


def test_a_move_stays_int8_where_int8_reads_it() -> None:
    """`include` keeps a view int8 as well."""
    graph = recurrent()
    samples = [{"x": array(1, 1, 6), "state": np.tanh(array(2, 1, 8))} for _ in range(4)]
    profile = qglow.profile(graph, samples)
    for config, precision in ((QuantConfig(include=("rows",)), "int8"), (QuantConfig(), "float")):
        assert decisions(qglow.quantize(graph, profile, config, check=False))["rows"] == precision


def spectrum(bands: int = 16) -> tuple[Graph, list[dict[str, np.ndarray]]]:
    """Magnitudes of `bands` bands, of which most are weak, and a product to which all matter alike."""
    strength = np.geomspace(1, 2e-3, bands).astype(np.float32)
    t = float_type(1, bands, 8)
    b = GraphBuilder()
    b.types["x"] = float_type(1, 4, 8)
    b.fresh("x")
    parts = []
    for name in ("re", "im"):
        v = b.add("Conv", ("x", b.add_constant(f"{name}.w", array(bands, 4, 1) * strength[:, None, None])), t, name)
        parts.append(b.add("Mul", (v, v), t, f"{name}2"))
    root = b.add("Sqrt", (b.add("Add", parts, t, "power"),), t, "root")
    b.add("Conv", (root, b.add_constant("v", array(6, bands, 1) / strength[None, :, None])), float_type(1, 6, 8), "out")
    return b.build("spectrum", ("x",), ("out",)), [{"x": array(1, 4, 8)} for _ in range(12)]


def test_weak_bands_of_a_spectrum_are_heard() -> None:
    graph, samples = spectrum()
    data = open_dataset(samples, graph)
    profile = qglow.profile(graph, samples)
    bundle = qglow.quantize(graph, profile, check=False)
    chosen = decisions(bundle)
    assert {chosen[n] for n in ("re2", "im2", "power", "root")} == {"float"}
    assert chosen["re"] == chosen["im"] == chosen["out"] == "int8"
    assert "root.balanced" in bundle.graph.types
    good = measure(float_oracle(graph, graph), bundle.graph, data)
    assert good.outputs["out"].sqnr_db > 25
    assert qglow.compare(graph, bundle, samples).agreement.layers["root"].sqnr_db > 35
    plain = qglow.quantize(graph, profile, QuantConfig(balance_channels=False), check=False)
    assert (
        measure(float_oracle(graph, graph), plain.graph, data).outputs["out"].sqnr_db < good.outputs["out"].sqnr_db - 8
    )
    session = qglow.InferenceSession(bundle, 1)
    for sample in samples[:3]:
        np.testing.assert_array_equal(
            session.run(None, sample)[0], qglow.reference.evaluate(bundle.graph, sample)["out"]
        )


def head(columns: int) -> Graph:
    """Two products, the second of `columns` columns, and a view and a function of it as the output."""
    b = GraphBuilder()
    b.types["x"] = float_type(1, 64, 64)
    b.fresh("x")
    y = b.add("MatMul", ("x", b.add_constant("w", array(64, 256) / 8)), float_type(1, 64, 256), "wide")
    y = b.add("Relu", (y,), float_type(1, 64, 256), "relu")
    y = b.add("MatMul", (y, b.add_constant("v", array(256, columns) / 16)), float_type(1, 64, columns), "narrow")
    y = b.add("Transpose", (y,), float_type(1, columns, 64), "turned", perm=(0, 2, 1))
    out = b.add("Sigmoid", (y,), float_type(1, columns, 64), "out")
    return b.build("head", ("x",), (out,))


def test_a_last_function_is_float_where_it_is_little_work_beside_the_products() -> None:
    samples = [{"x": array(1, 64, 64)} for _ in range(4)]
    for columns, wanted in ((1, "float"), (4, "int8")):  # NOTE: 16640 and 4352 multiply-adds for each element
        graph = head(columns)
        chosen = decisions(qglow.quantize(graph, qglow.profile(graph, samples), {"widen_percent": 0.0}))
        assert chosen == {"wide": "int8", "relu": "folded", "narrow": "int8", "turned": wanted, "out": wanted}
