"""Preconditioners that a caller gives, checked and brought to one scale."""

from collections.abc import Callable
from typing import Any

import numpy as np
from jaxtyping import Float
from scipy.sparse.linalg import LinearOperator

from meshgnn.certificate.descent import Cycle
from meshgnn.certificate.equations import Equations

Preconditioner = Any  # LinearOperator, r -> B r, an object with operator(matrix) or solve(r)


def cycle_of(preconditioner: Preconditioner | None, equations: Equations) -> tuple[Cycle, str]:
    """r -> B r, with a typical eigenvalue of BA near 1, and its name; None is the V-cycle.

    Two random residuals r, s tell whether B is symmetric and positive there, and by
    (Br)·A(Br) / r·Br what its scale is, which conjugate gradients do not depend on but estimates of
    their error do.

    Raises:
        ValueError: B of another size, nothing that can be applied, not symmetric or not positive.
        numpy.linalg.LinAlgError: one that is made from the matrix, and cannot be.
    """
    if preconditioner is None:
        return equations.cycle, "V-cycle"
    matrix, name, n = equations.matrix, type(preconditioner).__name__, len(equations.right)
    if not n:
        return (lambda right: right), name
    apply = _applied(preconditioner, equations)
    r, s = np.random.default_rng(0).standard_normal((2, n))
    br, bs = apply(r), apply(s)
    size = float(r @ br)
    if not (size > 0 and float(s @ bs) > 0 and np.isfinite([*br, *bs]).all()):
        raise ValueError(
            f"polish: the preconditioner {name} is not positive definite: r·Br = {size:.3g} and "
            f"{float(s @ bs):.3g} for two random r; conjugate gradients need one that is"
        )
    gap = abs(float(s @ br) - float(r @ bs))
    if gap > 1e-6 * np.linalg.norm(br) * np.linalg.norm(s):
        raise ValueError(
            f"polish: the preconditioner {name} is not symmetric: s·Br and r·Bs differ by "
            f"{gap:.3g}; use as many smoothing steps before as after, in reverse order"
        )
    scale = size / float(br @ (matrix @ br))
    return lambda right: scale * apply(right), name


def _applied(
    preconditioner: Preconditioner, equations: Equations
) -> Callable[[Float[np.ndarray, " n"]], Float[np.ndarray, " n"]]:
    """r -> B r. Raises: ValueError: see `cycle_of`."""
    kind, n = type(preconditioner).__name__, len(equations.right)
    if isinstance(preconditioner, type):
        raise ValueError(
            f"polish: expected a preconditioner, got the class {preconditioner.__name__}; make one "
            f"of it: {preconditioner.__name__}(...)"
        )
    apply = getattr(preconditioner, "solve", None)  # of factors
    if apply is None and hasattr(preconditioner, "operator"):
        preconditioner = preconditioner.operator(equations.matrix)
    elif hasattr(preconditioner, "state_dict"):
        raise ValueError(
            f"polish: {kind} gives fields and is no preconditioner; predict with it, and polish "
            'what it gives, with meshgnn.load("ic_poisson") or without'
        )
    shape = getattr(preconditioner, "shape", (n, n))
    if shape != (n, n):
        raise ValueError(
            f"polish: expected a preconditioner for the {n} free degrees of freedom, got one of "
            f"shape {shape}; make it from certificate.equations.matrix"
        )
    if apply is None:
        own = isinstance(preconditioner, LinearOperator)
        apply = preconditioner.matvec if own else preconditioner
    if not callable(apply):
        raise ValueError(
            "polish: expected a LinearOperator, a function r -> B r or an object with "
            f"operator(matrix) or solve(r) as preconditioner, got {kind}"
        )
    return lambda right: _sized(np.asarray(apply(right.copy()), dtype=np.float64), n, kind)


def _sized(result: Float[np.ndarray, "..."], n: int, kind: str) -> Float[np.ndarray, " n"]:
    """The result as [n]. Raises: ValueError: of another size."""
    if result.size != n:
        raise ValueError(
            f"polish: the preconditioner {kind} gave values of shape {result.shape} for {n} "
            "residuals; expected one for each"
        )
    return result.reshape(n)
