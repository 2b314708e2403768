"""Finite volumes on intervals: WENO5 for transport, exact in time where it is stiff."""

from meshgnn.volumes.grids import control_volumes, periodic_interval, restricted
from meshgnn.volumes.march import columns, march
from meshgnn.volumes.ring import Ring
from meshgnn.volumes.sines import Sines
from meshgnn.volumes.weno import edge_values

__all__ = [
    "Ring",
    "Sines",
    "columns",
    "control_volumes",
    "edge_values",
    "march",
    "periodic_interval",
    "restricted",
]
