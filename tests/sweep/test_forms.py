"""What integer meanings and kernels declare, over the ONNX schemas: every attribute is swept beside onnxruntime, or
refused."""

from __future__ import annotations

from collections import defaultdict

import onnx
import pytest
from sweep import pointwise, products, recurrent, reductions, regions, shaping, windowing
from sweep.case import Case

from qglow.graph import Node
from qglow.instructions import select
from qglow.onnx_import.forms import unmet
from qglow.ops import OPS, refusal
from qglow.ops.forms import PLAIN
from qglow.reference import INTEGER

FAMILIES = [f for m in (pointwise, reductions, products, windowing, shaping, recurrent, regions) for f in m.FAMILIES]
INTERNAL = {"qmin", "qmax", "function", "epilogue"}  # of quantized graphs alone
NO_NODES = {  # ops of the graph that ONNX has not
    "Quantize", "Dequantize", "Lookup", "Select", "BlockwiseMatMul", "SafeSoftmax", "SequenceMask",
    "BoundedSuppression",
}  # fmt: skip
UNTESTED = {  # declared because they change nothing in the forms that are taken
    ("Resize", "cubic_coeff_a"), ("Resize", "extrapolation_value"), ("LayerNormalization", "stash_type"),
    ("LSTM", "activations"), ("LSTM", "activation_alpha"), ("LSTM", "activation_beta"), ("LSTM", "clip"),
    ("LSTM", "input_forget"), ("LSTM", "layout"),
}  # fmt: skip


def schemas() -> dict[str, dict[str, onnx.defs.OpSchema.Attribute]]:
    """Every attribute that an op has or had, by the op; but for those that became inputs, which adapters turn into
    these."""
    found: dict[str, dict[str, onnx.defs.OpSchema.Attribute]] = defaultdict(dict)
    for schema in sorted(onnx.defs.get_all_schemas_with_history(), key=lambda s: s.since_version):
        if schema.domain == "":
            found[schema.name] |= schema.attributes
    return found


@pytest.fixture(scope="module")
def swept() -> dict[str, set[str]]:
    found: dict[str, set[str]] = defaultdict(set)
    for case in (c for family in FAMILIES for c in family() if isinstance(c, Case)):
        found[case.op] |= set(case.attributes)
    return found


def _tables() -> list[tuple[str, set[str]]]:
    return [
        ("int8", set(INTEGER) | {OPS[op].float_op for op in INTEGER} - {""}),
        ("int8_kernel", set(select.RULES)),
        ("float_kernel", set(select.FLOAT_RULES)),
    ]


@pytest.mark.parametrize(("form", "ops"), _tables(), ids=[t[0] for t in _tables()])
def test_every_attribute_is_swept_or_refused(form: str, ops: set[str], swept: dict[str, set[str]]) -> None:
    wrong = []
    known, forms = schemas(), {op: f for op, row in OPS.items() if (f := getattr(row, form)) is not None}
    assert set(forms) <= ops, f"declared, but neither meant nor lowered: {set(forms) - ops}"
    for op in sorted(ops - NO_NODES):
        real = OPS[op].float_op or op
        for name in known[real]:
            declared = name in forms.get(op, PLAIN).attributes
            if declared and name not in swept[real] and (real, name) not in UNTESTED:
                wrong.append(f"{op}: {name} is declared, and no case of the sweep has it")
            if not declared and refusal(form, Node(op, ("x",), ("y",), {name: 1}), op) is None:
                wrong.append(f"{op}: {name} is neither declared nor refused")
    assert not wrong, "\n".join(wrong)
    foreign = {
        (op, a)
        for op, f in forms.items()
        if op not in NO_NODES
        for a in f.attributes
        if a not in known[OPS[op].float_op or op]
    }
    assert {a for _, a in foreign} <= INTERNAL, foreign


@pytest.mark.parametrize(
    ("op", "attributes", "said"),
    [
        ("Resize", {"mode": "cubic"}, "mode 'cubic'"),
        ("Resize", {"mode": "linear", "antialias": 1}, "antialias 1"),
        (
            "Resize",
            {"coordinate_transformation_mode": "tf_crop_and_resize"},
            "coordinate_transformation_mode 'tf_crop_and_resize'",
        ),
        ("LayerNormalization", {"epsilon": 0.0}, "epsilon 0.0"),
        ("Gemm", {"alpha": 0.5}, "alpha 0.5"),
        ("Relu", {"alpha": 0.5}, "its attribute alpha"),
    ],
)
def test_what_is_not_implemented_is_refused_by_name(op: str, attributes: dict[str, object], said: str) -> None:
    assert refusal("int8", Node(op, ("x",), ("y",), attributes), op) == said


def test_an_output_that_is_not_implemented_is_refused() -> None:
    for form in ("int8", "int8_kernel", "float_kernel"):
        assert refusal(form, Node("MaxPool", ("x",), ("y", "indices")), "MaxPool") == "its output 'indices'"
        assert refusal(form, Node("MaxPool", ("x",), ("y", "")), "MaxPool") is None


def test_an_output_that_a_meaning_does_not_have_is_refused() -> None:
    """Operators that are not listed with a number of outputs have one."""
    for op, outputs, said in (("Relu", ["y"], None), ("Relu", ["y", "z"], "output 'z'"),
        ("Relu", ["y", "", "z"], "output 'z'"),
                              ("TopK", ["y", "i"], None)):  # fmt: skip
        assert unmet(onnx.helper.make_node(op, ["x"], outputs)) == said
