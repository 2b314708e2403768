"""Pictures: fields, comparisons, galleries, groups, histories, animations, pages (PyVista)."""

from meshgnn.viz.fields import plot
from meshgnn.viz.history import plot_history
from meshgnn.viz.picture import Picture

__all__ = ["Picture", "plot", "plot_history"]
