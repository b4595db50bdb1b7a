"""Einsum of two operands becomes a product; every form is held to onnxruntime's."""

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper, numpy_helper

import qglow
from qglow.onnx_import import load
from qglow.pipeline import float_graph

SIZES = dict(zip("abcdefghijk", (2, 3, 4, 5, 6, 7, 2, 3, 4, 5, 6), strict=True))
RNG = np.random.default_rng(0)


def model(equation: str, second_is_constant: bool, swapped: bool, symbolic: bool) -> tuple[onnx.ModelProto, dict]:
    terms = equation.replace(" ", "").split("->")[0].split(",")
    arrays = {f"x{k}": RNG.normal(0, 1, [SIZES[c] for c in t]).astype(np.float32) for k, t in enumerate(terms)}
    constant = ("x0" if swapped else "x1") if second_is_constant else ""
    given = {n: a for n, a in arrays.items() if n != constant}
    dims = {f"x{k}": [c if symbolic else SIZES[c] for c in t] for k, t in enumerate(terms)}
    graph = helper.make_graph(
        [helper.make_node("Einsum", ["x0", "x1"], ["y"], equation=equation)],
        "g",
        [helper.make_tensor_value_info(n, TensorProto.FLOAT, dims[n]) for n in given],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, None)],
        [numpy_helper.from_array(arrays[constant], constant)] if constant else [],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9), given


PRODUCTS = [
    "ab,bc->ac",
    "ab,bc->ca",
    "ab,bc",
    "ba,cb->ac",
    "abc,cd->abd",
    "abcd,be->aecd",
    "abid,abjd->abij",
    "abij,abjd->abid",
    "aibd,ajbd->abij",
    "abij,ajbd->aibd",
    "ab,ab->a",
    "ab,b->a",
    "b,bc->c",
    "abc,abc->ab",
    "abc,ac->ab",
    "ac,abc->ab",
    " a b , b c -> a c",
]
BY_CONSTANT = ["abc,cde->abde", "abde,dec->abc", "abde,ced->bac", "abcd,d->abc", "ab,bcd->dac"]
OTHERS = ["ab,cd->abcd", "ab,ab->ab", "ab,bc->a", "aab,bc->ac", "abc,bcd->ad", "a,b->ab", "ab,ab->"]


@pytest.mark.parametrize("symbolic", [False, True])
@pytest.mark.parametrize("swapped", [False, True])
@pytest.mark.parametrize("constant", [False, True])
@pytest.mark.parametrize("equation", [*PRODUCTS, *BY_CONSTANT, *OTHERS])
def test_every_form_is_right(equation: str, constant: bool, swapped: bool, symbolic: bool) -> None:
    proto, given = model(equation, constant, swapped, symbolic)
    [true] = onnxruntime.InferenceSession(proto.SerializeToString()).run(None, given)
    [got] = qglow.InferenceSession(float_graph(proto), 1).run(None, given)
    assert got.shape == true.shape and got.dtype == true.dtype
    np.testing.assert_allclose(got, true, rtol=2e-5, atol=2e-5)


@pytest.mark.parametrize("equation", [*PRODUCTS, *BY_CONSTANT])
def test_products_are_lowered(equation: str) -> None:
    ops = [n.op for n in load(model(equation, equation in BY_CONSTANT, False, True)[0]).nodes]
    assert "MatMul" in ops and "Onnx" not in ops


@pytest.mark.parametrize("equation", OTHERS)
def test_others_are_left_as_they_are(equation: str) -> None:
    assert [n.op for n in load(model(equation, False, False, True)[0]).nodes] == ["Onnx"]


def test_a_dimension_that_is_broadcast_is_left_to_the_einsum() -> None:
    graph = helper.make_graph(
        [helper.make_node("Einsum", ["x0", "x1"], ["y"], equation="ab,bc->ac")],
        "g",
        [helper.make_tensor_value_info(n, TensorProto.FLOAT, s) for n, s in (("x0", [2, 1]), ("x1", [3, 4]))],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, None)],
    )
    proto = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    assert [n.op for n in load(proto).nodes] == ["Onnx"]
