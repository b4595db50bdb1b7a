"""Einsum of two operands as a matrix product between transposes.

1. Labels are *batch* (in both operands and the output), *contracted* (in both operands alone), or *free* (in one
   operand and the output). With another kind, a label twice in one operand, an ellipsis, or other than two float32
   operands the node stays an Einsum.
2. By a constant without batch labels, with any number of contracted and free ones: they are flattened on both sides.
3. Else one label is contracted, the second operand has at most one free label, and the first too where there are batch
   labels; a missing free label is a dimension of 1.
4. The operands are taken in either order. Dimensions that are known to differ, of which one would be broadcast, are
   left to the Einsum.
"""

from __future__ import annotations

import numpy as np

from ..graph import DType, GraphBuilder, Node, TensorType
from ..record import NamedTuple

F32 = TensorType(DType.F32, None)


class Product(NamedTuple):
    """The operands in the order of the product, their labels and the output's, and the labels by kind."""

    a: str
    b: str
    of_a: str
    of_b: str
    out: str
    batch: str
    contracted: str
    free_a: str
    free_b: str


def product_of(b: GraphBuilder, node: Node) -> Product | None:
    """The product that an Einsum is, None where it is none (rules 1, 3 and 4)."""
    left, arrow, out = str(node.attributes["equation"]).replace(" ", "").partition("->")
    terms = left.split(",")
    types = [b.types[i] for i in node.inputs]
    if len(terms) != 2 or not left.replace(",", "").isalpha() or any(t.dtype is not DType.F32 for t in types):
        return None
    if any(len(set(t)) != len(t) or x.rank != len(t) for t, x in zip(terms, types, strict=True)):
        return None
    if not arrow:
        both = terms[0] + terms[1]
        out = "".join(sorted(c for c in both if both.count(c) == 1))
    if len(set(out)) != len(out) or not set(out) <= set(left):
        return None
    order = (1, 0) if node.inputs[0] in b.constants else (0, 1)
    for first, second in (order, order[::-1]):
        found = _product(b, node.inputs[first], node.inputs[second], terms[first], terms[second], out)
        if found is not None:
            return found
    return None


def _product(b: GraphBuilder, a: str, other: str, of_a: str, of_b: str, out: str) -> Product | None:
    both = [c for c in of_a if c in of_b]
    batch, contracted = ("".join(c for c in both if (c in out) == kept) for kept in (True, False))
    free_a, free_b = ("".join(c for c in t if c not in both) for t in (of_a, of_b))
    if not contracted or not set(free_a + free_b) <= set(out):
        return None
    sizes = [dict(zip(t, b.types[v].shape or (), strict=True)) for t, v in ((of_a, a), (of_b, other))]
    if any(isinstance(x, int) and isinstance(y, int) and x != y for c in both for x, y in [(sizes[0][c], sizes[1][c])]):
        return None
    flat = other in b.constants and not batch and bool(free_a)
    if not flat and (len(contracted) > 1 or len(free_b) > 1 or (batch and len(free_a) > 1)):
        return None
    return Product(a, other, of_a, of_b, out, batch, contracted, free_a, free_b)


def append_product(b: GraphBuilder, node: Node, p: Product) -> None:
    """Append the nodes of a product in place of an Einsum."""
    y = node.outputs[0]
    left = _ordered(b, p.a, p.of_a, p.batch + p.free_a + p.contracted, f"{y}.left")
    if p.b in b.constants and not p.batch and p.free_a:
        done = _by_constant(b, p, left, y)
    else:
        right = _ordered(b, p.b, p.of_b, p.batch + p.contracted + p.free_b, f"{y}.right")
        ones = []
        if not p.free_a:
            left = _resized(b, "Unsqueeze", left, [len(p.batch)], f"{y}.left.row")
            ones.append(len(p.batch))
        if not p.free_b:
            right = _resized(b, "Unsqueeze", right, [len(p.batch) + 1], f"{y}.right.column")
            ones.append(len(p.batch) + max(1, len(p.free_a)))
        done = b.add("MatMul", (left, right), F32, f"{y}.product")
        if ones:
            done = _resized(b, "Squeeze", done, ones, f"{y}.squeezed")
    made = p.batch + p.free_a + p.free_b
    b.append(Node("Transpose", (done,), (y,), {"perm": tuple(made.index(c) for c in p.out)}, node.name))


def _by_constant(b: GraphBuilder, p: Product, left: str, y: str) -> str:
    """Rule 2: the product, with a dimension for each free label again."""
    w = b.constants[p.b].transpose([p.of_b.index(c) for c in p.contracted + p.free_b])
    rows, sizes = int(np.prod(w.shape[: len(p.contracted)])), w.shape[len(p.contracted) :]
    if len(p.contracted) > 1:
        left = _resized(b, "Reshape", left, [0] * len(p.free_a) + [rows], f"{y}.left.flat")
    weights = b.add_constant(f"{y}.weights", np.ascontiguousarray(w.reshape(rows, -1)))
    done = b.add("MatMul", (left, weights), F32, f"{y}.product")
    return done if len(sizes) == 1 else _resized(b, "Reshape", done, [0] * len(p.free_a) + [*sizes], f"{y}.wide")


def _ordered(b: GraphBuilder, value: str, labels: str, order: str, hint: str) -> str:
    if labels == order:
        return value
    return b.add("Transpose", (value,), F32, hint, perm=tuple(labels.index(c) for c in order))


def _resized(b: GraphBuilder, op: str, value: str, numbers: list[int], hint: str) -> str:
    """Unsqueeze and Squeeze by axes, Reshape by a shape: all have these as their second input."""
    return b.add(op, (value, b.add_constant(f"{hint}.numbers", np.array(numbers, np.int64))), F32, hint)
