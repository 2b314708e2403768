"""Deformations of the boundary along its normals, which the inside follows."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float
from scipy.sparse import csr_array, diags_array

from meshgnn.geometry.morph.body import Body
from meshgnn.geometry.morph.deformation import Deformation, positive, symmetric
from meshgnn.geometry.morph.matrices import Factorised, laplacian, lumped


@dataclass(frozen=True, eq=False)
class Modal:
    """u = n Σ_k p_k v_k on the boundary, v_k the eigenmodes -Δ v = λ v of its Laplacian.

    v_k is scaled to size 1; |p_k| <= a D (λ_min / λ_k)^½ with the diagonal D, so that no mode
    turns the boundary by more than another. λ_min is the least that is positive.

    Args:
        count: K modes.
        parts: boundary parts that vary; None for all that are not fixed. At the ends, where held
            parts begin, the modes are 0.
        amplitude: a.
        extension: how the inside follows, see `Body.extended`.
    """

    count: int = 8
    parts: Sequence[str] | None = None
    amplitude: float = 0.02
    extension: str = "elastic"

    def deformation(self, body: Body) -> Deformation:
        """See `Deformation`. Raises: ValueError: arguments that do not fit the mesh."""
        positive(count=self.count, amplitude=self.amplitude)
        rows = body.rows(self.parts)
        held = body.held(rows)
        values, fields = body.skin.modes(rows, held, self.count)
        fields = fields / np.abs(fields).max(axis=0)
        varying = values > 1e-9 * max(values.max(), np.finfo(float).tiny)
        least = values[varying].min() if varying.any() else 1.0
        size = self.amplitude * body.diagonal * np.sqrt(least / np.maximum(values, least))
        names = [f"mode[{k}]" for k in range(self.count)]
        modes = _along_normals(body, rows, held, fields, self.extension)
        return Deformation(modes, symmetric(size), names)


@dataclass(frozen=True, eq=False)
class Noise:
    """u = a D n g on the boundary, g a Gaussian random field of correlation length ℓ, of size 1.

    (κ² - Δ)^{α/2} g = white noise with κ = √(8ν)/ℓ, ν = α - (d-1)/2: Whittle's and Matérn's
    field, by its eigenmodes, of which the first are taken that carry most of the variance. The
    parameters are their normal amplitudes, cut off at ±3. The pointwise deviation is 1 on average
    over the boundary; it is less near held parts, where g = 0.

    Args:
        length: ℓ / diagonal: at this distance along the boundary the correlation is about 0.1.
        amplitude: a, the standard deviation / diagonal D.
        smoothness: α, at least d/2.
        parts: boundary parts that vary; None for all that are not fixed.
        variance: share of the variance that is kept, below 1.
        most: largest number of modes.
        extension: how the inside follows, see `Body.extended`.

    Source: Lindgren, Rue, Lindström, J. R. Stat. Soc. B 73 (2011) 423-498, eqs. (2)-(3).
    """

    length: float = 0.15
    amplitude: float = 0.008
    smoothness: float = 3.0
    parts: Sequence[str] | None = None
    variance: float = 0.98
    most: int = 48
    extension: str = "elastic"

    def deformation(self, body: Body) -> Deformation:
        """See `Deformation`. Raises: ValueError: arguments that do not fit the mesh."""
        positive(length=self.length, amplitude=self.amplitude, most=self.most)
        nu = self.smoothness - (body.skin.simplices.shape[1] - 1) / 2
        if nu <= 0:
            raise ValueError(
                f"Noise: expected a smoothness above {self.smoothness - nu:g}, got "
                f"{self.smoothness}"
            )
        if not 0 < self.variance < 1:
            raise ValueError(f"Noise: expected a variance between 0 and 1, got {self.variance}")
        rows = body.rows(self.parts)
        held = body.held(rows)
        nodes = body.marked(body.skin.simplices[rows].ravel()) & ~held
        values, fields = body.skin.modes(rows, held, min(self.most, int(nodes.sum())))
        kappa2 = 8 * nu / (self.length * body.diagonal) ** 2
        weight = (1 + values / kappa2) ** -self.smoothness
        kept = np.cumsum(weight) / weight.sum()
        count = min(int(np.searchsorted(kept, self.variance)) + 1, len(weight))
        fields = fields[:, :count] * np.sqrt(weight[:count])
        mass = lumped(body.mesh.points, body.skin.simplices[rows])
        fields /= np.sqrt(mass @ (fields**2).sum(axis=1) / mass.sum())
        modes = (
            self.amplitude
            * body.diagonal
            * _along_normals(body, rows, held, fields, self.extension)
        )
        names = [f"noise[{k}]" for k in range(count)]
        return Deformation(modes, symmetric(np.full(count, 3.0)), names, normal=True)


@dataclass(frozen=True, eq=False)
class Offset:
    """u = p n on each part: thicker where p > 0, thinner where p < 0.

    At held neighbours the offset goes to 0 within the reach; neighbours that are free follow.

    Args:
        parts: boundary parts, one parameter for each; not empty.
        amplitude: largest |p| / diagonal.
        extension: how the inside follows, see `Body.extended`.
    """

    parts: Sequence[str]
    amplitude: float = 0.02
    extension: str = "elastic"

    def deformation(self, body: Body) -> Deformation:
        """See `Deformation`. Raises: ValueError: arguments that do not fit the mesh."""
        positive(amplitude=self.amplitude)
        every = body.rows(_some(self.parts, "Offset"))
        held = body.held(every)
        found = []
        for part in self.parts:
            rows = body.rows([part])
            # the other parts of this kind move on their own
            height = body.skin.taper(rows, held, body.reach * body.diagonal / 2)
            found.append(body.skin.normals(rows) * height[:, None])
        given = held | body.marked(body.skin.simplices[every].ravel())
        modes = body.extended(np.stack(found, axis=2), given, self.extension)
        size = np.full(len(found), self.amplitude * body.diagonal)
        return Deformation(modes, symmetric(size), [f"offset[{part}]" for part in self.parts])


@dataclass(frozen=True, eq=False)
class Fillet:
    """u = p (y - x) with y - r² Δ y = x on each part, p in [0, 1]: corners and edges get rounder.

    One implicit step of curvature flow; details below the radius r go. Held neighbours keep the
    ends of a part where they are.

    Args:
        parts: boundary parts, one parameter for each; not empty.
        radius: r / diagonal.
        extension: how the inside follows, see `Body.extended`.

    Source: Desbrun, Meyer, Schröder, Barr, Implicit fairing, SIGGRAPH 1999, eq. (9).
    """

    parts: Sequence[str]
    radius: float = 0.05
    extension: str = "elastic"

    def deformation(self, body: Body) -> Deformation:
        """See `Deformation`. Raises: ValueError: arguments that do not fit the mesh."""
        positive(radius=self.radius)
        every = body.rows(_some(self.parts, "Fillet"))
        held = body.held(every)
        points, found = body.mesh.points, []
        for part in self.parts:
            rows = body.skin.simplices[body.rows([part])]
            if rows.shape[1] < 2:
                raise ValueError("Fillet: points have no curvature; it needs curves or surfaces")
            nodes = np.unique(rows)
            mass = lumped(points, rows)[nodes]
            flow = (self.radius * body.diagonal) ** 2 * laplacian(points, rows)[nodes][:, nodes]
            solver = Factorised(csr_array(flow + diags_array(mass)), held[nodes])
            # A (y - x) = -r² L x, of which the held nodes are left out
            move = np.zeros_like(points)
            move[nodes[solver.free]] = solver.solve(-(flow @ points[nodes])[solver.free])
            found.append(move)
        given = held | body.marked(body.skin.simplices[every].ravel())
        modes = body.extended(np.stack(found, axis=2), given, self.extension)
        bounds = np.tile([0.0, 1.0], (len(found), 1))
        return Deformation(modes, bounds, [f"fillet[{part}]" for part in self.parts])


def _some(parts: Sequence[str], who: str) -> Sequence[str]:
    if not parts or isinstance(parts, str):
        raise ValueError(f"{who}: expected a list of at least one boundary part, got {parts!r}")
    return parts


def _along_normals(
    body: Body,
    rows: Bool[np.ndarray, " F"],
    held: Bool[np.ndarray, " N"],
    fields: Float[np.ndarray, "N K"],
    extension: str,
) -> Float[np.ndarray, "N d K"]:
    given = held | body.marked(body.skin.simplices[rows].ravel())
    return body.extended(body.skin.normals(rows)[:, :, None] * fields[:, None], given, extension)
