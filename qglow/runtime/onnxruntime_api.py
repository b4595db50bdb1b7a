"""What a program written for onnxruntime uses beside a session: options, providers, OrtValue, IOBinding.

A session takes these and onnxruntime's own objects alike: only the attributes that are named here are read. All of it
is CPU memory; another device is an error.
"""

from __future__ import annotations

import ctypes
import threading
import warnings
from collections.abc import Callable, Mapping, Sequence
from enum import IntEnum
from math import prod
from typing import TYPE_CHECKING, Any

import numpy as np

from ..arguments import count_of, shown
from ..errors import ConfigError, InputError, QGlowError
from ..graph import Array
from .value_info import element_name

if TYPE_CHECKING:
    from .session import InferenceSession

CPU = "CPUExecutionProvider"


class ExecutionMode(IntEnum):
    """Of SessionOptions; without effect, as one thread pool runs all of a program."""

    ORT_SEQUENTIAL = 0
    ORT_PARALLEL = 1


class GraphOptimizationLevel(IntEnum):
    """Of SessionOptions; without effect, as a bundle is optimized when it is made."""

    ORT_DISABLE_ALL = 0
    ORT_ENABLE_BASIC = 1
    ORT_ENABLE_EXTENDED = 2
    ORT_ENABLE_LAYOUT = 3
    ORT_ENABLE_ALL = 99


class SessionOptions:
    """onnxruntime's options of a session. intra_op_num_threads is obeyed (0: the CPUs that this process may use); the
    others are kept and have no effect."""

    def __init__(self) -> None:
        self.intra_op_num_threads = 0
        self.inter_op_num_threads = 0
        self.execution_mode = ExecutionMode.ORT_SEQUENTIAL
        self.graph_optimization_level = GraphOptimizationLevel.ORT_ENABLE_ALL
        self.enable_cpu_mem_arena = self.enable_mem_pattern = self.enable_mem_reuse = True
        self.enable_profiling = self.use_deterministic_compute = False
        self.log_severity_level, self.log_verbosity_level, self.logid = -1, 0, ""
        self.optimized_model_filepath, self.profile_file_prefix = "", "onnxruntime_profile_"
        self._entries: dict[str, str] = {}

    def add_session_config_entry(self, key: str, value: str) -> None:
        self._entries[key] = value

    def add_free_dimension_override_by_name(self, dim_name: str, dim_value: int) -> None:
        """Nothing: a session takes any size of a free dimension."""

    def register_custom_ops_library(self, path: str) -> None:
        """Raises ConfigError: a bundle holds no operator but qglow's own."""
        raise ConfigError(f"a bundle runs no operators of other libraries, such as {shown(path)}")

    def get_session_config_entry(self, key: str) -> str:
        if key not in self._entries:
            raise ConfigError(f"the session options have no entry {shown(key)}")
        return self._entries[key]


class RunOptions:
    """onnxruntime's options of a run. A run with `terminate` set is refused; the others have no effect."""

    def __init__(self) -> None:
        self.terminate = self.only_execute_path_to_fetches = False
        self.log_severity_level, self.log_verbosity_level, self.logid = -1, 0, ""
        self._entries: dict[str, str] = {}

    def add_run_config_entry(self, key: str, value: str) -> None:
        self._entries[key] = value


class ModelMetadata:
    """What onnxruntime tells of a model, as far as a bundle knows it."""

    def __init__(self, graph_name: str) -> None:
        self.graph_name, self.producer_name = graph_name, "qglow"
        self.description = self.domain = self.graph_description = ""
        self.version = 2**63 - 1  # onnxruntime's, of a model that names none
        self.custom_metadata_map: dict[str, str] = {}


def get_available_providers() -> list[str]:
    return [CPU]


def get_device() -> str:
    return "CPU"


def checked_options(options: object) -> tuple[object | None, int | None]:
    """The session options that were given, and the threads that they ask for (None: no number). A number stands for
    the threads alone."""
    if options is None:
        return None, None
    if hasattr(options, "intra_op_num_threads"):
        return options, count_of(options.intra_op_num_threads, "intra_op_num_threads", ConfigError, 0) or None
    if isinstance(options, (int, np.integer)):
        return None, count_of(options, "threads", ConfigError)
    raise ConfigError(f"sess_options must be SessionOptions, or the number of threads; got {shown(options)}")


def check_providers(providers: object, provider_options: object) -> None:
    """Warns, as onnxruntime does, of a provider that is not there: the CPU runs everything. Raises ConfigError for what
    is no list of providers."""
    if providers is None:
        return
    if not isinstance(providers, Sequence) or isinstance(providers, (str, bytes)):
        raise ConfigError(f"providers must be a list of names; got {shown(providers)}; known is {CPU}")
    if provider_options is not None and (
        not isinstance(provider_options, Sequence) or len(provider_options) != len(providers)
    ):
        raise ConfigError(f"provider_options must be a list as long as providers; got {shown(provider_options)}")
    for p in providers:
        name = p[0] if isinstance(p, tuple) and len(p) == 2 and isinstance(p[1], Mapping) else p
        if not isinstance(name, str):
            raise ConfigError(f"a provider must be a name, or a name and its options; got {shown(p)}")
        if name != CPU:
            warnings.warn(f"provider {name!r} is not available; the session runs on {CPU}", UserWarning, stacklevel=4)


def check_run_options(options: object) -> None:
    """Raises InputError for what are no run options, QGlowError where they say that the run is to end."""
    if not hasattr(options, "terminate"):
        raise InputError(f"run_options must be RunOptions or None, got {shown(options)}")
    if options.terminate is True:
        raise QGlowError("the run was terminated: `terminate` of its run_options is set")


class OrtValue:
    """An array in CPU memory under onnxruntime's name for it; the memory is the array's own."""

    def __init__(self, array: Array) -> None:
        self._array = array

    @classmethod
    def ortvalue_from_numpy(cls, numpy_obj: Array, device_type: str = "cpu", device_id: int = 0) -> OrtValue:
        _check_device(device_type)
        if not isinstance(numpy_obj, np.ndarray):
            raise InputError(f"an OrtValue is made of a numpy array, got {shown(numpy_obj)}")
        return cls(numpy_obj)

    @classmethod
    def ortvalue_from_shape_and_type(
        cls, shape: Sequence[int], element_type: Any, device_type: str = "cpu", device_id: int = 0
    ) -> OrtValue:
        _check_device(device_type)
        return cls(np.empty(_shape(shape), _dtype(element_type)))

    def numpy(self) -> Array:
        return self._array

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> Array:
        return np.asarray(self._array, dtype)

    def shape(self) -> list[int]:
        return list(self._array.shape)

    def data_type(self) -> str:
        return f"tensor({element_name(self._array.dtype)})"

    def data_ptr(self) -> int:
        return int(self._array.ctypes.data)

    def device_name(self) -> str:
        return "cpu"

    def is_tensor(self) -> bool:
        return True

    def has_value(self) -> bool:
        return True

    def update_inplace(self, np_arr: Array) -> None:
        """Copy an array of the same shape and dtype into the memory."""
        copy_into({"the OrtValue": np.asarray(np_arr)}, {"the OrtValue": self._array})


class IOBinding:
    """Inputs and outputs of runs, bound by name. An output that is bound to memory is written there; one bound to the
    device alone gets memory of its own in each run."""

    def __init__(self, session: InferenceSession) -> None:
        self._session = session
        self._inputs: dict[str, Array] = {}
        self._outputs: dict[str, Array | None] = {}
        self._results: dict[str, Array] = {}

    def bind_cpu_input(self, name: str, arr_on_cpu: Array) -> None:
        self._inputs[self._named(name, self._session.graph.inputs)] = arr_on_cpu

    def bind_ortvalue_input(self, name: str, ortvalue: Any) -> None:
        self.bind_cpu_input(name, _array_of(ortvalue))

    def bind_input(
        self, name: str, device_type: str, device_id: int, element_type: Any, shape: Sequence[int], buffer_ptr: int
    ) -> None:
        """Memory at an address, which must stay as long as it is bound."""
        _check_device(device_type)
        self.bind_cpu_input(name, _at(buffer_ptr, shape, element_type))

    def bind_output(
        self, name: str, device_type: str = "cpu", device_id: int = 0, element_type: Any = None,
        shape: Sequence[int] | None = None, buffer_ptr: int | None = None,
    ) -> None:  # fmt: skip
        _check_device(device_type)
        if buffer_ptr is not None and (element_type is None or shape is None):
            raise InputError(f"output {shown(name)}: a buffer needs its element_type and shape")
        array = None if buffer_ptr is None else _at(buffer_ptr, shape or (), element_type)
        self._outputs[self._named(name, self._session.graph.outputs)] = array

    def bind_ortvalue_output(self, name: str, ortvalue: Any) -> None:
        self._outputs[self._named(name, self._session.graph.outputs)] = _array_of(ortvalue)

    def get_outputs(self) -> list[OrtValue]:
        """Of the last run, in the order in which they were bound."""
        return [OrtValue(a) for a in self._results.values()]

    def copy_outputs_to_cpu(self) -> list[Array]:
        return [np.array(a) for a in self._results.values()]

    def clear_binding_inputs(self) -> None:
        self._inputs.clear()

    def clear_binding_outputs(self) -> None:
        self._outputs.clear()

    def synchronize_inputs(self) -> None:
        """Nothing: inputs are in CPU memory."""

    def synchronize_outputs(self) -> None:
        """Nothing: a run ends when its outputs are written."""

    def run(self, session: InferenceSession) -> None:
        if session is not self._session:
            raise InputError("the binding was made by another session")
        bound = {n: a for n, a in self._outputs.items() if a is not None}
        if len(bound) == len(self._outputs):
            session.run_into(self._inputs, bound)
            self._results = bound
            return
        made = dict(zip(self._outputs, session.run(list(self._outputs), self._inputs), strict=True))
        copy_into({n: made[n] for n in bound}, bound)
        self._results = {n: bound.get(n, a) for n, a in made.items()}

    @staticmethod
    def _named(name: object, known: Sequence[str]) -> str:
        if not isinstance(name, str) or name not in known:
            raise InputError(f"nothing is named {shown(name)}; known are {list(known)}")
        return name


def copy_into(values: Mapping[str, Array], arrays: Mapping[str, Array]) -> None:
    """Copy results into arrays of the same names, all or none. Raises InputError where an array cannot hold them."""
    for name, array in arrays.items():
        value = values[name]
        if not isinstance(array, np.ndarray) or not isinstance(value, np.ndarray) or not array.flags.writeable:
            raise InputError(f"{name}: the memory to write to must be a numpy array that is writable")
        if (array.shape, array.dtype) != (value.shape, value.dtype):
            raise InputError(f"{name}: expected memory of {value.dtype}{list(value.shape)}, got "
                             f"{array.dtype}{list(array.shape)}")  # fmt: skip
    for name, array in arrays.items():
        array[...] = values[name]


def start(call: Callable[[], list[Array]], callback: Callable[[list[Array], Any, str], object], user_data: Any) -> None:
    """Call in a thread of its own, then callback(results, user_data, error): no results where there is an error."""
    if not callable(callback):
        raise InputError(f"callback must be a function of results, user_data and an error text; got {shown(callback)}")

    def work() -> None:
        results, error = list[Array](), ""
        try:
            results = call()
        except QGlowError as fault:
            error = str(fault)
        callback(results, user_data, error)

    threading.Thread(target=work, name="qglow run_async").start()


def _array_of(value: Any) -> Array:
    if isinstance(value, OrtValue):
        return value.numpy()
    pointer, shape, dtype = (getattr(value, n, None) for n in ("data_ptr", "shape", "element_type"))
    if not callable(pointer) or not callable(shape) or not callable(dtype):
        raise InputError(f"expected an OrtValue, got {shown(value)}")
    return _at(pointer(), shape(), dtype(), value)


def _check_device(device: object) -> None:
    if not isinstance(device, str) or device.lower() != "cpu":
        raise ConfigError(f"no device {shown(device)}; known is cpu")


def _shape(shape: Any) -> tuple[int, ...]:
    if isinstance(shape, (str, bytes)) or not isinstance(shape, Sequence):
        raise InputError(f"a shape must be a list of whole numbers, got {shown(shape)}")
    return tuple(count_of(d, "a dimension", InputError, 0) for d in shape)


def _dtype(element_type: Any) -> np.dtype[Any]:
    if isinstance(element_type, int):
        element_type = _ONNX_TYPES.get(element_type, "V")
    try:
        dtype = np.dtype(element_type)
    except Exception as error:  # NOTE: numpy reads lists and dicts as types of several fields, and fails in many ways
        raise InputError(f"no element type {shown(element_type)}") from error
    if dtype.kind not in "fiub":
        raise InputError(f"no element type {shown(element_type)} of numbers")
    return dtype


# element types of ONNX by number
_ONNX_TYPES = {1: "f4", 2: "u1", 3: "i1", 4: "u2", 5: "i2", 6: "i4", 7: "i8", 9: "?", 10: "f2", 11: "f8", 12: "u4",
               13: "u8"}  # fmt: skip


def _at(address: Any, shape: Sequence[int], element_type: Any, owner: object = None) -> Array:
    """The array at an address, without a copy. owner: kept as long as the array is."""
    dims, dtype = _shape(shape), _dtype(element_type)
    address = count_of(address, "buffer_ptr", InputError, 1, 2**63 - 1)
    memory: Any = (ctypes.c_char * (prod(dims) * dtype.itemsize)).from_address(address)
    memory.owner = owner
    return np.frombuffer(memory, dtype, count=prod(dims)).reshape(dims) if prod(dims) else np.empty(dims, dtype)
