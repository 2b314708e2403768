"""Training on samples that are simulated meanwhile: no data set, nothing on disk."""

from meshgnn.online.fit import fit_online
from meshgnn.online.reservoir import Reservoir
from meshgnn.online.simulations import Simulations

__all__ = ["Reservoir", "Simulations", "fit_online"]
