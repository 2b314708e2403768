"""How wrong a field is, and how wrong the trivial predictors are beside it."""

from meshgnn.metrics.baselines import (
    inverse_distance,
    mean_value,
    nearest_sample,
    persistence,
    zero,
)
from meshgnn.metrics.in_time import (
    accumulated_error,
    correlation_per_time,
    correlation_time,
    rollout_mse,
    shedding_frequency,
    survival_time,
)
from meshgnn.metrics.modes import LinearModes, choose_modes, fit_modes
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
    "LinearModes",
    "Table",
    "accumulated_error",
    "boundary_error",
    "choose_modes",
    "correlation_per_time",
    "correlation_time",
    "evaluate",
    "fit_modes",
    "inverse_distance",
    "mean_value",
    "nearest_sample",
    "persistence",
    "relative_h1",
    "relative_l2",
    "relative_l2_consistent",
    "relative_l2_per_time",
    "relative_maximum",
    "rollout_mse",
    "shedding_frequency",
    "survival_time",
    "zero",
]
