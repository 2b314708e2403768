"""A preconditioner for conjugate gradients: IC(0), corrected by a graph network."""

from meshgnn.preconditioner.factor import Factor, incomplete_cholesky
from meshgnn.preconditioner.graph import matrix_graph, training_graph
from meshgnn.preconditioner.losses import data_loss, frobenius_loss
from meshgnn.preconditioner.network import LearnedIC

__all__ = [
    "Factor",
    "LearnedIC",
    "data_loss",
    "frobenius_loss",
    "incomplete_cholesky",
    "matrix_graph",
    "training_graph",
]
