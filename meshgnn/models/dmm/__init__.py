"""Mesh movers that learn from the Monge–Ampère equation alone."""

from meshgnn.models.dmm.dmm import DMM
from meshgnn.models.dmm.walls import CORNER

__all__ = ["CORNER", "DMM"]
