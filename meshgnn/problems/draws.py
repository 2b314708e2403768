"""What random problems share: coefficients, and which parts carry a flux."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from meshgnn.fem.values import PerCell
from meshgnn.mesh import Mesh
from meshgnn.problems.fields import GaussianField


@dataclass(frozen=True, eq=False)
class _Between:
    """v(x) = low + (high - low) (1 + tanh w(x)) / 2, w a Gaussian field of standard deviation 1."""

    field: GaussianField
    low: float
    high: float

    def __call__(self, x: Float[np.ndarray, "*R d"]) -> Float[np.ndarray, "*R"]:
        """v at points x[..., d]."""
        return self.low + (self.high - self.low) * (1 + np.tanh(self.field(x))) / 2


@dataclass(frozen=True, eq=False)
class _Smooth:
    """k(x) = contrast^(tanh(v(x)) / 2), between contrast^-½ and contrast^½."""

    field: GaussianField
    contrast: float

    def __call__(self, x: Float[np.ndarray, "*R d"]) -> Float[np.ndarray, "*R"]:
        return self.contrast ** (np.tanh(self.field(x)) / 2)


def log_uniform(value: float | tuple[float, float], rng: np.random.Generator) -> float:
    """The number itself, or one drawn log-uniformly from (low, high)."""
    low, high = value if isinstance(value, tuple) else (value, value)
    return float(np.exp(rng.uniform(np.log(low), np.log(high)))) if high > low else float(low)


def between(
    mesh: Mesh, length: float, limits: tuple[float, float], rng: np.random.Generator, what: str
) -> float | _Between:
    """A smooth random function with values between the limits; a number where they are equal.

    Raises: ValueError: limits that descend, with the name of the datum.
    """
    low, high = limits
    if low > high:
        raise ValueError(f"{what}: expected the smaller value first, got {low}, {high}")
    if low == high:
        return low
    return _Between(GaussianField.draw(mesh, length, 1.0, rng), low, high)


def coefficient(
    mesh: Mesh, length: float, contrast: float, rng: np.random.Generator, phases: int = 0
) -> float | Callable[..., np.ndarray] | PerCell:
    """A positive random coefficient between contrast^-½ and contrast^½; 1 for contrast 1.

    Without phases it is a smooth function of x. With them it is constant on each of so many
    materials, the level sets of a smooth Gaussian field at the cell centres, which take equal
    shares of the volume: an array over the cells. The values are log-uniform, the smallest and the
    largest as far apart as allowed, and in no order.

    Args:
        mesh: the mesh.
        length: correlation length, in the unit of the mesh.
        contrast: max k / min k; attained with phases, a bound without.
        rng: random numbers.
        phases: number of materials; 0 for a smooth coefficient.

    Raises:
        ValueError: a contrast below 1, NaN or infinite; phases that are no count; one phase, or
            several of contrast 1; more phases than the cells of the mesh can hold.

    Source: piecewise constant coefficients as in Trifonov et al., ConDiff, 2024.
    """
    if not 1 <= contrast < np.inf:
        raise ValueError(f"contrast: expected max k / min k >= 1, got {contrast}")
    if phases and (phases < 2 or phases % 1 or contrast == 1):
        raise ValueError(
            f"phases: expected 2 or more and a contrast above 1, got {phases} and {contrast:g}; "
            "give phases=0 for a smooth coefficient"
        )
    if contrast == 1:
        return 1.0
    field = GaussianField.draw(mesh, length, 1.0, rng)
    if not phases:
        return _Smooth(field, contrast)
    exponents = rng.uniform(-0.5, 0.5, phases)
    exponents[rng.permutation(phases)[:2]] = -0.5, 0.5
    return (contrast ** exponents[_materials(mesh, field, phases)]).view(PerCell)


def _materials(mesh: Mesh, field: GaussianField, phases: int) -> np.ndarray:
    """0 ... phases - 1 for every cell, by the share of the volume where the field is lower."""
    centres = np.concatenate([mesh.points[rows].mean(axis=1) for rows in mesh.cells.values()])
    order, volumes = np.argsort(field(centres), kind="stable"), np.abs(mesh.volumes)
    below = np.cumsum(volumes[order]) - volumes[order] / 2
    result = np.empty(len(order), np.int64)
    result[order] = np.floor(phases * below / volumes.sum())
    found = len(np.unique(result))
    if found < phases:
        raise ValueError(
            f"phases: {len(order)} cells hold only {found} of {phases} materials; refine the mesh "
            "or ask for fewer"
        )
    return result


def random_parts(
    mesh: Mesh, rng: np.random.Generator, neumann: float, robin: float = 0.0
) -> dict[str, str]:
    """{group: "neumann" or "robin"} for groups that overlap none chosen before; Dirichlet stays.

    Args:
        mesh: the mesh; only groups of its boundary take part.
        rng: random numbers.
        neumann: chance of each group to be the first.
        robin: chance to be the second.
    """
    free = np.ones(len(mesh.boundary_facet_cells), dtype=bool)
    result = {}
    for name in sorted(n for n, g in mesh.groups.items() if g.dim == mesh.dim - 1):
        facets, chance = mesh.facets_of(name), rng.random()
        left = free.copy()
        left[facets] = False
        if chance < neumann + robin and len(facets) and free[facets].all() and left.any():
            result[name] = "neumann" if chance < neumann else "robin"
            free = left
    return result
