"""Training: `fit`, on any number of devices, resumable to the same history."""

from meshgnn.train.fit import fit
from meshgnn.train.history import History
from meshgnn.train.plan import one_cycle

__all__ = ["History", "fit", "one_cycle"]
