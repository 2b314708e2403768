"""A hyperelastic body on simplices: masses, forces, energy, the step that is stable."""

from dataclasses import dataclass
from functools import cached_property
from itertools import combinations

import numpy as np
from jaxtyping import Float

from meshgnn.fem import elastic_kernels as kernels
from meshgnn.mesh import Mesh

LAWS = ("neo-Hookean", "fixed-corotated")
Arrays = tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray, np.ndarray, np.ndarray]


@dataclass(frozen=True, eq=False)
class Solid:
    """ρ ü = ∇·P(F) + ρ g on simplices, F = I + ∇u, with lumped masses.

        neo-Hookean      W = μ/2 (tr FᵀF - d) - μ ln J + λ/2 (ln J)²,  P = μ F + (λ ln J - μ) F⁻ᵀ
        fixed-corotated  W = μ |F - R|² + λ/2 (J - 1)²,     P = 2μ (F - R) + λ (J - 1) J F⁻ᵀ

    J = det F, R the rotation nearest to F; both are linear elasticity with λ and μ at small
    strains, and plane strain in 2D. Neo-Hookean material cannot turn inside out; the other law
    goes through J = 0 and back, with finite forces.

    Args:
        mesh: of dimension d = 2 or 3 in as many coordinates; its simplices carry P1.
        lame: [S] λ, Pa.
        shear: [S] μ, Pa.
        density: [S] ρ, kg/m³.
        law: one of `LAWS`.

    Source: neo-Hookean as Bonet & Wood, Nonlinear Continuum Mechanics for Finite Element Analysis,
        2008, section 6.4.3; fixed-corotated as Stomakhin et al., Energetically consistent
        invertible elasticity, SCA 2012; R by the invariants of Lin, Chitalu & Komura, Isotropic
        ARAP energy using Cauchy-Green invariants, ACM Trans. Graph. 41 (2022).
    """

    mesh: Mesh
    lame: Float[np.ndarray, " S"]
    shear: Float[np.ndarray, " S"]
    density: Float[np.ndarray, " S"]
    law: str = LAWS[0]

    @property
    def kind(self) -> tuple[int, tuple[int, ...]]:
        """Number of the law, and the axes, as the kernels take them."""
        return LAWS.index(self.law), tuple(range(self.mesh.dim))

    @cached_property
    def slopes(self) -> Float[np.ndarray, "S d d"]:
        """∇φ_a of the corners a = 1 ... d of each simplex; that of the first is minus their sum."""
        corners = self.mesh.points[self.mesh.simplices]
        edges = corners[:, 1:] - corners[:, :1]
        return np.ascontiguousarray(np.linalg.inv(edges).transpose(0, 2, 1))

    @cached_property
    def mass(self) -> Float[np.ndarray, " N"]:
        """∫ ρ φ_i dx, kg (per depth in 2D)."""
        rows = self.mesh.simplices
        share = self.density * self.mesh.simplex_volumes / rows.shape[1]
        return np.bincount(rows.ravel(), np.repeat(share, rows.shape[1]), self.mesh.num_nodes)

    @cached_property
    def arrays(self) -> Arrays:
        """Connectivity, slopes, volumes, λ, μ and ω² of the simplices, as the kernels take them."""
        rows = np.ascontiguousarray(self.mesh.simplices)
        return rows, self.slopes, self.mesh.simplex_volumes, self.lame, self.shear, self.rates

    def forces(self, u: Float[np.ndarray, "N d"]) -> tuple[Float[np.ndarray, "N d"], float, float]:
        """-∂E/∂u at the nodes, N, the strain energy E = ∫ W dx, J, and the largest ω², 1/s².

        Raises:
            ValueError: a cell that is inside out (neo-Hookean) or stretched a thousandfold.
        """
        force = np.empty_like(u)
        energy, peak, cell = kernels.forces(*self.kind, u, *self.arrays, force)
        if not np.isfinite(peak):
            raise ValueError(
                f"displacement: simplex {cell} with nodes {self.mesh.simplices[cell].tolist()} is "
                "turned inside out or torn apart by it; give a displacement whose J = "
                "det(I + ∇u) is positive"
            )
        return force, float(energy), float(peak)

    @cached_property
    def rates(self) -> Float[np.ndarray, " S"]:
        """ω², 1/s², of the stiffest mode of each simplex by itself, at rest, with lumped masses.

            ω² = (d + 1) / ρ · largest eigenvalue of ε -> C sym(ε S)

        with S = Σ_a ∇φ_a ∇φ_aᵀ and C ε = λ tr(ε) I + 2μ ε. The largest of them bounds those of the
        whole mesh, and 2 / ω is the limit of central differences at small strains.

        Source: Hughes, The Finite Element Method, 1987, section 9.2 (bound by single elements).
        """
        d = self.mesh.dim
        all_slopes = np.concatenate([-self.slopes.sum(axis=1, keepdims=True), self.slopes], axis=1)
        spread = np.einsum("sai,saj->sij", all_slopes, all_slopes)
        basis = [np.diag(row) for row in np.eye(d)]
        for i, j in combinations(range(d), 2):
            basis.append(np.zeros((d, d)))
            basis[-1][[i, j], [j, i]] = np.sqrt(0.5)
        e = np.array(basis)
        operator = np.einsum("kij,sjm,lmi->skl", e, spread, e)
        trace = np.einsum("kii->k", e)
        # √C: C is λ d + 2μ on the identity and 2μ on what has no trace
        shear = np.sqrt(2 * self.shear)
        bulk = np.sqrt(d * self.lame + 2 * self.shear)
        root = shear[:, None, None] * np.eye(len(e))
        root += ((bulk - shear) / d)[:, None, None] * np.outer(trace, trace)
        largest = np.linalg.eigvalsh(root @ operator @ root)[:, -1]
        return (d + 1) * largest / self.density

    @property
    def stable_step(self) -> float:
        """2 / max ω, s, at rest."""
        return float(2 / np.sqrt(self.rates.max()))
