"""The words of an instruction by name: in kernels `i.x_h`, an int64, and `i.f_scale`, a float32; in intrinsics the same
of `Words`."""

from __future__ import annotations

from numba import types
from numba.core import cgutils
from numba.core.datamodel import models
from numba.core.typing.templates import AttributeTemplate
from numba.extending import infer_getattr, lower_getattr_generic, register_model

from ..instructions.table import INSTRUCTIONS
from .vector import F32, I64, add_to, load_at


class Row(types.Type):
    """The address of an instruction's words."""

    def __init__(self, instruction):
        self.instruction = INSTRUCTIONS[instruction]
        super().__init__(f"Row({instruction})")


@register_model(Row)
class RowModel(models.PrimitiveModel):
    def __init__(self, manager, row):
        super().__init__(manager, row, I64)


@infer_getattr
class RowWords(AttributeTemplate):
    key = Row

    def generic_resolve(self, row, name):
        if name in row.instruction.words:
            return types.float32 if name.startswith("f_") else types.int64


@lower_getattr_generic(Row)
def load_word(context, b, row, address, name):
    return getattr(Words(b, row, address), name)


class Words:
    """An instruction in the code of an intrinsic: each use of a name loads the word."""

    def __init__(self, b, row, address):
        self._b, self._instruction, self._address = b, row.instruction, address

    def __getattr__(self, name):
        at = add_to(self._b, self._address, 8 * self._instruction.index(name))
        return load_at(self._b, at, F32 if name.startswith("f_") else I64)


def operands(b, sig, args):
    """The elements of a named tuple, the only argument of an intrinsic, by name; an instruction as `Words`."""
    values = zip(sig.args[0].fields, sig.args[0].types, cgutils.unpack_tuple(b, args[0]))
    return {name: Words(b, t, value) if isinstance(t, Row) else value for name, t, value in values}
