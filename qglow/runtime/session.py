"""InferenceSession: run a bundle with onnxruntime's calling convention."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any
from weakref import WeakSet

import numpy as np

from ..arguments import count_of, path_of, shown
from ..errors import BundleError, ConfigError, InputError, LimitError, ModelError, QGlowError, in_one_line
from ..graph import Array, Dim, Graph, Shape, TensorType
from ..limits import limited
from ..record import NamedTuple
from ..reference import evaluate
from .backends import backend_of
from .bundle import Bundle, load
from .constants import ConstantPool
from .handlers import of_a_signal_handler
from .lengths import Lengths
from .plans import Plan, Planner

MOST_THREADS = 1024
_ONNX_NAMES = {"f32": "float", "f64": "double", "f16": "float16", "bool": "bool", "str": "string"}


class ValueInfo(NamedTuple):
    """Name, shape (symbolic dimensions as strings) and ONNX type name of an input or output, as onnxruntime's
    NodeArg."""

    name: str
    shape: list[Dim]
    type: str

    @staticmethod
    def of(name: str, t: TensorType) -> ValueInfo:
        dtype = t.dtype.value
        element = _ONNX_NAMES.get(dtype) or dtype.replace("u", "uint").replace("i", "int", 1).replace("uintnt", "uint")
        return ValueInfo(name, list(t.shape or ()), f"tensor({element})")


class InferenceSession:
    """Runs a bundle, a path of one, or a graph. A plan is made for each set of input shapes on first use; the last
    64 are kept, and share the weights and the memory that they run in.

    threads: worker threads, default the CPUs that this process may use. Calls from several threads take turns. A call
    within a call, from a signal handler, is refused: the outer one is in the middle of the same memory. A forked
    process has the session too. backend: what runs the programs, by name: native (compiled kernels) or interpreter (see
    backends.py); the bits are the same. max_memory, max_work: limits of its runs (see limits.py); None leaves those
    that hold where it runs. mapped: see `load`.
    """

    def __init__(
        self, model: Bundle | Graph | str | Path, threads: int | None = None, *, max_memory: int | str | None = None,
        max_work: int | None = None, mapped: bool = False, backend: str = "native",
    ) -> None:  # fmt: skip
        made = backend_of(backend)
        with limited(max_memory, max_work):
            bundle = _bundle_of(model, mapped)
        self._limits = None if max_memory is None and max_work is None else (max_memory, max_work)
        threads = None if threads is None else count_of(threads, "threads", ConfigError, 1, MOST_THREADS)
        self.graph, self.backend = bundle.graph, made.name
        self._inputs, self._outputs = self.graph.inputs, self.graph.outputs
        self.threads = threads or len(os.sched_getaffinity(0))
        self._planner = Planner(self.threads, made, pool=ConstantPool(self.graph.constants.values()))
        self._cache, self._lengths = self._planner.cache, Lengths()
        self._lock, self._running = threading.RLock(), False
        _SESSIONS.add(self)
        self._expected = [(n, self.graph.types[n].shape, self.graph.types[n].dtype.numpy) for n in self.graph.inputs]

    def __repr__(self) -> str:
        return f"InferenceSession({self.graph.name!r}, threads={self.threads}, backend={self.backend!r})"

    def get_inputs(self) -> list[ValueInfo]:
        return [ValueInfo.of(n, self.graph.types[n]) for n in self.graph.inputs]

    def get_outputs(self) -> list[ValueInfo]:
        return [ValueInfo.of(n, self.graph.types[n]) for n in self.graph.outputs]

    def run(self, output_names: Sequence[str] | None, feeds: Mapping[str, Array]) -> list[Array]:
        """The named outputs (None or none: all, in order). Raises InputError for a wrong name, dtype or shape."""
        names = self._outputs if output_names is None else self._named(output_names)
        arrays = self._checked(feeds)
        try:
            with self._lock:
                if self._running:
                    raise QGlowError(
                        "this session is in the middle of a run of this thread; a signal handler needs a session of "
                        "its own"
                    )
                self._running = True  # NOTE: Python handles no signal between this line and the next
                try:
                    results = self._results(arrays) if self._limits is None else self._limited(arrays, *self._limits)
                finally:
                    self._running = False
        except QGlowError:
            raise
        except MemoryError as error:
            raise LimitError(f"there is not enough memory to run the model on {self._shapes(arrays)}") from error
        # NOTE: a bundle that was tampered with, or inputs that make shapes the model cannot have
        except Exception as error:
            if of_a_signal_handler(error):
                raise
            raise self._cannot_run(arrays, error) from error
        return [results[n] for n in names]

    def _results(self, arrays: list[Array]) -> dict[str, Array]:
        # NOTE: `strict=True` would cost time in each call
        return self._plan(arrays).run(dict(zip(self._inputs, arrays)))  # noqa: B905

    def _limited(self, arrays: list[Array], max_memory: int | str | None, max_work: int | None) -> dict[str, Array]:
        with limited(max_memory, max_work):
            return self._results(arrays)

    def run_all(self, feeds: Mapping[str, Array]) -> dict[str, Array]:
        """Every value of the quantized graph by name, from the reference: for layer-by-layer reports."""
        values: dict[str, Array] = {}
        arrays = self._checked(feeds)
        try:
            evaluate(self.graph, dict(zip(self.graph.inputs, arrays, strict=True)), keep=values.__setitem__)
        except QGlowError:
            raise
        except Exception as error:
            raise self._cannot_run(arrays, error) from error
        return values

    def _cannot_run(self, arrays: list[Array], error: Exception) -> ModelError:
        return ModelError(
            f"the model cannot run on {self._shapes(arrays)} ({type(error).__name__}: {in_one_line(error)})"
        )

    def _shapes(self, arrays: list[Array]) -> str:
        return ", ".join(f"{n} {list(a.shape)}" for n, a in zip(self.graph.inputs, arrays, strict=True))

    def _named(self, output_names: Sequence[str]) -> tuple[str, ...]:
        """The names of outputs, checked."""
        if isinstance(output_names, (str, bytes)) or not isinstance(output_names, Iterable):
            raise InputError(f"output_names must be a list of names or None, got {shown(output_names)}")
        names = tuple(output_names)
        for n in names:
            if not isinstance(n, str) or n not in self._outputs:
                raise InputError(
                    f"no output {repr(n) if isinstance(n, str) else shown(n)}; the outputs are {list(self._outputs)}"
                )
        return names or self._outputs

    def _plan(self, arrays: list[Array]) -> Plan:
        key = tuple([a.shape for a in arrays])
        plan = self._cache.get(key)
        if plan is None:
            plan = self._lengths.plan(self._planner, self.graph, key) or self._planner.plan(
                self.graph, dict(zip(self.graph.inputs, key, strict=True)), key=key
            )
            self._cache.put(key, plan)
        return plan

    def _checked(self, feeds: Mapping[str, Array]) -> list[Array]:
        if not isinstance(feeds, Mapping):
            raise InputError(
                f"the inputs must be given as {{name: array}}, got {shown(feeds)}; the inputs are "
                f"{list(self.graph.inputs)}"
            )
        if len(feeds) != len(self._expected):
            unknown = sorted(map(str, set(feeds) - set(self.graph.inputs)))
            if unknown:
                raise InputError(f"no input {unknown[0]!r}; the inputs are {list(self.graph.inputs)}")
        arrays = []
        for name, shape, dtype in self._expected:
            if name not in feeds:
                raise InputError(f"input {name!r} is missing; given are {sorted(map(str, feeds))}")
            array = feeds[name]
            if type(array) is not np.ndarray or array.dtype != dtype:
                array = _as_array(array, name, dtype)
            if shape != array.shape and not _fits(shape, array.shape):
                raise InputError(f"input {name!r}: expected shape {list(shape or ())}, got {list(array.shape)}")
            arrays.append(array)
        return arrays


_SESSIONS: WeakSet[InferenceSession] = WeakSet()


def _unlock() -> None:
    """In a forked process no other thread is left that could let go of a lock."""
    for session in list(_SESSIONS):
        session._lock, session._running = threading.RLock(), False


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_unlock)


def _bundle_of(model: object, mapped: bool) -> Bundle:
    if isinstance(model, Bundle):
        return model
    if isinstance(model, Graph):
        return Bundle(model)
    expected = "a Bundle, a Graph, or the path of a .qglow file (quantize a model with qglow.quantize)"
    return load(path_of(model, "the model of a session", BundleError, expected), mapped=mapped)


def _as_array(value: object, name: str, dtype: np.dtype[Any]) -> Array:
    """What was given for an input, as an array of the input's dtype: in this machine's byte order, strings as objects.

    Raises InputError where it is none.
    """
    try:
        array = np.asarray(value)
    except Exception as error:  # NOTE: ragged lists, and arrays of other libraries, which fail in their own ways
        raise InputError(f"input {name!r}: {shown(value)} is no array ({in_one_line(error)})") from error
    if array.dtype.newbyteorder("=") == dtype or (dtype.kind == "O" and array.dtype.kind == "U"):
        array = array.astype(dtype)
    if array.dtype != dtype or (dtype.kind == "O" and not all(isinstance(s, (str, bytes)) for s in array.flat)):
        raise InputError(f"input {name!r}: expected {'strings' if dtype.kind == 'O' else dtype}, got {array.dtype}")
    return array


def _fits(shape: Shape | None, given: tuple[int, ...]) -> bool:
    """Whether an input of the given shape may stand where `shape` is declared."""
    return shape is None or (
        len(shape) == len(given) and not any(isinstance(d, int) and d != s for d, s in zip(shape, given, strict=True))
    )
