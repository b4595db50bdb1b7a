"""ONNX's standard backend interface (onnx.backend.base) over a session: float models, as they are, on the compiled
kernels.

    import qglow.onnx_backend as backend
    outputs = backend.prepare(model).run([x])

It is what ONNX's own test suite runs (tests/onnx_import/test_backend.py).
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any

import numpy as np
import onnx
from onnx.backend.base import Backend, BackendRep, Device, DeviceType, namedtupledict

from .errors import InputError, ModelError
from .graph import Array
from .pipeline import float_graph
from .runtime import InferenceSession
from .words import counted

BFLOAT16 = onnx.helper.tensor_dtype_to_np_dtype(onnx.TensorProto.BFLOAT16)


class QGlowBackendRep(BackendRep):
    """A model that is ready to run. brain: its outputs of dtype bfloat16, which a session gives as float32."""

    def __init__(self, session: InferenceSession, brain: Collection[str] = ()) -> None:
        self.session, self.brain = session, frozenset(brain)

    def run(self, inputs: Any, **kwargs: Any) -> tuple[Array, ...]:
        """The model's outputs in order, also by name. inputs: arrays in the order of the model's inputs, or by name, or
        one array.

        Raises InputError where an input is missing or is not what the model declares, ModelError where the model cannot
        run on it.
        """
        names = [i.name for i in self.session.get_inputs()]
        feeds = {n: _widened(a) for n, a in _feeds(names, inputs).items()}
        outputs = [o.name for o in self.session.get_outputs()]
        made = zip(outputs, self.session.run(None, feeds), strict=True)
        arrays = [a.astype(BFLOAT16) if o in self.brain else a for o, a in made]
        return tuple(arrays) if _clash(outputs) else _named(outputs, arrays)


class QGlowBackend(Backend):
    """Prepares ONNX models for this CPU."""

    @classmethod
    def prepare(cls, model: onnx.ModelProto, device: str = "CPU", **kwargs: Any) -> QGlowBackendRep:
        """The model compiled for the CPU; keyword arguments are those of InferenceSession.

        Raises ModelError where the device is not the CPU, or the model is not valid or has what is not supported.
        """
        if not cls.supports_device(device):
            raise ModelError(f"device {device!r} is not supported, 'CPU' is")
        brain = [o.name for o in model.graph.output if o.type.tensor_type.elem_type == onnx.TensorProto.BFLOAT16]
        return QGlowBackendRep(InferenceSession(float_graph(model), **kwargs), brain)

    @classmethod
    def run_model(cls, model: onnx.ModelProto, inputs: Any, device: str = "CPU", **kwargs: Any) -> tuple[Array, ...]:
        """The outputs of a model on some inputs; see QGlowBackendRep.run."""
        return cls.prepare(model, device, **kwargs).run(inputs)

    @classmethod
    def run_node(
        cls, node: onnx.NodeProto, inputs: Any, device: str = "CPU", outputs_info: Any = None, **kwargs: Any
    ) -> tuple[Array, ...]:
        """The outputs of one node on some inputs. opset_version: of the node's operator, by default the newest."""
        opset = kwargs.pop("opset_version", onnx.defs.onnx_opset_version())
        feeds = _feeds(list(dict.fromkeys(i for i in node.input if i)), inputs)
        return cls.run_model(_model_of(node, feeds, opset), feeds, device, **kwargs)

    @classmethod
    def supports_device(cls, device: str) -> bool:
        """Whether models run there: on the CPU alone."""
        return Device(device).type == DeviceType.CPU


def _model_of(node: onnx.NodeProto, feeds: Mapping[str, Array], opset: int) -> onnx.ModelProto:
    inputs = [
        onnx.helper.make_tensor_value_info(name, onnx.helper.np_dtype_to_tensor_dtype(array.dtype), array.shape)
        for name, array in feeds.items()
    ]
    graph = onnx.helper.make_graph([node], node.op_type, inputs, [])
    model = onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid(node.domain, opset)])
    found = {info.name: info for info in onnx.shape_inference.infer_shapes(model).graph.value_info}
    for name in filter(None, node.output):
        if name not in found:
            raise ModelError(f"node {node.name or node.op_type!r}: the type of its output {name!r} cannot be inferred")
        model.graph.output.append(found[name])
    return model


def _feeds(names: Sequence[str], inputs: Any) -> dict[str, Array]:
    if isinstance(inputs, Mapping):
        return dict(inputs)
    arrays = list(inputs) if isinstance(inputs, (list, tuple)) else [inputs]
    if len(arrays) != len(names):
        raise InputError(f"expected {counted(len(names), 'input')}, {list(names)}, got {len(arrays)}")
    return dict(zip(names, arrays, strict=True))


def _widened(array: Any) -> Any:
    """An array of bfloat16 as one of float32, which a session takes."""
    return array.astype(np.float32) if getattr(array, "dtype", None) == BFLOAT16 else array


def _named(names: Sequence[str], arrays: Sequence[Array]) -> tuple[Array, ...]:
    return namedtupledict("Outputs", list(names))(*arrays)


def _clash(names: Sequence[str]) -> bool:
    """Whether a name stands twice, which a named tuple cannot have."""
    return len(set(names)) != len(names)


prepare = QGlowBackend.prepare
run_model = QGlowBackend.run_model
run_node = QGlowBackend.run_node
supports_device = QGlowBackend.supports_device
