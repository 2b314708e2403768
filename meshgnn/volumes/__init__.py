"""Finite volumes on intervals: WENO5 for transport, exact in time where it is stiff."""

from meshgnn.volumes.fluxes import gradient, transport
from meshgnn.volumes.grids import Cells, nodes_in_line, periodic_interval, restricted
from meshgnn.volumes.march import columns, march
from meshgnn.volumes.ring import Ring
from meshgnn.volumes.segment import Segment
from meshgnn.volumes.sines import Sines
from meshgnn.volumes.weno import edge_values

__all__ = [
    "Cells",
    "Ring",
    "Segment",
    "Sines",
    "columns",
    "edge_values",
    "gradient",
    "march",
    "nodes_in_line",
    "periodic_interval",
    "restricted",
    "transport",
]
