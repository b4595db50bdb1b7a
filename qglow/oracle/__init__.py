"""Float values of a model from an engine that shares no code with qglow's kernels: what agreement, targets and reports
compare with."""

from .oracle import Oracle, float_oracle
from .remembered import RememberedOracle

__all__ = ["Oracle", "RememberedOracle", "float_oracle"]
