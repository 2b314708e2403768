"""Marching a model in time, and how any model is called outside training."""

from meshgnn.marching.blow_up import BlownUp
from meshgnn.marching.calling import check_names, evaluating, exact, ready
from meshgnn.marching.rollout import march, rollout

__all__ = ["BlownUp", "check_names", "evaluating", "exact", "march", "ready", "rollout"]
