"""Calibration on compiled programs: every value is seen once, in order; layouts and samples side by side change nothing
that is kept."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import qglow
from qglow import threads
from qglow.errors import DataError
from qglow.graph import Array, Graph, GraphBuilder, Node, float_type
from qglow.pipeline import float_graph
from qglow.profiling import Observer
from qglow.profiling.derived import put_together, rectified
from qglow.profiling.engine_native import NativeEngine
from qglow.profiling.observer_record import record_of
from qglow.profiling.passes import arranged, is_by_pixel
from qglow.profiling.profile import profiled_values
from qglow.profiling.seen import Seen
from qglow.reference import evaluate, retype
from qglow.runtime.observed import InstrumentedExecutable


def seen(plan: InstrumentedExecutable, feeds: dict[str, Array]) -> dict[str, Array]:
    found: dict[str, Array] = {}

    def keep(name: str, array: Array) -> None:
        assert name not in found
        found[name] = np.array(array)

    plan.watch(feeds, keep)
    return found


def test_every_value_is_seen_once_and_in_order(digits: Path) -> None:
    graph = float_graph(digits / "model.onnx")
    names = profiled_values(graph)
    feeds = {"image": np.load(digits / "000.npy")}
    static = retype(graph, {"image": feeds["image"].shape})
    plan = InstrumentedExecutable(static, names)
    want: dict[str, Array] = {}
    evaluate(graph, feeds, keep=want.__setitem__)
    twin, other = plan.clone(), {"image": feeds["image"][..., ::-1] + 1}
    for _ in range(2):
        found = seen(plan, feeds)
        assert list(found) == names
        for name, array in found.items():
            assert np.allclose(array, want[name], rtol=1e-4, atol=1e-4 * float(np.abs(want[name]).max())), name
        seen(twin, other)  # NOTE: what a twin does is nothing to the first
    assert {n: a.tobytes() for n, a in seen(twin, feeds).items()} == {n: a.tobytes() for n, a in found.items()}


def varied() -> Graph:
    """A value that two lengths make with different numbers of channels."""
    b = GraphBuilder()
    b.types["x"] = float_type(1, "C", "L")
    y = b.add("Relu", ["x"], float_type(1, "C", "L"), "y")
    z = b.add("Transpose", [y], float_type("C", "L", 1), "z", perm=(1, 2, 0))
    out = b.add("Mul", [z, b.add_constant("k", np.float32(4))], float_type("C", "L", 1), "out")
    return b.build("g", ("x",), (out,))


@pytest.mark.parametrize("lanes", [2, 3, 4])
def test_samples_side_by_side_change_nothing(lanes: int, digits: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(0)
    shapes = [(1, 2, 5)] * 5 + [(1, 3, 4)] * 4 + [(1, 2, 5)] * 3 + [(1, 2, 7)] + [(1, 3, 4)] * 2
    mixed = [{"x": rng.normal(0, 10.0 ** (k % 5 - 2), s).astype(np.float32)} for k, s in enumerate(shapes)]
    images = [{"image": np.load(digits / f"{k:03d}.npy")} for k in range(11)]
    for model, data in ((varied(), mixed), (digits / "model.onnx", images)):
        texts = []
        for count in (1, lanes):
            monkeypatch.setattr(threads.os, "sched_getaffinity", lambda pid, count=count: set(range(count)))
            texts.append(qglow.profile(model, data).to_json())
        assert texts[0] == texts[1]


def test_the_first_sample_that_fails_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(threads.os, "sched_getaffinity", lambda pid: set(range(4)))
    data = [{"x": np.full((1, 2, 3), 3e38 if k in (2, 3) else 1.0, np.float32)} for k in range(8)]
    with pytest.raises(DataError, match="sample 2: tensor 'out' holds NaN or infinity"):
        qglow.profile(varied(), data)


def test_plans_of_other_shapes_are_not_kept() -> None:
    engine = NativeEngine(varied(), ["x", "y", "z", "out"])
    for length in (3, 9, 3):
        engine.run([({"x": np.ones((1, 2, length), np.float32)}, lambda name, array: None)] * engine.lanes)
        assert len(engine._plans) == engine.lanes and engine._plans[0].program.graph.types["x"].shape == (1, 2, length)


def test_a_shape_that_depends_on_data_is_run_by_the_reference() -> None:
    nodes = (
        Node("NonZero", ("x",), ("where",), {}, "n0"),
        Node("Cast", ("where",), ("places",), {"to": "float32"}, "n1"),
    )
    types = {"x": float_type(4), "where": float_type(1, "K"), "places": float_type(1, "K")}
    types["where"] = type(types["x"])(qglow.graph.DType.I64, (1, "K"))
    profile = qglow.profile(Graph("g", ("x",), ("places",), nodes, types), [{"x": np.float32([0, 1, 0, 2])}])
    assert (profile.tensors["places"].min, profile.tensors["places"].max, profile.tensors["places"].count) == (1, 3, 2)


@settings(deadline=None, max_examples=60)
@given(
    st.tuples(st.integers(1, 3), st.integers(1, 40), st.integers(1, 6), st.integers(1, 6)),
    st.integers(0, 3), st.integers(0, 2), st.integers(0, 70), st.integers(0, 2**32 - 1),
)  # fmt: skip
def test_pixel_by_pixel_is_as_channel_by_channel(
    shape: tuple[int, int, int, int], pad: int, halo: int, cut: int, seed: int
) -> None:
    """Counts, ranges and the rest are the same; of sums float64's last bits may differ. Nor is anything read that
    belongs to others."""
    n, c, h, w = shape
    rng = np.random.default_rng(seed)
    whole = np.full(n * (h + 2 * halo) * (w + 2 * halo) * (c + pad) + cut, np.nan, np.float32)[cut:]
    image = whole.reshape(n, h + 2 * halo, w + 2 * halo, c + pad)[:, halo : halo + h, halo : halo + w, :c].transpose(
        0, 3, 1, 2
    )
    image[...] = rng.normal(0, 10.0 ** int(rng.integers(-4, 5)), shape)
    for x in (image, image[:, :, 0]):
        one, other = Observer(), Observer()
        one.observe(x)
        other.observe(np.ascontiguousarray(x))
        assert is_by_pixel(arranged(x)) == is_by_pixel(x) and np.array_equal(arranged(x), x)
        a, b = record_of(one), record_of(other)
        sums = a.pop("channel_sum", None), b.pop("channel_sum", None)
        assert a == b
        assert (
            one.channel_mean is not None and other.channel_mean is not None and (sums[0] is None) == (sums[1] is None)
        )
        assert np.allclose(one.channel_mean, other.channel_mean, rtol=1e-12, atol=1e-12 * float(np.abs(x).max()))


@pytest.mark.parametrize("engine", ["", "reference"])
def test_what_has_no_kernel_is_computed_as_fast_as_the_reference(engine: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A transposed convolution of three spatial dimensions by weights that are an input: the order of sums is BLAS's,
    as `evaluate(fast=True)` has it, and not the law's."""
    monkeypatch.setenv("QGLOW_ENGINE", engine)
    rng = np.random.default_rng(0)
    b = GraphBuilder()
    b.types["x"] = float_type(1, 16, 4, 5, 6)
    b.types["w"] = float_type(16, 8, 3, 3, 3)
    y = b.add("ConvTranspose", ["x", "w"], float_type(1, 8, 6, 7, 8), "y", kernel_shape=(3, 3, 3))
    graph, found = b.build("g", ("x", "w"), (y,)), {}
    feeds = {n: rng.normal(0, 1, b.types[n].shape).astype(np.float32) for n in ("x", "w")}
    NativeEngine(graph, ["y"]).run([(feeds, lambda name, array: found.update({name: np.array(array)}))])
    assert np.array_equal(found["y"], evaluate(graph, feeds, fast=True)["y"])
    assert not np.array_equal(found["y"], evaluate(graph, feeds)["y"])


def test_a_value_that_another_node_computes_is_seen() -> None:
    """Nothing but the sum is watched: the convolution before it computes it in its registers."""
    b, x, y = GraphBuilder(), np.float32(range(32)).reshape(1, 2, 4, 4), float_type(1, 2, 4, 4)
    b.types["x"] = y
    first = b.add("Relu", ["x"], y, "first")
    conv = b.add(
        "Conv",
        [first, b.add_constant("w", np.eye(2, dtype=np.float32)[:, :, None, None])],
        y,
        "conv",
        kernel_shape=(1, 1),
    )
    total = b.add("Add", [conv, first], y, "total")
    graph, found = b.build("g", ("x",), (total,)), {}
    for names in (["total"], ["conv", "total"]):
        NativeEngine(graph, names).run([({"x": x}, lambda name, array: found.update({name: np.array(array)}))])
        assert np.array_equal(found["total"], 2 * x) and list(found) == ["total", "conv"][: len(names)]


def test_what_follows_from_other_tensors_is_as_seen_by_itself() -> None:
    """Relu and Concat are not looked at, but for what is not finite, as in the second sample."""
    b, y, whole = GraphBuilder(), float_type(1, 3, 4, 5), float_type(1, 6, 4, 5)
    b.types["x"] = y
    factors = [b.add_constant(n, np.full((1, 3, 1, 1), v, np.float32)) for n, v in (("near", -2), ("far", 1e38))]
    sides = [b.add("Mul", ["x", f], y, f"by_{f}") for f in factors]
    joint = b.add("Concat", [b.add("Relu", [s], y, f"of_{s}") for s in sides], whole, "joint", axis=-3)
    graph = b.build("g", ("x",), (b.add("Sigmoid", [joint], whole, "out"),))
    names = profiled_values(graph)
    seen, alone = Seen(graph, names, 1), {n: Observer() for n in names}

    def keep(name: str, array: Array) -> None:
        seen.keep(0, "a sample", name, array)
        if name in alone:
            alone[name].observe(array)

    rng = np.random.default_rng(0)
    for scale in (0.1, 30, 1e-3, 3):
        seen.begin()
        evaluate(graph, {"x": rng.normal(0, scale, (1, 3, 4, 5)).astype(np.float32)}, keep=keep)
    assert len(rectified(graph, names)) == 2 and put_together(graph, names) == {"joint": ["of_by_near", "of_by_far"]}
    assert alone["joint"].highest and alone["joint"].count
    assert {n: record_of(o) for n, o in seen.merged().tensors.items()} == {n: record_of(o) for n, o in alone.items()}
