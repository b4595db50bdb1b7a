"""Epilogues: ops behind a product that its instruction computes before the result is stored.

The attribute `epilogue` of a product lists them in their order, and what they read beside the result so far stands
behind the product's own inputs. A fused node means exactly its parts one after the other: the product, whose result has
the type that the first part says that it reads, and then each part as an op by itself, with its own rounding. So the
verifier, the types and the reference take a fused node apart (`parts`) and know nothing else of it.

Fusing is part of code generation (instructions/fuse.py): bundles and files hold the parts.
"""

from __future__ import annotations

from collections.abc import Mapping

from ..ops import OPS
from ..ops.fused import EPILOGUE, FusedOp
from .graph import Node
from .types import DType, Quant, TensorType

Types = Mapping[str, TensorType]


def type_read(part: FusedOp, shape: tuple[int | str, ...] | None) -> TensorType:
    """The type of the result that a part reads. Raises ValueError for a dtype that there is not."""
    return TensorType(DType(part.dtype), shape, Quant.per_tensor(part.scale, part.zero_point) if part.scale else None)


def is_fused(node: Node) -> bool:
    return EPILOGUE in node.attributes


def fused(product: Node, after: Node, read: TensorType) -> Node:
    """A product, fused already or not, and the node that alone reads its result, of the type `read`, as one node."""
    at = after.inputs.index(product.outputs[0])
    own = product.inputs + ("",) * (len(OPS[product.op].operands) - len(product.inputs))
    others = (*after.inputs, *("",) * (len(OPS[after.op].operands) - len(after.inputs)))
    inputs = (*own, *(i for k, i in enumerate(others) if k != at))
    scale, zero_point = (0.0, 0) if read.quant is None else (read.quant.scale[0], read.quant.z)
    part = FusedOp(after.op, at, read.dtype.value, scale, zero_point, tuple(after.attributes.items()))
    chain = (*product.attributes.get(EPILOGUE, ()), part)
    return product.with_(inputs=inputs, outputs=after.outputs).with_attributes(epilogue=chain)


def parts(node: Node, types: Types) -> tuple[tuple[Node, ...], dict[str, TensorType]]:
    """A fused node as a product and the nodes behind it, and the types of the values between them. Raises ValueError
    where its epilogue names an op that is not declared or not of one result, or more inputs stand there than its ops
    read."""
    chain = [FusedOp(*p) for p in node.attributes[EPILOGUE]]
    own, shape = len(OPS[node.op].operands), _shape(node, types)
    rest, between = list(node.inputs[own:]), dict[str, TensorType]()
    names = [*(f"{node.outputs[0]}|{k}" for k in range(len(chain))), node.outputs[0]]
    made = [node.with_(inputs=node.inputs[:own], outputs=(names[0],)).with_attributes(epilogue=None)]
    for part, read, written in zip(chain, names, names[1:], strict=False):
        declared = OPS.get(part.op)
        if (
            declared is None
            or declared.operands[-1].variadic
            or len(declared.outputs) != 1
            or part.at >= len(declared.operands)
        ):
            raise ValueError(f"expected an op of an epilogue with an operand {part.at}, got {part.op[:40]!r}")
        others = [rest.pop(0) if rest else "" for _ in range(len(declared.operands) - 1)]
        inputs = (*others[: part.at], read, *others[part.at :])
        between[read] = type_read(part, shape)
        made.append(Node(part.op, inputs, (written,), dict(part.attributes), node.name))
    if rest:
        raise ValueError(f"expected {len(node.inputs) - len(rest)} inputs, got {len(node.inputs)}")
    return tuple(made), between


def _shape(node: Node, types: Types) -> tuple[int | str, ...] | None:
    t = types.get(node.outputs[0])
    return None if t is None else t.shape
