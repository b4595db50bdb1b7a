"""InferenceSession: run a bundle with onnxruntime's calling convention."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar
from weakref import WeakSet

import numpy as np

from ..arguments import count_of, path_of, shown
from ..errors import BundleError, ConfigError, InputError, LimitError, ModelError, QGlowError, in_one_line
from ..fallback import bodies_run_by
from ..graph import Array, Graph, Shape
from ..limits import limited
from ..reference import evaluate
from .backends import backend_of, is_reference_only
from .bundle import Bundle, load
from .constants import ConstantPool
from .handlers import of_a_signal_handler
from .lengths import Lengths
from .loop_bodies import LoopBodies, may_loop
from .plans import Plan, Planner
from .value_info import ValueInfo

if TYPE_CHECKING:
    from .bound import BoundCall
    from .onnxruntime_api import IOBinding, ModelMetadata, OrtValue
    from .stateful import StatefulCalls

MOST_THREADS = 1024
T = TypeVar("T")


class InferenceSession:
    """Runs a bundle, a path or the bytes of one, or a graph. A plan is made for each set of input shapes on first use;
    the last 64 are kept, and share the weights and the memory that they run in.

    sess_options: onnxruntime's SessionOptions or qglow's, of which intra_op_num_threads is obeyed, or a number of
    threads. providers, provider_options: onnxruntime's; the CPU runs everything, and another provider is warned of.
    threads: worker threads, default the CPUs that this process may use. Calls from several threads take turns. A call
    within a call, from a signal handler, is refused: the outer one is in the middle of the same memory. A forked
    process has the session too; pickled, it is made again from its bundle. backend: what runs the programs, by name:
    native (compiled kernels) or interpreter (see backends.py); the bits are the same. max_memory, max_work: limits of
    its runs (see limits.py); None leaves those that hold where it runs. mapped: see `load`.
    """

    def __init__(
        self, path_or_bytes: Bundle | Graph | str | Path | bytes | None = None, sess_options: Any = None,
        providers: Sequence[Any] | None = None, provider_options: Sequence[Any] | None = None, *,
        model: Bundle | Graph | str | Path | None = None, threads: int | None = None,
        max_memory: int | str | None = None, max_work: int | None = None, mapped: bool = False,
        backend: str = "native",
    ) -> None:  # fmt: skip
        made = backend_of(backend)
        self._options, threads = _options_of(sess_options, providers, provider_options, threads)
        with limited(max_memory, max_work):
            bundle = _bundle_of(path_or_bytes if model is None else model, mapped)
        self._limits = None if max_memory is None and max_work is None else (max_memory, max_work)
        threads = None if threads is None else count_of(threads, "threads", ConfigError, 1, MOST_THREADS)
        self._bundle, self._given_threads = bundle, threads
        self.graph, self.backend = bundle.graph, made.name
        self._inputs, self._outputs = self.graph.inputs, self.graph.outputs
        self.threads = threads or len(os.sched_getaffinity(0))
        self._planner = Planner(self.threads, made, pool=ConstantPool(self.graph.constants.values()))
        self._cache, self._lengths = self._planner.cache, Lengths()
        self._bodies = LoopBodies(self.threads, made, self.graph.constants.values()) if may_loop(self.graph) else None
        self._lock, self._running = threading.RLock(), False
        _SESSIONS.add(self)
        self._expected = [(n, self.graph.types[n].shape, self.graph.types[n].dtype.numpy) for n in self.graph.inputs]

    def __repr__(self) -> str:
        return f"InferenceSession({self.graph.name!r}, threads={self.threads}, backend={self.backend!r})"

    def _repr_html_(self) -> str:
        from ..notebook import card  # NOTE: a notebook alone asks for it

        rows = [(f"input {v.name}", f"{v.type} {v.shape}") for v in self.get_inputs()]
        rows += [(f"output {v.name}", f"{v.type} {v.shape}") for v in self.get_outputs()]
        rows += [("threads", str(self.threads)), ("backend", self.backend)]
        return card(f"InferenceSession {self.graph.name}", rows)

    def get_inputs(self) -> list[ValueInfo]:
        return [ValueInfo.of(n, self.graph.types[n]) for n in self.graph.inputs]

    def get_outputs(self) -> list[ValueInfo]:
        return [ValueInfo.of(n, self.graph.types[n]) for n in self.graph.outputs]

    def run(
        self, output_names: Sequence[str] | None, input_feed: Mapping[str, Any], run_options: Any = None
    ) -> list[Array]:
        """The named outputs (None or none: all, in order). Lists and numbers stand for arrays of the input's dtype
        where it holds their values. run_options: onnxruntime's; only `terminate` has an effect.

        Raises InputError for a wrong name, dtype or shape.
        """
        names = self._outputs if output_names is None else self._named(output_names)
        if run_options is not None:
            _onnxruntime_api().check_run_options(run_options)
        results = self._run(self._checked(input_feed), self._results)
        return [results[n] for n in names]

    def bind(
        self, inputs: Mapping[str, Array] | Sequence[Array],
        outputs: Mapping[str, Array] | Sequence[Array] | None = None,
    ) -> BoundCall:  # fmt: skip
        """A call on these arrays, for inputs that come again and again in the same memory: `bind(x, y)()` computes y
        from what x holds then. What is checked in each `run` is checked here, once (runtime/bound.py).

        inputs, outputs: contiguous arrays by name, or lists of them in order; outputs may name some, and None makes
        them. Raises InputError for arrays that the model does not take or make.
        """
        from .bound import BoundCall  # NOTE: most sessions bind nothing

        return BoundCall(self, inputs, outputs)

    def stateful(self, states: Mapping[str, str], start: Mapping[str, Any]) -> StatefulCalls:
        """Calls that keep states: `states` says by input which output is its next value, `start` what the first value
        is. `session.stateful({"past": "present"}, {"past": zeros}).run(["logits"], {"ids": ids})` is `run` with what
        the call before left; a cache that grows by a token a call is not copied (runtime/stateful.py)."""
        from .stateful import StatefulCalls  # NOTE: most sessions keep nothing

        return StatefulCalls(self, states, start)

    def run_into(self, input_feed: Mapping[str, Any], outputs: Mapping[str, Array]) -> None:
        """Run, and write the named outputs into the given arrays, which must have their dtypes and shapes: a compiled
        program copies each output once and allocates nothing. Raises InputError, and writes nothing, where an array
        cannot hold its output."""
        if not isinstance(outputs, Mapping):
            raise InputError(f"the outputs must be given as {{name: array}}, got {shown(outputs)}")
        self._named(list(outputs))
        self._run(self._checked(input_feed), lambda arrays: self._write(arrays, outputs))

    def run_async(
        self, output_names: Sequence[str] | None, input_feed: Mapping[str, Any],
        callback: Callable[[list[Array], Any, str], object], user_data: Any = None, run_options: Any = None,
    ) -> None:  # fmt: skip
        """`run` in another thread, which then calls callback(results, user_data, error text or "")."""
        _onnxruntime_api().start(lambda: self.run(output_names, input_feed, run_options), callback, user_data)

    def run_with_ort_values(
        self, output_names: Sequence[str] | None, input_dict_ort_values: Mapping[str, Any], run_options: Any = None
    ) -> list[OrtValue]:
        """`run` on OrtValues, qglow's or onnxruntime's."""
        made = self.run(output_names, input_dict_ort_values, run_options)
        return [_onnxruntime_api().OrtValue(a) for a in made]

    def run_with_iobinding(self, iobinding: IOBinding, run_options: Any = None) -> None:
        """`run` on the arrays that are bound; see IOBinding and `run_into`."""
        if run_options is not None:
            _onnxruntime_api().check_run_options(run_options)
        if not isinstance(iobinding, _onnxruntime_api().IOBinding):
            raise InputError(f"expected what io_binding() of this session made, got {shown(iobinding)}")
        iobinding.run(self)

    def io_binding(self) -> IOBinding:
        made: IOBinding = _onnxruntime_api().IOBinding(self)
        return made

    def get_providers(self) -> list[str]:
        found: list[str] = _onnxruntime_api().get_available_providers()
        return found

    def get_provider_options(self) -> dict[str, dict[str, str]]:
        return {name: {} for name in self.get_providers()}

    def set_providers(self, providers: Sequence[Any] | None = None, provider_options: Any = None) -> None:
        """Checks the names, as __init__ does: the CPU runs everything."""
        _onnxruntime_api().check_providers(providers, provider_options)

    def enable_fallback(self) -> None:
        """Nothing: there is one provider."""

    disable_fallback = enable_fallback

    def get_session_options(self) -> Any:
        """The options that the session was made with; else new ones with its number of threads."""
        if self._options is None:
            self._options = _onnxruntime_api().SessionOptions()
            self._options.intra_op_num_threads = self._given_threads or 0
        return self._options

    def get_modelmeta(self) -> ModelMetadata:
        made: ModelMetadata = _onnxruntime_api().ModelMetadata(self.graph.name)
        return made

    def get_overridable_initializers(self) -> list[ValueInfo]:
        """None: a bundle's constants are packed for its kernels."""
        return []

    def _run(self, arrays: list[Array], compute: Callable[[list[Array]], T]) -> T:
        """What `compute` makes of the inputs, while no other call of this session runs."""
        try:
            with self._lock:
                if self._running:
                    raise QGlowError(
                        "this session is in the middle of a run of this thread; a signal handler needs a session of "
                        "its own"
                    )
                self._running = True  # NOTE: Python handles no signal between this line and the next
                try:
                    if self._limits is None and self._bodies is None:
                        return compute(arrays)
                    start = None if self._bodies is None or is_reference_only() else self._bodies.start
                    with limited(*(self._limits or (None, None))), bodies_run_by(start):
                        return compute(arrays)
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

    def _results(self, arrays: list[Array]) -> dict[str, Array]:
        """The outputs by name."""
        # NOTE: `strict=True` would cost time in each call
        return self._plan(arrays).run(dict(zip(self._inputs, arrays)))  # noqa: B905

    def _write(self, arrays: list[Array], into: Mapping[str, Array]) -> None:
        """Write the named outputs there."""
        feeds = dict(zip(self._inputs, arrays, strict=True))
        _onnxruntime_api().copy_into(self._plan(arrays).views(feeds), into)

    def _planned(self, arrays: list[Array]) -> Plan:
        """The plan for inputs of these shapes."""
        return self._run(arrays, self._plan)

    def __reduce__(self) -> tuple[Any, ...]:
        return _session_of, (self._bundle, self._given_threads, self._limits or (None, None), self.backend)

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
            plan = self._lengths.plan(self._planner, self.graph, key)
        if plan is None:
            plan = self._cache.put(
                key, self._planner.plan(self.graph, dict(zip(self.graph.inputs, key, strict=True)), key=key)
            )
        return plan

    def _checked(self, feeds: Mapping[str, Array], names: Iterable[str] | None = None) -> list[Array]:
        """The inputs' arrays in their order; those of some alone where they are named."""
        if not isinstance(feeds, Mapping):
            raise InputError(
                f"the inputs must be given as {{name: array}}, got {shown(feeds)}; the inputs are "
                f"{list(self.graph.inputs)}"
            )
        expected = self._expected if names is None else [e for e in self._expected if e[0] in names]
        if len(feeds) != len(expected):
            unknown = sorted(map(str, set(feeds) - set(self.graph.inputs)))
            if unknown:
                raise InputError(f"no input {unknown[0]!r}; the inputs are {list(self.graph.inputs)}")
        arrays = []
        for name, shape, dtype in expected:
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


def _session_of(
    bundle: Bundle, threads: int | None, limits: tuple[int | str | None, int | None], backend: str
) -> InferenceSession:
    """What a pickled session is made of again."""
    return InferenceSession(bundle, threads=threads, max_memory=limits[0], max_work=limits[1], backend=backend)


def _onnxruntime_api() -> Any:
    try:
        from . import onnxruntime_api  # NOTE: a session that is only run needs none of it
    except MemoryError as error:
        raise LimitError("there is not enough memory to make a session") from error
    return onnxruntime_api


def _options_of(
    options: object, providers: object, provider_options: object, threads: int | None
) -> tuple[Any, int | None]:
    """The session options that were given, and the number of threads that was asked for."""
    given, asked = None, options if type(options) is int else None
    if providers is not None or provider_options is not None or (options is not None and asked is None):
        api = _onnxruntime_api()
        api.check_providers(providers, provider_options)
        given, asked = api.checked_options(options)
    if threads is not None and asked not in (None, threads):
        raise ConfigError(f"threads is {shown(threads)}, and the session options ask for {asked}; give one of them")
    return given, threads if asked is None else asked


def _bundle_of(model: object, mapped: bool) -> Bundle:
    if isinstance(model, Bundle):
        return model
    if isinstance(model, Graph):
        return Bundle(model)
    if isinstance(model, (bytes, bytearray, memoryview)):
        return load(bytes(model))
    expected = "a Bundle, a Graph, or the path or bytes of a .qglow file (quantize a model with qglow.quantize)"
    path = path_of(model, "the model of a session", BundleError, expected)
    return load(path, mapped=mapped)


def _as_array(value: Any, name: str, dtype: np.dtype[Any]) -> Array:
    """What was given for an input, as an array of the input's dtype: in this machine's byte order, strings as objects.
    A list or a number becomes an array of that dtype where no value of it changes but by rounding to a float.

    Raises InputError where it is none.
    """
    try:
        inside = getattr(value, "numpy", None)  # an OrtValue, a tensor of another library
        array = np.asarray(inside() if callable(inside) and not isinstance(value, (np.ndarray, type)) else value)
    except Exception as error:  # NOTE: ragged lists, and arrays of other libraries, which fail in their own ways
        raise InputError(f"input {name!r}: {shown(value)} is no array ({in_one_line(error)})") from error
    if array.dtype.newbyteorder("=") == dtype or (dtype.kind == "O" and array.dtype.kind == "U"):
        array = array.astype(dtype)
    elif isinstance(value, (list, tuple, bool, int, float)):
        array = _converted(array, dtype)
    if array.dtype != dtype or (dtype.kind == "O" and not all(isinstance(s, (str, bytes)) for s in array.flat)):
        raise InputError(f"input {name!r}: expected {'strings' if dtype.kind == 'O' else dtype}, got {array.dtype}")
    return array


def _converted(array: Array, dtype: np.dtype[Any]) -> Array:
    """The array in another dtype of numbers, or as it is where that would change a value."""
    if array.dtype.kind not in "fiub" or dtype.kind not in "fiub":
        return array
    with np.errstate(all="ignore"):
        made = array.astype(dtype)
        kept = dtype.kind == "f" and bool((np.isinf(made) == np.isinf(array)).all())
        return made if kept or np.array_equal(made.astype(array.dtype), array) else array


def _fits(shape: Shape | None, given: tuple[int, ...]) -> bool:
    """Whether an input of the given shape may stand where `shape` is declared."""
    return shape is None or (
        len(shape) == len(given) and not any(isinstance(d, int) and d != s for d, s in zip(shape, given, strict=True))
    )
