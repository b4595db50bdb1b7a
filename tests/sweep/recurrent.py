"""Recurrent ops: directions, states, activations, layouts, peepholes, lengths."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from .case import Case, Fixed, case, normal, versions

GATES = {"LSTM": 4, "GRU": 3, "RNN": 1}
STEPS, BATCH, WIDTH, HIDDEN = 5, 3, 4, 6


def recurrent(
    op: str, direction: str = "forward",
    bias: bool = True, lengths: bool = False, states: bool = False, peepholes: bool = False,
    opset: int = 14, **attributes: Any,
) -> Case:  # fmt: skip
    sides, gates = 1 + (direction == "bidirectional"), GATES[op]
    weights = [Fixed(normal(sides, gates * HIDDEN, n, scale=0.5, seed=n)) for n in (WIDTH, HIDDEN)]
    more: list[Any] = [Fixed(normal(sides, 2 * gates * HIDDEN, scale=0.3)) if bias else None]
    more.append(np.array([5, 2, 3], np.int32) if lengths else None)
    more += [normal(sides, BATCH, HIDDEN, seed=k) if states else None for k in range(2 if op == "LSTM" else 1)]
    if op == "LSTM":
        more.append(Fixed(normal(sides, 3 * HIDDEN, scale=0.5)) if peepholes else None)
    while more and more[-1] is None:
        more.pop()
    x = normal(STEPS, BATCH, WIDTH)
    given = {"direction": direction} if direction != "forward" else {}
    outputs = 3 if op == "LSTM" else 2
    return case(op, x, *weights, *more, opset=opset, outputs=outputs, hidden_size=HIDDEN, **given, **attributes)


def recurrents() -> Iterator[Case]:
    for op in GATES:
        for direction in ("forward", "reverse", "bidirectional"):
            for opset in versions(op):
                yield recurrent(op, direction, opset=opset)
            yield recurrent(op, direction, bias=False)
            yield recurrent(op, direction, states=True)
            yield recurrent(op, direction, lengths=True)
            yield recurrent(op, direction, lengths=True, states=True, bias=False)
        yield recurrent(op, clip=0.4)
    for direction in ("forward", "reverse", "bidirectional"):
        yield recurrent("LSTM", direction, peepholes=True)
        yield recurrent("LSTM", direction, peepholes=True, states=True, lengths=True)
        yield recurrent("GRU", direction, linear_before_reset=1)
        yield recurrent("GRU", direction, linear_before_reset=1, states=True, lengths=True)
    yield recurrent("LSTM", input_forget=1)
    yield recurrent("LSTM", activations=["Sigmoid", "Tanh", "Relu"])
    yield recurrent(
        "LSTM", activations=["HardSigmoid", "Softsign", "Tanh"], activation_alpha=[0.3], activation_beta=[0.4]
    )
    yield recurrent("GRU", activations=["HardSigmoid", "Tanh"])
    for activation in ("Tanh", "Relu", "Sigmoid", "Softsign", "Softplus"):
        yield recurrent("RNN", activations=[activation])
    yield recurrent("RNN", "bidirectional", activations=["Relu", "Tanh"], layout=0)
    yield recurrent("RNN", activations=["ThresholdedRelu"], activation_alpha=[0.2])
    yield recurrent("RNN", activations=["ScaledTanh"], activation_alpha=[1.3], activation_beta=[0.6])
    yield recurrent(
        "GRU", activations=["HardSigmoid", "LeakyRelu"], activation_alpha=[0.3, 0.1], activation_beta=[0.4], layout=0
    )


FAMILIES = (recurrents,)
