"""The linear baseline in time: modes of the data (POD) and a fitted linear operator (DMD)."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import product

import numpy as np
from jaxtyping import Float

from meshgnn.metrics.norms import relative_l2
from meshgnn.sample import Sample


@dataclass(frozen=True, eq=False)
class LinearModes:
    """a_{k+1} = A_1 a_k + … + A_D a_{k−D+1} + b,   u_k = mean + Φ a_k,   Φᵀ W Φ = 1.

    The best linear march of a field on one mesh: what a network must beat before its nonlinearity
    is worth anything. It knows neither inputs nor parameters, and no other mesh.

    Args:
        mean: [N, C] mean of the training states.
        basis: Φ [N, C, R], modes orthonormal in W, the strongest first.
        weight: W [N, C], mass of the node over the variance of the component.
        operator: [D R (+ 1), R], A_1 … A_D and b below one another; it acts from the right.
        delays: D.
    """

    mean: Float[np.ndarray, "N C"]
    basis: Float[np.ndarray, "N C R"]
    weight: Float[np.ndarray, "N C"]
    operator: Float[np.ndarray, "F _"]
    delays: int = 1

    @property
    def rank(self) -> int:
        """Number R of modes."""
        return self.basis.shape[2]

    def coefficients(self, u: Float[np.ndarray, "T N C"]) -> Float[np.ndarray, "T R"]:
        """a = Φᵀ W (u − mean): the projection of states onto the modes."""
        return np.einsum("tnc,nc,ncr->tr", u - self.mean, self.weight, self.basis, optimize=True)

    def field(self, a: Float[np.ndarray, "T R"]) -> Float[np.ndarray, "T N C"]:
        """u = mean + Φ a."""
        return self.mean + np.einsum("tr,ncr->tnc", a, self.basis, optimize=True)

    def predict(
        self, known: Float[np.ndarray, "K N C"], steps: int
    ) -> Float[np.ndarray, "steps N C"]:
        """The next states, from the last D of the known ones. No boundary values are imposed.

        Raises:
            ValueError: fewer than D known states, or of another mesh.
        """
        if len(known) < self.delays or known.shape[1:] != self.mean.shape:
            raise ValueError(
                f"LinearModes: expected at least {self.delays} states of shape "
                f"{self.mean.shape}, got {known.shape}; it is for the mesh it was fitted on"
            )
        states = [*self.coefficients(known[-self.delays :])]
        for _ in range(steps):
            past = np.concatenate(states[: -self.delays - 1 : -1])
            states.append(np.append(past, 1.0)[: len(self.operator)] @ self.operator)
        return self.field(np.stack(states[self.delays :]))

    def __call__(self, sample: Sample) -> Float[np.ndarray, "T N C"]:
        """For `evaluate`: D states of the sample, then the march, with the boundary values.

        Raises:
            ValueError: a sample without states, or on another mesh.
        """
        if sample.u is None:
            raise ValueError("LinearModes: expected a sample with its first states in u")
        known = sample.u[: self.delays]
        u = np.concatenate([known, self.predict(known, len(sample.times) - len(known))])
        values = np.stack([sample.dirichlet_at(float(t)) for t in sample.times])
        return np.where(sample.boundary.dirichlet_mask, values, u)


def fit_modes(
    train: Sequence[Sample],
    rank: int = 20,
    delays: int = 1,
    ridge: float = 1e-10,
    affine: bool = True,
) -> LinearModes:
    """min Σ_k |a_{k+1} − A a_k − b|² + λ |A|² over the trajectories, a = POD coefficients.

    The modes are the left singular vectors of all states less their mean, in the norm
    Σ_i m_i Σ_c u_ic² / σ_c², σ_c the spread of the component, so that no unit outweighs another.

    Args:
        train: solved samples on one mesh, of equal time steps.
        rank: R, number of modes; fewer where the states span fewer directions (to 1e-10 of the
            strongest).
        delays: D, how many past states the next one depends on.
        ridge: λ over the largest singular value squared of the regression.
        affine: fit a constant term b as well.

    Raises:
        ValueError: no samples, one without u, too short or on another mesh; rank or delays < 1.

    Source: Schmid 2010 (dynamic mode decomposition); Tu et al. 2014 (several trajectories).
    """
    _check(train, rank, delays)
    return _fit(_modes(train), train, rank, delays, ridge, affine)


def choose_modes(
    train: Sequence[Sample],
    validation: Sequence[Sample],
    ranks: Sequence[int] = (5, 10, 20, 40, 80),
    delays: Sequence[int] = (1,),
    ridges: Sequence[float] = (1e-10, 1e-6, 1e-3),
    affine: bool = True,
) -> LinearModes:
    """The `fit_modes` whose march of the validation samples has the least mean relative L² error.

    Raises:
        ValueError: see `fit_modes`; no validation samples; every choice blows up.
    """
    _check(train, min(ranks), max(delays))
    _check([train[0], *validation], 1, max(delays))
    if not len(validation):
        raise ValueError("choose_modes: expected at least one validation sample, got none")
    found, least = None, np.inf
    modes = _modes(train)
    for rank, delay, ridge in product(ranks, delays, ridges):
        model = _fit(modes, train, rank, delay, ridge, affine)
        with np.errstate(over="ignore", invalid="ignore"):  # an unstable choice is no error
            errors = [relative_l2(model(s), _u(s), s.mesh.lumped_mass) for s in validation]
        if np.isfinite(errors).all() and np.mean(errors) < least:
            found, least = model, np.mean(errors)
    if found is None:
        raise ValueError(
            f"choose_modes: every march of ranks {list(ranks)} blows up; try fewer modes, a larger "
            "ridge, or shorter validation samples"
        )
    return found


def _u(sample: Sample) -> Float[np.ndarray, "T N C"]:
    return np.asarray(sample.u)


def _modes(train: Sequence[Sample]) -> LinearModes:
    """Mean, weights and all modes; no operator yet."""
    states = np.concatenate([_u(s) for s in train])
    mean = states.mean(axis=0)
    centred = states - mean
    mass = train[0].mesh.lumped_mass
    variance = np.einsum("tnc,tnc,n->c", centred, centred, mass) / (len(states) * mass.sum())
    weight = mass[:, None] / np.where(variance > 0, variance, 1.0)
    root = np.sqrt(weight)
    _, sizes, rows = np.linalg.svd((centred * root).reshape(len(states), -1), full_matrices=False)
    kept = max(1, int((sizes > 1e-10 * sizes[0]).sum()))
    basis = rows[:kept].T.reshape(*mean.shape, kept) / root[..., None]
    return LinearModes(mean, basis, weight, np.zeros((0, kept)))


def _fit(
    modes: LinearModes,
    train: Sequence[Sample],
    rank: int,
    delays: int,
    ridge: float,
    affine: bool,
) -> LinearModes:
    modes = replace(modes, basis=modes.basis[..., :rank])
    past, following = [], []
    for sample in train:
        a = modes.coefficients(_u(sample))
        columns = [a[delays - 1 - d : len(a) - 1 - d] for d in range(delays)]
        past.append(np.concatenate(columns, axis=1))
        following.append(a[delays:])
    x, y = np.concatenate(past), np.concatenate(following)
    if affine:
        x = np.concatenate([x, np.ones((len(x), 1))], axis=1)
    left, sizes, right = np.linalg.svd(x, full_matrices=False)
    damped = sizes / np.maximum(sizes**2 + ridge * sizes[:1] ** 2, 1e-300)
    operator = right.T @ (damped[:, None] * (left.T @ y))
    return replace(modes, operator=operator, delays=delays)


def _check(train: Sequence[Sample], rank: int, delays: int) -> None:
    if rank < 1 or delays < 1 or not len(train):
        raise ValueError(
            f"fit_modes: expected samples, and rank and delays of at least 1, got {len(train)} "
            f"samples, rank={rank}, delays={delays}"
        )
    for i, sample in enumerate(train):
        states = 0 if sample.u is None else len(sample.u)
        if states <= delays:
            raise ValueError(
                f"fit_modes: expected more than delays = {delays} states, sample {i} has {states}"
            )
        if not np.array_equal(sample.mesh.points, train[0].mesh.points):
            raise ValueError(
                f"fit_modes: sample {i} is on another mesh than sample 0; modes are of one mesh"
            )
