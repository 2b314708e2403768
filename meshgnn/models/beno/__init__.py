"""Boundary-embedded operators: the front, its network, its tokens, and the published network."""

from meshgnn.models.beno.beno import BENO

__all__ = ["BENO"]
