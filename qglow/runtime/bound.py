"""A call that is bound to its arrays: the plan, the dtypes and the shapes are settled once, and each call copies the
inputs in, runs the program and copies the outputs out.

1. The arrays are the caller's and are held, not copied: what is in the inputs when a call begins is what it computes.
2. Inputs are copied before the program runs and outputs after it, so an output may be an input's array: a state that
   goes from call to call. Two outputs may not share memory.
3. Each call looks whether an array is still of its dtype and shape, which numpy lets a caller change in place. All
   copies are numpy's own, of the arrays as they are then: nothing keeps an address.
4. Where shapes depend on data, each call holds the outputs to those that come out. Arrays that are made here have the
   shapes that come of what the inputs hold then.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import combinations
from typing import TYPE_CHECKING, Any, NoReturn

import numpy as np

from ..arguments import shown
from ..errors import InputError
from ..graph import Array
from .native import NativePlan
from .onnxruntime_api import copy_into

if TYPE_CHECKING:
    from .session import InferenceSession

Bindings = Mapping[str, Array] | Sequence[Array]


class BoundCall:
    """Calls a session on the same arrays again and again; made by `InferenceSession.bind`. inputs, outputs: the arrays
    by name."""

    __slots__ = (
        "_expected", "_feeds", "_given", "_is_static", "_plan", "_results", "_run", "_written", "inputs", "outputs",
    )  # fmt: skip

    def __init__(self, session: InferenceSession, inputs: Bindings, outputs: Bindings | None) -> None:
        """Raises InputError where an array is not what the session takes or makes, and what planning raises."""
        given = named(inputs, session.graph.inputs, "input", every=True)
        self._given = session._checked({n: _checked(a, f"input {n!r}") for n, a in given.items()})
        self.inputs = self._feeds = dict(zip(session.graph.inputs, self._given, strict=True))
        self._plan = plan = session._planned(self._given)
        made = dict(plan._outputs) if isinstance(plan, NativePlan) else None
        self._is_static, self._run = made is not None, session._run
        if outputs is None and made is None:
            made = self._run(self._given, lambda _: plan.views(self._feeds))
        self.outputs = _outputs(outputs, session.graph.outputs, made)
        self._written, self._results = list(self.outputs.items()), tuple(self.outputs.values())
        held = [*self._given, *self._results]
        self._expected = [(a, a.shape, a.dtype) for a in held]

    def __call__(self) -> tuple[Array, ...]:
        """Run on what the inputs hold now; the output arrays, in order.

        Raises InputError where an array was given another dtype or shape since it was bound, or is no longer writable,
        and what `run` raises.
        """
        for array, shape, dtype in self._expected:
            if array.shape != shape or array.dtype is not dtype:
                self._refuse()
        self._run(self._given, self._compute)
        return self._results

    def _compute(self, _: list[Array]) -> None:
        values = self._plan.views(self._feeds)
        if self._is_static:
            try:
                for name, array in self._written:
                    array[...] = values[name]
                return
            except ValueError:  # NOTE: one of them was made read-only, which the next line says
                pass
        copy_into(values, self.outputs)

    def _refuse(self) -> NoReturn:
        names = [f"input {n!r}" for n in self.inputs] + [f"output {n!r}" for n in self.outputs]
        for name, (array, shape, dtype) in zip(names, self._expected, strict=True):
            if array.shape != shape or array.dtype is not dtype:
                raise InputError(
                    f"{name} was bound as {dtype}{list(shape)} and is {array.dtype}{list(array.shape)} now; bind again"
                )
        raise InputError("an array was changed in another thread while it is bound")

    def __repr__(self) -> str:
        return f"BoundCall({', '.join(self.inputs)} -> {', '.join(self.outputs)})"

    def __reduce__(self) -> NoReturn:
        raise TypeError("a bound call is of its process's arrays: pickle the session, and bind it again")


def named(given: Any, names: Sequence[str], what: str, every: bool) -> dict[str, Any]:
    """Arrays by name, from a mapping or from a list in the order of `names`. every: whether all must be there."""
    if isinstance(given, Mapping):
        unknown = [n for n in given if n not in names]
        if unknown:
            name = repr(unknown[0]) if isinstance(unknown[0], str) else shown(unknown[0])
            raise InputError(f"no {what} {name}; the {what}s are {list(names)}")
        missing = [n for n in names if n not in given]
        if every and missing:
            raise InputError(f"{what} {missing[0]!r} is missing; given are {sorted(given)}")
        return {n: given[n] for n in names if n in given}
    if not isinstance(given, (list, tuple)):
        raise InputError(f"the {what}s must be given as {{name: array}} or as a list, got {shown(given)}")
    if len(given) != len(names):
        raise InputError(f"expected {len(names)} arrays for the {what}s {list(names)}, got {len(given)}")
    return dict(zip(names, given, strict=True))


def _checked(array: object, where: str) -> Array:
    """The array itself, or what a numpy.memmap maps. Raises InputError for what is no array that can be bound."""
    if isinstance(array, np.memmap):
        array = array.view(np.ndarray)
    if type(array) is not np.ndarray:
        raise InputError(f"{where}: a bound call needs a numpy array, got {shown(array)}")
    if not array.flags.c_contiguous:
        raise InputError(
            f"{where}: a bound call needs a contiguous array, got strides {list(array.strides)}; np.empty of its shape "
            "and dtype makes one"
        )
    if array.dtype.kind not in "fiub" or not array.dtype.isnative:
        raise InputError(f"{where}: a bound call needs numbers in this machine's byte order, got {array.dtype}")
    return array


def _outputs(given: Bindings | None, names: Sequence[str], made: Mapping[str, Array] | None) -> dict[str, Array]:
    """The arrays to write to. made: arrays of the outputs' dtypes and shapes; None where these depend on data."""
    if given is None:
        assert made is not None
        return {n: np.empty(made[n].shape, made[n].dtype) for n in names}
    found = {n: _checked(a, f"output {n!r}") for n, a in named(given, names, "output", every=False).items()}
    for name, array in found.items():
        if not array.flags.writeable:
            raise InputError(f"output {name!r}: the array is read-only")
        if made is not None and (array.shape, array.dtype) != (made[name].shape, made[name].dtype):
            raise InputError(
                f"output {name!r}: expected an array of {made[name].dtype}{list(made[name].shape)}, got "
                f"{array.dtype}{list(array.shape)}"
            )
    for (a, one), (b, other) in combinations(found.items(), 2):
        if np.may_share_memory(one, other):
            raise InputError(f"outputs {a!r} and {b!r} share memory: each needs an array of its own")
    return found
