"""The declarations of ops: beside ONNX's own schemas, beside the functions that they name, and beside the page that is
made of them."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import onnx
import pytest

from qglow.errors import VerifyError
from qglow.graph import DType, Graph, Node, TensorType, float_type
from qglow.graph.type_rules import _RULES
from qglow.graph.verify import verify
from qglow.instructions.meaning import FAMILIES as KINDS
from qglow.instructions.meaning import load_families
from qglow.instructions.select import FLOAT_RULES, RULES
from qglow.onnx_import.adapters import ADAPTERS, ROWS
from qglow.ops import FROM_DATA, OPS, OpDef, extended, has, having
from qglow.ops.forms import Form
from qglow.ops.registry import joined
from qglow.ops.shorthand import OUR_OWN, X, elements
from qglow.ops.traits import KEEPS_QUANTIZATION, POINTWISE, PRODUCT, ROW_PRODUCT
from qglow.reference import FLOAT, INTEGER
from qglow.reference.float_table import STRICT_FLOAT
from qglow.reference.shape_table import SHAPES

ROOT = Path(__file__).resolve().parent.parent.parent
INTERNAL = {  # ops that ONNX has not
    "BlockwiseMatMul", "QSoftmax", "QLayerNormalization", "QLSTM", "Quantize", "Dequantize", "Lookup", "Select", "Onnx",
    "SafeSoftmax", "SequenceMask", "BoundedSuppression", "FirstRows",
}  # fmt: skip
# attributes that importing turns into another form: the value of another dtype, or what only newer opsets have
CHANGED = {
    ("Cast", "to"),
    ("Resize", "nearest_mode"),
}
ADDED = {("MatMul", "bias")}  # operands beyond those of ONNX


def schema(op: str) -> onnx.defs.OpSchema:
    return onnx.defs.get_schema(op, onnx.defs.onnx_opset_version(), "")


ONNX_OPS = sorted(set(OPS) - INTERNAL)


@pytest.mark.parametrize("op", ONNX_OPS)
def test_attributes_are_those_of_onnx(op: str) -> None:
    """The newest opset's: their names, which of them are required, and the defaults of the others."""
    known = schema(op).attributes
    for name, attribute in OPS[op].attributes.items():
        if name in OUR_OWN or (op, name) == ("RNN", "activations"):  # NOTE: one for each direction
            continue
        assert name in known, f"{op} has no attribute {name}"
        default = known[name].default_value
        if default.type == onnx.AttributeProto.UNDEFINED:
            assert attribute.default is None or (op, name) in CHANGED, f"{op}: ONNX has no default for {name}"
            continue
        value = onnx.helper.get_attribute_value(default)
        value = value.decode() if isinstance(value, bytes) else value
        assert (
            attribute.default == pytest.approx(value, rel=1e-7)
            if isinstance(value, float)
            else attribute.default == value
        ), (op, name)


@pytest.mark.parametrize("op", ONNX_OPS)
def test_every_attribute_of_onnx_is_declared_or_has_no_part_in_inference(op: str) -> None:
    left_out = {("BatchNormalization", "momentum"), ("BatchNormalization", "training_mode"), ("Cast", "saturate"),
        ("Cast", "round_mode"),
                ("Split", "num_outputs")}  # fmt: skip
    assert {(op, a) for a in schema(op).attributes} - {(op, a) for a in OPS[op].attributes} <= left_out


@pytest.mark.parametrize("op", ONNX_OPS)
def test_operands_are_those_of_onnx(op: str) -> None:
    row, known = OPS[op], schema(op)
    own = [o for o in row.operands if (op, o.name) not in ADDED]
    variadic = known.inputs[-1].option == onnx.defs.OpSchema.FormalParameterOption.Variadic
    assert own[-1].variadic == variadic
    if not variadic:
        assert len(own) <= known.max_input and sum(not o.optional for o in own) >= known.min_input
    assert len(row.outputs) <= known.max_output


@pytest.mark.parametrize("op", sorted(OPS))
def test_what_a_declaration_names_is_there(op: str) -> None:
    row = OPS[op]
    for table in (FLOAT, STRICT_FLOAT, INTEGER, SHAPES, RULES, FLOAT_RULES):
        assert op not in table or callable(table[op])
    assert not row.typing or row.typing in {"free", "blockwise", *_RULES}
    for form in (row.int8, row.int8_kernel, row.float_kernel):
        assert form is None or set(form.attributes) <= set(row.attributes)
    assert all(a.default is None or a.holds(a.default) for a in row.attributes.values())
    assert row.sized_by == FROM_DATA or all(0 <= k < len(row.operands) for k in row.sized_by)
    assert row.channel_axis is not None or not row.traits & {PRODUCT, ROW_PRODUCT}
    assert ROW_PRODUCT not in row.traits or row.operands[-1].name == "bias"
    assert row.integer is None or row.typing


def test_a_name_is_declared_once() -> None:
    with pytest.raises(ValueError, match="op Relu is declared twice"):
        joined([OPS["Relu"], OPS["Abs"], OPS["Relu"]])
    with pytest.raises(ValueError, match="Relu is declared twice"), extended(OPS["Relu"]):
        pass
    before = dict(OPS)
    with extended(OpDef("Twice", (X,), traits=frozenset({POINTWISE}), meaning=elements(lambda x: x + x))):
        assert (
            has("Twice", POINTWISE)
            and "Twice" in having(POINTWISE)
            and FLOAT["Twice"](Node("Twice", ("x",), ("y",)), [np.ones(2)])
        )
    assert dict(OPS) == before and "Twice" not in FLOAT and not has("Twice", POINTWISE)


def test_a_name_has_one_function() -> None:
    """Lists that join several lose nothing: no op has two adapters, and no kind of instruction two meanings."""
    assert len(ADAPTERS) == sum(len(names.split()) for names, _ in ROWS)
    kinds = [kind for family in KINDS.values() for kind in family]
    assert len(kinds) == len(set(kinds)) == len(load_families())


def test_an_attribute_that_is_not_declared_is_an_error() -> None:
    node = Node("LeakyRelu", ("x",), ("y",))
    assert node.attr("alpha") == 0.01 and Node("LeakyRelu", ("x",), ("y",), {"alpha": 0.5}).attr("alpha") == 0.5
    for op, name in (("LeakyRelu", "aplha"), ("Relu", "alpha"), ("Reluu", "alpha")):
        with pytest.raises(KeyError, match=f"op {op} does not declare an attribute '{name}'"):
            Node(op, ("x",), ("y",)).attr(name)


REAL = float_type(1, 2, 4, 4)
SPOILED = [
    (Node("Reluu", ("x",), ("y",)), "expected an op that is declared, got 'Reluu'"),
    (Node("LeakyRelu", ("x",), ("y",), {"aplha": 0.1}), "expected no attribute 'aplha', which LeakyRelu does not have"),
    (Node("Relu", ("x",), ("y",), {"alpha": 0.1}), "expected no attribute 'alpha', which Relu does not have"),
    (Node("LeakyRelu", ("x",), ("y",), {"alpha": "0.1"}), "expected alpha as a number, got '0.1'"),
    (Node("Conv", ("x",), ("y",)), "expected 2 to 3 inputs, got 1"),
    (Node("Conv", ("x", "w", "w", "w"), ("y",)), "expected 2 to 3 inputs, got 4"),
    (Node("Relu", ("x",), ("y", "z")), "expected 1 outputs at most, got 'z' beyond them"),
    (Node("MaxPool", ("x",), ("y",)), "expected the attribute kernel_shape, got none"),
    (Node("Concat", ("x", "x"), ("y",)), "expected the attribute axis, got none"),
    (Node("Cast", ("x",), ("y",), {"to": "float33"}), "expected to as one of float32"),
    (Node("Conv", ("x", "x", "x"), ("y",)), "expected operand 2, 'x', of 1 dimensions, got 4"),
]


@pytest.mark.parametrize(("node", "said"), SPOILED, ids=[f"{n.op}-{k}" for k, (n, _) in enumerate(SPOILED)])
def test_the_verifier_holds_nodes_to_their_declaration(node: Node, said: str) -> None:
    types = {"x": REAL, "w": float_type(2, 2, 1, 1), "y": TensorType(DType.F32, None), "z": TensorType(DType.F32, None)}
    graph = Graph("g", ("x", "w"), ("y",), (node.with_(name="n"),), types)
    with pytest.raises(VerifyError) as error:
        verify(graph)
    assert said in str(error.value)


def test_ops_that_keep_quantization_move_integers() -> None:
    assert all(OPS[op].integer is not None and OPS[op].typing == "moves" for op in having(KEEPS_QUANTIZATION))
    assert all(isinstance(form, Form) for row in OPS.values() if (form := row.int8_kernel) is not None)


def test_the_page_is_what_the_declarations_say() -> None:
    code = "import ops_page, sys; sys.exit(ops_page.page() != ops_page.PAGE.read_text())"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT / "tools", capture_output=True, text=True)
    assert done.returncode == 0, f"docs/ops.md is not what tools/ops_page.py writes {done.stderr}"
