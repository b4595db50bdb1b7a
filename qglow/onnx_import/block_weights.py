"""Block-wise quantized weights of ONNX models as `BlockwiseMatMul` nodes, their integers kept.

1. MatMulNBits (com.microsoft) with 4 or 8 bits. accuracy_level 4 says that rows of the other operand may be int8
   (`compute` "int8"); at any other level they stay float32.
2. A block-wise DequantizeLinear of constants that a MatMul or Gemm reads as its second operand, directly or transposed:
   float32.
3. Integers of the signed dtypes are stored with 2^(bits - 1) added to them and to their zero points: the same real
   numbers.
4. What no BlockwiseMatMul can have is exact in float32 instead: columns in another order (g_idx), zero points that are
   no integers of the dtype, blocks of other sizes.
"""

from __future__ import annotations

import numpy as np
import onnx

from ..errors import ModelError
from ..graph import Array, DType, Graph, GraphBuilder, Node, TensorType
from ..graph.blocks import LARGEST, MOST, OP, STEP
from ..graph.type_rules import gemm_form
from ..graph.types import Quant
from ..ops.traits import MATRIX_PRODUCT
from ..reference.blockwise import nibbles, packed_nibbles
from .own_meanings import attributes_of

INT8_LEVEL = 4  # of MatMulNBits' accuracy_level
# integers [N, K], scales [N, blocks], zero points or None, elements of a block
Blocks = tuple[Array, Array, Array | None, int]


def add_weights(b: GraphBuilder, hint: str, q: Array, scales: Array, zeros: Array, size: int) -> list[str] | None:
    """Names of constants for the weights, scales and zero points of a BlockwiseMatMul; None where it cannot have them.

    q, zeros: integers of at most 8 bits, signed or not.
    """
    if (
        size % STEP
        or not STEP <= size <= LARGEST
        or scales.shape[1] > MOST
        or not np.isfinite(scales).all()
        or not q.size
    ):
        return None
    low, high = int(min(q.min(), zeros.min())), int(max(q.max(), zeros.max()))
    ranges = ((DType.U4, 0, 15), (DType.U4, -8, 7), (DType.U8, 0, 255), (DType.U8, -128, 127))
    dtype, least = next((dtype, first) for dtype, first, last in ranges if first <= low and high <= last)
    stored, middle = (q.astype(np.int16) - least).astype(np.uint8), 8 if dtype is DType.U4 else 128
    points = (zeros.astype(np.int16) - least).astype(np.uint8)
    data = packed_nibbles(stored) if dtype is DType.U4 else np.ascontiguousarray(stored)
    weights = b.add_constant(f"{hint}.blocks", data, TensorType(dtype, tuple(q.shape), Quant.blockwise(1, size)))
    names = [weights, b.add_constant(f"{hint}.scales", np.ascontiguousarray(scales, np.float32))]
    return [
        *names,
        "" if (points == middle).all() else b.add_constant(f"{hint}.zero_points", np.ascontiguousarray(points)),
    ]


def matmul_n_bits(b: GraphBuilder, node: Node) -> None:
    """Append what a MatMulNBits is. Raises ModelError, in one line, for what is not supported."""
    x, _, _, _, _, bias = (*node.inputs, "", "", "", "")[:6]
    q, scales, zeros, groups = _operands(b, node)
    n, k, size, y = len(q), q.shape[1], int(node.attributes["block_size"]), node.outputs[0]
    t = b.types[x]
    wide = t.dtype is not DType.F32
    shape = None if t.shape is None else (*t.shape[:-1], n)
    real = b.add("Cast", (x,), TensorType(DType.F32, t.shape), f"{y}.a", to="float32") if wide else x
    if bias:
        bias = b.add_constant(f"{y}.bias", _constant(b, node, bias, "bias").astype(np.float32).reshape(-1))
        if b.constants[bias].shape != (n,):
            raise _refused(node, f"a bias of {b.constants[bias].size} elements for {n} columns")
    ordered = np.array_equal(groups, np.arange(k) // size)
    names = add_weights(b, y, q, scales, zeros, size) if ordered and zeros.dtype.kind in "ui" else None
    made = b.fresh(f"{y}.real") if wide else y
    b.types[made] = TensorType(DType.F32, shape)
    if names is None:
        w = _real_weights(b, y, q, scales, zeros, groups)
        b.append(Node("MatMul", (real, w, *([bias] if bias else [])), (made,), {}, node.name))
    else:
        compute = "int8" if node.attributes.get("accuracy_level", 0) == INT8_LEVEL else "float32"
        inputs = (real, *names, bias)
        b.append(Node(OP, trimmed(inputs), (made,), {"compute": compute}, node.name))
    if wide:
        b.types[y] = TensorType(t.dtype, shape)
        b.append(Node("Cast", (made,), (y,), {"to": t.dtype.numpy.name}, b.fresh(f"{node.name}.cast")))


def _real_weights(b: GraphBuilder, y: str, q: Array, scales: Array, zeros: Array, groups: Array) -> str:
    """(q - z) s as float32 [K, N], by nodes that say that they are integers in the model. groups: the block whose scale
    and zero point each of the K columns has."""
    t = TensorType(DType.F32, q.shape[::-1])
    one = b.add_constant(f"{y}.one", np.ones((), np.float32))
    w = b.add("DequantizeLinear", (b.add_constant(f"{y}.q", np.ascontiguousarray(q.T)), one), t, f"{y}.whole")
    for op, of_blocks in (("Sub", zeros), ("Mul", scales)):
        spread = np.ascontiguousarray(of_blocks.astype(np.float32)[:, groups].T)
        w = b.add(op, (w, b.add_constant(f"{y}.{op.lower()}", spread)), t, f"{y}.w")
    return w


def trimmed(names: tuple[str, ...]) -> tuple[str, ...]:
    """The names of operands without those at the end that are left out."""
    while not names[-1]:
        names = names[:-1]
    return names


def _operands(b: GraphBuilder, node: Node) -> tuple[Array, Array, Array, Array]:
    """Integers [N, K], scales and zero points [N, blocks], the block of each of K. Zero points are floats where they
    are no integers."""
    _, packed, scale, zero, g_idx, _ = (*node.inputs, "", "", "", "")[:6]
    k, n, bits, size = (int(node.attributes.get(a) or 0) for a in ("K", "N", "bits", "block_size"))
    if (
        bits not in (4, 8)
        or node.attributes.get("weight_prepacked", 0)
        or min(k, n) < 1
        or size < 16
        or size & (size - 1)
    ):
        raise _refused(
            node,
            f"bits {bits}, block_size {size}, K {k}, N {n}, weight_prepacked "
            f"{node.attributes.get('weight_prepacked', 0)}",
        )
    blocks, per = -(-k // size), 8 // bits
    data = _constant(b, node, packed, "B")
    if data.dtype != np.uint8 or data.size != n * blocks * (size // per):
        raise _refused(node, f"B as {data.dtype}{list(data.shape)} for [{n}, {blocks}, {size // per}]")
    data = data.reshape(n, -1)
    q = (nibbles(data, blocks * size) if bits == 4 else data)[:, :k]
    scales = _of_blocks(node, _constant(b, node, scale, "scales"), n, blocks, "scales").astype(np.float32)
    groups = np.arange(k) // size
    if g_idx:
        groups = _constant(b, node, g_idx, "g_idx").reshape(-1).astype(np.int64)
        if zero and b.constants.get(zero) is not None and b.constants[zero].dtype == np.uint8:
            raise _refused(node, "g_idx and packed zero points, where runtimes differ,")
        if groups.shape != (k,) or groups.min() < 0 or groups.max() >= blocks:
            raise _refused(node, f"g_idx of {groups.size} indices for {k} columns in {blocks} blocks")
    return q, scales, _zero_points(b, node, zero, n, blocks, bits), groups


def _zero_points(b: GraphBuilder, node: Node, name: str, n: int, blocks: int, bits: int) -> Array:
    """[N, blocks] integers, or floats where some are no integers of the dtype."""
    if not name:
        return np.full((n, blocks), 1 << (bits - 1), np.uint8)
    data = _constant(b, node, name, "zero_points")
    if data.dtype == np.uint8:
        row = -(-blocks * bits // 8)
        packed = _of_blocks(node, data, n, row, "zero_points")
        return (nibbles(packed, 2 * row) if bits == 4 else packed)[:, :blocks]
    real = _of_blocks(node, data, n, blocks, "zero_points").astype(np.float32)
    integral = (real == np.rint(real)) & (real >= 0) & (real < 1 << bits)
    return real.astype(np.uint8) if integral.all() else real


def _of_blocks(node: Node, data: Array, n: int, columns: int, what: str) -> Array:
    if data.size != n * columns:
        raise _refused(node, f"{what} as {list(data.shape)} for [{n}, {columns}]")
    return data.reshape(n, columns)


def _constant(b: GraphBuilder, node: Node, name: str, what: str) -> Array:
    if name not in b.constants:
        raise _refused(node, f"{what} that is not a constant")
    return b.constants[name]


def _refused(node: Node, why: str) -> ModelError:
    return ModelError(f"node {node.name!r}: MatMulNBits with {why} is not supported")


def joined_blocks(graph: Graph) -> Graph:
    """Rule 2: the graph with the products of block-wise DequantizeLinear nodes as BlockwiseMatMul; these nodes stay for
    other readers."""
    dequantized = {n.outputs[0]: n for n in graph.nodes if n.op == "Onnx" and n.operator == "DequantizeLinear"}
    if not dequantized:
        return graph
    turned = {n.outputs[0]: dequantized[n.inputs[0]] for n in graph.nodes if _is_turn(n) and n.inputs[0] in dequantized}
    b = GraphBuilder(graph)
    for node in graph.nodes:
        made = (
            _joined(b, graph, node, dequantized, turned) if node.has(MATRIX_PRODUCT) and len(node.inputs) > 1 else None
        )
        b.append(node if made is None else made)
    return b.build(graph.name, graph.inputs, graph.outputs)


def _is_turn(node: Node) -> bool:
    return node.op == "Transpose" and tuple(node.attr("perm") or (1, 0)) == (1, 0)


def _joined(
    b: GraphBuilder, graph: Graph, node: Node, dequantized: dict[str, Node], turned: dict[str, Node]
) -> Node | None:
    """A product as a BlockwiseMatMul, or None."""
    w = node.inputs[1]
    source = turned.get(w) or dequantized.get(w)
    if (
        source is None
        or any(i and i not in graph.constants for i in source.inputs)
        or graph.types[node.inputs[0]].dtype is not DType.F32
    ):
        return None
    form = gemm_form(node)
    plain = form.alpha == form.beta == 1.0 and not form.turns_a
    by_rows = (w in turned) != form.turns_b  # the weights' array is [N, K], else [K, N]
    found = _blocks_of(graph, source, 1 if by_rows else 0)
    if not plain or found is None:
        return None
    q, scales, zeros, size = found
    bias = graph.constants.get(node.input(2))
    if node.input(2) and (
        bias is None or bias.dtype != np.float32 or (bias.size != 1 and bias.shape not in ((len(q),), (1, len(q))))
    ):
        return None
    names = add_weights(
        b, source.outputs[0], q, scales, np.zeros_like(scales, np.int8) if zeros is None else zeros, size
    )
    if names is None:
        return None
    if bias is not None:
        names.append(
            b.add_constant(
                f"{node.outputs[0]}.bias", np.ascontiguousarray(np.broadcast_to(bias.reshape(-1), (len(q),)))
            )
        )
    return Node(OP, trimmed((node.inputs[0], *names)), node.outputs, {"compute": "float32"}, node.name)


def _blocks_of(graph: Graph, source: Node, along: int) -> Blocks | None:
    """The operands of a DequantizeLinear whose blocks lie along an axis of a matrix, as [N, K]; None of any other."""
    attributes = attributes_of(onnx.NodeProto.FromString(source.attributes["proto"]))
    arrays = [graph.constants[i] if i else None for i in (*source.inputs, "")[:3]]
    q, scales, zeros = arrays[0], arrays[1], arrays[2]
    axis, size = int(attributes.get("axis", 1)), int(attributes.get("block_size", 0))
    if q is None or scales is None or q.ndim != 2 or axis % 2 != along or not -2 <= axis < 2 or size < 1:
        return None
    expected = tuple(-(-d // size) if a == along else d for a, d in enumerate(q.shape))
    bytes_ = all(a is None or a.dtype in (np.int8, np.uint8) for a in (q, zeros))
    if (
        not bytes_
        or scales.dtype != np.float32
        or scales.shape != expected
        or (zeros is not None and zeros.shape != expected)
    ):
        return None
    if along == 0:
        q, scales, zeros = q.T, scales.T, None if zeros is None else zeros.T
    return q, scales, zeros, size
