"""The text form parses back equal, the verifier names what is broken, and errors name their line."""

from __future__ import annotations

import numpy as np
import pytest

from qglow.errors import ModelError, VerifyError
from qglow.graph import DType, Graph, Node, Quant, TensorType
from qglow.graph.text import parse_graph, print_graph
from qglow.graph.verify import verify


def small() -> Graph:
    x = TensorType(DType.U8, ("N", 3, 8, "odd name, 2"), Quant.per_tensor(0.1, 3))
    w = TensorType(DType.I8, (2, 3, 1, 1), Quant.per_axis(np.array([0.5, 1e-7]), 0))
    y = TensorType(DType.F32, None)
    nodes = (
        Node(
            "Conv",
            ("x", "a weird: name", ""),
            ("y",),
            {"pads": (0, 0, 0, 0), "t": np.arange(3.0), "b": b"\0\1", "f": 1e-9},
            "n",
        ),
    )
    return Graph(
        "g",
        ("x",),
        ("y",),
        nodes,
        {"x": x, "a weird: name": w, "y": y},
        {"a weird: name": np.ones((2, 3, 1, 1), np.int8)},
    )


def test_text_round_trip() -> None:
    graph = small()
    text = print_graph(graph)
    again = parse_graph(text)
    assert print_graph(again) == text
    assert again.types == graph.types and again.nodes[0].attributes["b"] == b"\0\1"
    assert np.array_equal(again.constants["a weird: name"], graph.constants["a weird: name"])


def test_large_constants_travel_beside_the_text() -> None:
    data = np.arange(40, dtype=np.float32)
    graph = Graph("g", (), ("c",), (), {"c": TensorType(DType.F32, (40,))}, {"c": data})
    text = print_graph(graph)
    assert "sha256" in text
    assert np.array_equal(parse_graph(text, {"c": data}).constants["c"], data)
    with pytest.raises(ModelError, match="does not match its hash"):
        parse_graph(text, {"c": data + 1})
    with pytest.raises(ModelError, match="is missing"):
        parse_graph(text)


@pytest.mark.parametrize(
    "line", ['%y: f99[1] = Relu(%x) "n"', "%y f32[1] = Relu(%x)", "%y: f32[1] = Relu(%x", "input x: f32[1]"]
)
def test_malformed_lines_are_refused_by_number(line: str) -> None:
    with pytest.raises(ModelError, match="line 2"):
        parse_graph(f'graph "g"\n{line}\n')


@pytest.mark.parametrize(("before", "fault", "words"), [
    (200, "%y f32[1]", "expected ': ' at column"), (0, "%y f32[1]", "expected ': ' at column 3"),
    (60, "%y: f32[1] = Relu(%x) {nothing}", "Expecting"),
])  # fmt: skip
def test_the_place_of_a_fault_is_in_the_error_however_long_its_line_is(before: int, fault: str, words: str) -> None:
    """Before it there are `before` outputs that are in order, and behind it many more."""
    outputs = ", ".join(f"%v{k}: f32[1]" for k in range(before))
    line = f"{outputs}{', ' if before else ''}{fault}" + ", %more: f32[1]" * 300
    with pytest.raises(ModelError) as caught:
        parse_graph(f'graph "g"\n{line}\n')
    said = str(caught.value)
    assert said.startswith("graph text, line 2: ") and words in said and fault[:9] in said and len(said) < 500


def test_verifier_collects_what_is_broken() -> None:
    t = TensorType(DType.F32, (1,))
    bad = TensorType(DType.U8, (1,), Quant((0.5,), (300,), None))
    graph = Graph("g", ("x",), ("z",), (Node("Relu", ("y",), ("x",), {}, "n"),), {"x": t, "y": bad}, {})
    words = r"written before, got 'y'.*got 'x', which is an input.*output 'z'.*zero points in \[0, 255\], got 300"
    with pytest.raises(VerifyError, match=words):
        verify(graph)
    graph = small()
    node = graph.nodes[0].with_(attributes={"pads": (0, 0, 0, 0)})
    assert verify(graph.with_(nodes=(node,))).name == "g"
    with pytest.raises(VerifyError, match="expected no attribute 't', which Conv does not have"):
        verify(graph)
