"""Two-step implicit-explicit time marching for M du/dt + N(u) + K u = b(t)."""

from collections.abc import Callable, Iterator
from math import ceil

import numpy as np
from jaxtyping import Bool, Float
from scipy.sparse import csr_matrix

from meshgnn.fem.convection import Convection
from meshgnn.fem.linear import solver

_LIMIT = 1e5  # steps between two times, beyond which the solution is taken to be lost

Data = Callable[[float], tuple[Float[np.ndarray, "n C"], Float[np.ndarray, "n C"]]]


class Imex:
    """Variable-step SBDF2: backward differences, N extrapolated; order 2.

    With w the ratio of a step Δt to the one before,
    (a M + K) u⁺ = M ((1 + w) u - w²/(1 + w) u⁻)/Δt + b⁺ - (1 + w) N(u) + w N(u⁻),
    a = (1 + 2w)/((1 + w) Δt). The first step has w = 0: implicit-explicit Euler.

    Between two times there are as many equal steps as keep the Courant number, the largest rate of
    `Convection` times Δt, below a limit; the matrix is factorised anew only when Δt changes.

    Args:
        mass: M [n, n].
        stiffness: K [n, n], symmetric; both for one component.
        convection: N.
        at: t -> (b, g), load and Dirichlet values.
        free: False where a component is prescribed.
        dim: d of the points.
        courant: the limit.
        substeps: times so many steps.

    Source: Wang and Ruuth, J. Comput. Math. 26 (2008) 838-855, the variable step-size SBDF2.
    """

    def __init__(
        self,
        mass: csr_matrix,
        stiffness: csr_matrix,
        convection: Convection,
        at: Data,
        free: Bool[np.ndarray, "n C"],
        dim: int,
        courant: float,
        substeps: int = 1,
    ) -> None:
        self.mass, self.stiffness, self.convection = mass, stiffness, convection
        self.at, self.free, self.dim = at, free, dim
        self.courant, self.substeps = courant, substeps
        self._known: dict[tuple[float, bytes], tuple] = {}

    def march(
        self, start: Float[np.ndarray, "n C"], times: Float[np.ndarray, " T"]
    ) -> Iterator[Float[np.ndarray, "n C"]]:
        """u at each of the times, the first of which is that of `start`.

        Raises:
            numpy.linalg.LinAlgError: the solution grows without bound, with the time.
        """
        u = before = start
        now, rate = self.convection(u)
        last, gone = now, 0.0
        yield u
        for begin, end in zip(times[:-1].tolist(), times[1:].tolist(), strict=True):
            count = self.substeps * max(1, ceil(rate * (end - begin) / self.courant))
            # steps of 0.1 and 0.1 + rounding share one factorisation
            dt = float(f"{(end - begin) / count:.12g}")
            for step in range(count):
                ratio = dt / gone if gone else 0.0
                time = begin + (end - begin) * (step + 1) / count
                past = (1 + ratio) * u - ratio**2 / (1 + ratio) * before
                drive = ratio * last - (1 + ratio) * now
                before, u = u, self._step(past, drive, dt, ratio, time)
                last, (now, rate) = now, self.convection(u)
                gone = dt
                if not rate * (end - begin) < _LIMIT * self.courant:
                    raise np.linalg.LinAlgError(
                        f"t = {time:g}: the velocity crosses {rate:.3g} cells in a unit of time, "
                        "the solution has lost its bound. Use a smaller Courant number (courant), "
                        "more substeps, a finer mesh (refine) or a larger viscosity"
                    )
            yield u

    def _step(
        self, past: np.ndarray, drive: np.ndarray, dt: float, ratio: float, time: float
    ) -> Float[np.ndarray, "n C"]:
        load, u = self.at(time)
        right, u = self.mass @ past / dt + drive + load, u.copy()
        for c, free in enumerate(self.free.T):
            if free.any():
                apply, coupling = self._factors(dt, ratio, free)
                u[free, c] = apply(right[free, c] - coupling @ u[~free, c])
        return u

    def _factors(self, dt: float, ratio: float, free: np.ndarray) -> tuple:
        """A⁻¹ on the free rows, and their columns of the prescribed values."""
        scale = float(f"{(1 + 2 * ratio) / (1 + ratio) / dt:.10g}")
        key = scale, free.tobytes()
        if key not in self._known:
            while len(self._known) >= 2 * self.free.shape[1]:  # a step, and the one to change it
                del self._known[next(iter(self._known))]
            matrix = (scale * self.mass + self.stiffness).tocsr()[free]
            # a factorisation that serves hundreds of steps may fill: direct in 1D and 2D
            inner = solver(matrix[:, free], 1 if self.dim == 2 else self.dim)
            self._known[key] = inner, matrix[:, ~free]
        return self._known[key]
