"""How wrong a field is, and how wrong the trivial predictors are beside it."""

from meshgnn.metrics.baselines import (
    inverse_distance,
    mean_value,
    nearest_sample,
    persistence,
    zero,
)
from meshgnn.metrics.norms import (
    boundary_error,
    relative_h1,
    relative_l2,
    relative_l2_consistent,
    relative_l2_per_time,
    relative_maximum,
)
from meshgnn.metrics.table import Table, evaluate

__all__ = [
    "Table",
    "boundary_error",
    "evaluate",
    "inverse_distance",
    "mean_value",
    "nearest_sample",
    "persistence",
    "relative_h1",
    "relative_l2",
    "relative_l2_consistent",
    "relative_l2_per_time",
    "relative_maximum",
    "zero",
]
