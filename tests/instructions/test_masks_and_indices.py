"""What transformers make their masks of, on kernels: truths, indices that follow a rule, operands that are both
broadcast; the reference's values and onnxruntime's."""

from __future__ import annotations

import numpy as np
import onnxruntime
import pytest
from onnx import TensorProto, helper, numpy_helper

import qglow
from qglow.pipeline import float_graph
from qglow.runtime.step_profile import host_steps

DTYPES = {np.dtype(t): helper.np_dtype_to_tensor_dtype(np.dtype(t)) for t in (np.float32, np.int64, np.int32, np.bool_)}
RNG = np.random.default_rng(0)


def checked(nodes: list, made: type, feeds: dict[str, np.ndarray], **constants: np.ndarray) -> None:
    """`y` as onnxruntime computes it, on kernels alone."""
    graph = helper.make_graph(
        nodes, "g",
        [helper.make_tensor_value_info(n, DTYPES[x.dtype], x.shape) for n, x in feeds.items()],
        [helper.make_tensor_value_info("y", DTYPES[np.dtype(made)], None)],
        [numpy_helper.from_array(a, n) for n, a in constants.items()],
    )  # fmt: skip
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)
    want = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"]).run(None, feeds)
    for threads in (1, 2):
        session = qglow.InferenceSession(float_graph(model), threads)
        for _ in range(2):
            got = session.run(None, feeds)
            assert got[0].dtype == want[0].dtype and np.array_equal(got[0], want[0])
        assert not host_steps(session, feeds)


@pytest.mark.parametrize("dtype", [np.int64, np.int32])
@pytest.mark.parametrize("shape", [(1, 24), (3, 2, 33), (5,)])
def test_integers_become_truths(dtype: type, shape: tuple[int, ...]) -> None:
    """Also those of which a byte other than the first alone is set."""
    x = RNG.choice(np.array([0, 0, 1, -1, 256, 1 << 24, -(1 << 31)], dtype), shape)
    nodes = [helper.make_node("Cast", ["x"], ["t"], to=TensorProto.BOOL), helper.make_node("Not", ["t"], ["y"])]
    twice = [nodes[0], helper.make_node("Not", ["t"], ["u"]), helper.make_node("Not", ["u"], ["y"])]
    for some in (nodes, twice):
        checked(some, np.bool_, {"x": x})


@pytest.mark.parametrize("op", ["And", "Or"])
@pytest.mark.parametrize(
    "shapes", [((1, 1, 6, 6), (2, 1, 1, 6)), ((2, 1, 6, 1), (1, 3, 1, 6)), ((4,), (1, 4)), ((), (3,))]
)
def test_truths_of_two(op: str, shapes: tuple[tuple[int, ...], tuple[int, ...]]) -> None:
    a, b = (RNG.random(s) < 0.5 for s in shapes)
    a = np.asarray(a)
    checked([helper.make_node(op, ["a", "b"], ["y"])], np.bool_, {"a": a, "b": b})
    checked([helper.make_node(op, ["c", "b"], ["y"])], np.bool_, {"b": b}, c=a)
    floats = [helper.make_node(op, ["a", "b"], ["t"]), helper.make_node("Cast", ["t"], ["y"], to=TensorProto.FLOAT)]
    checked(floats, np.float32, {"a": a, "b": b})


def test_a_repeated_mask_becomes_floats() -> None:
    x, shape = RNG.random((2, 1, 1, 5)) < 0.5, np.array([2, 3, 4, 5])
    nodes = [helper.make_node("Expand", ["x", "shape"], ["e"]), helper.make_node("Not", ["e"], ["n"]),
             helper.make_node("Cast", ["n"], ["y"], to=TensorProto.FLOAT)]  # fmt: skip
    checked(nodes, np.float32, {"x": x}, shape=shape)


def test_indices_that_follow_a_rule_are_views_of_any_dtype() -> None:
    for x in (RNG.random((7, 6, 5)).astype(np.float32), RNG.integers(0, 9, (7, 6, 5)), RNG.random((7, 6, 5)) < 0.5):
        grid = 2 * np.arange(3)[:, None] - np.arange(2)[None] + 1
        back = np.arange(6)[::-1].copy()
        for axis, indices in (
            (0, grid),
            (1, grid),
            (2, np.array([[3], [4]])),
            (1, back),
            (-1, np.array(-2)),
            (0, np.array([-1, -3, -5])),
            (2, np.zeros((2, 2), np.int64)),
            (1, np.array([[2]])),
        ):
            node = helper.make_node("Gather", ["x", "i"], ["y"], axis=axis)
            checked([node], x.dtype.type, {"x": x}, i=indices)
            checked([node], x.dtype.type, {"x": x}, i=indices.astype(np.int32))


def test_indices_without_a_rule_are_a_few_parts_or_read_as_data() -> None:
    pairs = np.stack(np.triu_indices(5, 1), -1)
    for x in (RNG.random((7, 6, 5)).astype(np.float32), RNG.random((7, 6, 5)) < 0.5, RNG.integers(0, 9, (7, 6, 5))):
        for axis, indices in ((0, np.array([[0, 1], [2, 4]])), (1, np.array([3, 3, 4, -1])), (2, pairs[:, 0])):
            node = helper.make_node("Gather", ["x", "i"], ["y"], axis=axis)
            checked([node], x.dtype.type, {"x": x}, i=indices)
        for points in (pairs, pairs[:, :1], np.repeat(pairs, [2, 1], 1)):
            checked([helper.make_node("GatherND", ["x", "i"], ["y"])], x.dtype.type, {"x": x}, i=points)
        many = RNG.permutation(np.arange(6).repeat(40))
        checked([helper.make_node("Gather", ["x", "i"], ["y"], axis=1)], x.dtype.type, {"x": x}, i=many)


_POSITIONS = np.arange(6)[None, :, None] - np.arange(5)[None, None] + np.zeros((4, 1, 1), np.int64)


@pytest.mark.parametrize(("axis", "indices"), [
    (-1, _POSITIONS + 4), (-1, 6 - _POSITIONS), (-1, _POSITIONS), (2, _POSITIONS[:2, ::2] + 4),
    (-1, _POSITIONS.clip(0, 3)), (0, _POSITIONS[:, :4] % 4), (0, _POSITIONS[:3, :4, :2] * 0 + 3),
    (1, np.arange(6)[None, ::-1, None] + np.zeros((4, 1, 9), np.int64)),
])  # fmt: skip
def test_elements_by_relative_positions(axis: int, indices: np.ndarray) -> None:
    """Each query reads the scores from its own position on, as relative attention does; and what is no such rule."""
    x = RNG.random((4, 6, 11)).astype(np.float32)
    checked([helper.make_node("GatherElements", ["x", "i"], ["y"], axis=axis)], np.float32, {"x": x}, i=indices)


def test_points_that_follow_a_rule() -> None:
    x = RNG.random((3, 8, 5)).astype(np.float32)
    rows, columns = np.meshgrid(np.arange(3), 7 - 2 * np.arange(4), indexing="ij")
    both = np.stack([rows, columns], -1)
    checked([helper.make_node("GatherND", ["x", "i"], ["y"])], np.float32, {"x": x}, i=both)
    checked([helper.make_node("GatherND", ["x", "i"], ["y"])], np.float32, {"x": x}, i=both[:, :, :1])
    checked([helper.make_node("GatherND", ["x", "i"], ["y"])], np.float32, {"x": x}, i=np.array([[0, 0], [1, -1]]))
    many = RNG.integers(0, 3, (90, 2))
    checked([helper.make_node("GatherND", ["x", "i"], ["y"])], np.float32, {"x": x}, i=many)
