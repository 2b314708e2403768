"""Fields between a mesh and the same mesh with moved nodes."""

from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from meshgnn.operators.differential import lumped_mass
from meshgnn.operators.interpolation import Location
from meshgnn.operators.tracking import neighbour_steps, track


@dataclass(frozen=True, eq=False)
class Transfer:
    """I1 from a mesh to the moved one, I2 back: nodal fields [N, C] to nodal fields [N, C].

        v_i = Σ_k λ_k(x_i) u_k + s_i (ū − v̄),   ū = Σ m_i u_i / Σ m_i on the mesh that u lives on

    P1 interpolation at the new nodes, and, when `conservative`, what keeps the mean in the lumped
    masses of the two meshes: the integral, where the two polygons have one volume. s_i ≥ 0 of mean
    1 is the local variation of v, the largest difference within a simplex of node i over its mean:
    what interpolation lost is put back where it was lost, at fronts, and nothing is added where the
    field is constant. So constants are exact to the last digit; linear fields are exact as well,
    for both meshes have their integrals, and no correction remains; smooth fields to second order.

    Alternatives do not keep all of it: the transpose of the other direction (masses spread onto
    the new nodes) keeps the integral and not constants; the L2 projection by quadrature keeps
    constants and the integral only as far as the quadrature does, and by the intersection of the
    cells it costs more than a network.

    What neither keeps are features thinner than an edge: fields with fronts of half an edge come
    back from a mesh that is adapted to them with a change of 5 %.

    A disjoint union of meshes is treated mesh by mesh. Where the boundary is curved the two
    polygons differ by O(h²), and means are kept, not integrals. Not covered: periodic meshes,
    surfaces.

    Args:
        simplices: [S, d + 1] of both meshes.
        there: the moved nodes in the given mesh.
        back: the nodes of the given mesh in the moved one.
        mass: lumped mass [N] of the given mesh.
        moved_mass: [N] of the moved one.
        batch: [N] mesh of each node.
        conservative: whether means are kept.
    """

    simplices: Int[Tensor, "S n"]
    there: Location
    back: Location
    mass: Float[Tensor, " N"]
    moved_mass: Float[Tensor, " N"]
    batch: Int[Tensor, " N"]
    conservative: bool = True

    @classmethod
    def between(
        cls,
        pos: Float[Tensor, "N d"],
        moved: Float[Tensor, "N d"],
        simplices: Int[Tensor, "S n"],
        steps: Int[Tensor, "S n"] | None = None,
        batch: Int[Tensor, " N"] | None = None,
        conservative: bool = True,
    ) -> "Transfer":
        """From the positions of the nodes on both meshes; `steps` and `batch` as in `track`.

        Raises:
            ValueError: as `track`.
        """
        batch = simplices.new_zeros(len(pos)) if batch is None else batch
        steps = neighbour_steps(simplices, len(pos)) if steps is None else steps
        there = track(moved, pos, simplices, steps, batch)
        back = track(pos, moved, simplices, steps, batch)
        masses = lumped_mass(pos, simplices), lumped_mass(moved, simplices)
        return cls(simplices, there, back, *masses, batch, conservative)

    def to_moved(
        self, u: Float[Tensor, "N C"], fixed: Bool[Tensor, "N C"] | None = None
    ) -> Float[Tensor, "N C"]:
        """I1; entries that are `fixed`, as boundary values are, take no part in the correction."""
        return self._carried(u, self.there, self.mass, self.moved_mass, fixed)

    def to_given(
        self, v: Float[Tensor, "N C"], fixed: Bool[Tensor, "N C"] | None = None
    ) -> Float[Tensor, "N C"]:
        """I2."""
        return self._carried(v, self.back, self.moved_mass, self.mass, fixed)

    def known_to_moved(
        self, u: Float[Tensor, "N C"], known: Bool[Tensor, "N C"]
    ) -> Float[Tensor, "N C"]:
        """Σ λ_k u_k / Σ λ_k over the corners where u is known; 0 where none is: boundary data."""
        corners, weights = self.simplices[self.there.simplex], self.there.weights.clamp(min=0)
        held = weights[:, :, None] * known[corners]
        total = held.sum(dim=1)
        found = (held * u[corners]).sum(dim=1) / torch.where(total > 0, total, 1.0)
        return torch.where(total > 0, found, 0.0)

    def _carried(
        self,
        u: Tensor,
        place: Location,
        from_mass: Tensor,
        to_mass: Tensor,
        fixed: Tensor | None,
    ) -> Float[Tensor, "N C"]:
        corners = u[self.simplices[place.simplex]]
        first = corners[:, :1]  # of differences, so that constants stay what they are
        v = first[:, 0] + (place.weights[:, :, None] * (corners - first)).sum(dim=1)
        if not self.conservative:
            return v
        level = u[torch.searchsorted(self.batch, self.batch.unique())]  # no rounding in constants
        level = level[self.batch]
        gap = self._means(u - level, from_mass) - self._means(v - level, to_mass)
        share = self._share(v, to_mass, fixed)
        return (v + gap[self.batch] * share).to(v.dtype)

    def _share(self, v: Tensor, mass: Tensor, fixed: Tensor | None) -> Float[Tensor, "N C"]:
        """Largest difference within a simplex of each node, over its mean; 1 for a constant."""
        corners = v[self.simplices]
        spread = (corners.amax(dim=1) - corners.amin(dim=1))[:, None].expand_as(corners)
        index = self.simplices.reshape(-1, 1).expand(-1, v.shape[1])
        most = torch.zeros_like(v).scatter_reduce(0, index, spread.flatten(0, 1), "amax")
        most = most if fixed is None else most.masked_fill(fixed, 0.0)
        mean = self._means(most, mass)[self.batch]
        return torch.where(mean > 0, most / torch.where(mean > 0, mean, 1.0), 1.0)

    def _means(self, v: Tensor, mass: Tensor) -> Float[Tensor, "B C"]:
        """Σ m_i v_i / Σ m_i of every mesh, in float64."""
        weights = torch.cat([mass[:, None] * v.double(), mass.double()[:, None]], dim=1)
        sums = weights.new_zeros(int(self.batch[-1]) + 1, weights.shape[1])
        sums = sums.index_add(0, self.batch, weights)
        return sums[:, :-1] / sums[:, -1:]
