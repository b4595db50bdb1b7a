"""onnxruntime on the original model: no importing, simplifying, lowering or kernel of qglow takes part."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

import numpy as np
import onnxruntime as ort

from ..errors import in_one_line
from ..graph import Array, Graph
from ..onnx_import.observed import has_denormals, named_values, part_for, runnable, with_outputs, without_denormals
from ..words import counted
from .oracle import ReferenceOracle


class OnnxruntimeOracle:
    """One session for the outputs, and one for each set of inner values that is asked for; the last set's is kept.

    Raises what onnxruntime raises where it does not take the model. A sample on which it fails is answered by the numpy
    reference from then on, and `name` says so.
    """

    def __init__(self, model: Any, graph: Graph) -> None:
        self.graph, self.name = graph, f"onnxruntime {ort.__version__}"
        slow = any(a.dtype == np.float32 and has_denormals(a) for a in graph.constants.values())
        self._model = without_denormals(model) if slow else model
        self._session = _session(runnable(self._model))
        self._given = [o.name for o in self._session.get_outputs()]
        if len(self._given) != len(graph.outputs):
            raise ValueError(f"{counted(len(self._given), 'output')} for {len(graph.outputs)} of the graph")
        self._inputs = {i.name for i in self._session.get_inputs()}
        self._inner: tuple[frozenset[str], Any] = (frozenset(), None)
        self._known: frozenset[str] | None = None
        self._reference: ReferenceOracle | None = None

    def outputs(self, feeds: Mapping[str, Array]) -> dict[str, Any]:
        if self._reference is None:
            try:
                return dict(zip(self.graph.outputs, self._run(self._session, self._given, feeds), strict=True))
            except Exception as error:
                self._give_up(error)
        assert self._reference is not None
        return self._reference.outputs(feeds)

    def values(self, feeds: Mapping[str, Array], names: Collection[str]) -> dict[str, Array]:
        """Of the named values those that stand in the original model by the same name: all but what simplifying made
        anew."""
        if self._reference is None:
            try:
                return self._values(feeds, frozenset(names))
            except Exception as error:
                self._give_up(error)
        assert self._reference is not None
        return self._reference.values(feeds, names)

    def value_from(self, known: Mapping[str, Array], name: str) -> Array | None:
        if self._reference is not None:
            return self._reference.value_from(known, name)
        try:
            if self._known is None:
                self._known = frozenset(named_values(self._model))
            if name not in self._known:
                return None
            part, inputs = part_for(self._model, known, name)
            return np.asarray(_session(part).run([name], {n: known[n] for n in inputs})[0])
        except Exception:  # NOTE: onnxruntime raises types of its own
            return None

    def _values(self, feeds: Mapping[str, Array], names: frozenset[str]) -> dict[str, Array]:
        if self._known is None:
            self._known = frozenset(named_values(self._model))
        asked = names & self._known
        found = {n: np.asarray(feeds[n]) for n in names if n in feeds}
        if asked:
            if self._inner[0] != asked:
                self._inner = (asked, _session(with_outputs(self._model, sorted(asked))))
            ordered = sorted(asked)
            made = zip(ordered, self._run(self._inner[1], ordered, feeds), strict=True)
            found |= {n: a for n, a in made if isinstance(a, np.ndarray)}
        return found

    def _run(self, session: Any, names: list[str], feeds: Mapping[str, Array]) -> list[Any]:
        given = {n: a for n, a in feeds.items() if n in self._inputs}
        return session.run(names, given)  # type: ignore[no-any-return]

    def _give_up(self, error: Exception) -> None:
        self._reference = ReferenceOracle(self.graph, f"onnxruntime fails on a sample: {in_one_line(error, 120)}")
        self.name = self._reference.name


def _session(model: str | bytes) -> Any:
    options = ort.SessionOptions()
    options.log_severity_level = 4
    # NOTE: fusions have laws, and defects, of their own
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    return ort.InferenceSession(model, options, providers=["CPUExecutionProvider"])
