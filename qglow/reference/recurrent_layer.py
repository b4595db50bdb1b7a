"""What a recurrent layer says of itself: its gates, its directions and its functions."""

from __future__ import annotations

from ..graph import Node
from ..graph.infer import Contradiction

GATES = {"LSTM": 4, "GRU": 3, "RNN": 1}
DEFAULTS = {"LSTM": ("Sigmoid", "Tanh", "Tanh"), "GRU": ("Sigmoid", "Tanh"), "RNN": ("Tanh",)}
PARAMETERS: dict[str, tuple[float | None, float | None]] = {
    "Affine": (1.0, 0.0), "LeakyRelu": (0.01, None), "ThresholdedRelu": (1.0, None), "ScaledTanh": (1.0, 1.0),
    "HardSigmoid": (0.2, 0.5),
    "Elu": (1.0, None), "Relu": (None, None), "Tanh": (None, None), "Sigmoid": (None, None), "Softsign": (None, None),
    "Softplus": (None, None),
}  # fmt: skip
_NAMES = {name.lower(): name for name in PARAMETERS}


def is_known(activation: str) -> bool:
    """Whether a name, in whatever case, is that of a function that a layer may use."""
    return activation.lower() in _NAMES


def directions(node: Node) -> tuple[bool, ...]:
    """For each direction, whether it goes backwards."""
    return {"forward": (False,), "reverse": (True,), "bidirectional": (False, True)}[str(node.attr("direction"))]


def activation_names(node: Node) -> tuple[str, ...]:
    """The functions of all directions. Raises Contradiction for one that is not known, or another number of them than
    the op has."""
    sides, usual = len(directions(node)), DEFAULTS[node.op]
    names = tuple(node.attr("activations") or usual * sides)
    if len(names) != len(usual) * sides:
        raise Contradiction(f"{len(names)} activations for {sides} directions of {len(usual)}")
    if (strange := next((n for n in names if not is_known(n)), None)) is not None:
        raise Contradiction(f"the activation {strange} is not known")
    return tuple(_NAMES[n.lower()] for n in names)
