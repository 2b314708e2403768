"""Periodic elements: degrees of freedom that are one, tied by a prolongation matrix."""

from dataclasses import replace

import numpy as np
from jaxtyping import Bool, Float, Int, Shaped
from scipy.sparse import csr_matrix

from meshgnn.fem.linear import LinearSystem
from meshgnn.fem.space import Space
from meshgnn.mesh.periodic import turns_of


def classes(space: Space, twin: Int[np.ndarray, " N"]) -> Int[np.ndarray, " n"]:
    """The class of every degree of freedom, 0 ... n_unique - 1 in the order of their lowest ones.

    Mid points of two edges are one when the edges join the same classes of nodes across the same
    number of periods, whole numbers that no rounding touches; so a mesh may be two cells wide.

    Args:
        space: order 1 or 2.
        twin: representative of each node, as `mesh.twins` gives it; empty: nothing is periodic.
    """
    if not len(twin):
        return np.arange(space.size)
    turns = turns_of(space.mesh.points, twin)
    ends, wraps = twin[space.edges], np.diff(turns[space.edges], axis=1)[:, 0]
    swap = ends[:, 0] > ends[:, 1]
    ends[swap], wraps[swap] = ends[swap, ::-1], -wraps[swap]
    key = np.hstack([ends, wraps])
    _, first, number = np.unique(key, axis=0, return_index=True, return_inverse=True)
    lowest = np.concatenate([twin, len(twin) + first[number.ravel()]])
    return np.unique(lowest, return_inverse=True)[1].ravel()


def prolongation(space: Space, twin: Int[np.ndarray, " N"]) -> csr_matrix:
    """P [n, n_unique]: values of the classes to all degrees of freedom, u = P z.

    A weak form with matrix A and load b becomes Pᵀ A P z = Pᵀ b.

    Args:
        space: order 1 or 2.
        twin: representative of each node, see `mesh.twins`.
    """
    index = classes(space, twin)
    shape = (space.size, int(index.max()) + 1)
    return csr_matrix((np.ones(space.size), (np.arange(space.size), index)), shape=shape)


def tied(matrix: csr_matrix, prolong: csr_matrix) -> csr_matrix:
    """Pᵀ A P."""
    return csr_matrix(prolong.T @ matrix @ prolong)


def folded(system: LinearSystem, prolong: csr_matrix) -> LinearSystem:
    """The system of the classes: Pᵀ A P z = Pᵀ b; its solution z gives u = P z.

    Args:
        system: one channel; what is prescribed agrees within each class, see `agreed`.
        prolong: P [n, n_unique].
    """
    index = prolong.indices
    return replace(
        system,
        matrix=tied(system.matrix, prolong),
        load=prolong.T @ system.load,
        free=at_classes(system.free, index),
        values=at_classes(system.values, index),
        points=at_classes(system.points, index),
        mean=None if system.mean is None else prolong.T @ system.mean,
    )


def at_classes(
    values: Shaped[np.ndarray, " n *C"], index: Int[np.ndarray, " n"]
) -> Shaped[np.ndarray, " m *C"]:
    """Values of each class: those of its lowest member."""
    return values[np.unique(index, return_index=True)[1]]


def agreed(
    mask: Bool[np.ndarray, "n C"], values: Float[np.ndarray, "n C"], index: Int[np.ndarray, " n"]
) -> tuple[Bool[np.ndarray, "n C"], Float[np.ndarray, "n C"]]:
    """What is prescribed at one member of a class is so at all; the last member's value counts."""
    held, shared = np.zeros_like(mask), np.zeros_like(values)
    row, channel = np.nonzero(mask)
    held[index[row], channel] = True
    shared[index[row], channel] = values[row, channel]
    return held[index], shared[index]
