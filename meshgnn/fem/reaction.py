"""Reaction and diffusion in time: diffusion implicit, reaction explicit."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from math import sqrt

import numpy as np
from jaxtyping import Bool, Float
from scipy.sparse import csr_matrix

from meshgnn.fem.linear import check_residual, solver

States = Float[np.ndarray, "n C"]
_GAMMA = 1 - 1 / sqrt(2)
_DELTA = 1 - 1 / (2 * _GAMMA)


@dataclass(frozen=True, eq=False)
class ReactionDiffusion:
    """M du_c/dt + D_c K u_c = M R_c(u) + b_c(t) on free rows, u_c = g_c elsewhere, c = 1 ... C.

    R is taken at the degrees of freedom: its field is the interpolant of R(u).

    Args:
        mass: M, [n, n], symmetric positive definite.
        stiffness: K, [n, n], of unit diffusivity.
        diffusivity: C numbers D >= 0.
        reaction: u [n, C] -> R [n, C].
        free: [n, C], False where a component is prescribed.
        dim: d of the points, which decides how the steps are solved.
    """

    mass: csr_matrix
    stiffness: csr_matrix
    diffusivity: tuple[float, ...]
    reaction: Callable[[States], States]
    free: Bool[np.ndarray, "n C"]
    dim: int

    def steps(
        self,
        at: Callable[[float], tuple[States, States]],
        start: States,
        times: Float[np.ndarray, " T"],
        substeps: int = 1,
    ) -> Iterator[States]:
        """u at the times, by the two-stage IMEX Runge–Kutta scheme of order 2, γ = 1 - 1/√2.

        The implicit part is L-stable (rough initial values are damped), the explicit one bounds Δt
        by the rates of the reaction alone. Both stages share the matrix M + γ Δt D_c K, factorised
        once for each Δt that occurs.

        Args:
            at: t -> (b, g), load and prescribed values.
            start: u at times[0].
            times: increasing; a state is yielded at each.
            substeps: equal steps between two times.

        Raises:
            numpy.linalg.LinAlgError: a stage whose relative residual stays above 1e-8.

        Source: Ascher, Ruuth & Spiteri, Appl. Numer. Math. 25 (1997) 151-167, section 2.6.
        """
        u, known = start, {}
        yield u
        for begin, end in zip(times[:-1], times[1:], strict=True):
            # steps of 0.1 and 0.1 + rounding share one factorisation
            dt = float(f"{(end - begin) / substeps:.12g}")
            if dt not in known:
                known[dt] = self._factorised(dt)
            for step in range(substeps):
                now = float(begin + (end - begin) * step / substeps)
                u = self._step(known[dt], at, u, now, dt)
            yield u

    def _step(
        self,
        factors: list[tuple],
        at: Callable[[float], tuple[States, States]],
        u: States,
        now: float,
        dt: float,
    ) -> States:
        first = self.reaction(u)
        load, held = at(now + _GAMMA * dt)
        inner = self._stage(factors, u + _GAMMA * dt * first, _GAMMA * dt * load, held)
        slope = load - (self.stiffness @ inner) * self.diffusivity
        both = _DELTA * first + (1 - _DELTA) * self.reaction(inner)
        load, held = at(now + dt)
        gain = dt * ((1 - _GAMMA) * slope + _GAMMA * load)
        return self._stage(factors, u + dt * both, gain, held)

    def _stage(self, factors: list[tuple], known: States, gain: States, held: States) -> States:
        """(M + γ Δt D K) u = M known + gain on free rows, u = g elsewhere."""
        drive, result = self.mass @ known + gain, held.copy()
        for c, (left, apply) in enumerate(factors):
            free, column = self.free[:, c], held[:, c].copy()
            if apply is not None:
                goal = (drive[:, c] - left @ np.where(free, 0.0, column))[free]
                column[free] = apply(goal)
                check_residual(left, column, drive[:, c], free, float(np.linalg.norm(goal)))
            result[:, c] = column
        return result

    def _factorised(self, dt: float) -> list[tuple]:
        result = []
        for c, diffusivity in enumerate(self.diffusivity):
            left, free = (
                csr_matrix(self.mass + _GAMMA * dt * diffusivity * self.stiffness),
                self.free[:, c],
            )
            inner = left[free][:, free]
            result.append((left, solver(inner, self.dim) if free.any() else None))
        return result
