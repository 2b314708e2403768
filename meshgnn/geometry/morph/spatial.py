"""Deformations of the space around a mesh: free form, and radial functions at control points."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product

import numpy as np
from jaxtyping import Float
from scipy.interpolate import BSpline

from meshgnn.geometry.morph.body import Body
from meshgnn.geometry.morph.deformation import (
    Deformation,
    along_axes,
    axis_names,
    positive,
    symmetric,
)
from meshgnn.geometry.morph.kernels import radial_weights, spaced


@dataclass(frozen=True, eq=False)
class FreeForm:
    """u(x) = Σ_ijk B_i(s) B_j(t) B_k(r) p_ijk, (s, t, r) the place of x in a box, in [0, 1]^d.

    B are the Bernstein polynomials of Sederberg and Parry, or B-splines (clamped, even knots),
    whose control points act nearby only. Control points that follow an affine map move all of the
    box by it. Outside of the box nothing moves: give handles within it for a continuous map.

    Args:
        lattice: control points along each axis, one number or d of them, at least 2.
        amplitude: largest move of a control point along an axis / side of the box.
        degree: of the B-splines, below the number of control points; None for Bernstein.
        handles: [H, d] indices of the control points that move; None for all of them.
        box: [2, d] opposite corners; None for the bounding box of the mesh.

    Source: Sederberg, Parry, Free-form deformation of solid geometric models, SIGGRAPH 1986,
    eqs. (1)-(2).
    """

    lattice: int | Sequence[int] = 4
    amplitude: float = 0.08
    degree: int | None = None
    handles: Sequence[Sequence[int]] | None = None
    box: Float[np.ndarray, "2 d"] | None = None

    def deformation(self, body: Body) -> Deformation:
        """See `Deformation`. Raises: ValueError: arguments that do not fit the mesh."""
        positive(amplitude=self.amplitude)
        low, high = self._box(body.mesh.points)
        weights, handles = self._weights(body.mesh.points), self._handles(low.size)
        labels = [f"control[{','.join(map(str, handle))}]" for handle in handles]
        size = np.tile(self.amplitude * (high - low), len(handles))
        return Deformation(
            along_axes(weights, low.size), symmetric(size), axis_names(labels, low.size)
        )

    def controls(self, points: Float[np.ndarray, "N d"]) -> Float[np.ndarray, "H d"]:
        """Where the control points of the handles are, for a mesh of these points."""
        low, high = self._box(points)
        counts, degrees = self._sizes(low.size)
        greville = []
        for n, k in zip(counts, degrees, strict=True):
            knots = _knots(n, k)
            greville.append(np.array([knots[i + 1 : i + k + 1].mean() for i in range(n)]))
        handles = np.array(self._handles(low.size))
        place = np.stack([g[i] for g, i in zip(greville, handles.T, strict=True)], axis=1)
        return low + place * (high - low)

    def _weights(self, points: Float[np.ndarray, "N d"]) -> Float[np.ndarray, "N H"]:
        """Σ over all control points is 1 in the box and 0 outside."""
        low, high = self._box(points)
        place = (points - low) / (high - low)
        inside = np.flatnonzero(((place >= 0) & (place <= 1)).all(axis=1))
        counts, degrees = self._sizes(low.size)
        handles = np.array(self._handles(low.size))
        weights = np.zeros((len(points), len(handles)))
        total = np.ones((len(inside), len(handles)))
        for axis, (n, k) in enumerate(zip(counts, degrees, strict=True)):
            basis = BSpline.design_matrix(place[inside, axis], _knots(n, k), k).toarray()
            total *= basis[:, handles[:, axis]]
        weights[inside] = total
        return weights

    def _box(self, points: Float[np.ndarray, "N d"]) -> tuple[np.ndarray, np.ndarray]:
        box = np.stack([points.min(axis=0), points.max(axis=0)]) if self.box is None else self.box
        if box.shape != (2, points.shape[1]) or not (box[0] < box[1]).all():
            raise ValueError(
                f"FreeForm: expected a box [2, {points.shape[1]}] of lower and upper corner, got "
                f"{box.tolist()}; a flat mesh in space needs a box= that is thick along each axis"
            )
        return box[0], box[1]

    def _sizes(self, d: int) -> tuple[list[int], list[int]]:
        counts = [self.lattice] * d if isinstance(self.lattice, int) else list(self.lattice)
        if len(counts) != d or min(counts) < 2:
            raise ValueError(
                f"FreeForm: expected a lattice of at least 2 control points along each of {d} "
                f"axes, got {self.lattice}"
            )
        if self.degree is not None and not 1 <= self.degree < min(counts):
            raise ValueError(
                f"FreeForm: expected a degree of 1 to {min(counts) - 1}, got {self.degree}"
            )
        return counts, [n - 1 if self.degree is None else self.degree for n in counts]

    def _handles(self, d: int) -> list[tuple[int, ...]]:
        counts = self._sizes(d)[0]
        every = list(product(*(range(n) for n in counts)))
        if self.handles is None:
            return every
        chosen = [tuple(handle) for handle in self.handles]
        wrong = [handle for handle in chosen if handle not in every]
        if wrong or not chosen:
            raise ValueError(
                f"FreeForm: {wrong[0] if wrong else 'no handle'} is not in a lattice of {counts} "
                "control points; indices count from 0"
            )
        return chosen


def _knots(count: int, degree: int) -> Float[np.ndarray, " T"]:
    inner = np.linspace(0, 1, count - degree + 1)
    return np.concatenate([np.zeros(degree), inner, np.ones(degree)])


@dataclass(frozen=True, eq=False)
class RadialBasis:
    """u(x) = Σ_c p_c W_c(x): radial interpolation of the moves p_c of control points.

    With linear polynomials, so that control points that follow an affine map move everything by
    it. Fixed parts are centres that stay (`spaced` ones where they have many nodes).

    Args:
        centres: [C, d] control points, anywhere; None takes `controls` of them on the boundary.
        controls: number of control points that are chosen, far from each other.
        parts: boundary parts on which they are chosen; None for all that are not fixed.
        amplitude: largest move along an axis / diagonal of the bounding box.
        kernel: "polyharmonic" (stiff, acts everywhere) or "wendland" (acts within the radius).
        radius: R / diagonal, of Wendland's function.

    Source: de Boer, van der Schoot, Bijl, Comput. Struct. 85 (2007) 784-795.
    """

    centres: Float[np.ndarray, "C d"] | None = None
    controls: int = 8
    parts: Sequence[str] | None = None
    amplitude: float = 0.03
    kernel: str = "polyharmonic"
    radius: float = 0.5

    def deformation(self, body: Body) -> Deformation:
        """See `Deformation`. Raises: ValueError: arguments that do not fit the mesh."""
        positive(amplitude=self.amplitude)
        points = body.mesh.points
        if self.centres is not None and self.centres.shape[1] != points.shape[1]:
            raise ValueError(
                f"RadialBasis: expected centres in {points.shape[1]} dimensions, got "
                f"{self.centres.shape[1]}"
            )
        centres = self._chosen(body) if self.centres is None else self.centres
        still = points[body.fixed_nodes]
        if len(still):
            still = still[spaced(still, _STILL)]
            apart = np.abs(still[:, None] - centres).max(axis=2).min(axis=1)
            still = still[apart > 1e-9 * body.diagonal]
        radius = self.radius * body.diagonal
        weights = radial_weights(np.concatenate([centres, still]), points, self.kernel, radius)
        d, count = points.shape[1], len(centres)
        return Deformation(
            along_axes(weights[:, :count], d),
            symmetric(np.full(count * d, self.amplitude * body.diagonal)),
            axis_names([f"centre[{c}]" for c in range(count)], d),
        )

    def _chosen(self, body: Body) -> Float[np.ndarray, "C d"]:
        mask = body.marked(body.skin.simplices[body.rows(self.parts)].ravel())
        nodes = np.flatnonzero(mask & ~body.fixed_nodes)
        if len(nodes) < self.controls:
            raise ValueError(
                f"RadialBasis: expected at most {len(nodes)} controls, the nodes of the parts "
                f"that are not fixed, got {self.controls}"
            )
        points = body.mesh.points[nodes]
        return points[spaced(points, self.controls)]


_STILL = 300  # centres on fixed parts
