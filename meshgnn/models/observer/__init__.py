"""Fields at any point and time from the values at few nodes."""

from meshgnn.models.observer.observer import Observer

__all__ = ["Observer"]
