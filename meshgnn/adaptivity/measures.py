"""What a moved mesh is worth: equidistribution, folding, angles, nodes outside, interpolation.

Volumes are signed throughout: a folded cell can not look like a good one.
"""

from dataclasses import asdict, dataclass

import numpy as np
import torch
from jaxtyping import Float

from meshgnn.adaptivity.sampling import (
    Function,
    evaluated,
    interpolation_error,
    left_out,
    reconstructed,
    sampling,
)
from meshgnn.fem.values import finite
from meshgnn.mesh import Mesh
from meshgnn.monitors import Monitor
from meshgnn.operators import hat_gradients, interpolate

__all__ = ["Measures", "interpolation_error", "mesh_measures", "smallest_angle"]

# a spread or an error below this share of the mean or of the field is rounding
_ROUNDING = 1e-12
_OUTSIDE = 1e-9


@dataclass(frozen=True, repr=False)
class Measures:
    """The numbers of `mesh_measures`; ratios are moved over unmoved, so that 1 is no change.

    Args:
        std_ratio: std w moved / std w unmoved.
        range_ratio: (max w − min w) moved / unmoved.
        cv_before: std w / mean w, unmoved.
        cv_after: the same, moved; infinite where folding leaves no positive mean.
        folded: simplices of signed volume ≤ 0.
        smallest_angle: in degrees: of triangles, between the faces of tetrahedra; NaN in 1D.
        quality: least `Mesh.quality`: 1 regular, ≤ 0 inverted.
        outside: nodes outside the reference mesh, holes included, by more than 1e-9 of its size.
        interpolation_ratio: L2 error of P1 interpolation, moved / unmoved.
        volume_ratio: volume of all cells, moved / unmoved: below 1 where nodes left the corners of
            the polygon that stands for a curve.
    """

    std_ratio: float
    range_ratio: float
    cv_before: float
    cv_after: float
    folded: int
    smallest_angle: float
    quality: float
    outside: int
    interpolation_ratio: float
    volume_ratio: float

    def as_dict(self) -> dict[str, float | int]:
        """{name: number}, for tables and files."""
        return asdict(self)

    def __repr__(self) -> str:
        return (
            f"Measures(std ratio {self.std_ratio:.3g}, range ratio {self.range_ratio:.3g}, "
            f"CV {self.cv_before:.3g} -> {self.cv_after:.3g}, {self.folded} folded, "
            f"smallest angle {self.smallest_angle:.3g}°, quality {self.quality:.3g}, "
            f"{self.outside} outside, interpolation ratio {self.interpolation_ratio:.3g}, volume "
            f"ratio {self.volume_ratio:.4g})"
        )


def mesh_measures(
    reference: Mesh,
    moved: Mesh,
    field: Float[np.ndarray, "..."],
    monitor: Monitor | Function | Float[np.ndarray, " N"] | None = None,
    exact: Function | None = None,
) -> Measures:
    """w_K = ∫_K(moved) m dx / |K(reference)|: equidistributed where all w_K are equal.

    std² = Σ |K| (w_K − mean w)² / Σ |K| with the volumes of the reference; w_K < 0 for a folded
    cell. m(x) is one function of space for both meshes: P1 on the reference mesh with the nodal
    values of the monitor there, or the function given. The interpolation error is that of `exact`;
    without it that of a smoother field through the nodal values (`reconstructed`; a P1 field has no
    error on its own mesh). This one sees less of a gain than there is (on a front 2 cells wide the
    ratio was 0.81 for a true 0.75, at 1 cell 0.95), so give `exact` wherever there is one. Each
    component counts in units of its standard deviation.

    Integrals are by rules of degree 4, in 3D of degree 2. Cells of other shapes are taken as their
    simplices, on which P1 lives.

    Args:
        reference: the mesh before it was moved.
        moved: `reference.moved(...)`.
        field: u [N] or [N, C] at the nodes of the reference.
        monitor: the monitor of the field, or the density m(x) as x[..., d] -> m[...] or [N] at the
            nodes; `Monitor()` where it is not given.
        exact: the function u(x) behind the field, x[..., d] -> [...] or [..., C].

    Raises:
        ValueError: meshes of different cells; curves and surfaces in space; a reference with
            inverted cells; a field that is not over the nodes or not finite.
    """
    _check(reference, moved, field)
    u = finite(np.asarray(field, dtype=np.float64).reshape(len(field), -1), "field")
    if monitor is None or isinstance(monitor, Monitor):
        x, simplices = torch.tensor(reference.points), torch.tensor(reference.simplices)
        m = (monitor or Monitor())(x, simplices, torch.tensor(u))[:, None]
    elif isinstance(monitor, np.ndarray):
        m = torch.tensor(monitor, dtype=torch.float64)[:, None]
    else:
        m = monitor
    before, after = (_measured(reference, mesh, u, m, exact) for mesh in (reference, moved))
    small = _ROUNDING * before.mean
    size = u.shape[1] * float(np.abs(u / _units(u)).max()) * reference.simplex_volumes.sum() ** 0.5
    return Measures(
        std_ratio=_ratio(after.std, before.std, small),
        range_ratio=_ratio(after.range, before.range, small),
        cv_before=before.cv,
        cv_after=after.cv,
        folded=int((moved.simplex_volumes <= 0).sum()),
        smallest_angle=smallest_angle(moved),
        quality=float(moved.quality.min()),
        outside=after.outside,
        interpolation_ratio=_ratio(after.error, before.error, _ROUNDING * size),
        volume_ratio=float(moved.simplex_volumes.sum() / reference.simplex_volumes.sum()),
    )


def smallest_angle(mesh: Mesh) -> float:
    """min arccos(−∇φ_i·∇φ_j / |∇φ_i| |∇φ_j|) in degrees; 0 with a degenerate simplex, NaN in 1D.

    The angles of triangles, and those between the faces of tetrahedra.
    """
    if mesh.dim == 1:
        return float("nan")
    hats, _ = hat_gradients(torch.tensor(mesh.points), torch.tensor(mesh.simplices))
    hats = hats / hats.norm(dim=2, keepdim=True)
    i, j = torch.triu_indices(mesh.dim + 1, mesh.dim + 1, offset=1)
    angle = torch.arccos((-(hats[:, i] * hats[:, j]).sum(dim=2)).clamp(-1, 1))
    return float(torch.rad2deg(angle.nan_to_num(0.0)).min())


@dataclass(frozen=True)
class _Measured:
    """One mesh: mean, std and range of w, the interpolation error, nodes outside."""

    mean: float
    std: float
    range: float
    error: float
    outside: int

    @property
    def cv(self) -> float:
        """std / mean; infinite where nothing is left of the integral of m."""
        return self.std / self.mean if self.mean > 0 else float("inf")


def _measured(
    reference: Mesh,
    mesh: Mesh,
    u: Float[np.ndarray, "N C"],
    monitor: Float[torch.Tensor, "N 1"] | Function,
    exact: Function | None,
) -> _Measured:
    points, volumes = sampling(mesh, 4 if mesh.dim < 3 else 2), reference.simplex_volumes
    place, simplices = points.located(reference), torch.tensor(reference.simplices)
    if isinstance(monitor, torch.Tensor):
        m = interpolate(monitor, simplices, place).numpy()
    else:
        m = evaluated(monitor, points.x, "monitor")
    w = mesh.simplex_volumes / volumes * (points.inner(m)[..., 0] @ points.weights)
    mean = float(np.average(w, weights=volumes))
    if exact is None:
        truth = reconstructed(reference, u, place)
    else:
        truth = evaluated(exact, points.x, "exact")
    foot = interpolate(torch.tensor(reference.points), simplices, place).numpy()
    distance = np.linalg.norm((foot - points.x)[: mesh.num_nodes], axis=1)
    distance[reference.lumped_mass == 0] = 0  # nodes of no cell
    return _Measured(
        mean=mean,
        std=float(np.average((w - mean) ** 2, weights=volumes) ** 0.5),
        range=float(np.ptp(w)),
        error=left_out(points, truth / _units(u)),
        outside=int((distance > _OUTSIDE * np.ptp(reference.points, axis=0).max()).sum()),
    )


def _units(u: Float[np.ndarray, "N C"]) -> Float[np.ndarray, " C"]:
    """Standard deviations; of a constant component its size, or 1."""
    deviation, size = u.std(axis=0), np.abs(u).max(axis=0)
    return np.where(deviation > _ROUNDING * size, deviation, np.where(size > 0, size, 1.0))


def _ratio(after: float, before: float, small: float) -> float:
    """after / before; 1 where both are rounding."""
    if before <= small:
        return 1.0 if after <= small else float("inf")
    return after / before


def _check(reference: Mesh, moved: Mesh, field: Float[np.ndarray, "..."]) -> None:
    if field.ndim not in (1, 2) or len(field) != reference.num_nodes:
        raise ValueError(
            f"mesh_measures: expected a field [{reference.num_nodes}] or [{reference.num_nodes}, C]"
            f" over the nodes, got {field.shape}; of a sample take one time, sample.u[t]"
        )
    if reference.dim != reference.points.shape[1]:
        raise ValueError(
            f"mesh_measures: expected cells of dimension d = {reference.points.shape[1]}, got "
            f"{reference.dim}; curves and surfaces in space have no signed volume"
        )
    same = moved.points.shape == reference.points.shape and np.array_equal(
        moved.simplices, reference.simplices
    )
    if not same:
        raise ValueError(
            f"mesh_measures: expected a moved mesh with the cells of {reference}, got {moved}; "
            "make it with reference.moved(points)"
        )
    wrong = np.flatnonzero(reference.simplex_volumes <= 0)
    if len(wrong):
        raise ValueError(
            f"mesh_measures: {len(wrong)} simplices of the reference are inverted or degenerate, "
            f"the first is number {wrong[0]}; see Mesh.check() and Mesh.oriented()"
        )
