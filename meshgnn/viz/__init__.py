"""Pictures: fields, comparisons, meshes with their groups, loss histories, animations (PyVista)."""

from meshgnn.viz.fields import plot
from meshgnn.viz.lines import plot_history
from meshgnn.viz.picture import Picture

__all__ = ["Picture", "plot", "plot_history"]
