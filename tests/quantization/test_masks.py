"""Which values are masked scores, the ranges that they get, and what happens to values that are not finite."""

from __future__ import annotations

import numpy as np
import pytest

import qglow
from qglow.errors import DataError
from qglow.graph.masks import for_softmax, masked_inputs, maskings
from qglow.graph.text import parse_graph
from qglow.profiling.observers import Observer
from qglow.quantization.masks import MASKED, masked_ranges

SCORES = """
graph "g"
input %x: f32[4,6]
input %far: f32[4,6]
input %near: f32[4,6]
const %low: f32[] = [-3.0e38]
const %cut: f32[2,6] = [0, 0, -100, 0, 0, 0, -100, 0, 0, 0, 0, 0]
const %shift: f32[2,6] = [0, 0, 0, 0, 0, 0, -100, -100, -100, -100, -100, -100]
const %sizes: i64[2] = [2, 12]
"""


def observed(**values: list[float]) -> dict[str, Observer]:
    found = {name: Observer() for name in values}
    for name, array in values.items():
        found[name].observe(np.array(array, np.float32))
    return found


def ranges(nodes: str, outputs: str = "y", **seen: list[float]) -> dict[str, tuple[float, float]]:
    outs = "".join(f"output %{o}\n" for o in outputs.split())
    graph = parse_graph(SCORES + nodes + outs)
    made = {o: [-1.0, 1.0] for n in graph.nodes for o in n.outputs if graph.types[o].dtype.is_float}
    o = observed(**{"x": [-2.0, 3.0], "far": [-1e5, 0.0], "near": [-4.0, 1.0], **made, **seen})
    found = masked_ranges(graph, o, lambda v: (o[v].min, o[v].max))
    return found.scores | found.masks


def test_a_sum_has_the_range_of_its_scores_and_the_mask_is_cut_to_it() -> None:
    found = ranges('%s: f32[4,6] = Add(%x, %far) "a"\n%y: f32[4,6] = Softmax(%s) {"axis": -1} "b"\n')
    assert found == {"s": (-2 - MASKED, 3.0), "far": (-2 - MASKED - 3, 0.0)}


@pytest.mark.parametrize("nodes", [
    '%s: f32[4,6] = Add(%x, %near) "a"\n%y: f32[4,6] = Softmax(%s) {"axis": -1} "b"\n',  # no mask
    '%s: f32[4,6] = Add(%x, %far) "a"\n%r: f32[4,6] = Relu(%s) "r"\n%y: f32[4,6] = Softmax(%s) {"axis": -1} '
    '"b"\noutput %r\n',
    '%s: f32[4,6] = Add(%x, %far) "a"\n%y: f32[4,6] = Sigmoid(%s) "b"\n',
    '%v: f32[2,12] = Reshape(%x, %sizes) "v"\n%y: f32[2,12] = Softmax(%v) {"axis": -1} "b"\n',
])  # fmt: skip
def test_what_is_no_mask_or_is_read_by_others_is_left_alone(nodes: str) -> None:
    assert ranges(nodes) == {}


def test_a_constant_masks_unless_it_masks_whole_rows() -> None:
    for constant, found in (("cut", {"s": (-2 - MASKED, 3.0), "cut": (-2 - MASKED - 3, 0.0)}), ("shift", {})):
        nodes = (
            f'const %two: i64[2] = [0, 1]\n%t: f32[2,6] = Gather(%x, %two) "t"\n%s: f32[2,6] = Add(%t, %{constant}) '
            '"a"\n'
            '%y: f32[2,6] = Softmax(%s) {"axis": -1} "b"\n'
        )
        assert ranges(nodes, t=[-2.0, 3.0]) == found


def test_a_choice_by_where_and_views_behind_it() -> None:
    nodes = (
        'input %c: bool[4,6]\n%s: f32[4,6] = Where(%c, %x, %low) "a"\n%v: f32[2,12] = Reshape(%s, %sizes) "v"\n'
        '%y: f32[2,12] = Softmax(%v) {"axis": -1} "b"\n'
    )
    assert ranges(nodes, s=[-2.0, 3.0]) == {"s": (-2 - MASKED, 3.0), "v": (-2 - MASKED, 3.0)}


def test_two_masks_lower_the_range_once() -> None:
    nodes = (
        '%s: f32[4,6] = Add(%x, %far) "a"\n%t: f32[4,6] = Sub(%s, %big) "c"\n%y: f32[4,6] = Softmax(%t) {"axis": -1} '
        '"b"\n'
    )
    found = ranges("input %big: f32[4,6]\n" + nodes, big=[0.0, 1e6])
    assert found["t"] == found["s"] == (-2 - MASKED, 3.0) and found["big"] == (0.0, 2 + MASKED + 3)


def test_inputs_that_only_mask_may_hold_infinities() -> None:
    nodes = (
        '%s: f32[4,6] = Add(%x, %far) "a"\n%y: f32[4,6] = Softmax(%s) {"axis": -1} "b"\n%z: f32[4,6] = Relu(%near) '
        '"r"\n'
    )
    graph = parse_graph(SCORES + nodes + "output %y\noutput %z\n")
    assert for_softmax(graph) == {"s"} and [m.output for m in maskings(graph)] == ["s"]
    assert masked_inputs(graph) == {"x", "far"}  # NOTE: a sum does not say which of its terms is the mask


def test_infinities_are_counted_and_say_nothing_about_the_range() -> None:
    x = np.array([[1.0, -np.inf, 2.0], [np.nan, np.inf, -3.0]], np.float32)
    one, parts = Observer(), [Observer(), Observer()]
    one.observe(x)
    for o, row in zip(parts, x, strict=True):
        o.observe(row[None])
    for o in (one, parts[0].merge(parts[1])):
        assert (o.count, o.lowest, o.highest, o.nans, o.min, o.max) == (3, 1, 1, 1, -3.0, 2.0)
        assert int(o.histogram.sum()) == 3 and o.channel_mean is None and not o.is_finite
    only = Observer()
    only.observe(np.full(4, -np.inf, np.float32))
    assert not only.is_empty and not only.count and only.merge(one).lowest == 5


def test_a_profile_keeps_the_counts(tmp_path: object) -> None:
    graph = parse_graph(
        SCORES + '%s: f32[4,6] = Add(%x, %far) "a"\n%y: f32[4,6] = Softmax(%s) {"axis": -1} "b"\noutput %y\n'
    )
    rng = np.random.default_rng(0)
    feeds = {n: rng.normal(0, 1, (4, 6)).astype(np.float32) for n in graph.inputs}
    feeds["far"][:, 3:] = -np.inf
    profile = qglow.profile(graph, [feeds])
    profile.save(f"{tmp_path}/p.json")
    kept = qglow.Profile.load(f"{tmp_path}/p.json")
    assert kept.to_json() == profile.to_json() and kept.tensors["s"].lowest == 12


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_an_input_that_is_no_mask_must_be_finite(value: float) -> None:
    graph = parse_graph(SCORES + '%y: f32[4,6] = Add(%x, %far) "a"\noutput %y\n')
    feeds = {n: np.zeros((4, 6), np.float32) for n in graph.inputs}
    feeds["far"][0, 0] = value
    with pytest.raises(DataError, match="input 'far' holds NaN or infinity"):
        qglow.profile(graph, [feeds])


def test_nan_that_reaches_an_output_names_where_it_begins() -> None:
    nodes = '%d: f32[4,6] = Div(%x, %near) "d"\n%r: f32[4,6] = Abs(%d) "r"\n%y: f32[4,6] = Add(%r, %far) "a"\n'
    graph = parse_graph(SCORES + nodes + "output %y\n")
    with pytest.raises(DataError, match="'y' holds NaN or infinity, which begins in tensor 'd'"):
        qglow.profile(graph, [{n: np.zeros((4, 6), np.float32) for n in graph.inputs}])
