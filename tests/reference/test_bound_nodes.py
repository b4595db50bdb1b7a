"""A node that is bound to arrays once gives what it gives when it is evaluated anew, whatever they hold then."""

from __future__ import annotations

import numpy as np
import pytest

from qglow.errors import LimitError, ModelError
from qglow.graph import DType, Graph, Node, TensorType
from qglow.limits import limited
from qglow.reference import bind_node, evaluate_node

RNG = np.random.default_rng(0)


def graph_of(node: Node, arrays: dict[str, np.ndarray], constants: tuple[str, ...] = ()) -> Graph:
    types = {n: TensorType(DType.of(a.dtype), a.shape) for n, a in arrays.items()}
    types |= {o: TensorType(DType.F32, None) for o in node.outputs}
    return Graph("g", (), node.outputs, (node,), types, {n: arrays[n] for n in constants})


@pytest.mark.parametrize("node", [
    Node("Add", ("a", "b"), ("y",)), Node("MatMul", ("a", "b"), ("y",)), Node("CumSum", ("a", "axis"), ("y",)),
    Node("Gather", ("a", "axis"), ("y",), {"axis": 1}), Node("Softmax", ("half",), ("y",), {"axis": -1}),
    Node("Tile", ("a", "many"), ("y",)), Node("TopK", ("a", "one"), ("y", "i"), {"axis": 0}),
])  # fmt: skip
def test_what_is_bound_follows_its_arrays(node: Node) -> None:
    arrays = {"a": RNG.normal(0, 1, (4, 4)).astype(np.float32), "b": RNG.normal(0, 1, (4, 4)).astype(np.float32),
              "half": RNG.normal(0, 1, (3, 5)).astype(np.float16), "axis": np.array(1), "many": np.array([1, 2]),
              "one": np.array([2])}  # fmt: skip
    for constants in ((), ("axis", "many", "one")):
        graph = graph_of(node, arrays, constants)
        inputs = [arrays[i] for i in node.inputs]
        bound = bind_node(graph, node, inputs)
        for _ in range(3):
            for name in {"a", "b", "half"} & set(node.inputs):
                arrays[name][...] = RNG.normal(0, 1, arrays[name].shape)
            for got, want in zip(bound(), evaluate_node(graph, node, inputs), strict=True):
                assert got.dtype == want.dtype and np.array_equal(got, want)


def test_sizes_that_are_data_are_held_to_the_limit_each_time() -> None:
    arrays = {"a": np.zeros((1024, 4), np.float32), "many": np.array([1, 1])}
    node = Node("Tile", ("a", "many"), ("y",))
    bound = bind_node(graph_of(node, arrays), node, [arrays["a"], arrays["many"]])
    with limited(max_memory="4M"):
        assert bound()[0].shape == (1024, 4)
        arrays["many"][...] = (1, 1 << 20)
        with pytest.raises(LimitError, match="Tile"):
            bound()


def test_errors_name_the_node_when_it_is_bound_and_when_it_runs() -> None:
    arrays = {"a": np.zeros((2, 3), np.float32), "i": np.array([0, 1])}
    node = Node("Gather", ("a", "i"), ("y",), {"axis": 0}, "lookup")
    bound = bind_node(graph_of(node, arrays), node, [arrays["a"], arrays["i"]])
    assert bound()[0].shape == (2, 3)
    arrays["i"][0] = 7
    with pytest.raises(ModelError, match="lookup"):
        bound()
    lost = Node("Onnx", ("a",), ("y",), {"op_type": "NoSuchOp", "domain": "nobody"}, "lost")
    with pytest.raises(ModelError, match="lost"):
        bind_node(graph_of(lost, arrays), lost, [arrays["a"]])()
