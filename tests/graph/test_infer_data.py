"""A shape that hangs on data is no shape for a plan: such a graph runs, on the reference."""

from __future__ import annotations

import numpy as np
import pytest

import qglow
from qglow.errors import ModelError
from qglow.graph import DType, Graph, GraphBuilder, Node, TensorType, float_type
from qglow.reference import evaluate, retype
from qglow.runtime import InferenceSession


def graph(op: str, extra: TensorType | None, out: TensorType) -> Graph:
    types = {"x": float_type(4), "y": out} | ({"k": extra} if extra is not None else {})
    inputs = ("x", "k") if extra is not None else ("x",)
    return Graph("g", inputs, ("y",), (Node(op, inputs, ("y",), {}, "n"),), types)


WHOLE = TensorType(DType.I64, (1,))
CASES = {
    "NonZero": (None, TensorType(DType.I64, (1, "K")), {}),
    "Reshape": (TensorType(DType.I64, (2,)), float_type("A", "B"), {"k": np.array([2, 2])}),
    "Tile": (WHOLE, float_type("A"), {"k": np.array([3])}),
    "Expand": (TensorType(DType.I64, (2,)), float_type("A", "B"), {"k": np.array([2, 4])}),
}


@pytest.mark.parametrize("op", CASES)
def test_a_shape_that_depends_on_data(op: str) -> None:
    extra, out, more = CASES[op]
    g = graph(op, extra, out)
    feeds = {"x": np.float32([0, 1, 0, 2]), **more}
    with pytest.raises(ModelError, match=r"'n' .*depends on the data"):
        retype(g, {n: a.shape for n, a in feeds.items()})
    (got,) = qglow.InferenceSession(g).run(None, feeds)
    x = feeds["x"]
    k = more.get("k")
    want = {"NonZero": lambda: np.array(np.nonzero(x)), "Reshape": lambda: x.reshape(k), "Tile": lambda: np.tile(x, k),
            "Expand": lambda: np.broadcast_to(x, k)}[op]()  # fmt: skip
    assert np.array_equal(got, want)


def test_a_shape_below_nothing_is_said_to_not_fit() -> None:
    """A window larger than what it moves over, as in a branch that is never taken for such an input."""
    types = {"x": float_type(1, 1, "n"), "w": float_type(1, 1, 9), "y": float_type(1, 1, "m")}
    constants = {"w": np.ones((1, 1, 9), np.float32)}
    g = Graph("g", ("x",), ("y",), (Node("Conv", ("x", "w"), ("y",), {}, "conv"),), types, constants)
    with pytest.raises(ModelError, match=r"node 'conv' \(Conv\).*do not fit"):
        retype(g, {"x": (1, 1, 2)})


def windows(taken: bool | None) -> Graph:
    """A pool whose window is larger than its input, which nothing uses, or (taken) which a branch takes or does not."""
    b = GraphBuilder()
    b.types["x"] = float_type(1, 1, 3, 3)
    pool = b.add("MaxPool", ("x",), float_type(1, 1, "h", "w"), "pool", kernel_shape=(5, 5))
    y = b.add("Relu", ("x",), float_type(1, 1, 3, 3), "y")
    if taken is None:
        return b.build("windows", ["x"], [y])
    condition = b.add_constant("c", np.array(taken))
    out = b.add("Select", (condition, pool, y), TensorType(DType.F32, None), "out")
    return b.build("windows", ["x"], [out])


@pytest.mark.parametrize("taken", [None, True])
def test_a_node_that_cannot_be_is_refused_as_the_reference_does_used_or_not(taken: bool | None) -> None:
    made, feeds = windows(taken), {"x": np.ones((1, 1, 3, 3), np.float32)}
    with pytest.raises(ModelError):
        evaluate(made, feeds)
    with pytest.raises(ModelError, match=r"pool.*windows of 5 do not fit: there are 3 elements"):
        InferenceSession(made, 1).run(None, feeds)


def test_a_branch_that_is_never_taken_may_hold_what_cannot_be() -> None:
    made, feeds = windows(False), {"x": np.ones((1, 1, 3, 3), np.float32)}
    want = evaluate(made, feeds)[made.outputs[0]]
    assert np.array_equal(InferenceSession(made, 1).run(None, feeds)[0], want)


def test_what_has_no_dimensions_is_a_value_like_any_other() -> None:
    """numpy makes a number of an array without dimensions; a condition of one element that shapes decide is decided by
    them."""
    nodes = (
        Node("Size", ("x",), ("s",), {}, "size"),
        Node("Equal", ("s", "eight"), ("e",), {}, "equal"),
        Node("Not", ("e",), ("n",), {}, "not"),
        Node("Select", ("n", "x", "x"), ("y",), {}, "select"),
    )
    types = {
        "x": float_type("k"),
        "s": TensorType(DType.I64, ()),
        "eight": TensorType(DType.I64, ()),
        "y": float_type("k"),
    }
    types |= {c: TensorType(DType.BOOL, ()) for c in "en"}
    g = Graph("g", ("x",), ("y",), nodes, types, {"eight": np.array(8)})
    for size in (8, 3):
        made = retype(g, {"x": (size,)}, {})
        assert [n.op for n in made.nodes] == ["Identity"] and made.types["y"].shape == (size,)
