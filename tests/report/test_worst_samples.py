"""The samples that differ most, their pictures, and the network that a report draws."""

from __future__ import annotations

import base64
import io
import json
from hashlib import sha256
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import qglow
from qglow.commands.main import main
from qglow.graph import Graph, GraphBuilder, float_type
from qglow.profiling.dataset import Sample, open_dataset
from qglow.report.figures import GraphNode, LayerReport, Spread
from qglow.report.graph_layout import GAP, MOST_ITEMS, NODE, layout
from qglow.report.network import network_of, with_times
from qglow.report.pictures import picture_of
from qglow.report.plots import distribution
from qglow.report.worst_samples import WorstSamples
from qglow.runtime.step_profile import StepTime


def relu(*shape: int) -> Graph:
    b = GraphBuilder()
    b.types["x"] = float_type(*shape)
    b.fresh("x")
    return b.build("g", ("x",), (b.add("Relu", ("x",), float_type(*shape), "y"),))


def collected(pairs: list[tuple[list[float], list[float]]], most: int = 3) -> list[str]:
    """Names of the worst of samples (float, int8)."""
    found = WorstSamples(relu(1, 4), {}, most)
    for k, (real, made) in enumerate(pairs):
        sample = Sample(f"s{k}", {"x": np.zeros((1, 4), np.float32)}, 1)
        found.add(sample, {"y": np.array([real], np.float32)}, {"y": np.array([made], np.float32)})
    return [row.name for row in found.figures()]


def test_samples_of_another_class_come_first_then_those_of_most_noise() -> None:
    same, noisy = ([1.0, 5, 1, 1], [1.0, 5, 1, 1]), ([1.0, 5, 1, 1], [1.0, 4, 1, 1])
    worse, changed = ([1.0, 5, 1, 1], [1.0, 3, 1, 1]), ([4.9, 5, 1, 1], [5.0, 4.9, 1, 1])
    assert collected([same, noisy, worse, changed]) == ["s3", "s2", "s1"]
    assert collected([changed, worse, same, noisy], 2) == ["s0", "s1"]
    assert collected([noisy] * 5, 2) == ["s0", "s1"] and collected([same]) == []


def test_a_sample_that_is_almost_silent_is_not_the_worst() -> None:
    silent = ([1e-6, 2e-6, 0, 0], [0.0, 1e-6, 0, 0])
    loud = ([1.0, 50, 1, 1], [1.0, 40, 1, 1])
    assert collected([silent, loud, loud], 2) == ["s1", "s2"] and collected([loud, silent, silent], 1) == ["s0"]


@pytest.mark.parametrize("color", ["rgb", "bgr", "gray"])
@pytest.mark.parametrize("layout_", ["nchw", "nhwc"])
def test_a_picture_is_shown_with_the_pixels_that_it_had(tmp_path: Path, color: str, layout_: str) -> None:
    channels, size = 1 if color == "gray" else 3, (12, 10)
    pixels = np.random.default_rng(0).integers(0, 256, (*size, channels), np.uint8)
    Image.fromarray(pixels[..., 0] if channels == 1 else pixels).save(tmp_path / "a.png")
    (tmp_path / "dataset.toml").write_text(
        f'[input.x]\nsource = "images"\ncolor = "{color}"\nlayout = "{layout_}"\nscale = 0.00392156862745098\n'
        f"mean = {[0.4, 0.5, 0.6][:channels]}\nstd = {[0.2, 0.3, 0.25][:channels]}\n"
    )
    shape = (1, channels, *size) if layout_ == "nchw" else (1, *size, channels)
    data = open_dataset(tmp_path, relu(*shape))
    uri = picture_of(next(iter(data)).feeds, data.types)
    assert uri.startswith("data:image/png;base64,")
    shown = np.asarray(Image.open(io.BytesIO(base64.b64decode(uri.split(",")[1]))))
    assert np.array_equal(shown.reshape(pixels.shape), pixels)


@pytest.mark.parametrize(
    ("shape", "shown"),
    [
        *(((1, 3, 40, 30), True), ((1, 40, 30, 1), True), ((1, 1, 8, 8), True), ((1, 4, 40, 30), False)),
        *(((2, 3, 40, 30), False), ((1, 3, 40, 2), False), ((1, 40), False), ((1, 3, 300, 900), True)),
    ],
)
def test_what_counts_as_a_picture(shape: tuple[int, ...], shown: bool) -> None:
    x = np.random.default_rng(0).normal(0, 1, shape).astype(np.float32)
    uri = picture_of({"n": np.zeros((1, 3), np.float32), "x": x}, {})
    assert bool(uri) is shown and len(uri) < 20_000
    assert not picture_of({"x": np.full(shape, 2.0, np.float32)}, {})


def test_every_edge_leads_one_rank_down_and_no_boxes_overlap() -> None:
    rng = np.random.default_rng(4)
    for _ in range(20):
        inputs = [
            tuple({int(rng.integers(max(0, k - 6), k)) for _ in range(int(rng.integers(0, 3)))}) if k else ()
            for k in range(40)
        ]
        found = layout(inputs)
        assert found is not None
        assert all(found.ranks[low] == found.ranks[up] + 1 for up, low in found.edges)
        below: dict[int, set[int]] = {}
        for up, low in found.edges:
            below.setdefault(up, set()).add(low)
        for k, read in enumerate(inputs):  # each input is reached through points alone
            for source in read:
                at = {source}
                while k not in at:
                    at = {b for a in at for b in below.get(a, ()) if b == k or b >= len(inputs)}
                    assert at, (source, k)
        for rank in set(found.ranks[: len(inputs)]):
            row = sorted(found.x[k] for k in range(len(inputs)) if found.ranks[k] == rank)
            assert all(b - a >= NODE + GAP - 1e-6 for a, b in pairwise(row))
        assert min(found.x[: len(inputs)]) >= NODE / 2 - 1e-6 or min(found.x) >= 0


def test_a_graph_that_is_too_large_is_not_drawn() -> None:
    many = MOST_ITEMS // 2
    assert layout([(k - 1,) if k else () for k in range(many)]) is not None
    assert layout([() if not k else (0, k - 1) for k in range(many * 2)]) is None


def test_the_histogram_draws_apart_what_the_range_cuts_off() -> None:
    counts = [1, 9, 90, 9, 1]
    inside = distribution(Spread(0.0, 5.0, 0.0, 5.0, 0.0, counts))
    beyond = distribution(Spread(0.0, 5.0, 1.0, 4.0, 0.02, counts))
    assert 'class="clipped"' not in inside and 'd="M1 0H4V' in beyond
    assert 'class="clipped" d="M0 16H0V' in beyond and "M4 16H4V" in beyond and "2.000% beyond" in beyond
    assert distribution(None) == ""


def test_times_of_steps_are_those_of_the_layers_that_they_make() -> None:
    nodes = [GraphNode("node1", "Conv", "int8", "a", ()), GraphNode("node2", "LSTM", "float", "b", (0,))]
    rows = [LayerReport(n, "Conv", "int8", 20.0, 1.0) for n in ("a", "b", "c")]
    steps = [("a.q", 1e-6), ("a", 2e-6), ("node2", 5e-6), ("elsewhere", 1.0)]
    timed = with_times(rows, nodes, [StepTime(0, "k", n, False, s, 0, 0, "") for n, s in steps])
    assert [r.microseconds for r in timed] == [3.0, 5.0, None]


def test_several_bundles_at_the_command_line(digits: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    model, profile = digits / "model.onnx", qglow.profile(digits / "model.onnx", digits, samples=8)
    paths = [tmp_path / f"{name}.qglow" for name in ("a", "b")]
    for path, config in zip(paths, ({}, {"activations": "int16"}), strict=True):
        qglow.quantize(model, profile, config, check=False).save(path)
    page, figures = tmp_path / "r.html", tmp_path / "r.json"
    common = ["--data", str(digits), "--samples", "6", "-o", str(page), "--json", str(figures)]
    assert main(["report", str(model), *map(str, paths), *common]) == 0
    out = capsys.readouterr().out
    found = json.loads(figures.read_text())["reports"]
    assert [r["bundle"] for r in found] == [str(p) for p in paths] and all(r["bundle"] in out for r in found)
    assert page.read_text().count('<section class="bundle"') == 2 and ">a.qglow<" in page.read_text()
    made = found[1]["provenance"]
    assert made["bundle"]["sha256"] == sha256(paths[1].read_bytes()).hexdigest()
    assert made["model"]["sha256"] == sha256(model.read_bytes()).hexdigest() and made["data"] == "digits"
    assert made["config"] == {"activations": "int16"} and made["created"] and made["qglow"] == qglow.__version__
    assert found[0]["latency_ms"]["onnxruntime fp32"] == found[1]["latency_ms"]["onnxruntime fp32"]
    assert found[0]["latency_ms"]["qglow int8"] != found[1]["latency_ms"]["qglow int8"]
    rows = found[0]["worst_samples"]
    assert rows and all(r["picture"].startswith("data:image/png") for r in rows)
    assert [r["sqnr_db"] for r in rows] == sorted(r["sqnr_db"] for r in rows)
    layers = {r["name"] for r in found[0]["layers"]}
    assert layers == {n["layer"] for n in found[0]["network"]} and found[0]["verdict"]["grade"] == "good"
    assert sum(r["microseconds"] is not None for r in found[0]["layers"]) > 5


def test_the_network_of_a_bundle_is_its_graph(digits: Path) -> None:
    bundle = qglow.quantize(digits / "model.onnx", qglow.profile(digits / "model.onnx", digits, samples=4), check=False)
    rows = network_of(bundle.graph)
    made = {o: k for k, n in enumerate(bundle.graph.nodes) for o in n.outputs}
    for row, node in zip(rows, bundle.graph.nodes, strict=True):
        assert row.op == node.operator and set(row.inputs) == {made[i] for i in node.inputs if i in made}
