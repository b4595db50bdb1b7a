"""What shapes of a recurrent layer follow from: its gates and its directions."""

from __future__ import annotations

from ..graph import Node

GATES = {"LSTM": 4, "GRU": 3, "RNN": 1}


def directions(node: Node) -> tuple[bool, ...]:
    """For each direction, whether it goes backwards."""
    return {"forward": (False,), "reverse": (True,), "bidirectional": (False, True)}[str(node.attr("direction"))]
