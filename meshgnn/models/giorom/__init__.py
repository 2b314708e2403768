"""GIOROM: few material points are marched, and all others follow."""

from meshgnn.models.giorom.giorom import GIOROM

__all__ = ["GIOROM"]
