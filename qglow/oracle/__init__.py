"""Float values of a model from an engine that shares no code with qglow's kernels: what agreement, targets and reports
compare with."""

from .oracle import Oracle, float_oracle

__all__ = ["Oracle", "float_oracle"]
