"""Calls that keep states from one to the next: the cache of a decoder, the state of a recurrent layer.

1. A call computes what `InferenceSession.run` computes of the inputs that are given and of the states, and then the
   states are the outputs that stand for them. A call that fails leaves them as they were.
2. States are arrays where each call has a plan of its own. Where they grow by one from call to call, one program serves
   many lengths (lengths.py), in memory that is this object's alone; there a state that a concatenation adds to has
   room for the longest, lies where it lies at every length, and is never copied: of a cache a call writes what is new.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, NoReturn

import numpy as np

from ..arguments import shown
from ..errors import InputError
from ..graph import Array
from ..reference import evaluate
from .length_plan import LengthPlan, LengthTemplate
from .lengths import Lengths
from .native import Fault
from .plans import Planner

if TYPE_CHECKING:
    from .session import InferenceSession


class StatefulCalls:
    """Made by `InferenceSession.stateful`. Not for several threads at once."""

    def __init__(self, session: InferenceSession, states: Mapping[str, str], start: Mapping[str, Any]) -> None:
        """Raises InputError where a name is none of an input and an output, and for what `reset` refuses."""
        self.session, graph = session, session.graph
        if not isinstance(states, Mapping) or not states:
            raise InputError(f"the states must be given as {{input: output}}, got {shown(states)}")
        for name, output in states.items():
            if name not in graph.inputs:
                raise InputError(f"no input {name!r} to be a state; the inputs are {list(graph.inputs)}")
            if output not in graph.outputs:
                raise InputError(f"no output {output!r} to be a state; the outputs are {list(graph.outputs)}")
            if graph.types[name].dtype is not graph.types[output].dtype:
                raise InputError(f"output {output!r} has not the dtype of the input {name!r}, whose state it would be")
        self._output_of = {n: states[n] for n in graph.inputs if n in states}
        self._others = tuple(n for n in graph.outputs if n not in states.values())
        mine = session._planner
        self._planner = Planner(session.threads, mine.backend, pool=mine.pool.apart())
        self._lengths = Lengths(tuple(dict.fromkeys(states.values())))
        self._template: LengthTemplate | None = None
        self._in_place: frozenset[str] = frozenset()
        self.reset(start)

    def __repr__(self) -> str:
        return f"StatefulCalls({', '.join(f'{o} -> {i}' for i, o in self._output_of.items())})"

    def __reduce__(self) -> NoReturn:
        raise TypeError("the states of calls are of their process: pickle the session and `states`")

    def reset(self, start: Mapping[str, Any]) -> None:
        """Have the states be copies of these arrays, by the names of their inputs.

        Raises InputError, and changes nothing, unless all of them and nothing else are given, of the inputs' dtypes and
        shapes.
        """
        if not isinstance(start, Mapping):
            raise InputError(f"the states must be given as {{input: array}}, got {shown(start)}")
        wrong = [n for n in start if n not in self._output_of]
        missing = [n for n in self._output_of if n not in start]
        if wrong or missing:
            fault = f"{wrong[0]!r} is no state" if wrong else f"the state {missing[0]!r} is missing"
            raise InputError(f"{fault}; the states are {list(self._output_of)}")
        checked = self.session._checked(start, self._output_of)
        self._held = {n: np.array(a) for n, a in zip(self._output_of, checked, strict=True)}
        self._template = None

    @property
    def states(self) -> dict[str, Array]:
        """Copies of what the states are now, by the names of their inputs."""
        return {n: np.array(a) for n, a in self._held.items()}

    def run(self, output_names: Sequence[str] | None, input_feed: Mapping[str, Any]) -> list[Array]:
        """The named outputs (None: all that are no states) for the inputs that are no states.

        Raises InputError for a wrong name, dtype or shape.
        """
        names = self._others if output_names is None else self.session._named(output_names)
        if isinstance(input_feed, Mapping):
            given = [n for n in self._output_of if n in input_feed]
            if given:
                raise InputError(f"input {given[0]!r} is a state: it is kept from call to call; `reset` sets it")
            input_feed = {**input_feed, **self._held}
        arrays = self.session._checked(input_feed)
        results = self.session._run(arrays, lambda given: self._compute(given, names))
        return [results[n] for n in names]

    def _compute(self, arrays: list[Array], names: Sequence[str]) -> dict[str, Array]:
        session = self.session
        feeds = dict(zip(session.graph.inputs, arrays, strict=True))
        plan = self._lengths.plan(self._planner, session.graph, tuple([a.shape for a in arrays]))
        if not isinstance(plan, LengthPlan):
            return self._kept(session._plan(arrays).run(feeds))
        if self._template is not plan.template:
            # NOTE: out of the memory that the new program may run in
            self._held, self._template = self.states, None
            feeds |= self._held
        try:
            plan._compute({n: a for n, a in feeds.items() if self._template is None or n not in self._in_place})
        except Fault:
            return self._kept(evaluate(session.graph, feeds))
        if self._template is None:
            self._template, self._in_place = plan.template, self._found_in_place(plan.template)
        views = dict(plan._outputs)
        self._held = {i: views[o] if i in self._in_place else np.array(views[o]) for i, o in self._output_of.items()}
        return {n: np.array(views[n]) for n in names}

    def _kept(self, results: Mapping[str, Array]) -> dict[str, Array]:
        """The results, as arrays of which none is a state."""
        self._held = {i: np.array(results[o]) for i, o in self._output_of.items()}
        self._template = None
        return dict(results)

    def _found_in_place(self, template: LengthTemplate) -> frozenset[str]:
        """The states whose elements lie in the same bytes when they come and when they go, at every length."""
        places, moves = template.way.program.places, template.way.places
        found = set()
        for name, output in self._output_of.items():
            a, b = places[name], places.get(output)
            shifts = [moves[v].line.slopes[len(a.shape) :] for v in (name, output) if v in moves]
            stays = b is not None and (a.buffer, a.start, a.strides, a.dtype) == (b.buffer, b.start, b.strides, b.dtype)
            if stays and not any(by for slopes in shifts for by, _ in slopes):
                found.add(name)
        return frozenset(found)
