"""`Boundary`: the boundary conditions of a sample, as data."""

from dataclasses import dataclass, field

import numpy as np
from jaxtyping import Bool, Float, Int, Shaped


@dataclass(frozen=True, eq=False)
class Boundary:
    """Boundary conditions of one sample, as data.

    Dirichlet: u_c(x_i, t) = value where `dirichlet_mask[i, c]`.
    Neumann and Robin, on each flux facet:  k ∂u/∂n + α u = g  (Neumann is α = 0).
    Periodic: u(x_i) = u(x_twin[i]), two nodes that are one point.

    Args:
        dirichlet_mask: [N, C], which channel of which node is prescribed.
        dirichlet_values: [N, C] constant in time or [T, N, C]; 0 where the mask is False.
        facets: [Q, k] nodes of the flux facets, rows padded with -1 (triangles beside quads).
        alpha: [Q, C] Robin coefficient α.
        flux: [Q, C] right-hand side g.
        twin: [N] the lowest of the nodes that are one point with each (`mesh.twins`); [0], the
            default, where nothing is periodic.
    """

    dirichlet_mask: Bool[np.ndarray, "N C"]
    dirichlet_values: Float[np.ndarray, "*T N C"]
    facets: Int[np.ndarray, "Q k"]
    alpha: Float[np.ndarray, "Q C"]
    flux: Float[np.ndarray, "Q C"]
    twin: Int[np.ndarray, " _"] = field(default_factory=lambda: np.zeros(0, np.int64))

    @classmethod
    def none(cls, nodes: int, channels: int) -> "Boundary":
        """No condition anywhere: data from elsewhere whose boundary is not known."""
        zero, no_facets = np.zeros((nodes, channels)), np.zeros((0, channels))
        return cls(zero > 0, zero, np.zeros((0, 1), np.int64), no_facets, no_facets.copy())


def check_twin(twin: Int[np.ndarray, " _"], nodes: int) -> None:
    """Raises: ValueError: another length than N or 0, or entries that are no lowest of a class."""
    every = np.arange(nodes)
    if len(twin) and (len(twin) != nodes or (twin < 0).any() or (twin > every).any()):
        raise ValueError(
            f"Sample boundary.twin: expected [{nodes}] nodes no larger than their own number (or "
            f"none), got {list(twin.shape)} up to {twin.max()}; make it by mesh.twins"
        )
    if len(twin) and (twin[twin] != twin).any():
        raise ValueError(
            "Sample boundary.twin: expected the lowest node of each class, got nodes whose twin "
            "has another twin; make it by mesh.twins"
        )


def check_same(
    twin: Int[np.ndarray, " _"], name: str, values: Shaped[np.ndarray, "*T N C"]
) -> None:
    """Whether twins have the same values: exactly where these are no numbers, else to 1e-9.

    That is of the largest value of each column (or a few roundings of its type); a column of
    rounding alone beside others is zero.

    Raises:
        ValueError: twins that differ: how many, and the first two.
    """
    second = np.flatnonzero(twin != np.arange(len(twin)))
    first = twin[second]
    one, other = values[..., first, :], values[..., second, :]
    wrong = one != other
    if not wrong.any():
        return
    if values.dtype != bool:
        size = np.abs(values).max(axis=tuple(range(values.ndim - 1)))
        share = max(1e-9, 4 * np.finfo(np.result_type(values, np.float32)).eps)
        wrong = np.abs(one - other) > share * size + 1e-15 * size.max()
    if wrong.any():
        place = tuple(np.argwhere(wrong)[0])
        pair, column = place[-2:]
        pairs = int(wrong.any(axis=(*range(wrong.ndim - 2), -1)).sum())
        raise ValueError(
            f"Sample {name}: expected equal values at the nodes that are one point of a periodic "
            f"mesh (boundary.twin), got {pairs} pairs that differ, the first nodes {first[pair]} "
            f"and {second[pair]} in column {column}: {one[place]:.6g} and {other[place]:.6g}; give "
            "values that have the period of the mesh"
        )


def check_facets(facets: Int[np.ndarray, "Q k"], nodes: int) -> None:
    """Raises: ValueError: rows that are not nodes of the mesh followed by -1 alone."""
    padding = facets == -1
    wrong = ((facets < -1) | (facets >= nodes) | (padding != np.sort(padding, axis=1))).any(axis=1)
    bad = np.flatnonzero(wrong | padding.all(axis=1))
    if len(bad):
        raise ValueError(
            f"Sample boundary.facets: expected nodes from 0 to {nodes - 1} in every row, then -1, "
            f"got {len(bad)} other rows, the first {bad[0]}: {facets[bad[0]].tolist()}"
        )
