"""What follows a product and its kernel can compute with it becomes the product's epilogue, and x s(x) a Swish:
rewrites before lowering.

1. The value between is read once and is no output of the graph. The fused node stands where the product stood: a
   residual must be there by then.
2. int8: a sum, a difference or a lookup table behind a convolution or matrix product with constant weights. Which of
   them the kernels take is said in epilogue.py.
3. float: a sum behind one, then a Relu or Clip behind that, likewise. A sigmoid times its own input is a Swish, with
   the same bits.
4. 0 in place of the elements of a Softmax that are not numbers, which exporters write around attention, is a
   SafeSoftmax. Lengths of a recurrent layer that are computed become a mask (lengths.py).
5. Heads that several others share are not repeated (shared_heads.py).
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache, partial

from ..graph import Array, DType, Graph, Node
from ..graph.blocks import OP as BLOCKWISE
from ..graph.dead import remove_dead
from ..graph.epilogue import fused, is_fused, parts
from ..graph.pattern import Match, Op, Value, constant, op, value
from ..graph.rewrite import Fired, Replacement, Rewrite, apply
from ..ops import OpDef, refusal
from ..ops.fused import EPILOGUE
from ..ops.traits import ADDITIVE, CLAMP, CONVOLUTION, Trait
from ..targets import target
from . import shared_heads
from .epilogue import float_takes, int8_takes
from .lengths import with_masks


def fuse(graph: Graph, isa: str, fired: Fired | None = None) -> Graph:
    """A static graph with epilogues, for an instruction set."""
    return remove_dead(apply(with_masks(graph), rewrites(target(isa).byte_tables), fired))


def _has_epilogue(declared: OpDef) -> bool:
    return EPILOGUE in declared.attributes


def _is_int8(m: Match) -> bool:
    """Whether the product is one of bytes by int8, not fused yet."""
    product, types = m.node("product"), m.graph.types
    dtypes = [types[v].dtype for v in (*product.inputs[:2], *product.outputs)]
    return dtypes == [DType.U8, DType.I8, DType.U8] and not is_fused(product) and _is_matrix_or_image(m)


def _is_float(m: Match) -> bool:
    product, types = m.node("product"), m.graph.types
    if (
        any(types[v].dtype is not DType.F32 for v in (product.inputs[0], *product.outputs))
        or 0 in types[product.outputs[0]].static_shape
    ):
        return False
    if product.op == BLOCKWISE:
        return product.attr("compute") == "float32" and (m.rank("x") or 0) > 1
    w, bias = m.constant("w"), product.input(2)
    return (
        w.dtype.name == "float32" and w.size > 0 and (not bias or bias in m.graph.constants) and _is_matrix_or_image(m)
    )


def _is_matrix_or_image(m: Match) -> bool:
    """Whether weights and input have the dimensions of a convolution over one or two, or of rows times a matrix."""
    dims = m.constant("w").ndim
    return dims in (3, 4) if m.node("product").has(CONVOLUTION) else dims == 2 and (m.rank("x") or 0) > 1


def _int8(m: Match, byte_tables: bool) -> Replacement:
    fits = int8_takes(m.node("product"), (m.root,), m.graph.types, m.graph.constants, byte_tables)
    return _joined(m, "int8_kernel") if fits else None


def _float(m: Match) -> Replacement:
    product, types = m.node("product"), m.graph.types
    chain: tuple[Node, ...] = (product,)
    if is_fused(product):
        chain, between = parts(product, types)
        types = {**types, **between}
    fits = float_takes(chain[0], (*chain[1:], m.root), types, m.graph.constants)
    return _joined(m, "int8_kernel" if product.op == BLOCKWISE else "float_kernel") if fits else None


def _joined(m: Match, form: str) -> Replacement:
    """The fused node; None where the product's kernels refuse its form."""
    product = m.node("product")
    new = fused(product, m.root, m.graph.types[product.outputs[0]])
    return new if refusal(form, new, new.op) is None else None


def _swish(m: Match) -> Replacement:
    if any(m.graph.types[v].dtype is not DType.F32 for v in (m["x"], m.root.outputs[0])):
        return None
    return Node("Swish", (m["x"],), m.root.outputs, {}, m.root.name)


def _safe_softmax(m: Match) -> Replacement:
    softmax, root = m.node("softmax"), m.root
    if root.inputs[2] != softmax.outputs[0] or m.graph.types[root.outputs[0]] != m.graph.types[softmax.outputs[0]]:
        return None
    return Node("SafeSoftmax", (m["x"],), root.outputs, dict(softmax.attributes), root.name)


def _is_zero(data: Array) -> bool:
    return data.size > 0 and not data.any()


def _product(where: Callable[[Match], bool]) -> Op:
    return op(_has_epilogue, value("x"), constant("w"), name="product", where=where)


def _sums(
    name: str, of: Op, root: str | Trait, residual: Value, build: Callable[[Match], Replacement]
) -> tuple[Rewrite, Rewrite]:
    """Both orders of the operands: each may be a product, and the residual is the one that is there first."""
    return (
        Rewrite(f"{name} sum", op(root, of, residual, commutes=False), build, at="product"),
        Rewrite(f"{name} sum, residual first", op(root, residual, of, commutes=False), build, at="product"),
    )


@cache
def rewrites(byte_tables: bool) -> tuple[Rewrite, ...]:
    """byte_tables: see `Target`."""
    int8, real, build = _product(_is_int8), _product(_is_float), partial(_int8, byte_tables=byte_tables)
    return (
        *_sums("int8", int8, ADDITIVE, value("residual", constants=True), build),
        Rewrite("int8 table", op("Lookup", int8, constant("table")), build, at="product"),
        *_sums("float", real, "Add", value("residual"), _float),
        Rewrite("float bounds", op(CLAMP, real), _float, at="product"),
        Rewrite(
            "safe softmax",
            op(
                "Where",
                op("IsNaN", op("Softmax", value("x"), name="softmax", shared=True)),
                constant("zero", _is_zero),
                value("y"),
            ),
            _safe_softmax,
        ),
        *shared_heads.REWRITES,
        Rewrite("swish", op("Mul", value("x"), op("Sigmoid", value("x"), name="sigmoid")), _swish, at="sigmoid"),
    )
