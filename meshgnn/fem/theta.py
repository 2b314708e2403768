"""The theta scheme for M du/dt + K u = b(t)."""

from collections.abc import Callable, Iterator

import numpy as np
from jaxtyping import Float
from scipy.sparse import csr_matrix

from meshgnn.fem.linear import LinearSystem, check_residual, solver


def theta_steps(
    mass: csr_matrix,
    at: Callable[[float], tuple[Float[np.ndarray, " n"], Float[np.ndarray, " n"]]],
    steady: LinearSystem,
    start: Float[np.ndarray, " n"],
    times: Float[np.ndarray, " T"],
    theta: float,
    substeps: int = 1,
) -> Iterator[Float[np.ndarray, " n"]]:
    """(M + θ Δt K) u' = (M - (1-θ) Δt K) u + Δt (θ b' + (1-θ) b), u' = g' on Dirichlet rows.

    θ = 1 is backward Euler (order 1), θ = 1/2 Crank–Nicolson (order 2). The matrix is factorised
    once for each step length that occurs.

    Args:
        mass: M, [n, n].
        at: t -> (b, g), load and Dirichlet values.
        steady: its matrix is K, its `free` says which rows are not Dirichlet.
        start: u at times[0].
        times: increasing; a value is yielded at each.
        theta: θ, 0 < θ <= 1.
        substeps: equal steps between two times.

    Raises:
        numpy.linalg.LinAlgError: a step whose relative residual stays above 1e-8.
    """
    free, stiffness, u = steady.free, steady.matrix, start
    load, values = at(float(times[0]))
    known: dict[float, tuple] = {}
    yield u
    for begin, end in zip(times[:-1], times[1:], strict=True):
        # steps of 0.1 and 0.1 + rounding share one factorisation
        dt = float(f"{(end - begin) / substeps:.12g}")
        if dt not in known:
            left = (mass + theta * dt * stiffness).tocsr()
            right = (mass - (1 - theta) * dt * stiffness).tocsr()
            inner = left[free][:, free]
            known[dt] = left, right, solver(inner, steady.points.shape[1]) if free.any() else None
        left, right, apply = known[dt]
        for step in range(substeps):
            before = load
            load, values = at(float(begin + (end - begin) * (step + 1) / substeps))
            drive = right @ u + dt * (theta * load + (1 - theta) * before)
            u = values.copy()
            if apply is not None:
                goal = (drive - left @ values)[free]
                u[free] = apply(goal)
                check_residual(left, u, drive, free, float(np.linalg.norm(goal)))
        yield u
