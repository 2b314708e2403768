"""Finite volumes on intervals: WENO5 for transport, exact in time where it is stiff."""

from meshgnn.volumes.fluxes import gradient, transport
from meshgnn.volumes.grids import Cells, cell_interval, nodes_in_line, restricted
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
    "cell_interval",
    "columns",
    "edge_values",
    "gradient",
    "march",
    "nodes_in_line",
    "restricted",
    "transport",
]
