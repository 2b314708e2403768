"""Advection and diffusion: weak forms upwinded along the stream, and their march in time."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Bool, Float
from scipy.sparse import csr_matrix, diags_array
from scipy.sparse.linalg import LinearOperator, bicgstab, spilu, splu

from meshgnn.fem import values
from meshgnn.fem.linear import DIRECT, check_residual
from meshgnn.fem.quadrature import Quadrature
from meshgnn.fem.space import Space
from meshgnn.fem.values import CellValue, VectorValue


class Transport:
    """M_ij = ∫ w_i φ_j and K_ij = ∫ w_i b·∇φ_j + k ∇φ_i·∇φ_j, tested with w_i = φ_i + τ b·∇φ_i.

    τ = ζ(P) / Σ_a |b·∇φ_a|, ζ(P) = coth P - 1/P, with the cell's Péclet number P = |b| h / 2k and
    the cell's length h = 2 |b| / Σ_a |b·∇φ_a| along the stream: the method SUPG. It is consistent
    on elements of order 1 with k constant in each cell, where ∇·(k ∇φ_j) = 0.

    Args:
        space: order 1 or 2.
        velocity: b, m/s; constants, a function x[..., d] -> [..., d], an array [N, d].
        diffusivity: k >= 0, m²/s, as `Space.stiffness`.
        upwind: True for all cells, None for those of order 1 with P > 1, False for none (Galerkin).

    Raises:
        ValueError: k < 0, data that do not fit; upwinding all cells of order 2.

    Source: Brooks and Hughes, Comput. Methods Appl. Mech. Eng. 32 (1982) 199-259; h as Tezduyar
    and Osawa, ibid. 190 (2000) 411-430.
    """

    def __init__(
        self, space: Space, velocity: VectorValue, diffusivity: CellValue, upwind: bool | None
    ) -> None:
        if upwind and space.order == 2:
            raise ValueError(
                "upwind: streamline upwinding is for elements of order 1; leave it None at order 2"
            )
        self.space, d = space, space.points.shape[1]
        k = values.coefficient(diffusivity, space.mesh, "diffusivity")
        self._blocks: list[tuple[Quadrature, np.ndarray, np.ndarray, np.ndarray]] = []
        self.peclet = 0.0
        for block in space.quadratures(3 * space.order):
            b = block.evaluate(velocity, "velocity", None if d == 1 else d)
            diffusion = block.evaluate(k, "diffusivity")
            if diffusion.min(initial=0.0) < 0:
                raise ValueError(f"diffusivity: expected k >= 0, got {diffusion.min():.6g}")
            b = b.reshape(*block.weights.shape, d)
            along = np.einsum("qmd,qkdm->qkm", b, block.gradients)
            stream, number = _stream(along, b, diffusion)
            self.peclet = max(self.peclet, float(number.max(initial=0.0)))
            chosen = np.full(number.shape, bool(upwind))
            if upwind is None and space.order == 1:
                chosen = number > 1
            tau = np.where(chosen, _bias(number) / stream, 0.0)
            test = block.table.shapes[:, :, None] + tau[:, None] * along
            self._blocks.append((block, test * block.weights[:, None], along, diffusion))

    def mass(self) -> csr_matrix:
        """M."""
        return self.space.assembled(
            [
                (block.dofs, np.einsum("qkm,ql->klm", test, block.table.shapes))
                for block, test, _, _ in self._blocks
            ]
        )

    def stiffness(self) -> csr_matrix:
        """K."""
        parts = []
        for block, test, along, diffusion in self._blocks:
            local = np.einsum("qkm,qlm->klm", test, along)
            scaled = block.gradients * (block.weights * diffusion)[:, None, None]
            local += np.einsum("qkdm,qldm->klm", scaled, block.gradients)
            parts.append((block.dofs, local))
        return self.space.assembled(parts)

    def load(self, source: CellValue) -> Float[np.ndarray, " n"]:
        """b_i = ∫ f w_i dx."""
        data, result = values.by_region(source, self.space.mesh, "source"), 0.0
        for block, test, _, _ in self._blocks:
            local = np.einsum("qkm,qm->km", test, block.evaluate(data, "source"))
            result = result + np.bincount(block.dofs.T.ravel(), local.ravel(), self.space.size)
        return np.asarray(result)


def _stream(
    along: Float[np.ndarray, "Q k M"], b: Float[np.ndarray, "Q M d"], k: Float[np.ndarray, "Q M"]
) -> tuple[Float[np.ndarray, "Q M"], Float[np.ndarray, "Q M"]]:
    """Σ_a |b·∇φ_a| (1 where the fluid rests) and the Péclet number |b|² / (k Σ_a |b·∇φ_a|)."""
    speed2, stream = (b**2).sum(axis=2), np.abs(along).sum(axis=1)
    moving = stream > 0
    stream = np.where(moving, stream, 1.0)
    with np.errstate(divide="ignore", invalid="ignore"):
        number = speed2 / (k * stream)
    return stream, np.where(moving & (speed2 > 0), number, 0.0)


def _bias(peclet: Float[np.ndarray, "Q M"]) -> Float[np.ndarray, "Q M"]:
    """ζ(P) = coth P - 1/P, P/3 where that cancels."""
    large = np.maximum(peclet, 1e-2)
    return np.where(peclet > 1e-2, 1 / np.tanh(large) - 1 / large, peclet / 3)


@dataclass(frozen=True, eq=False)
class Stage:
    """What one time has to say: M u' + K u = b, u = g where prescribed.

    Args:
        mass: M [n, n].
        stiffness: K [n, n].
        load: b [n].
        values: g [n], 0 where free.
    """

    mass: csr_matrix
    stiffness: csr_matrix
    load: Float[np.ndarray, " n"]
    values: Float[np.ndarray, " n"]


def march(
    at: Callable[[float, float], Stage],
    free: Bool[np.ndarray, " n"],
    start: Float[np.ndarray, " n"],
    times: Float[np.ndarray, " T"],
    theta: float,
    substeps: int,
    dim: int,
) -> Iterator[Float[np.ndarray, " n"]]:
    """M (u⁺ - u)/Δt + K (θ u⁺ + (1-θ) u) = b, with M, K, b at t + θ Δt and u⁺ = g at t + Δt.

    θ = 1 is implicit Euler (order 1), θ = 1/2 the midpoint rule (order 2). Matrices need not be
    symmetric; they are factorised when they or Δt change.

    Args:
        at: (t + θ Δt, t + Δt) -> matrices and load at the first, values at the second.
        free: False on Dirichlet rows.
        start: u at times[0].
        times: increasing; u is yielded at each.
        theta: θ.
        substeps: equal steps between two times.
        dim: d of the points.

    Raises:
        numpy.linalg.LinAlgError: a step whose relative residual stays above 1e-8.
    """
    u, known = start, []

    def factors(stage: Stage, dt: float) -> list[Any]:
        if not known or known[0] != dt or known[1] is not stage.stiffness:
            left = (stage.mass + theta * dt * stage.stiffness).tocsr()
            right = (stage.mass - (1 - theta) * dt * stage.stiffness).tocsr()
            inner = _solver(left[free][:, free], dim) if free.any() else None
            known[:] = dt, stage.stiffness, left, right, inner
        return known[2:]

    yield u
    for begin, end in zip(times[:-1].tolist(), times[1:].tolist(), strict=True):
        # steps of 0.1 and 0.1 + rounding share one factorisation
        dt = float(f"{(end - begin) / substeps:.12g}")
        for step in range(substeps):
            time = begin + (end - begin) * (step + theta) / substeps
            stage = at(time, begin + (end - begin) * (step + 1) / substeps)
            left, right, apply = factors(stage, dt)
            drive, u = right @ u + dt * stage.load, stage.values.copy()
            if apply is not None:
                goal = (drive - left @ u)[free]
                u[free] = apply(goal)
                check_residual(left, u, drive, free, float(np.linalg.norm(goal)))
        yield u


def _solver(matrix: csr_matrix, dim: int) -> Callable[[np.ndarray], np.ndarray]:
    """b -> A⁻¹ b for matrices near symmetry: LU, above `DIRECT` BiCGStab with incomplete LU."""
    if len(matrix.indptr) <= DIRECT[dim]:
        return splu(matrix.tocsc(), permc_spec="MMD_AT_PLUS_A", diag_pivot_thresh=0.1).solve
    # rows scaled by the diagonal: the drop tolerance is then one for all
    scale = 1 / matrix.diagonal()
    scaled = csr_matrix(diags_array(scale) @ matrix)
    factors = spilu(scaled.tocsc(), drop_tol=1e-4, fill_factor=8)
    near = LinearOperator(scaled.shape, factors.solve)

    def apply(right: np.ndarray) -> np.ndarray:
        solution, _ = bicgstab(scaled, scale * right, rtol=1e-11, atol=0.0, M=near, maxiter=500)
        return np.asarray(solution)  # its residual is checked with the step

    return apply
