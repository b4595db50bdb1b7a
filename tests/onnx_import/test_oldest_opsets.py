"""Models of opsets 1 to 6, which onnxruntime runs in part at most, beside numpy: read as opset 7, or refused."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import helper, numpy_helper

import qglow
from qglow.errors import ModelError
from qglow.pipeline import float_graph

F32 = np.float32
RNG = np.random.default_rng(7)
X, SQUARE = (RNG.normal(0, 1, shape).astype(F32) for shape in ((2, 3, 4, 5), (2, 4, 4, 4)))
THREE, FOUR, FIVE, PLANE, LEFT, RIGHT = (
    RNG.normal(0, 1, s).astype(F32) for s in ((3,), (4,), (5,), (4, 5), (4, 5), (5, 6))
)
SCALE, SHIFT, MEAN, POWER = THREE, THREE[::-1].copy(), THREE * F32(0.3), np.abs(THREE) + F32(0.1)
Case = tuple[str, int, Sequence[np.ndarray], dict[str, Any], list[np.ndarray]]


def along(v: np.ndarray) -> np.ndarray:
    return v.reshape(1, -1, 1, 1)


NORMAL = (X - along(MEAN)) / np.sqrt(along(POWER) + F32(1e-5)) * along(SCALE) + along(SHIFT)
CASES: list[Case] = [
    *((op, opset, [X, other], {"broadcast": 1}, [of(X, other)])
      for op, of in (("Add", np.add), ("Sub", np.subtract), ("Mul", np.multiply), ("Div", np.divide))
      for opset in (1, 6) for other in (PLANE, FIVE, THREE[:1])),
    *((op, opset, [SQUARE, other], {"broadcast": 1, "axis": axis}, [of(SQUARE, at)])
      for op, of in (("Add", np.add), ("Sub", np.subtract), ("Mul", np.multiply), ("Div", np.divide)) for opset in (1,
      6)
      for other, axis, at in ((FOUR, 1, along(FOUR)), (FOUR, -2, FOUR[:, None]),
      (SQUARE[0, 0], 1, SQUARE[0, 0][..., None]),
                              (FOUR, 3, FOUR), (SQUARE[1], 1, SQUARE[1]))),
    *(("PRelu", opset, [X, slope], {}, [np.where(X < 0, X * along(slope), X)]) for opset in (1, 6) for slope in (THREE,
    THREE[:1])),
    ("PRelu", 6, [SQUARE, FOUR], {}, [np.where(SQUARE < 0, SQUARE * along(FOUR), SQUARE)]),
    ("PRelu", 6, [SQUARE[:, :, 0], FOUR], {}, [np.where(SQUARE < 0, SQUARE * along(FOUR), SQUARE)[:, :, 0]]),
    ("PRelu", 6, [LEFT, FIVE], {}, [np.where(LEFT < 0, LEFT * FIVE, LEFT)]),
    ("BatchNormalization", 1, [X, SCALE, SHIFT, MEAN, POWER], {"is_test": 1, "consumed_inputs": [0, 0, 0, 1, 1]},
    [NORMAL]),
    ("BatchNormalization", 6, [X, SCALE, SHIFT, MEAN, POWER], {"is_test": 1}, [NORMAL]),
    ("Dropout", 1, [X], {"is_test": 1}, [X]), ("Dropout", 6, [X], {"is_test": 1, "ratio": 0.3}, [X]),
    ("Gemm", 1, [LEFT, RIGHT, RIGHT[0]], {"broadcast": 1, "alpha": 0.5}, [F32(0.5) * (LEFT @ RIGHT) + RIGHT[0]]),
    ("Gemm", 6, [LEFT, RIGHT, (LEFT @ RIGHT)], {}, [2 * (LEFT @ RIGHT)]),
    ("Reshape", 1, [X], {"shape": [0, -1]}, [X.reshape(2, -1)]), ("Concat", 1, [X, X], {}, [np.concatenate([X, X], 1)]),
    ("Pad", 2, [X], {"pads": [0, 0, 1, 1, 0, 0, 2, 0]}, [np.pad(X, [(0, 0), (0, 0), (1, 2), (1, 0)])]),
    ("Split", 2, [X], {"axis": 2, "split": [1, 3]}, [X[:, :, :1], X[:, :, 1:]]),
    ("Slice", 1, [X], {"axes": [2], "starts": [1], "ends": [3]}, [X[:, :, 1:3]]),
    ("Clip", 1, [X], {"max": 0.5}, [np.minimum(X, F32(0.5))]), ("Max", 1, [X, -X], {}, [np.abs(X)]),
]  # fmt: skip
REFUSED: list[Case] = [
    ("Add", 6, [SQUARE, FOUR], {"broadcast": 1, "axis": 4}, [SQUARE]),
    ("Cast", 1, [X], {"to": "INT32"}, [X.astype(np.int32)]),
    ("Greater", 1, [X, PLANE], {"broadcast": 1}, [X > PLANE]), ("Dropout", 6, [X], {"is_test": 0}, [X]),
    ("BatchNormalization", 6, [X, SCALE, SHIFT, MEAN, POWER], {"is_test": 1, "spatial": 0}, [X]),
]  # fmt: skip


def answers(c: Case) -> list[np.ndarray]:
    op, opset, arrays, attributes, want = c
    names, outs = [f"i{k}" for k in range(len(arrays))], [f"o{k}" for k in range(len(want))]
    infos = [
        [
            helper.make_tensor_value_info(n, helper.np_dtype_to_tensor_dtype(a.dtype), a.shape)
            for n, a in zip(of, given, strict=True)
        ]
        for of, given in ((names, arrays), (outs, want))
    ]
    constants = [numpy_helper.from_array(a, n) for n, a in list(zip(names, arrays, strict=True))[1:]]
    graph = helper.make_graph([helper.make_node(op, names, outs, **attributes)], "old", *infos, constants)
    model: onnx.ModelProto = helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=3)
    return list(qglow.InferenceSession(float_graph(model), threads=1).run(None, {"i0": arrays[0]}))


@pytest.mark.parametrize("case", CASES, ids=lambda c: f"{c[0]}.{c[1]}")
def test_old_models_mean_what_they_meant(case: Case) -> None:
    for got, want in zip(answers(case), case[-1], strict=True):
        assert got.shape == want.shape and got.dtype == want.dtype
        assert np.allclose(got, want, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("case", REFUSED, ids=lambda c: f"{c[0]}.{c[1]}")
def test_old_forms_without_a_form_of_today_are_refused(case: Case) -> None:
    with pytest.raises(ModelError, match=r"cannot be converted to 7|is not supported"):
        answers(case)


def test_operands_are_aligned_through_a_model_whose_ranks_follow_from_each_other() -> None:
    """Behind arithmetic ONNX infers no shapes in old opsets; a computed operand, and one that has two places, are
    aligned too."""
    nodes = [
        helper.make_node("Add", ["x", "b"], ["one"], broadcast=1, axis=1),
        helper.make_node("Relu", ["one"], ["two"]),
        helper.make_node("Neg", ["b"], ["minus"]),
        helper.make_node("Neg", ["minus"], ["b.aligned.0"]),
        helper.make_node("Mul", ["two", "minus"], ["three"], broadcast=1, axis=2),
        helper.make_node("Div", ["three", "b.aligned.0"], ["y"], broadcast=1),
    ]
    info = [helper.make_tensor_value_info(n, onnx.TensorProto.FLOAT, [2, 4, 4, 4]) for n in ("x", "y")]
    given = helper.make_tensor_value_info("b", onnx.TensorProto.FLOAT, [4])
    graph = helper.make_graph(nodes, "old", [info[0], given], info[1:], [numpy_helper.from_array(FOUR, "b")])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 6)], ir_version=3)
    before = model.SerializeToString(deterministic=True)
    [got] = qglow.InferenceSession(float_graph(model), threads=1).run(None, {"x": SQUARE})
    want = np.maximum(SQUARE + along(FOUR), 0) * -FOUR[:, None] / FOUR
    assert np.allclose(got, want, rtol=1e-5, atol=1e-6) and model.SerializeToString(deterministic=True) == before
