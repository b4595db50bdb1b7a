"""What the declaration of an op consists of. The declarations are in the files beside this one, one family a file."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from ..record import NamedTuple
from .attributes import Attribute
from .forms import Form
from .traits import Trait

MANY = 64  # dimensions: of no bound
ANY_RANK = (0, MANY)


class Operand(NamedTuple):
    """One input. dtype: a name that all operands of one dtype share ("T"), a dtype ("i64"), or "" for any. rank: least
    and most dimensions.

    optional: it may be left out. variadic: it stands for one or more inputs, all of which must be there.
    weight: trained parameters stand here where they are constant.
    """

    name: str
    dtype: str = ""
    rank: tuple[int, int] = ANY_RANK
    optional: bool = False
    variadic: bool = False
    weight: bool = False


class Output(NamedTuple):
    """One output. dtype: that of the operands of this dtype name ("T"), a dtype ("i64"), "=to" for the dtype that an
    attribute names, "=value" for that of an attribute's array, or "" where the graph alone says. without: the dtype
    where those operands are left out. A name that ends in "..." stands for any number of outputs."""

    name: str
    dtype: str = "T"
    without: str = ""


class Meaning(NamedTuple):
    """A numpy function in `qglow/reference`, or of numpy, by name. takes: "node": f(node, inputs) -> outputs;
    "elements": f(*inputs, *attribute values in the order of their declaration) -> output."""

    function: str | Callable[..., Any]
    takes: str = "node"


ChannelAxis = Callable[[Any, int | None], int | None]  # of a node and the rank of its weights
FROM_DATA: tuple[int, ...] = (-1,)  # of `sized_by`: output shapes depend on all elements


class OpDef(NamedTuple):
    """An op: everything that the rest of the package asks about it.

    sized_by: operands whose elements, not only their shape, decide the shapes of the outputs.
    channel_axis: the axis of the weights along which the output channels lie.
    shape: the rule for output shapes, whether all dimensions are known or some have names; a function in
    `qglow/reference`. meaning: of floats and plain integers, as ONNX says. strict: of floats, with one order of
    operations. integer: of quantized values. equations: the numbers of docs/quantization.md that it follows. typing:
    the rule for the types of quantized values (graph/type_rules.py); "" where an op takes none. int8: what the integer
    meaning, or the quantized form, implements of the attributes; int8_kernel, float_kernel: what the kernels do.
        None: no attribute, one output.
    float_op: of an op that quantization makes of another one, with other operands: the name of that one.
    lower, lower_float, lower_int16: the rules that write a node of quantized values (or a view), of floats, and of
    int16 as
        instructions; functions
        in `qglow/instructions`. Without one the reference computes the node.
    neutral: the constant that as operand 1 changes nothing.
    open_attributes: a node may have attributes of any name.
    """

    name: str
    operands: tuple[Operand, ...]
    outputs: tuple[Output, ...] = (Output("y"),)
    attributes: Mapping[str, Attribute] = {}  # noqa: RUF012
    traits: frozenset[Trait] = frozenset()
    sized_by: tuple[int, ...] = ()
    channel_axis: ChannelAxis | None = None
    shape: str | Callable[..., Any] = ""
    meaning: Meaning | None = None
    strict: Meaning | None = None
    integer: Meaning | None = None
    equations: str = ""
    typing: str = ""
    int8: Form | None = None
    int8_kernel: Form | None = None
    float_kernel: Form | None = None
    neutral: float | None = None
    lower: str | Callable[..., Any] = ""
    lower_float: str | Callable[..., Any] = ""
    lower_int16: str | Callable[..., Any] = ""
    float_op: str = ""
    open_attributes: bool = False

    @property
    def variadic_outputs(self) -> bool:
        return self.outputs[-1].name.endswith("...")
