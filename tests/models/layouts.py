"""Products between values of many dimensions: transposed whole, joined within joins, added to views, and vectors."""

from __future__ import annotations

from .builder import Case, Net


def noise(n: Net, *shapes: tuple[int, ...], count: int = 6) -> Case:
    """Cases of one input x: `count` samples of the first shape and one of each, requests of the others."""
    seen = [{"x": n.noise(*shape)} for shape in (*shapes[:1] * count, *shapes[1:] * (count // 2))]
    return Case(n.model(), seen, [{"x": n.noise(*s)} for s in shapes[1:]])


def nine_dimensions() -> Case:
    n = Net(121, 17)
    h = n.linear(n.input("x", ["batch", 8, 16]), 16, 32)
    turned = n.op("Transpose", n.reshape(h, -1, *[2] * 8), perm=[0, 8, 3, 6, 1, 7, 4, 2, 5])
    n.output(n.linear(n.reshape(turned, 0, 8, 32), 32, 8), "y", ["batch", 8, 8])
    return noise(n, (1, 8, 16), (3, 8, 16))


def nested_joins() -> Case:
    n = Net(123, 13)
    x = n.input("x", ["batch", 2, 3, 4, 8])

    def part(depth: int) -> str:
        if not depth:
            return n.op("Relu", n.linear(x, 8, 8))
        return n.op("Concat", part(depth - 1), part(depth - 1), axis=depth)

    n.output(n.linear(part(3), 8, 5), "y", ["batch", 4, 6, 8, 5])
    return noise(n, (1, 2, 3, 4, 8), (2, 2, 3, 4, 8))


def views_added() -> Case:
    n = Net(125, 13)
    x = n.input("x", ["batch", 2, 3, 4, 8])
    other = n.op("Transpose", n.reshape(n.linear(x, 8, 8), 0, 4, 3, 2, 8), perm=[0, 3, 2, 1, 4])
    n.output(n.linear(n.op("Add", n.linear(x, 8, 8), other), 8, 5), "y", ["batch", 2, 3, 4, 5])
    return noise(n, (1, 2, 3, 4, 8), (2, 2, 3, 4, 8))


def vectors() -> Case:
    """A product by a constant vector, attention of one query without its dimension, and an inner product of two."""
    n = Net(127, 13)
    x = n.input("x", ["sequence", 16])
    h = n.op("Sigmoid", n.linear(x, 16, 16))
    query = n.mean(h, [0], keepdims=0)
    scores = n.op("MatMul", h, query)
    mixed = n.op("MatMul", n.op("Softmax", scores, axis=-1), h)
    total = n.op("MatMul", mixed, n.op("MatMul", query, n.weight(16, 16)))
    n.output(
        n.op("Add", n.op("MatMul", n.linear(n.op("Add", h, mixed), 16, 16), n.weight(16)), total), "y", ["sequence"]
    )
    return noise(n, (7, 16), (4, 16), (9, 16), count=12)


def broadcast_products() -> Case:
    """Products of tensors whose batches are repeated, on one side, on the other, on both; K and N of 1."""
    n = Net(129, 13)
    x = n.input("x", ["batch", 3, 4, 16])
    h = n.op("Sigmoid", n.linear(x, 16, 8))
    shared = n.unsqueeze(n.mean(h, [0, 1], keepdims=0), 0, 1)
    one = n.op("MatMul", h, n.op("Transpose", shared, perm=[0, 1, 3, 2]))
    two = n.op("MatMul", shared, n.op("Transpose", h, perm=[0, 1, 3, 2]))
    by_batch, by_head = n.mean(h, [1]), n.mean(h, [0])
    three = n.op("MatMul", by_batch, n.op("Transpose", by_head, perm=[0, 1, 3, 2]))
    column = n.slice(h, 0, 1, 3)
    four = n.op("MatMul", column, n.op("Transpose", column, perm=[0, 1, 3, 2]))
    five = n.op("MatMul", n.op("MatMul", one, h), n.slice(n.op("Transpose", h, perm=[0, 1, 3, 2]), 0, 1, 3))
    total = n.op("Add", n.op("Add", n.op("Add", one, two), n.op("Add", three, four)), five)
    n.output(total, "y", ["batch", 3, 4, 4])
    return noise(n, (2, 3, 4, 16), (1, 3, 4, 16), (5, 3, 4, 16), count=8)


CASES = {
    "nine_dimensions": nine_dimensions,
    "nested_joins": nested_joins,
    "views_added": views_added,
    "vectors": vectors,
    "broadcast_products": broadcast_products,
}
