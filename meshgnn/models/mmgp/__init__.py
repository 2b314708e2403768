"""Mesh morphing and Gaussian processes."""

from meshgnn.models.mmgp.mmgp import MMGP

__all__ = ["MMGP"]
