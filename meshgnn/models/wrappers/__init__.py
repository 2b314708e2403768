"""Around any model: devices for stable rollouts, and error bars for steady fields."""

from meshgnn.models.wrappers.dropout import Dropout
from meshgnn.models.wrappers.ensemble import Ensemble
from meshgnn.models.wrappers.integrated import Integrated
from meshgnn.models.wrappers.mean_conserving import MeanConserving
from meshgnn.models.wrappers.refined import Refined

__all__ = ["Dropout", "Ensemble", "Integrated", "MeanConserving", "Refined"]
