"""Meanings, on the host, of operators and forms that the reference does not have and onnx.reference computes wrongly,
or not at all.

A node of one of these stays an `Onnx` node. A meaning takes the node's attributes, those of the schema's defaults
included, its inputs (None where omitted) and how many outputs it has, and gives the outputs. Where only some forms of
an operator have it, `when` says which.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import onnx

from ..graph import Array
from . import blockwise, lists, spectra, training

Attributes = Mapping[str, Any]
Evaluate = Callable[[Attributes, Sequence[Any], int], list[Any]]


@dataclass(frozen=True, slots=True)
class Meaning:
    """evaluate: the outputs of a node. when: whether a form has this meaning, by its opset and the attributes that it
    was written with."""

    evaluate: Evaluate
    when: Callable[[int, Attributes], bool] = lambda opset, attributes: True


OWN: dict[tuple[str, str], Meaning] = {
    **{("", op): Meaning(evaluate) for op, evaluate in lists.MEANINGS.items()},
    **{("ai.onnx.preview.training", op): Meaning(evaluate) for op, evaluate in training.OPTIMIZERS.items()},
    ("", "BatchNormalization"): Meaning(training.batch_normalization, training.is_batch_normalization),
    ("", "Dropout"): Meaning(training.dropout, lambda opset, attributes: opset >= 12),
    ("", "QuantizeLinear"): Meaning(blockwise.quantize, blockwise.is_quantize),
    ("", "DequantizeLinear"): Meaning(blockwise.dequantize, blockwise.is_dequantize),
    ("", "DynamicQuantizeLinear"): Meaning(blockwise.quantize_by_range),
    ("", "STFT"): Meaning(spectra.stft),
}


def own_meaning(proto: onnx.NodeProto, domains: Mapping[str, int]) -> Meaning | None:
    """The meaning of a node here, or None."""
    domain = "" if proto.domain == "ai.onnx" else proto.domain
    found = OWN.get((domain, proto.op_type))
    return found if found is not None and found.when(domains.get(domain, 0), attributes_of(proto)) else None


def evaluate_own(proto: onnx.NodeProto, domains: Mapping[str, int], inputs: Sequence[Any]) -> list[Array]:
    """The outputs of a node that has a meaning here."""
    meaning, domain = own_meaning(proto, domains), "" if proto.domain == "ai.onnx" else proto.domain
    assert meaning is not None
    schema = onnx.defs.get_schema(proto.op_type, domains[domain], domain)
    defaults = {
        a.name: onnx.helper.get_attribute_value(a.default_value)
        for a in schema.attributes.values()
        if a.default_value.type
    }
    return meaning.evaluate({**defaults, **attributes_of(proto)}, inputs, len(proto.output))


def attributes_of(proto: onnx.NodeProto) -> dict[str, Any]:
    """The attributes that a node was written with."""
    return {a.name: onnx.helper.get_attribute_value(a) for a in proto.attribute if a.type != onnx.AttributeProto.GRAPH}
