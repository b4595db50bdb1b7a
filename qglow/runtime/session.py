"""InferenceSession: run a bundle with onnxruntime's calling convention."""

from __future__ import annotations

import os
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ..errors import ConfigError, InputError, ModelError, QGlowError, in_one_line
from ..graph import Array, Dim, Graph, Shape, TensorType
from .bundle import Bundle, load
from .plans import Plan, make_plan

_ONNX_NAMES = {"f32": "float", "f64": "double", "f16": "float16", "bool": "bool", "str": "string"}


@dataclass(frozen=True, slots=True)
class ValueInfo:
    """Name, shape (symbolic dimensions as strings) and ONNX type name of an input or output, as onnxruntime's NodeArg."""

    name: str
    shape: list[Dim]
    type: str

    @staticmethod
    def of(name: str, t: TensorType) -> ValueInfo:
        kind = t.kind.value
        element = _ONNX_NAMES.get(kind) or kind.replace("u", "uint").replace("i", "int", 1).replace("uintnt", "uint")
        return ValueInfo(name, list(t.shape or ()), f"tensor({element})")


class InferenceSession:
    """Runs a bundle, a path of one, or a graph. A plan is made for each set of input shapes on first use, and kept.

    threads: worker threads, default the CPUs that this process may use. Calls from several threads take turns.
    """

    def __init__(self, model: Bundle | Graph | str | Path, threads: int | None = None) -> None:
        bundle = Bundle(model) if isinstance(model, Graph) else model if isinstance(model, Bundle) else load(model)
        if threads is not None and threads < 1:
            raise ConfigError(f"threads must be at least 1, got {threads}")
        self.graph = bundle.graph
        self._inputs, self._outputs = self.graph.inputs, self.graph.outputs
        self.threads = threads or len(os.sched_getaffinity(0))
        self._plans: dict[tuple[tuple[int, ...], ...], Plan] = {}
        self._lock = threading.Lock()
        self._expected = [(n, self.graph.types[n].shape, self.graph.types[n].kind.dtype) for n in self.graph.inputs]

    def get_inputs(self) -> list[ValueInfo]:
        return [ValueInfo.of(n, self.graph.types[n]) for n in self.graph.inputs]

    def get_outputs(self) -> list[ValueInfo]:
        return [ValueInfo.of(n, self.graph.types[n]) for n in self.graph.outputs]

    def run(self, output_names: Sequence[str] | None, feeds: Mapping[str, Array]) -> list[Array]:
        """The named outputs (None: all, in order). Raises InputError for a wrong name, dtype or shape."""
        names = self._outputs if output_names is None else tuple(output_names)
        if names is not self._outputs:
            for n in names:
                if n not in self._outputs:
                    raise InputError(f"no output {n!r}; the outputs are {list(self._outputs)}")
        arrays = self._checked(feeds)
        try:
            with self._lock:
                results = self._plan(arrays).run(dict(zip(self._inputs, arrays)))  # noqa: B905  (a keyword costs time in each call)
        except QGlowError:
            raise
        except Exception as error:  # NOTE: a bundle that was tampered with, or inputs that make shapes the model cannot have
            shapes = ", ".join(f"{n} {list(a.shape)}" for n, a in zip(self.graph.inputs, arrays, strict=True))
            raise ModelError(f"the model cannot run on {shapes} ({type(error).__name__}: {in_one_line(error)})") from error
        return [results[n] for n in names]

    def run_all(self, feeds: Mapping[str, Array]) -> dict[str, Array]:
        """Every value of the quantized graph by name, from the reference: for layer-by-layer reports."""
        from ..reference import evaluate

        values: dict[str, Array] = {}
        evaluate(self.graph, dict(zip(self.graph.inputs, self._checked(feeds), strict=True)), keep=values.__setitem__)
        return values

    def _plan(self, arrays: list[Array]) -> Plan:
        key = tuple([a.shape for a in arrays])
        plan = self._plans.get(key)
        if plan is None:
            plan = self._plans[key] = make_plan(self.graph, dict(zip(self.graph.inputs, key, strict=True)), self.threads)
        return plan

    def _checked(self, feeds: Mapping[str, Array]) -> list[Array]:
        if len(feeds) != len(self._expected):
            unknown = sorted(set(feeds) - set(self.graph.inputs))
            if unknown:
                raise InputError(f"no input {unknown[0]!r}; the inputs are {list(self.graph.inputs)}")
        arrays = []
        for name, shape, dtype in self._expected:
            if name not in feeds:
                raise InputError(f"input {name!r} is missing; given are {sorted(feeds)}")
            array = np.asarray(feeds[name])
            if array.dtype != dtype:
                raise InputError(f"input {name!r}: expected {dtype}, got {array.dtype}")
            if shape != array.shape and not _fits(shape, array.shape):
                raise InputError(f"input {name!r}: expected shape {list(shape or ())}, got {list(array.shape)}")
            arrays.append(array)
        return arrays


def _fits(shape: Shape | None, given: tuple[int, ...]) -> bool:
    """Whether an input of the given shape may stand where `shape` is declared."""
    return shape is None or (len(shape) == len(given) and not any(isinstance(d, int) and d != s for d, s in zip(shape, given, strict=True)))
