"""Newmark's scheme of average acceleration for M ü + A u̇ + K u = b(t)."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float
from scipy.sparse import csr_matrix

from meshgnn.fem.linear import check_residual, solver

Vector = Float[np.ndarray, " n"]


@dataclass(frozen=True, eq=False)
class Oscillator:
    """M ü + A u̇ + K u = b on free rows, u = g elsewhere.

    Args:
        mass: M, [n, n], symmetric positive definite.
        stiffness: K, [n, n], symmetric positive semidefinite.
        damping: A, [n, n], likewise; None for none.
        free: [n], False where u is prescribed.
        dim: d of the points, which decides how the steps are solved.
    """

    mass: csr_matrix
    stiffness: csr_matrix
    damping: csr_matrix | None
    free: Bool[np.ndarray, " n"]
    dim: int

    def steps(
        self,
        at: Callable[[float], tuple[Vector, Vector, Vector]],
        start: tuple[Vector, Vector],
        times: Float[np.ndarray, " T"],
        substeps: int = 1,
    ) -> Iterator[tuple[Vector, Vector]]:
        """(u, u̇) at the times, by β = 1/4, γ = 1/2: stable for every Δt, of order 2.

            (M + Δt/2 A + Δt²/4 K)(u' - u) = Δt M v - Δt²/2 K u + Δt²/4 (b + b'),
            v' = 2 (u' - u)/Δt - v

        which is the trapezoidal rule for (u, v): it needs no acceleration, and without A, b and g
        it keeps vᵀM v + uᵀK u to rounding. The matrix is factorised once for each Δt that occurs.

        Args:
            at: t -> (b, g, ġ), load, prescribed values and their rates.
            start: u and v at times[0].
            times: increasing; a pair is yielded at each.
            substeps: equal steps between two times.

        Raises:
            numpy.linalg.LinAlgError: a step whose relative residual stays above 1e-8.

        Source: Newmark, J. Eng. Mech. Div. ASCE 85 (1959) 67-94; Hughes, The Finite Element
            Method, 1987, section 9.1.
        """
        free, (u, v) = self.free, start
        load, held, rate = at(float(times[0]))
        known: dict[float, tuple] = {}
        yield u, v
        for begin, end in zip(times[:-1], times[1:], strict=True):
            # steps of 0.1 and 0.1 + rounding share one factorisation
            dt = float(f"{(end - begin) / substeps:.12g}")
            if dt not in known:
                known[dt] = self._factorised(dt)
            left, apply = known[dt]
            for step in range(substeps):
                past = load, held, rate
                load, held, rate = at(float(begin + (end - begin) * (step + 1) / substeps))
                change = np.where(free, 0.0, held - past[1])
                # on prescribed rows ġ is known, and M (v' - v) is taken from it
                drift = np.where(free, dt * v, held - past[1] - dt / 2 * (rate - past[2]))
                drive = self.mass @ drift + dt**2 / 4 * (load + past[0] - 2 * (self.stiffness @ u))
                if apply is not None:
                    goal = (drive - left @ change)[free]
                    change[free] = apply(goal)
                    check_residual(left, change, drive, free, float(np.linalg.norm(goal)))
                u = np.where(free, u + change, held)
                v = np.where(free, 2 * change / dt - v, rate)
            yield u, v

    def _factorised(self, dt: float) -> tuple:
        left = self.mass + dt**2 / 4 * self.stiffness
        if self.damping is not None:
            left = left + dt / 2 * self.damping
        left = left.tocsr()
        inner = left[self.free][:, self.free]
        return left, solver(inner, self.dim) if self.free.any() else None
