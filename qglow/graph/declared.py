"""A node beside the declaration of its op: how many inputs and outputs it has, of how many dimensions, and its
attributes."""

from __future__ import annotations

from collections.abc import Mapping

from ..ops import FROM_DATA, OPS, OpDef
from ..ops.definition import MANY
from .epilogue import is_fused, parts
from .graph import Node
from .types import TensorType


def node_faults(node: Node, types: Mapping[str, TensorType]) -> list[str]:
    """What is wrong with a node by itself, and with the ranks of those operands that have one."""
    declared = OPS.get(node.op)
    if declared is None:
        return [f"expected an op that is declared, got {node.op[:40]!r}"]
    if is_fused(node) and not _attribute_faults(node, declared):
        try:
            apart, between = parts(node, types)
        except ValueError as error:
            return [str(error)]
        return [fault for part in apart for fault in node_faults(part, {**types, **between})]
    return [*_count_faults(node, declared), *rank_faults(node, types), *_attribute_faults(node, declared)]


def rank_faults(node: Node, types: Mapping[str, TensorType]) -> list[str]:
    """What is wrong with the number of dimensions of a node's operands, of those that have a known one."""
    faults = []
    declared = OPS.get(node.op)
    operands = declared.operands if declared is not None else ()
    for k, (name, operand) in enumerate(zip(node.inputs, operands)):  # noqa: B905
        t = types.get(name)
        least, most = operand.rank
        if t is not None and t.shape is not None and not least <= len(t.shape) <= most:
            said = str(least) if least == most else f"{least} or more" if most == MANY else f"{least} to {most}"
            faults.append(f"expected operand {k}, {node.input(k)!r}, of {said} dimensions, got {t.rank}")
    return faults


def _count_faults(node: Node, declared: OpDef) -> list[str]:
    least = sum(not operand.optional for operand in declared.operands)
    most = None if declared.operands[-1].variadic else len(declared.operands)
    given = list(node.inputs)
    while given and not given[-1]:
        given.pop()
    if len(given) < least or (most is not None and len(given) > most):
        said = str(least) if least == most else f"at least {least}" if most is None else f"{least} to {most}"
        return [f"expected {said} inputs, got {len(given)}"]
    missing = [k for k, name in enumerate(given[: least if most is not None else None]) if not name]
    if missing and not declared.operands[-1].optional:
        return [f"expected input {missing[0]}, got none"]
    return _output_faults(node, declared)


def _output_faults(node: Node, declared: OpDef) -> list[str]:
    extra = [] if declared.variadic_outputs else [o for o in node.outputs[len(declared.outputs) :] if o]
    return [f"expected {len(declared.outputs)} outputs at most, got {extra[0]!r} beyond them"] if extra else []


def _attribute_faults(node: Node, declared: OpDef) -> list[str]:
    faults = [
        f"expected the attribute {name}, got none"
        for name, attribute in declared.attributes.items()
        if attribute.required and node.attributes.get(name) is None
    ]
    if declared.open_attributes:
        return faults
    for name, value in node.attributes.items():
        attribute = declared.attributes.get(name)
        if attribute is None:
            faults.append(f"expected no attribute {name[:40]!r}, which {node.op} does not have")
        elif not attribute.holds(value):
            said = repr(value)
            faults.append(
                f"expected {name} as {attribute.words}, got {said if len(said) <= 80 else said[:80] + ' ...'}"
            )
    return faults


def sizing_operands(node: Node) -> tuple[int, ...] | None:
    """Places of the inputs whose elements, not only their shape, decide the shapes of the outputs; None where all data
    may."""
    declared = OPS.get(node.op)
    if declared is None or declared.sized_by == FROM_DATA:
        return None
    crops = node.op == "Resize" and node.attr("coordinate_transformation_mode") == "tf_crop_and_resize"
    return (1, *declared.sized_by) if crops else declared.sized_by
