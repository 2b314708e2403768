"""The convective term of momentum, evaluated by quadrature on precomputed tables."""

import numpy as np
from jaxtyping import Float, Int
from scipy.sparse import csr_matrix

from meshgnn.fem.space import Space


class Convection:
    """N_i(u) = ∫ φ_i (u·∇)u dx, u of C = d components; exact on affine cells.

    In reference coordinates (u·∇)u = Σ_i w_i ∂u/∂ξ_i with the rates w_i = u·g^i: dense products
    with the tables of one element, and no matrix is assembled.

    Args:
        space: order 1 or 2, d the dimension of its points.
        index: [n] class of each degree of freedom, 0 ... m - 1 (`fem.periodic.classes`).
    """

    def __init__(self, space: Space, index: Int[np.ndarray, " n"]) -> None:
        self.size = int(index.max()) + 1
        self._blocks = []
        for block in space.quadratures(3 * space.order - 1):
            dofs = index[block.dofs].T
            columns = np.arange(dofs.size)
            gather = (np.ones(dofs.size), (dofs.ravel(), columns))
            scatter = csr_matrix(gather, shape=(self.size, dofs.size))
            slopes = np.moveaxis(block.table.shape_slopes, 2, 0).copy()
            self._blocks.append(
                (dofs, block.table.shapes, slopes, block.duals, block.weights, scatter)
            )

    def __call__(self, u: Float[np.ndarray, "m C"]) -> tuple[Float[np.ndarray, "m C"], float]:
        """N(u), and the largest rate max Σ_i |w_i| in 1/s: with Δt the Courant number."""
        result, fastest = np.zeros((u.shape[1], self.size)), 0.0
        for dofs, shapes, slopes, duals, weights, scatter in self._blocks:
            local = u.T[:, dofs]  # [C, k, M]
            velocity = shapes @ local
            rates = [np.einsum("qdm,dqm->qm", dual, velocity) for dual in np.moveaxis(duals, 1, 0)]
            # np.maximum keeps a NaN, which max does not
            fastest = float(np.maximum(fastest, sum(map(np.abs, rates), np.zeros(())).max()))
            total = np.zeros_like(velocity)
            for rate, slope in zip(rates, slopes, strict=True):
                total += rate * (slope @ local)
            total *= weights
            parts = shapes.T @ total  # [C, k, M]
            for c, part in enumerate(parts):
                result[c] += scatter @ part.ravel()
        return result.T, fastest
