"""Flow into and through channels: parabolic inflow, and a start that sheds vortices soon."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from meshgnn.mesh import Mesh


@dataclass(frozen=True, eq=False)
class Parabola:
    """u(x) = 6 U s (1 - s) e between two parallel walls, zero beyond; s in [0, 1] across.

    Args:
        origin: a point with s = 0.
        width: the vector from there to s = 1.
        mean: U e, the mean velocity.
    """

    origin: Float[np.ndarray, " 2"]
    width: Float[np.ndarray, " 2"]
    mean: Float[np.ndarray, " 2"]

    def __call__(self, x: Float[np.ndarray, "*R 2"]) -> Float[np.ndarray, "*R 2"]:
        """u at points x[..., 2]."""
        s = (x - self.origin) @ self.width / (self.width @ self.width)
        return 6 * np.clip(s * (1 - s), 0, None)[..., None] * self.mean


def parabolic(mesh: Mesh, group: str, speed: float) -> Parabola:
    """A parabola normal to a straight part of the boundary, into the domain.

    Args:
        mesh: in the plane.
        group: the inlet.
        speed: mean of the normal velocity U, m/s; the largest is 3/2 of it.

    Raises:
        ValueError: a part with no facet on the boundary, one that is not straight, a mesh that is
            not in the plane.
    """
    if mesh.points.shape[1] != 2:
        raise ValueError(f"parabolic: expected a mesh in the plane, got {mesh.points.shape[1]}D")
    normals = mesh.facet_normals[mesh.facets_of(group)]
    if not len(normals) or np.ptp(normals, axis=0).max() > 1e-6:
        raise ValueError(
            f"parabolic: expected group {group!r} to be a straight part of the boundary, got "
            f"{len(normals)} facets" + (" whose normals differ" if len(normals) else " on it")
        )
    inward = -normals[0]
    along = np.array([-inward[1], inward[0]])
    points = mesh.points[mesh.nodes_of(group)]
    s = points @ along
    low, high = points[s.argmin()], points[s.argmax()]
    return Parabola(low, high - low, speed * inward)


def across(mesh: Mesh, group: str, inflow: Parabola) -> float:
    """Extent of a group across the inflow: the D of Re = U D / ν."""
    unit = inflow.width / np.linalg.norm(inflow.width)
    return float(np.ptp(mesh.points[mesh.nodes_of(group)] @ unit))


@dataclass(frozen=True, eq=False)
class Gust:
    """An inflow everywhere and a swirl of stream function a exp(-|x - c|² / (2 r²)).

    Without the swirl a symmetric flow sheds no vortices before rounding errors have grown.

    Args:
        inflow: the velocity without the swirl.
        centre: c.
        radius: r.
        strength: a, m²/s; the largest velocity of the swirl is 0.61 a / r.
    """

    inflow: Parabola
    centre: Float[np.ndarray, " 2"]
    radius: float
    strength: float

    def __call__(self, x: Float[np.ndarray, "*R 2"]) -> Float[np.ndarray, "*R 2"]:
        """u at points x[..., 2]."""
        away = x - self.centre
        stream = self.strength * np.exp(-(away**2).sum(axis=-1) / (2 * self.radius**2))
        turned = np.stack([-away[..., 1], away[..., 0]], axis=-1)
        return self.inflow(x) + stream[..., None] / self.radius**2 * turned

    @classmethod
    def draw(cls, mesh: Mesh, group: str, inflow: Parabola, rng: np.random.Generator) -> "Gust":
        """One width D of the group behind it, of radius D / 2, a third to once as fast as U."""
        width, points = across(mesh, group, inflow), mesh.points[mesh.nodes_of(group)]
        mean = float(np.linalg.norm(inflow.mean))
        downstream = inflow.mean / mean
        centre = (points.min(axis=0) + points.max(axis=0)) / 2
        behind = (points @ downstream).max() - centre @ downstream + width
        strength = rng.choice([-1.0, 1.0]) * rng.uniform(0.3, 1.0) * mean * width
        return cls(inflow, centre + behind * downstream, width / 2, float(strength))
