"""Monitor functions m(x) > 0 of a field: how fine a mesh should be where, for meshes that move."""

from meshgnn.monitors.monitor import KINDS, Monitor
from meshgnn.monitors.smoothing import smoothed

__all__ = ["KINDS", "Monitor", "smoothed"]
