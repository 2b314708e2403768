"""Devices for stable rollouts, around any model and outside of it."""

from meshgnn.models.wrappers.integrated import Integrated
from meshgnn.models.wrappers.mean_conserving import MeanConserving
from meshgnn.models.wrappers.refined import Refined

__all__ = ["Integrated", "MeanConserving", "Refined"]
